"""Images in every form that programs have them."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import lucida

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def test_every_form_of_an_image_is_the_same_image(model: lucida.Model, digit: Path) -> None:
    array = lucida.Image.open(digit).array
    expected = model.predict(digit)
    pil = PIL.open(digit)
    for image in [str(digit), array, array[..., 0], pil, pil.convert("RGB"), pil.convert("RGBA"), lucida.Image(array), [digit]]:
        np.testing.assert_array_equal(model.predict(image), expected)
    batch = np.stack([array, array])
    np.testing.assert_array_equal(model.predict(batch), np.repeat(expected, 2, axis=0))
    np.testing.assert_array_equal(model.predict(batch[..., 0]), np.repeat(expected, 2, axis=0))
    np.testing.assert_array_equal(model.predict([digit, array, pil]), np.repeat(expected, 3, axis=0))


def test_prepared_inputs_are_taken_as_they_are(model: lucida.Model, digit: Path) -> None:
    prepared = model.preprocess(digit)
    assert prepared.shape == (1, 28, 28, 1) and prepared.dtype == np.float32
    expected = model.predict(digit)
    for inputs in [prepared, prepared[0], prepared[0, :, :, 0], prepared.astype(np.float64), list(prepared)]:
        np.testing.assert_array_equal(model.predict(inputs), expected)
    assert model.to_image(prepared[0]).shape == (28, 28, 1)


def test_a_turned_photo_is_turned_upright(tmp_path: Path) -> None:
    photo = PIL.fromarray(lucida.sample("cat").array)
    exif = photo.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    photo.save(file, "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(file.getvalue())
    model = lucida.load("vgg16-builtin", size=32)
    turned = model.preprocess(PIL.open(tmp_path / "turned.jpg"))
    np.testing.assert_allclose(turned, model.preprocess(tmp_path / "turned.jpg"), atol=8.0)
    assert np.abs(turned - model.preprocess(lucida.sample("cat"))).max() > 8.0


def test_arrays_with_alpha_are_what_pil_has_for_them(model: lucida.Model) -> None:
    rng = np.random.default_rng(1)
    for channels in (2, 4):
        array = rng.integers(0, 256, (30, 45, channels), dtype=np.uint8)
        expected = model.preprocess(PIL.fromarray(array))
        assert expected.shape[0] == 1
        for image in (array, [array], array[np.newaxis]):
            np.testing.assert_array_equal(model.preprocess(image), expected)


def test_pixels_that_are_given_as_prepared_inputs_are_noted(model: lucida.Model) -> None:
    image = lucida.digits()[0][:2]
    with pytest.warns(UserWarning, match="inputs of 0 to 25. are taken as prepared .* values of 0 to 1: give") as caught:
        model.predict(image.astype(np.float32))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(model.preprocess(image))
        model.predict(np.random.default_rng(1).standard_normal((4, 28, 28, 1)))
        model.classify(image[0])


def test_inputs_that_are_not_finite_are_named(model: lucida.Model) -> None:
    inputs = model.preprocess(lucida.digits()[0][:2])
    for value in (np.nan, np.inf):
        bad = inputs.copy()
        bad[1, 3, 4] = value
        for call in (lambda: model.predict(bad), lambda: model.explain(bad[1], progress=False)):
            with warnings.catch_warnings(), pytest.raises(ValueError, match="the input contains NaN or infinity"):
                warnings.simplefilter("ignore")
                call()


def test_what_is_no_image_is_refused(model: lucida.Model, digit: Path) -> None:
    for image, expected in [
        (np.zeros((1, 28, 28, 5), np.uint8), "1 or 3 channels, or 2 or 4 with alpha, not"),
        (np.zeros((28, 28), np.int64), "not int64"),
        (np.zeros((2, 30, 30, 1), np.float32), r"have the shape \(batch, 28, 28, 1\), not \(2, 30, 30, 1\)"),
        (np.zeros((2, 1, 28, 28), np.float32), r"channels come last: x.transpose\(0, 2, 3, 1\)"),
    ]:
        with pytest.raises(ValueError, match=expected):
            model.predict(image)
    kinds: list[tuple[object, str]] = [
        (5, "int"), (digit.read_bytes(), "bytes"), (None, "None"), ({"a": 1}, "dict"),
        (np.float32(1), "float32"), (io.BytesIO(b"x"), "BytesIO"), (object(), "object"),
    ]
    for what, kind in kinds:
        for call in (model.predict, model.classify, lambda image: lucida.style(image, "brushwork")):
            with pytest.raises(lucida.InvalidValueError) as caught:
                call(what)
            assert str(caught.value) == f"an image is a path, a PIL image, or an array, not {kind}"
    with pytest.raises(ValueError, match="or an array, not int"):
        model.predict([digit, 5])
    for empty in ("", [""]):
        with pytest.raises(ValueError, match="the path of an image is empty"):
            model.predict(empty)
    assert model.predict([]).shape == (0, 10)
    with pytest.raises(ValueError, match="one image is expected, not 2"):
        model.explain(np.zeros((2, 28, 28, 1), np.uint8))


def test_tensors_of_torch(model: lucida.Model, digit: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    array = lucida.Image.open(digit).array
    expected = model.predict(digit)
    np.testing.assert_array_equal(model.predict(torch.from_numpy(array).permute(2, 0, 1)), expected)
    prepared = torch.from_numpy(model.preprocess(digit)).permute(0, 3, 1, 2).requires_grad_()
    np.testing.assert_array_equal(model.predict(prepared), expected)


def test_nothing_but_numpy_is_imported() -> None:
    code = "import sys, lucida; print(*(m for m in ('PIL', 'torch', 'keras', 'tqdm', 'tensorflow') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
