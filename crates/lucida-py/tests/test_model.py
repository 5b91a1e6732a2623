"""What can be asked of a model, and what is said when it cannot."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import lucida


def test_predictions(model: lucida.Model) -> None:
    images, labels = lucida.digits()
    found = model.predict(images[:200])
    assert found.shape == (200, 10) and found.dtype == np.float32
    assert (found.argmax(axis=1) == labels[:200]).mean() > 0.85
    ranked = model.predict(images[:3], top=2)
    assert [len(one) for one in ranked] == [2, 2, 2]
    assert ranked[0]._repr_png_().startswith(b"\x89PNG")
    assert ranked[0][0].probability >= ranked[0][1].probability
    assert model.class_names[int(found[0].argmax())] == ranked[0][0].name
    np.testing.assert_allclose(model.predict(images[:9], batch_size=2), found[:9], atol=1e-6)
    many = [image for image in images[:600]]
    np.testing.assert_array_equal(model.predict(many), model.predict(model.preprocess(images[:600])))
    with pytest.raises(ValueError, match="batch_size"):
        model.predict(images[:1], batch_size=0)


def test_facts(model: lucida.Model) -> None:
    assert (model.name, model.input_shape, model.task) == ("mnist_cnn", (28, 28, 1), "classes")
    assert model.class_names == [str(number) for number in range(10)]
    assert model.count_params() == 113_514
    assert model.weights("conv2d")["kernel"].shape == (3, 3, 1, 24)
    assert "conv2d_1 (Conv2D)" in str(model.summary()) and "<table>" in model.summary()._repr_html_()
    assert model.receptive_fields()[1].size == (3, 3)
    assert "3 x 3" in model.receptive_fields()._repr_html_()


def test_explanations(model: lucida.Model) -> None:
    image = lucida.digits()[0][4]
    explanation = model.explain(image, "all", target=9, masks=50, progress=False)
    assert [one.method for one in explanation] == list(lucida.methods())
    assert explanation.target == 9 and explanation["lrp"].raw.shape == (28, 28)
    assert all(one.values.shape == (28, 28) for one in explanation)
    assert explanation["integrated-gradients"].sum is not None
    assert explanation._repr_png_().startswith(b"\x89PNG") and explanation[0]._repr_png_().startswith(b"\x89PNG")
    quick = model.explain(image, "gradient", faithfulness=False, progress=False)
    assert quick[0].deletion_area is None and quick._repr_png_().startswith(b"\x89PNG")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"method": "grad-kam"}, "grad-cam"),
        ({"target": "eleven"}, "eleven"),
        ({"layer": "dense"}, "dense"),
        ({"baseline": "white"}, "white"),
    ]
    for options, expected in cases:
        with pytest.raises(lucida.LucidaError, match=expected):
            model.explain(image, progress=False, **options)


def test_layers(model: lucida.Model) -> None:
    image = lucida.digits()[0][4]
    maps = model.activations(image, "conv2d_2")
    assert maps.array.shape == (7, 7, 64) and maps._repr_png_().startswith(b"\x89PNG")
    assert list(model.activations(image)) == model.layer_names
    deconv = model.deconv(image, "conv2d_1", top=3)
    assert len(deconv) == 3 and deconv[0].values.shape == (28, 28, 1)
    assert deconv[0].activation >= deconv[1].activation
    assert deconv._repr_png_().startswith(b"\x89PNG")
    assert model.embed(lucida.digits()[0][:5]).shape == (5, 128)
    assert model.embed(image, "conv2d_1").shape == (1, 48)
    calls: list[Callable[[], object]] = [
        lambda: model.activations(image, "conv9"),
        lambda: model.deconv(image, "conv2d", filters=[24]),
        lambda: model.embed(image, "conv9"),
        lambda: model.filters("conv2d", [24]),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_maximization(model: lucida.Model) -> None:
    filters = model.filters("conv2d", [3, 5], steps=4, diversity=2, progress=False)
    assert [one.index for one in filters] == [3, 3, 5, 5]
    assert filters[0].name == "filter 3" and filters._repr_png_().startswith(b"\x89PNG")
    (seven,) = model.classes("7", steps=4, progress=False)
    assert seven.name == "7" and seven.probability is not None
    large = lucida.load("vgg16-builtin")
    assert large.filters("block1_conv1", [0], steps=1, progress=False)[0].shape == (128, 128, 3)
    assert large.filters("block1_conv1", [0], steps=1, size=(40, 48), progress=False)[0].shape == (40, 48, 3)


@pytest.mark.parametrize("ending", ["keras", "h5", "onnx", "safetensors"])
def test_files(model: lucida.Model, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model.{ending}"
    model.save(path)
    images = lucida.digits()[0][:4]
    np.testing.assert_allclose(lucida.load(path).predict(images), model.predict(images), atol=1e-6)


def test_names(model_file: Path) -> None:
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    model = lucida.load(model_file, classes=names)
    assert model.class_names == names and model.explain(lucida.digits()[0][0], target="seven").target == 7
    with pytest.raises(ValueError):
        lucida.load(model_file, classes=names[:3])


def test_errors(tmp_path: Path) -> None:
    for missing in ["none.keras", "resnt50"]:
        with pytest.raises(FileNotFoundError, match="no such model file") as caught:
            lucida.load(missing)
        assert isinstance(caught.value, lucida.LucidaError)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="unknown model file format"):
        lucida.load(tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match="not <class 'int'>"):
        lucida.load(3)
    model = lucida.load("vgg16-builtin", size=32)
    with pytest.raises(FileNotFoundError) as missing_image:
        model.predict(tmp_path / "none.jpg")
    assert missing_image.value.filename == str(tmp_path / "none.jpg") and missing_image.value.errno == 2
    with pytest.raises(ValueError, match="embed"):
        model.predict(lucida.sample("cat"))
    with pytest.raises(OSError):
        model.save(tmp_path / "none" / "m.keras")
    with pytest.raises(ValueError, match="extension"):
        model.save(tmp_path / "m.txt")


def test_state_dict_of_an_unknown_network() -> None:
    with pytest.raises(ValueError, match="export the network to ONNX"):
        lucida.load({"a.weight": np.zeros((3, 4), np.float32)})
    with pytest.raises(ValueError, match="not those of network resnet18"):
        lucida.load({"a.weight": np.zeros((3, 4), np.float32)}, network="resnet18")
