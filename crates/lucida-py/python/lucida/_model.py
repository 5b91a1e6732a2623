"""Models: loading them, and everything that can be asked of one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union, overload

import numpy as np
import numpy.typing as npt

from . import _lucida
from ._errors import InvalidValueError
from ._images import ImageLike, as_array, is_path, sources
from ._options import PathLike, Size, checked, index_list, name_list, pair, warn
from ._progress import ProgressOption, shifted, watched
from ._results import (
    Classification,
    Deconvolution,
    Explanation,
    FeatureMaps,
    FloatArray,
    Image,
    ImageGrid,
    Maximized,
    Prediction,
    ReceptiveField,
    ReceptiveFields,
    Summary,
)

Target = Union[int, str]

#: Images that are prepared at once.
_AT_ONCE = 256
#: How far outside of the range of prepared images float inputs may lie, as a multiple of it, before a warning: noise of
#: unit variance is no mistake, values of 0 to 255 for a network that takes -1 to 1 are one.
_FAR = 4


class Model:
    """A network with its weights, its preprocessing, and the names of its classes.

    Made by :func:`lucida.load` and :func:`lucida.train`. Where a method takes images, they are paths, PIL images, or arrays:
    ``uint8`` images ``[height, width, channels]`` of any size, which the model prepares, or ``float32`` inputs ``[batch,
    height, width, channels]``, which are prepared already, as Keras's ``predict`` takes them.
    """

    def __init__(self, core: _lucida.Model) -> None:
        self._core = core

    @property
    def name(self) -> str:
        """The name of the network."""
        return self._core.name

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, labels or values, in the order of the outputs; numbers where they have none."""
        return self._core.class_names

    @class_names.setter
    def class_names(self, names: Iterable[str]) -> None:
        self._core = self._core.with_class_names(name_list("class_names", names))

    @property
    def task(self) -> str:
        """How the outputs are read: ``"classes"``, ``"labels"``, ``"values"``, or ``"features"``."""
        return self._core.kind

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch: ``(height, width, channels)``."""
        return tuple(self._core.input_shape)

    @property
    def preprocessing(self) -> str | None:
        """How images are prepared, in the words of ``lucida.load(preprocessing=...)``."""
        return self._core.preprocessing

    @property
    def notes(self) -> list[str]:
        """What was assumed about the model when it was loaded."""
        return self._core.notes

    @property
    def layer_names(self) -> list[str]:
        """The names of all layers, the input included."""
        return [name for name, *_ in self._core.layers()]

    def count_params(self) -> int:
        """The number of parameters."""
        return self._core.parameters[0]

    @checked
    def weights(self, layer: str) -> dict[str, FloatArray]:
        """The arrays of a layer by their names: ``kernel`` is ``[height, width, in, out]``, as in Keras."""
        return self._core.weights(layer)

    def summary(self) -> Summary:
        """The table of Keras: layer, output shape, parameters, connections."""
        total, trained = self._core.parameters
        title = f"{self.name}: {total:,} parameters, {trained:,} of them trainable"
        rows = [
            (f"{name} ({kind})", (None, *shape), f"{parameters:,}", ", ".join(inputs))
            for name, kind, shape, parameters, inputs in self._core.layers()
        ]
        return Summary(self._core.summary(), title, rows)

    def __repr__(self) -> str:
        shape = "x".join(str(size) for size in self.input_shape)
        return f"<lucida.Model {self.name}: {shape} -> {len(self.class_names) or 'features'} {self.task}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def preprocess(self, images: ImageLike) -> FloatArray:
        """Images as the network takes them: ``float32`` ``[count, height, width, channels]``.

        Float inputs are returned as they are, with a warning where their values lie far outside of those that the model's
        preprocessing gives: pixels of 0 to 255 for a network that takes -1 to 1, say.
        """
        found = sources(images)
        if isinstance(found, list):
            return self._core.prepare(found)
        height, width, channels = self._image_shape()
        if found.ndim == 2 and channels == 1:
            found = found[..., np.newaxis]
        if found.ndim == 3 and found.shape == (height, width, channels):
            found = found[np.newaxis]
        if found.ndim == 3 and channels == 1:
            found = found[..., np.newaxis]
        if found.ndim != 4 or found.shape[1:] != (height, width, channels):
            hint = ""
            if found.ndim == 4 and found.shape[1:] == (channels, height, width):
                hint = "; channels come last: x.transpose(0, 2, 3, 1)"
            raise InvalidValueError(
                f"float inputs have the shape (batch, {height}, {width}, {channels}), not {found.shape}{hint}; "
                "uint8 images may have any size"
            )
        self._check_values(found)
        return np.ascontiguousarray(found)

    def _check_values(self, inputs: FloatArray) -> None:
        """Warns where these are hardly prepared inputs."""
        expected = self._core.value_range
        if expected is None or not inputs.size:
            return
        low, high = expected
        least, most = float(inputs.min()), float(inputs.max())
        far = _FAR * (high - low)
        if least < low - far or most > high + far:
            warn(
                f"inputs of {least:g} to {most:g} are taken as prepared already, but images that the model prepares have "
                f"values of {low:g} to {high:g}: give images of 0 to 255 as uint8"
            )

    def _image_shape(self) -> tuple[int, int, int]:
        shape = self.input_shape
        if len(shape) != 3:
            raise InvalidValueError(f"network {self.name} takes values of shape {shape}, not images")
        return shape[0], shape[1], shape[2]

    def _single(self, image: ImageLike) -> FloatArray:
        found = self.preprocess(image)
        if len(found) != 1:
            raise InvalidValueError(f"one image is expected, not {len(found)}")
        one: FloatArray = found[0]
        return one

    @overload
    def predict(
        self, images: ImageLike, top: None = None, *, batch_size: int = 32, progress: ProgressOption = True
    ) -> FloatArray: ...
    @overload
    def predict(
        self, images: ImageLike, top: int, *, batch_size: int = 32, progress: ProgressOption = True
    ) -> list[Classification]: ...
    @checked
    def predict(
        self,
        images: ImageLike,
        top: int | None = None,
        *,
        batch_size: int = 32,
        progress: ProgressOption = True,
    ) -> FloatArray | list[Classification]:
        """The probability of each class or label, or the values: ``float32`` ``[count, outputs]``.

        With ``top``, that number of the most probable classes of each image with their names, as Keras's
        ``decode_predictions``.
        """
        given = sources(images)
        inputs = given if isinstance(given, list) else self.preprocess(given)
        found = np.zeros((0, len(self.class_names)), np.float32)
        if len(inputs):
            # The plan is that of the whole, so that the last batch is computed as the others are.
            batch_size = min(batch_size, len(inputs))
            # Images are prepared some batches at a time: memory does not grow with their number.
            step = batch_size * max(1, _AT_ONCE // batch_size)
            parts = []
            with watched(progress) as watch:
                for first in range(0, len(inputs), step):
                    part = inputs[first : first + step]
                    prepared = self._core.prepare(part) if isinstance(part, list) else part
                    parts.append(self._core.predict(prepared, batch_size, shifted(watch, first, len(inputs))))
            found = np.concatenate(parts)
        return found if top is None else [self._ranked(row, top) for row in found]

    def _ranked(self, row: FloatArray, top: int) -> Classification:
        names = self.class_names
        # The lower one of equal ones first, as on the command line.
        order = np.argsort(-row, kind="stable")[:top]
        return Classification(Prediction(names[index], float(row[index])) for index in order)

    @checked
    def classify(self, image: ImageLike, top: int = 5) -> Classification:
        """The most probable classes of one image, with their names."""
        return self._ranked(self._core.predict(self._single(image)[np.newaxis], 1, None)[0], top)

    def _target(self, target: Target | None) -> int | None:
        return None if target is None else self._core.find_class(str(target))

    @checked
    def explain(
        self,
        image: ImageLike,
        method: str | Sequence[str] = "grad-cam",
        target: Target | None = None,
        *,
        layer: str | None = None,
        baseline: str = "black",
        noise: float | None = None,
        samples: int | None = None,
        masks: int | None = None,
        patch: int | None = None,
        stride: int | None = None,
        epsilon: float | None = None,
        faithfulness: bool = True,
        seed: int = 42,
        progress: ProgressOption = True,
    ) -> Explanation:
        """Attribution maps of one image: which pixels the score of a class depends on.

        ``method`` is one or several of :func:`lucida.methods`, or ``"all"``; ``target`` a class by name or number, by
        default the predicted one. ``layer`` is that of the CAM methods, by default the last one with spatial extent.
        ``samples`` and ``noise`` are those of SmoothGrad, ``masks`` those of RISE, ``patch`` and ``stride`` the pixels of
        occlusion, ``baseline`` (``"black"`` or ``"mean"``) that of integrated gradients and occlusion, ``epsilon`` that of
        LRP. Without ``faithfulness``, deletion and insertion are not measured.
        """
        options = {
            "methods": name_list("method", method),
            "target": self._target(target),
            "layer": layer,
            "baseline": baseline,
            "noise": noise,
            "samples": samples,
            "masks": masks,
            "patch": patch,
            "stride": stride,
            "epsilon": epsilon,
            "seed": seed,
            "faithfulness": faithfulness,
        }
        with watched(progress) as watch:
            return Explanation(_lucida.explain(self._core, self._single(image), options, watch))

    @overload
    def activations(self, image: ImageLike, layer: str) -> FeatureMaps: ...
    @overload
    def activations(self, image: ImageLike, layer: Sequence[str] | None = None) -> dict[str, FeatureMaps]: ...
    def activations(
        self, image: ImageLike, layer: str | Sequence[str] | None = None
    ) -> FeatureMaps | dict[str, FeatureMaps]:
        """The outputs of a layer for one image; of several layers, or all, by their names."""
        layers = [] if layer is None else name_list("layer", layer)
        found = _lucida.activations(self._core, self._single(image), layers)
        maps = {name: FeatureMaps(name, values, self._core) for name, values in found}
        return next(iter(maps.values())) if isinstance(layer, str) else maps

    @checked
    def filters(
        self,
        layer: str,
        filters: Iterable[int] | None = None,
        *,
        steps: int | None = None,
        method: str = "fourier",
        diversity: int = 1,
        size: Size | None = None,
        seed: int = 42,
        progress: ProgressOption = True,
    ) -> ImageGrid:
        """Activation maximization: the images that filters of a layer respond to most, all filters by default.

        ``size`` is that of the images, by default 128 pixels where the network takes any size and its own is larger.
        ``method`` is ``"fourier"`` or ``"keras-vis"``; with ``diversity``, several different images for each filter.
        """
        wanted = index_list("filters", filters)
        options = _maximization(steps, method, diversity, size, seed)
        with watched(progress) as watch:
            numbers, found = _lucida.filters(self._core, layer, wanted, options, watch)
        grid = ImageGrid(
            Maximized(array, numbers[at // diversity], f"filter {numbers[at // diversity]}", value, None)
            for at, (array, value, _) in enumerate(found)
        )
        grid.title = f"{layer} of {self.name}"
        return grid

    @checked
    def classes(
        self,
        classes: Target | Iterable[Target] | None = None,
        *,
        steps: int | None = None,
        method: str = "fourier",
        diversity: int = 1,
        seed: int = 42,
        progress: ProgressOption = True,
    ) -> ImageGrid:
        """Activation maximization: the images that maximize the scores of classes, by name or number; of all by default."""
        if isinstance(classes, (str, int)) or not isinstance(classes, Iterable):
            classes = None if classes is None else [classes]
        wanted = None if classes is None else [self._core.find_class(str(one)) for one in classes]
        options = _maximization(steps, method, diversity, None, seed)
        with watched(progress) as watch:
            numbers, found = _lucida.classes(self._core, wanted, options, watch)
        names = self.class_names
        grid = ImageGrid(
            Maximized(array, numbers[at // diversity], names[numbers[at // diversity]], value, probability)
            for at, (array, value, probability) in enumerate(found)
        )
        grid.title = f"classes of {self.name}"
        return grid

    @checked
    def deconv(
        self, image: ImageLike, layer: str, filters: Iterable[int] | None = None, top: int = 9
    ) -> Deconvolution:
        """Deconvnet: the strongest activation of filters in one image, projected down to its pixels.

        By default the ``top`` filters with the strongest activations.
        """
        wanted = index_list("filters", filters)
        return Deconvolution(_lucida.deconv(self._core, self._single(image), layer, wanted, top))

    def receptive_fields(self) -> ReceptiveFields:
        """Theoretical receptive fields of all layers."""

        def row(found: tuple[Any, ...]) -> ReceptiveField:
            layer, kind, *rest = found
            return ReceptiveField(layer, kind, *(None if one is None else tuple(one) for one in rest))  # type: ignore[arg-type]

        return ReceptiveFields(row(found) for found in self._core.receptive_fields())

    @checked
    def embed(
        self, images: ImageLike, layer: str | None = None, *, progress: ProgressOption = True
    ) -> FloatArray:
        """Features of images: ``float32`` ``[count, features]``, maps averaged over their pixels.

        ``layer`` is by default the last one before the classifier.
        """
        with watched(progress) as watch:
            return self._core.embed(self.preprocess(images), layer, watch)[1]

    def to_image(self, prepared: npt.NDArray[np.float32]) -> Image:
        """A prepared input ``[height, width, channels]`` as it looks."""
        return Image(self._core.to_image(self._single(prepared)))

    @checked
    def save(self, path: PathLike) -> None:
        """Writes the model in the format of the ending: ``.safetensors``, ``.keras``, ``.h5``, ``.weights.h5``, ``.onnx``,
        ``.pth``.

        An existing file is replaced, as by Keras's ``save``; the commands refuse to, without ``--force``. It is replaced as
        a whole: if writing fails, the old file stays.
        """
        self._core.save(os.fspath(path))


def _maximization(
    steps: int | None, method: str, diversity: int, size: Size | None, seed: int
) -> dict[str, Any]:
    return {"steps": steps, "method": method, "diversity": diversity, "size": pair(size), "seed": seed}


#: What :func:`load` opens where it is given nothing.
_DEFAULT = "efficientnet-lite0"


@checked
def load(
    model: Any = None,
    network: str | None = None,
    *,
    weights: PathLike | None = None,
    size: Size | None = None,
    preprocessing: str | None = None,
    classes: PathLike | Iterable[str] | None = None,
    task: str | None = None,
    include_top: bool = True,
) -> Model:
    """Loads a model. Without arguments it is the built-in classifier: EfficientNet-Lite0, with ImageNet's 1,000 classes.

    ``model`` is one of

    - the path of a file (``.keras``, ``.h5``, ``.onnx``, ``.pth``, ``.safetensors``, ``.tflite``, ``model.json``), or of the
      folder of a run;
    - the name of a known network whose weights are built in or were downloaded (:func:`networks` lists them), or
      ``"vgg16-builtin"``;
    - a live Keras model that is built;
    - a PyTorch module, or a state dictionary, of a network that is recognized by the names of its tensors: that of
      torchvision's and timm's networks. Nothing of a module's ``forward`` is read.

    Models in memory are read in memory: no file is written.

    ``network`` says which network a file of weights, or a state dictionary, belongs to; ``weights`` gives the file of a known
    network. ``size`` is that of the input in pixels, ``preprocessing`` how images are prepared (``"unit"`` for 0..1, ``"tf"``
    for -1..1, ``"caffe"``, ``"torch"``, ``"raw"``), ``classes`` a file with the names of the classes or the names, ``task``
    what the outputs are (``"classify"``, ``"multilabel"``, ``"regress"``, ``"features"``). Without ``include_top``, a known
    network comes without its classifier, and no softmax is added.

    Raises :class:`FileNotFoundError` when there is neither such a file nor such a network, and :class:`ValueError` when it
    cannot be used.
    """
    names = None if classes is None or is_path(classes) else name_list("classes", classes)  # type: ignore[arg-type]
    options: dict[str, Any] = {
        "model": "",
        "network": network,
        "weights": None if weights is None else os.fspath(weights),
        "size": pair(size),
        "preprocessing": preprocessing,
        "classes": os.fspath(classes) if classes is not None and is_path(classes) else None,  # type: ignore[arg-type]
        "task": task,
        "include_top": include_top,
    }
    found = Model(_open(_DEFAULT if model is None else model, options))
    if names is not None:
        found.class_names = names
    return found


def _open(model: Any, options: dict[str, Any]) -> _lucida.Model:
    if is_path(model):
        if not os.fspath(model):
            raise InvalidValueError("the path of the model is empty")
        return _lucida.load_path({**options, "model": os.fspath(model)})
    if hasattr(model, "to_json") and hasattr(model, "layers"):
        name = f"Keras model {model.name!r}"
        if getattr(model, "built", True) is False:
            raise InvalidValueError(f"{name} is not built yet: call model.build((None, height, width, channels)) first")
        return _lucida.load_keras(model.to_json(), list(_keras_layers(model, 0)), {**options, "model": name})
    if hasattr(model, "state_dict"):
        return _open_state(f"PyTorch module {type(model).__name__}", model.state_dict(), options)
    if isinstance(model, Mapping):
        return _open_state("state dictionary", model, options)
    if isinstance(model, Model):
        return model._core
    raise InvalidValueError(
        f"a model is a path, the name of a network, a Keras model, a PyTorch module, or a state dictionary, not {type(model)}"
    )


def _open_state(name: str, state: Mapping[str, Any], options: dict[str, Any]) -> _lucida.Model:
    tensors = _tensors(state)
    if not tensors:
        inner = next((key for key, value in state.items() if isinstance(value, Mapping)), None)
        hint = "" if inner is None else f"; it has a dictionary {inner!r}, which may be the one"
        raise InvalidValueError(f"{name}: has no tensors of floating-point numbers{hint}")
    return _lucida.load_state_dict(tensors, {**options, "model": name})


def _keras_layers(model: Any, depth: int) -> Iterable[tuple[int, str, str, list[FloatArray]]]:
    """The layers of a model, each model within it before its own layers."""
    for layer in model.layers:
        inner = hasattr(layer, "layers") and hasattr(layer, "to_json")
        weights = [] if inner else [_float32(array) for array in layer.get_weights() if np.asarray(array).ndim]
        yield depth, type(layer).__name__, layer.name, weights
        if inner:
            yield from _keras_layers(layer, depth + 1)


def _tensors(state: Mapping[str, Any]) -> list[tuple[str, FloatArray]]:
    """The tensors of floating-point numbers, as 32-bit floats; of others, none is a weight."""
    found = []
    for name, value in state.items():
        if type(value).__module__.split(".")[0] == "torch":
            if not value.dtype.is_floating_point:
                continue
            # NumPy has no bfloat16.
            value = value.detach().cpu().float().contiguous().numpy()
        array = as_array(value)
        if np.issubdtype(array.dtype, np.floating):
            found.append((str(name), _float32(array)))
    return found


def _float32(array: npt.NDArray[Any]) -> FloatArray:
    found = np.asarray(array, dtype=np.float32)
    return found if found.flags.c_contiguous else np.ascontiguousarray(found)


def networks() -> list[str]:
    """The names of the known networks."""
    return _lucida.networks()


def methods() -> dict[str, str]:
    """The methods of attribution, each with a description."""
    return {name: f"{title}: {description}" for name, title, description in _lucida.explain_methods()}
