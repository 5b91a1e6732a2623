"""What the package returns: plain arrays and numbers, with figures for notebooks."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _lucida
from ._options import PathLike, checked

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


class Image:
    """An image: ``array`` is ``uint8`` ``[height, width, channels]``. It shows itself in notebooks."""

    def __init__(self, array: ByteArray) -> None:
        self.array = array

    @classmethod
    @checked
    def open(cls, path: PathLike) -> Image:
        """Decodes an image file: JPEG, PNG, BMP, GIF, TIFF, or WebP."""
        return cls(_lucida.read_image(os.fspath(path)))

    @checked
    def save(self, path: PathLike) -> None:
        """Writes the file in the format of its ending; an existing one is replaced."""
        _lucida.save_image(np.ascontiguousarray(self.array), os.fspath(path))

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, channels."""
        return self.array.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.array, dtype=dtype, copy=bool(copy)) if copy else np.asarray(self.array, dtype=dtype)

    def __repr__(self) -> str:
        height, width, channels = self.shape
        return f"<lucida.{type(self).__name__} {height}x{width}, {'gray' if channels == 1 else 'RGB'}>"

    def _repr_png_(self) -> bytes:
        return _lucida.png(np.ascontiguousarray(self.array))


@checked
def sample(name: str = "cat") -> Image:
    """A built-in image: ``"cat"``, a photo, or ``"brushwork"``, a style."""
    return Image(_lucida.sample(name))


class StyleResult(Image):
    """A stylized image and how it was made."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(found["array"])
        self.network: str = found["network"]
        """The feature network."""
        self.initial_loss: float = found["initial_loss"]
        self.loss: float = found["loss"]
        self.steps: int = found["steps"]


class Prediction(NamedTuple):
    """A class, or label, with its probability."""

    name: str
    probability: float


class Classification(list[Prediction]):
    """The most probable classes of an image, the most probable first."""

    def __repr__(self) -> str:
        return ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in self)

    def _repr_png_(self) -> bytes:
        return _lucida.bars([(name, probability) for name, probability in self])


@dataclass(frozen=True, repr=False)
class HeatMap:
    """The attribution of one method: how much each pixel counts for the score of the target."""

    method: str
    title: str
    signed: bool
    """Whether negative values are evidence against the target."""
    raw: FloatArray
    """As the method defines it: ``[height, width, channels]`` of the input, or ``[height, width]`` of a layer."""
    values: FloatArray
    """One value per pixel of the input, ``[height, width]``: the higher, the stronger the evidence."""
    score: float
    """The score that is explained: before the softmax."""
    deletion_area: float | None
    """Area under the curve of the probability while the most important pixels are deleted: lower is better."""
    insertion_area: float | None
    """The same while they are inserted into a blurred image: higher is better."""
    deletion: FloatArray
    insertion: FloatArray
    layer: str | None
    """The layer that it was computed from, of the CAM methods."""
    sum: tuple[float, float, float] | None
    """Of integrated gradients and LRP: what arrived at the pixels, what biases took, and what both should add up to."""
    remark: str | None
    overlay: bytes = field(repr=False)
    """The input with the map over it, as a PNG file."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.values, dtype=dtype)

    def __repr__(self) -> str:
        areas = "" if self.deletion_area is None else (
            f", deletion {self.deletion_area:.3f}, insertion {self.insertion_area:.3f}"
        )
        return f"<lucida.HeatMap {self.method}{areas}>"

    def _repr_png_(self) -> bytes:
        return self.overlay


class Explanation(Sequence[HeatMap]):
    """The maps of all methods for one image and target; by number, or by the name of a method."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.target: int = found["class_index"]
        self.target_name: str = found["class_name"]
        self.probability: float = found["probability"]
        """Of the target."""
        self.figure: bytes = found["figure"]
        """All maps on one sheet, as a PNG file."""
        self._maps = [HeatMap(**{**one, "sum": one["sum"] and tuple(one["sum"])}) for one in found["maps"]]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            for one in self._maps:
                if one.method == key:
                    return one
            raise KeyError(key)
        return self._maps[key]

    def __len__(self) -> int:
        return len(self._maps)

    def __iter__(self) -> Iterator[HeatMap]:
        return iter(self._maps)

    def __repr__(self) -> str:
        methods = ", ".join(one.method for one in self._maps)
        return f"<lucida.Explanation of {self.target_name!r} ({100 * self.probability:.1f} %): {methods}>"

    def _repr_png_(self) -> bytes:
        return self.figure


@dataclass(frozen=True, repr=False)
class FeatureMaps:
    """The output of a layer for one image."""

    layer: str
    array: FloatArray
    """``[height, width, channels]``, or ``[units]``."""
    _core: _lucida.Model = field(compare=False)

    @property
    def figure(self) -> bytes:
        """A sheet with a map for each channel, as a PNG file, drawn when it is asked for."""
        return _lucida.activation_sheet(self._core, self.layer, self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.array, dtype=dtype)

    def __repr__(self) -> str:
        return f"<lucida.FeatureMaps {self.layer} {self.array.shape}>"

    def _repr_png_(self) -> bytes:
        return self.figure


class Maximized(Image):
    """The image that a filter, or a class, responds to most."""

    def __init__(self, array: ByteArray, index: int, name: str, value: float, probability: float | None) -> None:
        super().__init__(array)
        self.index = index
        """The number of the filter or class."""
        self.name = name
        self.value = value
        """The activation, or the score before the softmax."""
        self.probability = probability
        """Of a class: what the model gives it for this image."""

    def _caption(self) -> str:
        value = f"{self.value:.3g}" if self.probability is None else f"{100 * self.probability:.1f} %"
        return f"{self.name}\n{value}"


class ImageGrid(list[Maximized]):
    """Several such images."""

    title = ""

    def __repr__(self) -> str:
        return f"<lucida.ImageGrid {self.title}: {', '.join(one.name for one in self)}>"

    def _repr_png_(self) -> bytes:
        cells = [(np.ascontiguousarray(one.array), one._caption()) for one in self]
        return _lucida.grid(cells, 8, self.title)


@dataclass(frozen=True)
class Projection:
    """The activation of a filter, projected down to the pixels by a deconvnet."""

    filter: int
    position: tuple[int, int]
    """Row and column of the activation in the layer's map."""
    activation: float
    field: tuple[int, int, int, int] | None
    """The pixels that it depends on: first row, row after the last, first column, column after the last."""
    values: FloatArray
    """``[height, width, channels]`` of the input."""


