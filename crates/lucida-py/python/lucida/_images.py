"""Images in every form that programs have them, as what the extension takes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ._errors import InvalidValueError

ImageLike = Any
"""A path, a PIL image, or an array: ``uint8`` ``[height, width, channels]`` or ``[height, width]`` is an image as it is (2 or
4 channels: the last is the alpha), ``float32`` an input that is prepared already. Tensors of PyTorch, TensorFlow or JAX are
arrays, too."""

Source = Union[str, bytes, "npt.NDArray[np.uint8]"]


def is_path(image: object) -> bool:
    return isinstance(image, (str, os.PathLike))


def _path(image: Any) -> str:
    path = os.fsdecode(image)
    if not path:
        raise InvalidValueError("the path of an image is empty")
    return path


def _is_pil(image: object) -> bool:
    return hasattr(image, "mode") and hasattr(image, "convert") and hasattr(image, "getbands")


def _of_pil(image: Any) -> Source:
    """Pixels as they are of gray and color images; others, and turned ones, go through the decoder of files."""
    turned = image.getexif().get(0x0112, 1) != 1 if hasattr(image, "getexif") else False
    if image.mode in ("L", "RGB") and not turned:
        return _with_channels(np.ascontiguousarray(np.asarray(image, dtype=np.uint8)))
    if turned:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGB")
    with io.BytesIO() as file:
        image.save(file, "PNG", compress_level=1)
        return file.getvalue()


def as_array(value: Any) -> npt.NDArray[Any]:
    """An array of NumPy's; tensors are copied to the processor, images of PyTorch get their channels last."""
    if isinstance(value, np.ndarray):
        return value
    if type(value).__module__.split(".")[0] == "torch":
        array: npt.NDArray[Any] = value.detach().cpu().numpy()
        # Bytes may have an alpha channel.
        few = (1, 2, 3, 4) if array.dtype == np.uint8 else (1, 3)
        if array.ndim in (3, 4) and array.shape[-3] in few and array.shape[-1] not in few:
            array = np.moveaxis(array, -3, -1)
        return array
    try:
        if hasattr(value, "__array__") or not hasattr(value, "__dlpack__"):
            return np.asarray(value)
        return np.from_dlpack(value)
    except (TypeError, ValueError) as problem:
        raise InvalidValueError(f"not an array: {problem}") from problem


def _array(image: Any) -> npt.NDArray[Any]:
    """The array of an image in memory."""
    given = isinstance(image, (list, tuple)) or hasattr(image, "__array__") or hasattr(image, "__dlpack__")
    array = as_array(image) if given else np.empty(())
    if array.ndim == 0:
        kind = "None" if image is None else type(image).__name__
        raise InvalidValueError(f"an image is a path, a PIL image, or an array, not {kind}")
    return array


#: Gray, gray and alpha, RGB, RGB and alpha.
_CHANNELS = (1, 2, 3, 4)


def _with_channels(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array[..., np.newaxis] if array.ndim == 2 else array


def _one(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    array = _with_channels(array)
    if array.ndim != 3 or array.shape[2] not in _CHANNELS:
        raise InvalidValueError(
            "an image has the shape (height, width), or (height, width, channels) with 1 or 3 channels, or 2 or 4 with alpha, "
            f"not {array.shape}"
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def _refuse_dtype(array: npt.NDArray[Any]) -> InvalidValueError:
    return InvalidValueError(
        f"images are uint8 (0 to 255, prepared by the model) or float (prepared already), not {array.dtype}"
    )


def source(image: ImageLike) -> Source:
    """One image that the model prepares."""
    if is_path(image):
        return _path(image)
    if _is_pil(image):
        return _of_pil(image)
    array = _array(image)
    if array.dtype != np.uint8:
        raise InvalidValueError(f"an image is uint8, a PIL image, or a path here, not an array of {array.dtype}")
    return _one(array)


def _is_several(images: Any) -> bool:
    """Whether these are images one by one: not an array, nor what is made of bytes, of keys, or of lines."""
    single = isinstance(images, (bytes, bytearray, memoryview, Mapping, Set)) or hasattr(images, "read")
    return isinstance(images, Iterable) and not single and (isinstance(images, Sequence) or not hasattr(images, "shape"))


def sources(images: ImageLike) -> list[Source] | npt.NDArray[np.float32]:
    """Images that are to be prepared, or inputs ``[count, height, width, channels]`` that are prepared already."""
    if is_path(images) or _is_pil(images):
        return [source(images)]
    if _is_several(images):
        each = list(images)
        if any(is_path(one) or _is_pil(one) for one in each) or not each:
            return [source(one) for one in each]
        arrays = [_array(one) for one in each]
        if all(array.dtype == np.uint8 for array in arrays) and all(array.ndim in (2, 3) for array in arrays):
            return [_one(array) for array in arrays]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise InvalidValueError(f"inputs that are prepared already have one shape, not {sorted(shapes)}")
        array = np.stack(arrays)
    else:
        array = _array(images)
    if array.dtype == np.uint8:
        if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS):
            return [_one(array)]
        if array.ndim in (3, 4):
            return [_one(image) for image in array]
        return [_one(array)]
    if not np.issubdtype(array.dtype, np.floating):
        raise _refuse_dtype(array)
    return np.ascontiguousarray(array, dtype=np.float32)
