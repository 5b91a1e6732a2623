"""Times a training step of the classifier of cats and dogs (4,894,913 parameters) in Keras, as a tf.function."""

from peers import arguments, keras_with, report

batch, threads = arguments(32)
keras, tf, name = keras_with(threads)

layers = keras.layers
model = keras.Sequential(
    [
        keras.Input((150, 150, 3)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(128, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(512, activation="relu"),
        layers.Dense(1),
    ]
)
assert model.count_params() == 4_894_913, model.count_params()
loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
optimizer = keras.optimizers.RMSprop(1e-4)
optimizer.build(model.trainable_variables)
images = tf.random.uniform((batch, 150, 150, 3))
labels = tf.reshape(tf.cast(tf.range(batch) % 2, tf.float32), (batch, 1))


@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = loss_of(labels, model(images, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


report(name, lambda: step().numpy(), 3, 10)
