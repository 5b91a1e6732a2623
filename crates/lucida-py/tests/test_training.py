"""Training on arrays and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lucida


def test_history_is_that_of_keras(trained: tuple[lucida.Model, lucida.History]) -> None:
    _, history = trained
    assert history.epoch == [0, 1]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(history.history)
    assert history.history["loss"][1] < history.history["loss"][0]
    assert history.best_epoch == 1 and not history.stopped_early
    assert (history._repr_png_() or b"").startswith(b"\x89PNG")


def test_arrays(trained: tuple[lucida.Model, lucida.History]) -> None:
    images, labels = lucida.digits()
    same, history = lucida.train((images, labels), model="mnist-cnn", epochs=2, batch_size=256, progress=False)
    np.testing.assert_array_equal(same.predict(images[:8]), trained[0].predict(images[:8]))
    assert history.history["loss"] == trained[1].history["loss"]
    for x, y in [(images[:200] / 255, labels[:200]), (images[:200], np.eye(10)[labels[:200]])]:
        other, _ = lucida.train((x, y), model="lenet5", epochs=1, progress=False)
        assert len(other.class_names) == 10
    named, _ = lucida.train(
        (images[:200, ..., 0], np.array(["even", "odd"])[labels[:200] % 2]), epochs=1, class_weight="balanced",
        validation_data=(images[200:250], np.array(["even", "odd"])[labels[200:250] % 2]), progress=False,
    )
    assert named.class_names == ["even", "odd"] and named.input_shape == (28, 28, 1)
    # As a column of a table has them.
    objects = np.array(["even", "odd"], object)[labels[:50] % 2]
    assert lucida.train((images[:50], objects), epochs=1, progress=False)[0].class_names == ["even", "odd"]
    # Gaps are classes that do not occur.
    gaps, _ = lucida.train((images[:20], labels[:20] * 10), model="lenet5", epochs=1, progress=False)
    assert len(gaps.class_names) == 10 * labels[:20].max() + 1


def test_labels_and_values() -> None:
    images, labels = lucida.digits()
    x = images[:100]
    rows = np.stack([labels[:100] % 2, labels[:100] > 4], axis=1)
    multi, _ = lucida.train((x, rows), epochs=1, class_names=["odd", "large"], task="multilabel", progress=False)
    assert (multi.task, multi.class_names) == ("labels", ["odd", "large"])
    ink, _ = lucida.train((x, x.mean(axis=(1, 2, 3), dtype=np.float32)), epochs=1, progress=False)
    assert ink.task == "values" and ink.predict(x[:3]).shape == (3, 1)


def test_a_trained_model_is_trained_further(model: lucida.Model) -> None:
    images, labels = lucida.digits()
    further, history = lucida.train(
        (images[:500], labels[:500]), continue_from=model, epochs=1, learning_rate=1e-4, progress=False
    )
    assert further.class_names == model.class_names and history.history["accuracy"][0] > 0.7
    head, _ = lucida.train((images[:200], labels[:200] % 3), base=model, epochs=1, progress=False)
    assert head.class_names == ["0", "1", "2"]
    np.testing.assert_array_equal(head.weights("conv2d")["kernel"], model.weights("conv2d")["kernel"])


def test_progress() -> None:
    steps: list[lucida.Progress] = []
    images, labels = lucida.digits()
    lucida.train((images[:2000], labels[:2000]), model="mnist-cnn", epochs=2, progress=steps.append)
    assert any(step.detail.get("loss") is not None and step.unit == "step" for step in steps)


def test_what_does_not_fit_is_refused(photos: Path, tmp_path: Path) -> None:
    images, labels = lucida.digits()
    x, y = images[:20], labels[:20]
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ((x, y[:3]), {}, "20 images, y has 3"),
        ((x, y), {"model": "mnist-cmm"}, "did you mean"),
        ((x, y), {"optimizer": "adem"}, "adam"),
        ((x, y), {"model": "mnist-cnn", "head": "flatten"}, "pretrained network"),
        ((x, y), {"class_weight": {"eleven": 2.0}}, "eleven"),
        ((x, y), {"batch_size": 0}, "batch_size: a whole number of at least 1"),
        ((x, y.astype(int) * 10**4), {}, "labels go up to 90000, but only 10 different ones occur"),
        ((x, y.astype(int) * 10**9), {}, "labels go up to 9000000000, but only 10 different ones occur"),
        ((x[:0], y[:0]), {}, "there are no images"),
        ((x[:0], np.zeros((0, 2), np.float32)), {}, "there are no images"),
        ((x, y), {"validation_data": (x[:0], y[:0])}, "there are no images"),
        ((x, None), {}, "y has the class"),
        ((x, y.astype(str)), {"task": "regress"}, "names of classes"),
        ((x, y), {"task": "class"}, "classify, multilabel, regress"),
        ((x, y), {"class_weight": {3: "much"}}, "class_weight of 3: a number is expected"),
        ((x.astype(np.float32), y), {}, "from 0 to 1"),
        ((x, y - 5), {}, "from 0 on"),
        (photos, {"class_names": ["a"]}, "folder has its own"),
        (x, {}, "pair of arrays"),
    ]
    for data, options, expected in cases:
        with pytest.raises(ValueError, match=expected):
            lucida.train(data, progress=False, epochs=1, **options)
    with pytest.raises(FileNotFoundError):
        lucida.train(tmp_path / "none", progress=False)


def test_very_many_classes_are_over_a_limit() -> None:
    images, labels = lucida.digits()
    names = [str(number) for number in range(90_001)]
    with pytest.raises(ValueError, match="90001 is over the limit of 32768"):
        lucida.train(
            (images[:20], labels[:20]), model="basic-cnn", size=32, class_names=names, epochs=1, progress=False
        )


def test_a_loss_that_is_not_finite_is_named() -> None:
    images, labels = lucida.digits()

    def train(on_nan: str = "stop") -> None:
        data = (images[:640], labels[:640])
        lucida.train(data, model="basic-cnn", epochs=1, learning_rate=1e30, on_nan=on_nan, progress=False)

    with pytest.raises(ValueError, match=r'step 2 of epoch 1: the loss is .*; on_nan="skip" leaves such steps out'):
        train()
    with pytest.raises(ValueError, match="10 steps in a row were skipped"):
        train("skip")
    with pytest.raises(ValueError, match="on_nan"):
        train("ignore")