class Deconvolution(list[Projection]):
    """Projections of a layer's strongest activations."""

    def __init__(self, found: dict[str, Any]) -> None:
        def pairs(one: dict[str, Any]) -> dict[str, Any]:
            return {**one, "position": tuple(one["position"]), "field": one["field"] and tuple(one["field"])}

        super().__init__(Projection(**pairs(one)) for one in found["projections"])
        self.figure: bytes = found["figure"]
        """The projections, as a PNG file."""
        self.fields: bytes = found["fields"]
        """The input with the receptive fields of the activations, as a PNG file."""

    def __repr__(self) -> str:
        return f"<lucida.Deconvolution of filters {', '.join(str(one.filter) for one in self)}>"

    def _repr_png_(self) -> bytes:
        return self.figure


class ReceptiveField(NamedTuple):
    """The pixels that one unit of a layer depends on, in theory; pairs are of rows and columns."""

    layer: str
    type: str
    output_shape: tuple[int, ...]
    size: tuple[int, int] | None
    """``None``: the whole image."""
    stride: tuple[int, int] | None
    padding: tuple[int, int] | None
    center: tuple[float, float] | None
    """Of the first unit, in pixels."""


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table."""
    head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in header)
    lines = (
        "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _pair(pair: tuple[Any, Any] | None) -> str:
    return "" if pair is None else f"{pair[0]:g} x {pair[1]:g}"


class ReceptiveFields(list[ReceptiveField]):
    """Those of all layers."""

    def _repr_html_(self) -> str:
        rows = [
            (one.layer, one.type, one.output_shape, _pair(one.size) or "all", _pair(one.stride), _pair(one.padding))
            for one in self
        ]
        return table(("layer", "type", "output", "size", "stride", "padding"), rows)


class Summary:
    """Keras's table of a network: as text in terminals, as a table in notebooks."""

    def __init__(self, text: str, title: str, rows: Sequence[Sequence[object]]) -> None:
        self._text, self._title, self._rows = text, title, rows

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header = ("Layer (type)", "Output Shape", "Param #", "Connected to")
        return f"<p>{html.escape(self._title)}</p>" + table(header, self._rows)


class History:
    """The values of each epoch, as Keras's ``History`` has them."""

    def __init__(self, epochs: list[dict[str, Any]], found: dict[str, Any]) -> None:
        self._epochs = epochs
        self.epoch: list[int] = list(range(len(epochs)))
        """The epochs, from 0."""
        self.history: dict[str, list[float]] = {}
        """``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, ``learning_rate``, ``seconds``, ...: a list each."""
        self.skipped_steps: int = sum(record.get("skipped_steps", 0) for record in epochs)
        """Steps that ``on_nan="skip"`` has left out."""
        usual = {"skipped_steps": 0} if self.skipped_steps else {}
        for number, record in enumerate(epochs):
            values = {**usual, **record, **record.get("metrics", {})}
            values.update({f"val_{name}": value for name, value in record.get("val_metrics", {}).items()})
            for name, value in values.items():
                if name != "epoch" and isinstance(value, (int, float)):
                    self.history.setdefault(name, [float("nan")] * number).append(float(value))
        self.best_epoch: int | None = None if found["best_epoch"] is None else found["best_epoch"] - 1
        """The epoch whose weights the model has, counted from 0, as :attr:`epoch` and Keras count them. ``lucida train``
        counts from 1: its "Best epoch 26" is 25 here."""
        self.stopped_early: bool = found["stopped_early"]
        self.skipped: list[str] = found["skipped"]
        """Files that could not be read, and why."""

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name} {self.history[name][-1]:.4f}"
            for name in ("loss", "accuracy", "val_loss", "val_accuracy")
            if name in self.history
        )
        return f"<lucida.History {len(self.epoch)} epochs: {last}>"

    def _repr_png_(self) -> bytes | None:
        if not self._epochs:
            return None

        best = None if self.best_epoch is None else self.best_epoch + 1
        return _lucida.curves(json.dumps(self._epochs), best)
