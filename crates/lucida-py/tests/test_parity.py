"""The package gives what the command line gives, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lucida
from conftest import Run, as_json


def test_predict(cli: Run, model_file: Path, digit: Path) -> None:
    found = as_json(cli("predict", model_file, digit, "--json"))
    model = lucida.load(model_file)
    expected = np.array(found["predictions"][0]["probabilities"], np.float32)
    assert model.class_names == found["class_names"]
    np.testing.assert_array_equal(model.predict(digit)[0], expected)
    assert model.classify(digit)[0].name == found["predictions"][0]["class"]


def test_predict_many(cli: Run, model_file: Path) -> None:
    found = as_json(cli("predict", model_file, "--data", "mnist", "--index", "0..70", "--json"))
    expected = np.array([one["probabilities"] for one in found["predictions"]], np.float32)
    np.testing.assert_array_equal(lucida.load(model_file).predict(lucida.digits()[0][:70]), expected)


def test_explain(cli: Run, model_file: Path, digit: Path, tmp_path: Path) -> None:
    methods = ["gradient", "smoothgrad", "grad-cam", "integrated-gradients", "lrp", "occlusion", "rise"]
    options = ["--method", ",".join(methods), "--masks", "100", "--npy", "--json", "--out", tmp_path / "maps"]
    found = as_json(cli("explain", model_file, digit, *options))
    explanation = lucida.load(model_file).explain(digit, methods, masks=100, progress=False)
    assert explanation.target_name == found["class"]
    assert np.float32(explanation.probability) == np.float32(found["probability"])
    for one in found["methods"]:
        ours = explanation[one["method"]]
        np.testing.assert_array_equal(ours.raw, np.load(tmp_path / "maps" / f"{one['method']}.npy"))
        assert ours.deletion_area == one["deletion_area"] and ours.insertion_area == one["insertion_area"]
        assert ours.layer == one.get("layer")


def test_activations(cli: Run, model_file: Path, digit: Path, tmp_path: Path) -> None:
    cli("activations", model_file, digit, "--layers", "conv2d_1", "--npy", "--out", tmp_path / "maps")
    (file,) = (tmp_path / "maps").glob("*.npy")
    np.testing.assert_array_equal(lucida.load(model_file).activations(digit, "conv2d_1").array, np.load(file))


def test_train(cli: Run, tmp_path: Path, trained: tuple[lucida.Model, lucida.History]) -> None:
    cli("train", "mnist", "--epochs", "2", "--out", tmp_path / "run")
    ours, theirs = trained[0], lucida.load(tmp_path / "run")
    for layer in ours.layer_names:
        for name, array in ours.weights(layer).items():
            np.testing.assert_array_equal(array, theirs.weights(layer)[name])


def test_train_on_a_folder(cli: Run, tmp_path: Path, photos: Path) -> None:
    options = ["--epochs", "2", "--size", "48", "--augment", "flip,rotation=10", "--batch-size", "8"]
    cli("train", photos, *options, "--out", tmp_path / "run")
    ours, _ = lucida.train(photos, epochs=2, size=48, augment="flip,rotation=10", batch_size=8, progress=False)
    theirs = lucida.load(tmp_path / "run")
    assert ours.class_names == theirs.class_names == ["brushwork", "cat", "noise"]
    for layer in ours.layer_names:
        for name, array in ours.weights(layer).items():
            np.testing.assert_array_equal(array, theirs.weights(layer)[name])


def test_transfer_learning(
    cli: Run, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUCIDA_CACHE", str(tmp_path / "cache"))
    base = tmp_path / "base.safetensors"
    lucida.load("vgg16-builtin", size=32).save(base)
    options = ["--base", base, "--epochs", "2", "--batch-size", "8"]
    cli("train", photos, *options, "--out", tmp_path / "run")
    ours, _ = lucida.train(photos, base=base, epochs=2, batch_size=8, progress=False)
    image = photos / "cat" / "3.png"
    np.testing.assert_array_equal(ours.predict(image), lucida.load(tmp_path / "run").predict(image))


def test_style(cli: Run, tmp_path: Path) -> None:
    lucida.sample("cat").save(tmp_path / "cat.png")
    options = ["--size", "64", "--steps", "4", "--network", "vgg16-builtin"]
    cli("style", tmp_path / "cat.png", "brushwork", *options, "--out", tmp_path / "out.png")
    ours = lucida.style(
        lucida.sample("cat"), "brushwork", size=64, steps=4, network="vgg16-builtin", progress=False
    )
    np.testing.assert_array_equal(ours.array, lucida.Image.open(tmp_path / "out.png").array)


def test_filters_and_classes(cli: Run, model_file: Path, tmp_path: Path) -> None:
    model = lucida.load(model_file)
    cli("filters", model_file, "--layer", "conv2d_1", "--filters", "0..2", "--steps", "8", "--each", tmp_path / "filters",
        "--out", tmp_path / "filters.png")
    for number, found in enumerate(model.filters("conv2d_1", range(2), steps=8, progress=False)):
        expected = lucida.Image.open(tmp_path / "filters" / f"filter-{number}.png").array
        np.testing.assert_array_equal(found.array, expected)
    found = as_json(cli("classes", model_file, "--class", "3", "--steps", "8", "--json", "--out", tmp_path / "three.png"))
    three = model.classes("3", steps=8, progress=False)[0]
    assert np.float32(three.probability) == np.float32(found["images"][0]["probability"])
