"""Writes the test files from tf2onnx, with the outputs of Keras.

python tf_fixtures.py FOLDER   (made with tensorflow 2.21, tf2onnx)

Inputs and outputs in `tf.json` are (batch, height, width, channels).
"""
import json
import sys

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

folder = sys.argv[1]
keras.utils.set_random_seed(3)
L = keras.layers
x = inputs = keras.Input((11, 10, 3), name="photo")
x = L.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
x = L.BatchNormalization(name="stem_bn")(x)
x = L.ReLU(max_value=6.0)(x)
a = L.Conv2D(4, (1, 3), padding="same", activation="relu", name="left")(x)
b = L.ZeroPadding2D(1)(x)
b = L.Conv2D(4, 3, activation="sigmoid", name="right")(b)
x = L.Concatenate()([L.Add()([a, x]), b])
x = L.MaxPooling2D(3, 2, padding="same")(x)
y = L.GlobalAveragePooling2D()(x)
x = L.AveragePooling2D(2, 1, padding="same")(x)
x = L.Flatten()(x)
x = L.Concatenate()([L.Dense(6, activation="tanh", name="hidden")(x), y])
outputs = L.Dense(3, activation="softmax", name="last")(x)
model = keras.Model(inputs, outputs)
rng = np.random.default_rng(5)
model.set_weights([np.abs(w) + 0.5 if v.path.endswith("variance") else w + rng.normal(0, 0.1, w.shape)
                   for v, w in zip(model.weights, model.get_weights())])

gray = keras.Sequential([keras.Input((8, 7, 1), name="digit"), L.Conv2D(2, 3, activation="relu", name="conv"),
                         L.MaxPooling2D(), L.Flatten(), L.Dense(4, activation="softmax", name="out")])

expected = {}
for name, model in [("keras_tf", model), ("keras_tf_gray", gray)]:
    shape = model.input_shape[1:]
    signature = [tf.TensorSpec((None, *shape), tf.float32, name=model.inputs[0].name)]
    function = tf.function(lambda t, model=model: model(t, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, signature, opset=15, output_path=f"{folder}/{name}.onnx")
    data = (rng.integers(0, 100, (2, *shape)) / 100).astype("float32")
    expected[name] = {"input": [round(float(v), 2) for v in data.flatten()],
                      "output": [round(float(v), 7) for v in model(data).numpy().flatten()]}
with open(f"{folder}/tf.json", "w") as out:
    json.dump(expected, out)
