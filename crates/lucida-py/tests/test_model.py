"""What can be asked of a model, and what is said when it cannot."""

from __future__ import annotations

import inspect
import pickle
import struct
import zlib
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
    with pytest.raises(ValueError, match="path of the model is empty"):
        lucida.load("")
    lucida.sample("cat").save(tmp_path / "cat.png")
    with pytest.raises(ValueError, match=r"is an image, not a model; Model.predict\(\) and Model.classify\(\) take images"):
        lucida.load(tmp_path / "cat.png")
    model = lucida.load("vgg16-builtin", size=32)
    with pytest.raises(FileNotFoundError) as missing_image:
        model.predict(tmp_path / "none.jpg")
    assert missing_image.value.filename == str(tmp_path / "none.jpg") and missing_image.value.errno == 2
    with pytest.raises(ValueError, match="embed"):
        model.predict(lucida.sample("cat"))
    with pytest.raises(FileNotFoundError) as missing_folder:
        model.save(tmp_path / "none" / "m.onnx")
    assert str(missing_folder.value).endswith(f"cannot write: the folder {tmp_path / 'none'} does not exist")
    assert missing_folder.value.errno == 2
    with pytest.raises(ValueError, match="extension"):
        model.save(tmp_path / "m.txt")


def test_state_dict_of_an_unknown_network() -> None:
    with pytest.raises(ValueError, match=r"^state dictionary: the names and shapes .* torch.onnx.export\("):
        lucida.load({"a.weight": np.zeros((3, 4), np.float32)})
    with pytest.raises(ValueError, match="^state dictionary: has no tensors of floating-point numbers$"):
        lucida.load({})
    with pytest.raises(ValueError, match="it has a dictionary 'model'"):
        lucida.load({"epoch": 3, "model": {"a.weight": np.zeros((3, 4), np.float32)}})
    with pytest.raises(ValueError, match="not those of network resnet18"):
        lucida.load({"a.weight": np.zeros((3, 4), np.float32)}, network="resnet18")


def test_an_existing_file_is_replaced(model: lucida.Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")
    model.save(path)
    assert lucida.load(path).name == model.name


def test_messages_name_what_python_has(model: lucida.Model) -> None:
    large = lucida.load()
    with pytest.raises(ValueError, match=r"did you mean .*Its summary lists all \d+ layers$"):
        large.activations(lucida.sample("cat"), "conv9")
    assert isinstance(large.classify(lucida.sample("cat"))[0].name, str)


def test_options_of_other_types_are_refused(model: lucida.Model) -> None:
    """Each by a sentence with the option, what it takes, and what was given."""
    image = lucida.digits()[0][0]
    anything: Any = model
    load: Any = lucida.load
    style: Any = lucida.style
    train: Any = lucida.train
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: anything.predict(image, top=-1), "top: a whole number of at least 1 is expected, not -1"),
        (lambda: anything.predict(image, top=0), "top: a whole number of at least 1 is expected, not 0"),
        (lambda: anything.classify(image, 0), "top: a whole number of at least 1 is expected, not 0"),
        (lambda: anything.predict(image, batch_size="a"), "batch_size: a whole number is expected, not 'a'"),
        (lambda: anything.predict(image, batch_size=2.5), "batch_size: a whole number is expected, not 2.5"),
        (lambda: anything.predict(image, progress=1), "progress: True, False, or a function is expected, not 1"),
        (lambda: anything.filters("conv2d", [-1]), "filters: a whole number of at least 0 is expected, not -1"),
        (lambda: anything.filters("conv2d", "0..2"), "filters: a list of whole numbers is expected, not '0..2'"),
        (lambda: anything.filters("conv2d", 3), "filters: a list of whole numbers is expected, not 3"),
        (lambda: anything.filters("conv2d", size="big"),
         "size: a number of pixels, or (height, width) is expected, not 'big'"),
        (lambda: anything.filters(2), "layer: a text (str) is expected, not 2"),
        (lambda: anything.deconv(image, "conv2d", top=-1), "top: a whole number of at least 1 is expected, not -1"),
        (lambda: anything.explain(image, seed=-1), "seed: a whole number of at least 0 is expected, not -1"),
        (lambda: anything.explain(image, seed=1 << 64),
         "seed: a whole number below 2**64 is expected, not 18446744073709551616"),
        (lambda: anything.explain(image, noise="much"), "noise: a number is expected, not 'much'"),
        (lambda: anything.explain(image, faithfulness=0), "faithfulness: True or False is expected, not 0"),
        (lambda: anything.explain(image, 7), "method: a name, or a list of names, is expected, not 7"),
        (lambda: anything.save(7), "path: a path is expected, not 7"),
        (lambda: anything.save(""), "path: the path is empty"),
        (lambda: load("lenet5", network=7), "network: a text (str) is expected, not 7"),
        (lambda: load("lenet5", classes=7), "classes: a name, or a list of names, is expected, not 7"),
        (lambda: lucida.style(image, image, steps=-1), "steps: a whole number of at least 0 is expected, not -1"),
        (lambda: style(image, image, blend=["x"]), "blend: a number is expected, not 'x'"),
        (lambda: lucida.train("mnist", epochs=-1), "epochs: a whole number of at least 1 is expected, not -1"),
        (lambda: train("mnist", learning_rate="fast"), "learning_rate: a number is expected, not 'fast'"),
        (lambda: lucida.train("mnist", size=(28, -1)),
         "size: a number of pixels, or (height, width) is expected, not (28, -1)"),
    ]
    for call, expected in calls:
        with pytest.raises(lucida.InvalidValueError) as caught:
            call()
        assert str(caught.value) == expected
    # Numbers of NumPy are numbers.
    assert len(model.predict(image, top=np.int64(2), batch_size=np.int32(4))[0]) == 2
    assert len(model.filters("conv2d", np.arange(2), steps=1, progress=False)) == 2
    with pytest.raises(TypeError, match="unexpected keyword"):
        anything.predict(image, tops=1)
    assert "top" in inspect.signature(lucida.Model.predict).parameters


def test_images_over_a_limit_are_values(tmp_path: Path) -> None:
    """A PNG file whose header declares more pixels than are read."""
    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    file = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "large.png").write_bytes(file + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    with pytest.raises(ValueError, match="over the limit"):
        lucida.Image.open(tmp_path / "large.png")
