"""Images in every form that programs have them."""

from __future__ import annotations

import io
import subprocess
import sys
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


def test_what_is_no_image_is_refused(model: lucida.Model) -> None:
    for image, expected in [
        (np.zeros((28, 28, 4), np.uint8), "1 or 3 channels, not"),
        (np.zeros((28, 28), np.int64), "not int64"),
        (np.zeros((2, 30, 30, 1), np.float32), r"have the shape \(batch, 28, 28, 1\), not \(2, 30, 30, 1\)"),
        (np.zeros((2, 1, 28, 28), np.float32), r"channels come last: x.transpose\(0, 2, 3, 1\)"),
    ]:
        with pytest.raises(ValueError, match=expected):
            model.predict(image)
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
