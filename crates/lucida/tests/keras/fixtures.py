"""Writes the small Keras files in `files/`, for the tests in `tests/keras_files.rs`.

Made with Keras 3.15 on TensorFlow 2.21. Usage: python fixtures.py; each model.* is the same network: nested models,
branches, a batch normalization without a scale, a layer that Keras names after another model's layer.
"""

import json
import pathlib

import h5py
import keras
import numpy as np
from keras import layers
from keras.src.legacy.saving import legacy_h5_format
from keras.src.saving import saving_lib

HERE = pathlib.Path(__file__).parent / "files"
HERE.mkdir(exist_ok=True)
keras.utils.set_random_seed(3)

picture = keras.Input((8, 8, 3))
x = layers.Conv2D(4, 3, use_bias=False, name="stem")(picture)
x = layers.BatchNormalization(scale=False, name="stem_bn")(x)
x = layers.ReLU(name="stem_relu")(x)
left = layers.Conv2D(3, 1, activation="relu", name="left")(x)
right = layers.Conv2D(2, 3, padding="same", activation="tanh", name="right")(x)
x = layers.Concatenate(name="mixed")([left, right])
base = keras.Model(picture, layers.MaxPooling2D(name="pool")(x), name="base")
base.trainable = False
inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="stem2"), layers.BatchNormalization(name="norm")])

model = keras.Sequential(
    [
        keras.Input((8, 8, 3)),
        base,
        layers.Flatten(),
        layers.Dense(6, activation="sigmoid", kernel_regularizer="l2", name="hidden"),
        inner,
        layers.Dropout(0.5),
        layers.Dense(3, activation="softmax", name="last"),
    ],
    name="nested",
)
rng = np.random.default_rng(5)
model.set_weights([rng.uniform(0.1, 0.9, w.shape).astype(np.float32) - (0.4 if w.ndim > 1 else 0) for w in model.get_weights()])
inputs = rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
expected = {"input": inputs.ravel().tolist(), "output": model.predict(inputs, verbose=0).ravel().tolist()}
(HERE / "expected.json").write_text(json.dumps(expected))

model.save(HERE / "model.keras")
model.save(HERE / "model.h5")
model.save_weights(HERE / "model.weights.h5")
saving_lib.save_model(model, HERE / "model_npz.keras", weights_format="npz")

# Force the splitting of name lists into numbered parts, as Keras does for long ones.
legacy_h5_format.HDF5_OBJECT_HEADER_LIMIT = 40
model.save(HERE / "model_parts.h5")
with h5py.File(HERE / "model_parts.h5") as file:
    assert "layer_names1" in file["model_weights"].attrs

# A group that contains itself, and circular links.
with h5py.File(HERE / "cycle.weights.h5", "w") as file:
    group = file.create_group("layers")
    group["itself"] = group
with h5py.File(HERE / "links.weights.h5", "w") as file:
    layers_group = file.create_group("layers")
    layers_group["a"] = h5py.SoftLink("/layers/b")
    layers_group["b"] = h5py.SoftLink("/layers/a")
    layers_group["out"] = h5py.ExternalLink("/etc/hostname", "/")


def copy_as(name, dtype, userblock_size=0, **storage):
    """Writes the legacy model with another weight type and storage layout, after a user block."""

    def visit(path, item):
        if isinstance(item, h5py.Dataset):
            values = item[()].astype(dtype)
            out.create_dataset(path, data=values, **(storage if values.ndim else {}))
        else:
            out.require_group(path)
        out[path].attrs.update(item.attrs)

    with h5py.File(HERE / "model.h5") as file, h5py.File(HERE / name, "w", userblock_size=userblock_size) as out:
        out.attrs.update(file.attrs)
        file.visititems(visit)


copy_as("model_float16.h5", "<f2")
copy_as("model_float64.h5", ">f8", userblock_size=2048, chunks=True, compression="gzip")
