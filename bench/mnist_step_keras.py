"""Times a training step of the MNIST network in Keras on TensorFlow: Adam, one compiled function.

    mnist_step_keras.py [BATCH [THREADS]]
"""

import numpy as np

from networks import mnist_cnn, training_step
from peers import arguments, keras_with, report

batch, threads = arguments(256)
keras, tf, name = keras_with(threads)

step = training_step(keras, tf, mnist_cnn(keras), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
rng = np.random.default_rng(1)
images = tf.constant(rng.random((batch, 28, 28, 1), dtype=np.float32))
labels = tf.constant(rng.integers(0, 10, batch))
report(name, lambda: step(images, labels).numpy(), 10, 50)
