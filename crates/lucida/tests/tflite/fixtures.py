"""Writes the small files of `tests/tflite/files` and their `expected.json`: python fixtures.py FOLDER

Each network is converted in several ways, and run by TensorFlow Lite's interpreter (made with tensorflow 2.21, keras 3.15).
Inputs and outputs are floats: those of quantized files are dequantized. `expected.json` also contains Keras's outputs with the
dequantized weights of `digits_int8` ("dequantized"), and the step of a quantized output ("step").
"""
import importlib.util
import json
import os
import sys
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import flatbuffers
import keras
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
keras.utils.set_random_seed(3)
rng = np.random.default_rng(5)
L = keras.layers


def mobile():
    """Inverted residuals with ReLU6, as in MobileNetV2."""
    def norm(x, relu=True):
        x = L.BatchNormalization()(x)
        return L.ReLU(max_value=6.0)(x) if relu else x

    x = inputs = keras.Input((15, 14, 3), name="photo")
    x = norm(L.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x))
    for index, (filters, stride) in enumerate([(8, 1), (12, 2), (12, 1)]):
        y = norm(L.Conv2D(24, 1, use_bias=False, name=f"block{index}_expand")(x))
        if stride == 2:
            y = L.ZeroPadding2D(((0, 1), (0, 1)))(y)
        padding = "same" if stride == 1 else "valid"
        y = norm(L.DepthwiseConv2D(3, strides=stride, padding=padding, use_bias=False, name=f"block{index}_dw")(y))
        y = norm(L.Conv2D(filters, 1, use_bias=False, name=f"block{index}_project")(y), relu=False)
        x = L.Add()([x, y]) if stride == 1 else y
    x = norm(L.Conv2D(96, 1, use_bias=False, name="top")(x))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(5, activation="softmax", name="predictions")(x), name="mobile")


def unet():
    """Downsampling by max pooling, upsampling by a transposed convolution and by resizing, with two skip connections."""
    x = inputs = keras.Input((16, 12, 3), name="slide")
    a = L.Conv2D(6, 3, padding="same", activation="relu", name="down1")(x)
    b = L.Conv2D(8, 3, padding="same", activation="relu", name="down2")(L.MaxPooling2D(2)(a))
    c = L.Conv2D(16, 3, padding="same", dilation_rate=2, activation="relu", name="bottom")(L.AveragePooling2D(2)(b))
    x = L.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu", name="up1")(c)
    x = L.Concatenate(name="skip1")([x, b])
    x = L.UpSampling2D(interpolation="bilinear", name="up2")(L.Conv2D(8, 1, name="mix")(x))
    x = L.Concatenate(name="skip2")([x, a, L.UpSampling2D(4, name="up3")(c)])
    return keras.Model(inputs, L.Conv2D(2, 1, activation="sigmoid", name="mask")(x), name="unet")


def digits():
    layers = [keras.Input((16, 16, 1), name="digit"), L.Conv2D(6, 3, activation="relu", name="conv1"), L.MaxPooling2D(2),
              L.Conv2D(8, 3, activation="relu", name="conv2"), L.MaxPooling2D(2), L.Flatten(),
              L.Dense(40, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="digits")]
    return keras.Sequential(layers, name="digits")


def squeeze():
    """Squeeze-and-excitation and hard swish, as in MobileNetV3."""
    x = inputs = keras.Input((12, 12, 3), name="photo")
    x = L.Activation("hard_swish")(L.Conv2D(16, 3, strides=2, padding="same", name="stem")(x))
    for index in range(2):
        s = L.GlobalAveragePooling2D(keepdims=True)(x)
        s = L.Conv2D(8, 1, activation="relu", name=f"squeeze{index}")(s)
        s = L.Conv2D(16, 1, activation=["hard_sigmoid", "sigmoid"][index], name=f"excite{index}")(s)
        y = L.DepthwiseConv2D(5, padding="same", depth_multiplier=1, name=f"dw{index}")(L.Multiply()([x, s]))
        x = L.Add()([x, L.Activation(["hard_swish", "silu"][index])(y)])
    x = L.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, L.Dense(70, name="scores")(x), name="squeeze")


