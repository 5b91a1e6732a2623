"""Times one training step of the MNIST network in Keras on TensorFlow: batch 256, Adam, `train_on_batch`-like tf.function."""

import json
import os
import sys
import time

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
import keras

tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)

BATCH, WARM_UP, STEPS = 256, 10, 50

keras.utils.set_random_seed(42)
layers = keras.layers
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(24, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(48, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.25),
        layers.Dense(10),
    ]
)
assert model.count_params() == 113_514
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = keras.optimizers.Adam(1e-3)
optimizer.build(model.trainable_variables)


@tf.function
def step(images, labels):
    with tf.GradientTape() as tape:
        loss = loss_of(labels, model(images, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


rng = np.random.default_rng(1)
images = tf.constant(rng.random((BATCH, 28, 28, 1), dtype=np.float32))
labels = tf.constant(rng.integers(0, 10, BATCH))
for _ in range(WARM_UP):
    step(images, labels).numpy()
times = []
for _ in range(STEPS):
    start = time.perf_counter()
    step(images, labels).numpy()
    times.append((time.perf_counter() - start) * 1e3)
print(json.dumps({"name": f"Keras {keras.__version__} / TensorFlow {tf.__version__}", "ms": times}))
