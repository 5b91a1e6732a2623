"""Times activation maximization in Keras on TensorFlow, in a straightforward implementation: a tf.function for a step, in a
loop over filters.

    maximize_keras.py mnist|vgg16 THREADS

mnist: the filters of all three convolutions of the MNIST network (24 + 48 + 64), 300 steps without and 300 with total
variation, like the package keras-vis. vgg16: 16 filters of block3_conv1, images of 128x128, 256 steps of Adam.
"""

import numpy as np

from networks import mnist_cnn
from peers import arguments, keras_with, report

work, threads = arguments("")
keras, tf, name = keras_with(threads)


def keras_vis_step(part):
    @tf.function
    def step(image, cache, best_loss, best, channel, variation_weight):
        image = tf.roll(image, tf.random.uniform([2], -1, 2, tf.int32), [1, 2])
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = -tf.reduce_mean(tf.gather(part(image), channel, axis=-1))
            loss += 10.0 * tf.reduce_sum(tf.abs(image) ** 6) ** (1 / 6) / 784.0
            down, across = image[:, 1:, :-1] - image[:, :-1, :-1], image[:, :-1, 1:] - image[:, :-1, :-1]
            loss += variation_weight * tf.reduce_sum(down**2 + across**2) / 784.0
        gradient = tf.math.l2_normalize(tape.gradient(loss, image))
        cache = 0.95 * cache + 0.05 * gradient**2
        image -= gradient / tf.sqrt(cache + 1e-7)
        best = tf.where(loss < best_loss, image, best)
        return image, cache, tf.minimum(loss, best_loss), best

    return step


def shown(image):
    image = (image - image.mean()) / (image.std() + 1e-7)
    return np.clip(0.5 + 0.1 * image, 0, 1).astype("float32")


def maximize_mnist():
    model = mnist_cnn(keras)
    for index, filters in [(0, 24), (2, 48), (4, 64)]:
        part = keras.Model(model.inputs, model.layers[index].output)
        step = keras_vis_step(part)
        for channel in range(filters):
            image = (0.5 + 0.05 * np.random.randn(1, 28, 28, 1)).astype("float32")
            for variation_weight in (0.0, 10.0):
                weight, infinity = tf.constant(variation_weight), tf.constant(np.inf)
                image, cache, least, best = tf.constant(image), tf.zeros((1, 28, 28, 1)), infinity, tf.constant(image)
                for _ in range(300):
                    image, cache, least, best = step(image, cache, least, best, tf.constant(channel), weight)
                image = shown(best.numpy())


def maximize_vgg16():
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(128, 128, 3))
    part = keras.Model(base.inputs, base.get_layer("block3_conv1").output)

    @tf.function
    def step(image, channel, first, second, t):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = -tf.reduce_mean(tf.gather(part(image), channel, axis=-1))
        gradient = tape.gradient(loss, image)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = tf.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
        return image - rate * first / (tf.sqrt(second) + 1e-7), first, second

    for channel in range(16):
        image = tf.random.normal((1, 128, 128, 3), stddev=10.0)
        first, second = tf.zeros_like(image), tf.zeros_like(image)
        for t in range(1, 257):
            image, first, second = step(image, tf.constant(channel), first, second, tf.constant(float(t)))
    image.numpy()


report(name, {"mnist": maximize_mnist, "vgg16": maximize_vgg16}[work], 0, 1)