def pointwise():
    """Activations, normalizations, padding, and arithmetic that the other networks lack."""
    x = inputs = keras.Input((9, 8, 4), name="signal")
    x = L.PReLU(shared_axes=[1, 2], alpha_initializer="uniform")(L.Conv2D(6, 3, name="first")(x))
    x = L.LayerNormalization(name="norm")(x)
    x = L.LeakyReLU(negative_slope=0.2)(x)
    x = L.Lambda(lambda t: tf.pad(t, [[0, 0], [1, 2], [2, 1], [0, 0]], mode="REFLECT"))(x)
    x = L.Activation("elu")(L.DepthwiseConv2D(3, strides=2, depth_multiplier=2, name="wide")(x))
    a, b = L.Lambda(lambda t: tf.split(t, 2, axis=-1))(x)
    x = L.Maximum()([L.Activation("tanh")(a), L.Activation("gelu")(b)])
    x = L.Subtract()([x, L.Minimum()([a, b])])
    x = L.Lambda(lambda t: tf.nn.space_to_depth(t[:, :4, ::-1][:, :, :4], 2))(x)
    x = L.Rescaling(0.5, 0.25)(x)
    x = L.Lambda(lambda t: tf.nn.depth_to_space(t, 2))(x)
    x = L.Lambda(lambda t: tf.reduce_sum(tf.transpose(t / (1.0 + tf.abs(t)), [0, 2, 1, 3]), axis=[1, 2]))(x)
    return keras.Model(inputs, L.Dense(4, activation="log_softmax", name="logs")(x), name="pointwise")


def composed():
    """Layers that the converter splits into several operators; a batch of one, gated by a tensor without spatial axes."""
    x = inputs = keras.Input((8, 6, 3), batch_size=1, name="photo")
    x = L.Activation("softplus")(L.Conv2D(6, 3, padding="same", name="stem")(x))
    x = L.GroupNormalization(groups=2, name="groups")(L.Activation("mish")(x))
    x = L.Activation("selu")(L.Conv2D(6, 1, name="mix")(x))
    s = L.Dense(6, activation="sigmoid", name="excite")(L.GlobalAveragePooling2D()(x))
    x = L.Multiply()([x, s])
    x = L.ReLU(threshold=0.1)(x)
    x = L.Conv1D(5, 3, padding="causal", name="causal")(L.Reshape((48, 6))(x))
    x = L.UnitNormalization()(L.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, L.Dense(4, activation="log_sigmoid", name="scores")(x), name="composed")


def shaped(data):
    return [[round(float(value), 2) for value in sample.flatten()] for sample in data]


