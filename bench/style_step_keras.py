"""Times steps of style transfer in Keras on TensorFlow: VGG19 to block5_conv2, six losses, Adam on the image."""

import numpy as np

from peers import arguments, keras_with, report

size, threads = arguments(512)
keras, tf, name = keras_with(threads)

STYLE = [f"block{block}_conv1" for block in range(1, 6)]

vgg = keras.applications.VGG19(include_top=False, weights=None)
vgg.trainable = False
model = keras.Model(vgg.inputs, [vgg.get_layer(name).output for name in [*STYLE, "block5_conv2"]])


def gram(features):
    channels = features.shape[-1]
    flat = tf.reshape(features, (-1, channels))
    return tf.matmul(flat, flat, transpose_a=True) / tf.cast(tf.shape(flat)[0], tf.float32)


def features_of(picture):
    *style, content = model(picture - tf.constant([103.939, 116.779, 123.68]))
    return [gram(layer) for layer in style], content


rng = np.random.default_rng(1)
picture = tf.Variable(rng.random((1, size, size, 3), dtype=np.float32) * 255)
content_target = features_of(picture)[1]
style_targets = features_of(tf.constant(rng.random((1, size, size, 3), dtype=np.float32) * 255))[0]
optimizer = keras.optimizers.Adam(1.0)
optimizer.build([picture])


@tf.function
def step():
    with tf.GradientTape() as tape:
        style, content = features_of(picture)
        loss = 0.5 * tf.reduce_sum((content - content_target) ** 2)
        for got, wanted in zip(style, style_targets):
            loss += 200.0 * tf.reduce_sum((got - wanted) ** 2) / (4.0 * got.shape[0] ** 2)
    optimizer.apply_gradients([(tape.gradient(loss, picture), picture)])
    return loss


report(name, lambda: step().numpy(), 2, 8)
