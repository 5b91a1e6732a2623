"""Live models of Keras and PyTorch. Each runs in a process of its own, as TensorFlow and PyTorch do not share one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def run(code: str) -> str:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(not has("keras"), reason="Keras is not installed")
def test_live_keras_models() -> None:
    printed = run(
        """
        import os, tempfile
        import keras, lucida, numpy as np
        from keras import layers
        rng = np.random.default_rng(1)
        inner = keras.Sequential([layers.Input((16, 16, 4)), layers.Conv2D(4, 3, padding="same"),
                                  layers.BatchNormalization(), layers.ReLU()])
        image = keras.Input((16, 16, 3))
        x = layers.Conv2D(4, 3, padding="same")(image)
        x = layers.Add()([inner(x), x])
        x = layers.SeparableConv2D(5, 3)(x)
        x = layers.Conv2D(5, 3)(x)
        x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
        model = keras.Model(image, layers.Dense(7, activation="softmax")(x))
        for weight in model.weights:
            weight.assign(rng.uniform(0.1, 1.0, weight.shape) * (1 if weight.ndim < 2 else 0.2))
        inputs = rng.uniform(0, 1, (5, 16, 16, 3)).astype("float32")
        tempfile.tempdir = "/nonexistent"
        found = lucida.load(model)
        assert found.input_shape == (16, 16, 3) and len(found.class_names) == 7
        np.testing.assert_allclose(found.predict(inputs), model.predict(inputs, verbose=0), rtol=1e-4, atol=1e-6)
        large = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), classes=5)
        found = lucida.load(large)
        assert found.preprocessing == "tf", found.preprocessing
        inputs = rng.uniform(-1, 1, (2, 96, 96, 3)).astype("float32")
        np.testing.assert_allclose(found.predict(inputs), large.predict(inputs, verbose=0), rtol=1e-3, atol=1e-6)
        try:
            lucida.load(keras.Sequential([layers.Input((10,)), layers.Embedding(4, 3)]))
        except ValueError as error:
            print(error)
        unbuilt = keras.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)], name="small")
        try:
            lucida.load(unbuilt)
        except ValueError as error:
            print(error)
        unbuilt.build((None, 8, 8, 3))
        assert lucida.load(unbuilt).input_shape == (8, 8, 3)
        try:
            lucida.load(keras.Sequential([layers.Input((4, 4, 1)), layers.Lambda(lambda x: x)]))
        except ValueError as error:
            print(error)
        """
    )
    lines = printed.splitlines()
    assert "layer embedding: Embedding layers are not supported" in lines[0]
    assert lines[1] == "Keras model 'small' is not built yet: call model.build((None, height, width, channels)) first"
    assert "Lambda layers are not supported" in lines[2] and "docs/models.md of Lucida's repository" in lines[2]


@pytest.mark.skipif(not has("torchvision"), reason="torchvision is not installed")
def test_modules_and_state_dicts_of_torch() -> None:
    printed = run(
        """
        import lucida, numpy as np, torch, torchvision
        torch.manual_seed(1)
        inputs = torch.rand(2, 3, 224, 224)
        for name in ("resnet18", "squeezenet1_1"):
            module = getattr(torchvision.models, name)(weights=None, num_classes=6).eval()
            with torch.no_grad():
                expected = torch.softmax(module(inputs), 1).numpy()
            for given in (module, module.state_dict(), {k: v.numpy() for k, v in module.state_dict().items()}):
                found = lucida.load(given)
                assert found.preprocessing.startswith("torch") and len(found.class_names) == 6
                np.testing.assert_allclose(found.predict(inputs), expected, rtol=1e-3, atol=1e-6)
            lucida.load(module.state_dict(), network=name.replace("_", "-"))
        assert torch.cuda.is_available() or lucida.load(module.to(torch.bfloat16)).name
        class Own(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = torch.nn.Conv2d(3, 4, 3)
        for module in (Own(), torch.nn.Sequential(torch.nn.Flatten())):
            try:
                lucida.load(module)
            except ValueError as error:
                print(error)
        """
    )
    own, empty = printed.splitlines()
    assert own.startswith("PyTorch module Own: ") and 'torch.onnx.export(module, inputs, "model.onnx")' in own
    assert empty == "PyTorch module Sequential: has no tensors of floating-point numbers"