def convert(model, kind, calibration):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int8", "uint8"):
        converter.representative_dataset = lambda: ([sample[None]] for sample in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
    return converter.convert()


def run(content, data):
    """Returns the outputs of a file, and the step of the output."""
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    given, got = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.allocate_tensors()
    outputs = []
    for sample in data:
        scale, zero = given["quantization"]
        if scale:
            info = np.iinfo(given["dtype"])
            sample = np.clip(np.round(sample / scale) + zero, info.min, info.max)
        interpreter.set_tensor(given["index"], sample[None].astype(given["dtype"]))
        interpreter.invoke()
        output = interpreter.get_tensor(got["index"])[0].astype("float32")
        scale, zero = got["quantization"]
        outputs.append((output - zero) * scale if scale else output)
    return np.stack(outputs), float(got["quantization"][0])


def dequantized(content, model, data):
    """Computes the outputs of Keras with the dequantized weights of a file."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    tensors = {}
    for detail in interpreter.get_tensor_details():
        quantization = detail["quantization_parameters"]
        if len(quantization["scales"]) and detail["shape"].size in (1, 2, 4):
            try:
                values = interpreter.get_tensor(detail["index"]).astype("float64")
            except ValueError:
                continue
            shape = [1] * values.ndim
            if len(quantization["scales"]) > 1:
                shape[quantization["quantized_dimension"]] = -1
            scales, zeros = (quantization[key].reshape(shape) for key in ("scales", "zero_points"))
            tensors[detail["name"]] = (values - zeros) * scales
    weights = []
    for layer in (layer for layer in model.layers if layer.weights):
        found = [value for name, value in tensors.items() if f"/{layer.name}" in name and value.size > 1]
        kernel = next(v for v in found if v.size == layer.kernel.shape.num_elements() and v.ndim > 1)
        bias = next(v for v in found if v.shape == tuple(layer.bias.shape))
        order = [1, 2, 3, 0] if kernel.ndim == 4 else [1, 0]
        weights += [kernel.transpose(order), bias]
    copy = keras.models.clone_model(model)
    copy.set_weights(weights)
    return copy.predict(data, verbose=0)


expected = {}
KINDS = {"mobile": ["float32", "float16", "dynamic", "int8"], "unet": ["float32", "int8"],
         "digits": ["float32", "float16", "dynamic", "int8", "uint8"], "squeeze": ["float32", "dynamic", "int8"],
         "pointwise": ["float32", "float16"], "composed": ["float32"]}
for build in (mobile, unet, digits, squeeze, pointwise, composed):
    model = build()
    model.set_weights([np.abs(w) + 0.5 if v.path.endswith("variance") else w + rng.normal(0, 0.1, w.shape)
                       for v, w in zip(model.weights, model.get_weights())])
    data = (rng.integers(0, 100, (2, *model.input_shape[1:])) / 100).astype("float32")
    # Include images that are twice as bright, so that no test input exceeds the calibrated range.
    calibration = np.concatenate([data, 2 * data, rng.random((30, *data.shape[1:]), dtype="float32")])
    expected[model.name] = {"shape": data.shape, "input": shaped(data), "outputs": {}}
    for kind in KINDS[model.name]:
        content = convert(model, kind, calibration)
        with open(f"{folder}/{model.name}_{kind}.tflite", "wb") as out:
            out.write(content)
        output, step = run(content, data)
        found = expected[model.name]["outputs"][kind] = {"output": [round(float(v), 7) for v in output.flatten()]}
        if step:
            found["step"] = step
        if (model.name, kind) == ("digits", "int8"):
            found["dequantized"] = [round(float(v), 7) for v in dequantized(content, model, data).flatten()]
with open(f"{folder}/expected.json", "w") as out:
    json.dump(expected, out)

# An operator without a corresponding layer.
top = keras.Sequential([keras.Input((6,), name="scores"), L.Lambda(lambda t: tf.math.top_k(t, 2)[0], name="best")])
with open(f"{folder}/unsupported.tflite", "wb") as out:
    out.write(convert(top, "float32", None))


def metadata():
    """Builds ModelMetadata with the normalization of the first input's pixels, from field indices."""
    builder = flatbuffers.Builder(0)

    def table(count, fields):
        builder.StartObject(count)
        for field, value in fields.items():
            builder.PrependUOffsetTRelativeSlot(field, value, 0)
        return builder.EndObject()

    def list_of(value):
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(value)
        return builder.EndVector()

    mean, std = (builder.CreateNumpyVector(np.array([value], "float32")) for value in (127.5, 63.75))
    options = table(2, {0: mean, 1: std})
    builder.StartObject(2)
    builder.PrependUint8Slot(0, 1, 0)
    builder.PrependUOffsetTRelativeSlot(1, options, 0)
    unit = builder.EndObject()
    tensor = table(7, {4: list_of(unit)})
    graph = table(7, {2: list_of(tensor)})
    builder.Finish(table(8, {3: list_of(graph)}), file_identifier=b"M001")
    return builder.Output()


# TensorFlow Lite metadata: the normalization of images, and the class names in a zip archive at the end.
place = os.path.join(os.path.dirname(tf.__file__), "lite/python/schema_py_generated.py")
spec = importlib.util.spec_from_file_location("schema", place)
schema = importlib.util.module_from_spec(spec)
spec.loader.exec_module(schema)
with open(f"{folder}/digits_dynamic.tflite", "rb") as file:
    model = schema.ModelT.InitFromPackedBuf(file.read(), 0)
entry, buffer = schema.MetadataT(), schema.BufferT()
entry.name, entry.buffer, buffer.data = "TFLITE_METADATA", len(model.buffers), np.frombuffer(metadata(), "uint8")
model.metadata.append(entry)
model.buffers.append(buffer)
builder = flatbuffers.Builder(0)
builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
with open(f"{folder}/digits_dynamic.tflite", "wb") as out:
    out.write(builder.Output())
with zipfile.ZipFile(f"{folder}/digits_dynamic.tflite", "a") as archive:
    archive.writestr(zipfile.ZipInfo("labels.txt"), "".join(f"digit {index}\n" for index in range(10)))
