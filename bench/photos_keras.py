"""Times work on photos in Keras on TensorFlow, as `crates/lucida/examples/photos.rs` does it in Lucida.

    photos_keras.py step|mixed7|epoch [--weights FILE] [--data FOLDER] [THREADS]
"""

import argparse
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["step", "mixed7", "epoch"])
parser.add_argument("threads", type=int, nargs="?", default=2)
parser.add_argument("--weights")
parser.add_argument("--data")
options = parser.parse_args()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(options.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
keras.utils.set_random_seed(42)
BATCH, SIZE = 32, 150
layers = keras.layers


def basic_cnn():
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(512, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    assert model.count_params() == 4_894_913
    return model


def timed(run, warm_up, runs):
    times = []
    for number in range(warm_up + runs):
        start = time.perf_counter()
        run()
        if number >= warm_up:
            times.append((time.perf_counter() - start) * 1e3)
    return times


images = np.random.default_rng(1).random((BATCH, SIZE, SIZE, 3), dtype=np.float32)
if options.mode == "step":
    model = basic_cnn()
    loss_of = keras.losses.BinaryCrossentropy()
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    images = tf.constant(images)
    labels = tf.constant((np.arange(BATCH) % 2).astype(np.float32)[:, None])
    times = timed(lambda: step(images, labels).numpy(), 5, 25)
elif options.mode == "mixed7":
    base = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    base.load_weights(options.weights)
    model = keras.Model(base.input, base.get_layer("mixed7").output)
    forward = tf.function(lambda images: model(images, training=False))
    images = tf.constant(images)
    times = timed(lambda: forward(images).numpy(), 5, 25)
else:

    def epoch():
        generator = tf.keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255)
        flow = generator.flow_from_directory(
            options.data, target_size=(SIZE, SIZE), batch_size=BATCH, class_mode="binary", interpolation="bilinear"
        )
        model = basic_cnn()
        model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
        model.fit(flow, epochs=1, verbose=0)

    times = timed(epoch, 0, 1)
print(json.dumps({"name": f"Keras {keras.__version__} / TensorFlow {tf.__version__}", "ms": times}))
