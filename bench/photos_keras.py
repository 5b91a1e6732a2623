"""Times workloads on photos in Keras on TensorFlow, like `bench/programs/photos.rs` in Lucida.

    photos_keras.py step|mixed7|epoch|features [--weights FILE] [--data FOLDER] [THREADS]
"""

import argparse
import pathlib

import numpy as np

from networks import basic_cnn, training_step
from peers import first_photos, keras_with, report

BATCH, SIZE, PHOTOS_OF_A_CLASS = 32, 150, 500

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["step", "mixed7", "epoch", "features"])
parser.add_argument("threads", type=int, nargs="?", default=2)
parser.add_argument("--weights")
parser.add_argument("--data", type=pathlib.Path)
# The number of threads may follow the options.
options = parser.parse_intermixed_args()
keras, tf, name = keras_with(options.threads)


def noise():
    return tf.constant(np.random.default_rng(1).random((BATCH, SIZE, SIZE, 3), dtype=np.float32))


def base(kind):
    model = kind(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    model.load_weights(options.weights)
    return model


def step():
    run = training_step(keras, tf, basic_cnn(keras, SIZE), keras.losses.BinaryCrossentropy())
    images, labels = noise(), tf.constant((np.arange(BATCH) % 2).astype(np.float32)[:, None])
    report(name, lambda: run(images, labels).numpy(), 5, 25)


def mixed7():
    inception = base(keras.applications.InceptionV3)
    model = keras.Model(inception.input, inception.get_layer("mixed7").output)
    forward, images = tf.function(lambda images: model(images, training=False)), noise()
    report(name, lambda: forward(images).numpy(), 5, 25)


def epoch():
    def run():
        generator = tf.keras.preprocessing.image.ImageDataGenerator(
            rescale=1 / 255, width_shift_range=0.2, height_shift_range=0.2, shear_range=0.2, zoom_range=0.2, horizontal_flip=True
        )
        flow = generator.flow_from_directory(
            options.data, target_size=(SIZE, SIZE), batch_size=BATCH, class_mode="binary", interpolation="bilinear"
        )
        model = basic_cnn(keras, SIZE)
        model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
        model.fit(flow, epochs=1, verbose=0)

    report(name, run, 0, 1)


def features():
    model = base(keras.applications.VGG16)
    forward = tf.function(lambda images: model(images, training=False))
    prepare = keras.applications.vgg16.preprocess_input
    photos = first_photos(options.data, PHOTOS_OF_A_CLASS)

    def load(photo):
        return keras.utils.img_to_array(
            keras.utils.load_img(photo, target_size=(SIZE, SIZE), interpolation="bilinear")
        )

    def features_of(photos):
        parts = [photos[at : at + BATCH] for at in range(0, len(photos), BATCH)]
        # Pad the last batch: another shape would be compiled again.
        rows = []
        for part in parts:
            images = np.zeros((BATCH, SIZE, SIZE, 3), np.float32)
            images[: len(part)] = [load(photo) for photo in part]
            rows.append(forward(tf.constant(prepare(images))).numpy()[: len(part)])
        return np.concatenate(rows)

    features_of(photos[:BATCH])
    report(name, lambda: features_of(photos), 0, 1)


{"step": step, "mixed7": mixed7, "epoch": epoch, "features": features}[options.mode]()
