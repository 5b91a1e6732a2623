"""Times epochs of the MNIST network in Keras on TensorFlow with `fit`: 48,000 digits, batch 256, loss and accuracy, and
12,000 digits for validation. The digits are in memory as floats from 0 to 1 before the first epoch.

    mnist_epoch_keras.py FOLDER [THREADS]
"""

import pathlib
import time

import numpy as np

from digits import idx
from networks import mnist_cnn
from peers import arguments, keras_with, say

WARM_UP, EPOCHS, TRAIN = 1, 3, 48_000

folder, threads = arguments("")
keras, tf, name = keras_with(threads)


def numbers(kind):
    dimensions, values = idx(pathlib.Path(folder) / f"train-{kind}")
    return np.frombuffer(values, np.uint8).reshape(dimensions)


images = numbers("images-idx3-ubyte").astype(np.float32)[..., None] / 255
labels = numbers("labels-idx1-ubyte").astype(np.int64)
ends = []
model = mnist_cnn(keras)
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(1e-3), loss_of, metrics=["accuracy"])
model.fit(
    images[:TRAIN],
    labels[:TRAIN],
    batch_size=256,
    epochs=WARM_UP + EPOCHS,
    validation_data=(images[TRAIN:], labels[TRAIN:]),
    callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))],
    verbose=0,
)
say(name, [(end - start) * 1e3 for start, end in zip(ends, ends[1:])][WARM_UP - 1 :])
