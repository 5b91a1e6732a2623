"""Times the pass forward of InceptionV3 to mixed7 in Keras, 150x150, as a tf.function."""

from peers import arguments, keras_with, report

batch, threads = arguments(32)
keras, tf, name = keras_with(threads)

model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(150, 150, 3))
features = keras.Model(model.input, model.get_layer("mixed7").output)
images = tf.random.uniform((batch, 150, 150, 3))


@tf.function
def step():
    return tf.reduce_sum(features(images, training=False))


report(name, lambda: step().numpy(), 2, 10)
