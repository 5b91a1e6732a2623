"""Times steps of style transfer in Keras on TensorFlow: VGG19 to block5_conv2, six losses, Adam on the picture."""

import json
import os
import resource
import sys
import time

size = int(sys.argv[1])
threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
import keras

tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)

WARM_UP, STEPS = 2, 8
STYLE = [f"block{block}_conv1" for block in range(1, 6)]

keras.utils.set_random_seed(1)
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


for _ in range(WARM_UP):
    step().numpy()
times = []
for _ in range(STEPS):
    start = time.perf_counter()
    step().numpy()
    times.append((time.perf_counter() - start) * 1e3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"name": f"Keras {keras.__version__} / TensorFlow {tf.__version__}", "ms": times, "mb": peak}))
