"""Transfer learning in Keras on TensorFlow, to compare accuracy and time with `lucida train`: runs a frozen base once on each
photo, then trains a head on its features.

    transfer_keras.py vgg16|inception-v3 DATA WEIGHTS [--epochs N] [--threads N] [--few N]

DATA has the sub-folders train and validation; WEIGHTS is Keras's file without the classifier. Prints JSON.
"""

import argparse
import json
import os
import pathlib
import time

parser = argparse.ArgumentParser()
parser.add_argument("base", choices=["vgg16", "inception-v3"])
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("weights")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--few", type=int, help="so many photos of each class and part only")
options = parser.parse_args()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

started = time.perf_counter()
import keras
import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(options.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
keras.utils.set_random_seed(42)
SIZE, BATCH = 150, 32
layers = keras.layers

if options.base == "vgg16":
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    prepare = keras.applications.vgg16.preprocess_input
    head = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dropout(0.5)]
    optimizer = keras.optimizers.Adam(1e-4)
else:
    base = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    prepare = keras.applications.inception_v3.preprocess_input
    head = [layers.Flatten(), layers.Dense(1024, activation="relu"), layers.Dropout(0.2)]
    optimizer = keras.optimizers.RMSprop(1e-4)
base.load_weights(options.weights)
if options.base == "inception-v3":
    base = keras.Model(base.input, base.get_layer("mixed7").output)
forward = tf.function(lambda images: base(images, training=False))


def features(part):
    rows, labels = [], []
    for label, folder in enumerate(sorted(path for path in (options.data / part).iterdir() if path.is_dir())):
        files = sorted(folder.iterdir())[: options.few]
        for at in range(0, len(files), BATCH):
            load = lambda file: keras.utils.img_to_array(
                keras.utils.load_img(file, target_size=(SIZE, SIZE), interpolation="bilinear")
            )
            images = np.stack([load(file) for file in files[at : at + BATCH]])
            rows.append(forward(tf.constant(prepare(images))).numpy())
            labels += [label] * len(images)
    return np.concatenate(rows), np.array(labels, np.float32)


train, validation = features("train"), features("validation")
done = time.perf_counter()
model = keras.Sequential([keras.Input(train[0].shape[1:]), *head, layers.Dense(1, activation="sigmoid")])
model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
history = model.fit(*train, batch_size=BATCH, epochs=options.epochs, validation_data=validation, verbose=0).history
print(
    json.dumps(
        {
            "name": f"Keras {keras.__version__} / TensorFlow {tf.__version__}",
            "parameters": [base.count_params() + model.count_params(), model.count_params()],
            "val_accuracy": history["val_accuracy"],
            "val_loss": history["val_loss"],
            "features_seconds": done - started,
            "seconds": time.perf_counter() - started,
        }
    )
)
