"""Times a step of style transfer in Keras: VGG19 to block5_conv2, five Gram losses and one of content, Adam, as a tf.function."""

from peers import arguments, keras_with, report

size, threads = arguments(512)
keras, tf, name = keras_with(threads)

STYLE = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"]
model = keras.applications.VGG19(include_top=False, weights=None, input_shape=(size, size, 3))
outputs = [model.get_layer(layer).output for layer in [*STYLE, "block5_conv2"]]
features = keras.Model(model.input, outputs)
features.trainable = False
picture = tf.Variable(tf.random.uniform((1, size, size, 3), -126.0, 126.0))
optimizer = keras.optimizers.Adam(1.0)
optimizer.build([picture])


def gram(maps):
    rows = tf.reshape(maps, (-1, maps.shape[-1]))
    return tf.matmul(rows, rows, transpose_a=True)


start = features(picture)
targets = [gram(maps) * 0.9 for maps in start[:-1]]
content = start[-1] * 0.9


@tf.function
def step():
    with tf.GradientTape() as tape:
        *styles, deep = features(picture)
        loss = 0.5e-3 * tf.reduce_sum(tf.square(deep - content))
        for maps, target in zip(styles, targets):
            pixels, channels = maps.shape[1] * maps.shape[2], maps.shape[3]
            loss += tf.reduce_sum(tf.square(gram(maps) - target)) / (4.0 * channels**2 * float(pixels) ** 2)
    gradient = tape.gradient(loss, picture)
    optimizer.apply_gradients([(gradient, picture)])
    return loss


report(name, lambda: step().numpy(), 2, 5)
