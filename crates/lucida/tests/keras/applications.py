"""Writes Keras's applications with random weights, for the test in `tests/keras_applications.rs`.

Made for Keras 3.15 on TensorFlow 2.21. Usage: python applications.py FOLDER [NAME...]. For each network, by Lucida's name:

- NAME.h5, the weights in the format of Keras's published files;
- NAME.order.h5, the same with other names, which can only be matched by the order of the layers;
- NAME.json, the names of the layers, the number of parameters with and without the classifier, an input, the features
  before the classifier, and the output.

The models are built as with weights="imagenet", which adds a layer to EfficientNet.
"""

import json
import pathlib
import shutil
import sys

import h5py
import keras
import numpy as np
from keras.src.applications import imagenet_utils
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

apps = keras.applications
NETWORKS = {
    "mobilenet": apps.MobileNet,
    "mobilenet-v2": apps.MobileNetV2,
    "mobilenet-v3-small": apps.MobileNetV3Small,
    "mobilenet-v3-large": apps.MobileNetV3Large,
    **{f"efficientnet-b{n}": getattr(apps, f"EfficientNetB{n}") for n in range(8)},
    **{f"efficientnet-v2-{n.lower()}": getattr(apps, f"EfficientNetV2{n}") for n in "B0 B1 B2 B3 S M L".split()},
    "densenet121-keras": apps.DenseNet121,
    "densenet169-keras": apps.DenseNet169,
    "densenet201-keras": apps.DenseNet201,
    "resnet50-keras": apps.ResNet50,
    "resnet101-keras": apps.ResNet101,
    "resnet152-keras": apps.ResNet152,
    "resnet50v2": apps.ResNet50V2,
    "resnet101v2": apps.ResNet101V2,
    "resnet152v2": apps.ResNet152V2,
    "xception": apps.Xception,
    "inception-resnet-v2": apps.InceptionResNetV2,
    "nasnet-mobile": apps.NASNetMobile,
    "nasnet-large": apps.NASNetLarge,
    **{f"convnext-{n.lower()}-keras": getattr(apps, f"ConvNeXt{n}") for n in "Tiny Small Base Large XLarge".split()},
}
SIZE = 96


def chance(rng, variable):
    """Random values for which no layer's output vanishes or explodes."""
    shape, name = variable.shape, variable.name
    if "variance" in name:
        return rng.uniform(0.5, 1.5, shape)
    if "gamma" in name:
        return rng.uniform(0.7, 1.3, shape)
    if len(shape) > 1:
        fan_in = np.prod(shape[:-2]) if "depthwise_kernel" in name else np.prod(shape[:-1])
        return rng.normal(0, np.sqrt(1.3 / fan_in), shape)
    return rng.normal(0, 0.1, shape)


def inner_names(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from inner_names(layer)
        else:
            yield layer.name


def write(folder, name, build):
    keras.backend.clear_session()
    without = build(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3)).count_params()
    keras.backend.clear_session()
    model = build(weights=None, input_shape=(SIZE, SIZE, 3))
    rng = np.random.default_rng(5)
    for variable in model.variables:
        if not str(variable.dtype).startswith("int") and "seed" not in variable.name:
            variable.assign(chance(rng, variable).astype(np.float32))
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    file_utils.get_file = lambda *arguments, **options: str(path)
    imagenet_utils.obtain_input_shape = lambda shape, **options: shape
    keras.backend.clear_session()
    model = build(weights="imagenet", input_shape=(SIZE, SIZE, 3))
    pool = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    high = 255 if name.startswith(("convnext", "efficientnet", "mobilenet-v3")) else 1
    inputs = rng.uniform(0, high, (1, SIZE, SIZE, 3)).astype(np.float32)
    features, output = keras.Model(model.inputs, [pool.input, model.output]).predict(inputs, verbose=0)
    expected = {
        "layers": list(inner_names(model)),
        "parameters": model.count_params(),
        "parameters_without_top": without,
        "size": SIZE,
        "before_top": pool.input._keras_history.operation.name,
        "input": inputs.ravel().tolist(),
        "features": features.ravel().tolist(),
        "output": output.ravel().tolist(),
    }
    (folder / f"{name}.json").write_text(json.dumps(expected))
    print(name, expected["parameters"], without, float(np.abs(features).max()), float(output.max()), flush=True)
    if path.stat().st_size > 200e6:
        return
    other = folder / f"{name}.order.h5"
    shutil.copy(path, other)
    with h5py.File(other, "r+") as file:
        names = legacy_h5_format.load_attributes_from_hdf5_group(file, "layer_names")
        for key in [key for key in file.attrs if key.startswith("layer_names")]:
            del file.attrs[key]
        for index, old in enumerate(names):
            file.move(old, f"other_{index}")
        legacy_h5_format.save_attributes_to_hdf5_group(file, "layer_names", [b"other_%d" % i for i in range(len(names))])


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name in sys.argv[2:] or NETWORKS:
    restore = file_utils.get_file, imagenet_utils.obtain_input_shape
    write(folder, name, NETWORKS[name])
    file_utils.get_file, imagenet_utils.obtain_input_shape = restore
