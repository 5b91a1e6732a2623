"""Loads in Keras what `cargo run -p lucida --example export_keras -- DIR` has written, and compares predictions.

Checked with Keras 3.15 on TensorFlow 2.21. Usage: python exports.py DIR
"""

import os
import sys

import keras
import numpy as np

folder = sys.argv[1]
for name in ["every_layer", "inception_v3", "vgg16", "mnist_cnn"]:
    model = keras.models.load_model(f"{folder}/{name}.keras", compile=False)
    inputs = np.fromfile(f"{folder}/{name}.input.f32", np.float32).reshape((-1, *model.input_shape[1:]))
    expected = np.fromfile(f"{folder}/{name}.output.f32", np.float32).reshape((-1, *model.output_shape[1:]))
    outputs = model.predict(inputs, verbose=0)
    difference = np.abs(outputs - expected).max() / np.abs(expected).max()
    print(f"{name}.keras: {model.count_params()} parameters, relative difference {difference:.1e}")
    assert difference < 1e-4
    # The weights alone, into the same model with other weights.
    other = keras.models.clone_model(model)
    other.load_weights(f"{folder}/{name}.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    print(f"{name}.weights.h5: the same weights")
    # The legacy whole model, where the network is not too long for it.
    legacy = f"{folder}/{name}.h5"
    if os.path.exists(legacy):
        other = keras.models.load_model(legacy, compile=False)
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
        assert np.array_equal(other.predict(inputs, verbose=0), outputs)
        print(f"{name}.h5: the same predictions")
