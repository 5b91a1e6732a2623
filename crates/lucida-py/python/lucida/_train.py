"""Training."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _lucida
from ._errors import Interrupted, InvalidValueError
from ._images import as_array, is_path
from ._model import Model, load
from ._options import PathLike, Size, checked, name_list, pair, real, warn
from ._progress import ProgressOption, watched
from ._results import History

_MNIST = {"epochs": 20, "batch_size": 256}
_TASKS = ("classify", "multilabel", "regress")

#: Numbers of classes above which most of them should occur: below, some of ImageNet's 1,000 are a common choice.
_MANY = 1000


@checked
def train(
    data: Any,
    model: str | None = None,
    *,
    base: Model | PathLike | None = None,
    continue_from: Model | PathLike | None = None,
    weights: PathLike | None = "imagenet",
    validation_data: tuple[Any, Any] | None = None,
    validation_split: float = 0.2,
    class_names: Iterable[str] | None = None,
    task: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    schedule: str = "constant",
    warm_up: int = 0,
    loss: str | None = None,
    monitor: str = "loss",
    early_stopping: int | None = None,
    reduce_on_plateau: int | None = None,
    plateau_factor: float = 0.1,
    augment: str | None = None,
    class_weight: str | Mapping[Any, float] | None = None,
    label_smoothing: float = 0.0,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    ema: float | None = None,
    on_nan: str = "stop",
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    size: Size | None = None,
    channels: int | None = None,
    fit: str | None = None,
    preprocessing: str | None = None,
    cut: str | None = None,
    head: str | None = None,
    unfreeze: str | None = None,
    unfreeze_rate: float = 1e-5,
    strict: bool = False,
    seed: int = 42,
    progress: ProgressOption = True,
) -> tuple[Model, History]:
    """Trains a classifier: the model with the weights of its best epoch, and the history.

    ``data`` is a folder with a sub-folder of images per class; ``"mnist"``, the built-in digits; or ``(x, y)``: ``uint8``
    images ``[count, height, width, channels]`` (or float images of 0..1, which are rounded to 8 bits) and their classes, by
    number or name. Rows of 0 and 1 are labels, of which any number may hold, and floats are values, unless ``task`` says
    otherwise (``"classify"``, ``"multilabel"``, ``"regress"``).

    ``model`` names the network. One with ImageNet weights, built in or published, is a frozen base with a new head (transfer
    learning); others, and all with ``weights=None``, are trained from scratch. By default it is the built-in
    ``"efficientnet-lite0"`` for a folder, ``"basic-cnn"`` for arrays, and ``"mnist-cnn"`` for ``"mnist"``. ``base`` is a
    model of your own under a new head, ``continue_from`` one that is trained further.

    The other options are those of ``lucida train``, with the defaults there: ``augment="flip,rotation=20"``,
    ``class_weight="balanced"`` or a factor per class, ``early_stopping`` and ``reduce_on_plateau`` in epochs,
    ``on_nan="skip"`` to leave out steps whose loss or gradient is not finite. The same data,
    options and ``seed`` give the same model as ``lucida train``, to the bit.

    ``history.best_epoch`` counts from 0. Ctrl-C raises :class:`lucida.Interrupted`, which has the model and the history so
    far.
    """
    folder, arrays = _data(data, validation_data, class_names, task)
    of_arrays = None if arrays is None else arrays[0]
    if model is None:
        model = "basic-cnn" if arrays is not None else "mnist-cnn" if folder == "mnist" else "efficientnet-lite0"
    if folder == "mnist":
        epochs, batch_size = epochs or _MNIST["epochs"], batch_size or _MNIST["batch_size"]
    options = {
        "model": model,
        "weights": "none" if weights is None else os.fspath(weights),
        "size": pair(size) or _size_of(of_arrays, model),
        "channels": channels if channels is not None or of_arrays is None else int(of_arrays["images"].shape[3]),
        "fit": fit,
        "preprocessing": preprocessing,
        "cut": cut,
        "head": head,
        "unfreeze": unfreeze,
        "unfreeze_rate": unfreeze_rate,
        "augment": augment,
        "validation_split": validation_split,
        "epochs": epochs,
        "batch_size": 32 if batch_size is None else batch_size,
        "steps_per_epoch": steps_per_epoch,
        "validation_steps": validation_steps,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warm_up": warm_up,
        "loss": loss,
        "monitor": monitor,
        "early_stopping": early_stopping,
        "reduce_on_plateau": reduce_on_plateau,
        "plateau_factor": plateau_factor,
        "balanced": class_weight == "balanced",
        "class_weights": _class_weights(class_weight, of_arrays),
        "label_smoothing": label_smoothing,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "ema": ema,
        "on_nan": on_nan,
        "strict": strict,
        "seed": seed,
    }
    with watched(progress) as watch:
        core, found, stopped_by = _lucida.train(
            folder, arrays, _core(base), _core(continue_from), options, watch
        )
    trained, history = Model(core), History(json.loads(found["epochs"]), found)
    if history.skipped:
        more = f", and {len(history.skipped) - 1} more" if len(history.skipped) > 1 else ""
        warn(f"skipped {history.skipped[0]}{more}: see History.skipped")
    if history.skipped_steps:
        warn(f"left out {history.skipped_steps} steps whose loss or gradient was not finite: see History.skipped_steps")
    if stopped_by is not None:
        if not isinstance(stopped_by, Interrupted):
            raise stopped_by
        stop = Interrupted(f"stopped after {len(history.epoch)} epochs")
        stop.model, stop.history = trained, history
        raise stop from None
    return trained, history


def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The 10,000 built-in digits of MNIST: images ``[count, 28, 28, 1]`` and their classes, in the order of
    ``lucida ... --data mnist --index``."""
    return _lucida.digits()


def _core(model: Model | PathLike | None) -> _lucida.Model | None:
    if model is None or isinstance(model, Model):
        return None if model is None else model._core
    return load(model)._core


def _data(
    data: Any, validation_data: Any, class_names: Iterable[str] | None, task: str | None
) -> tuple[str | None, tuple[dict[str, Any], dict[str, Any] | None] | None]:
    """A folder, or arrays and those that validate."""
    if is_path(data):
        if validation_data is not None or class_names is not None or task is not None:
            raise InvalidValueError("validation_data, class_names and task go with arrays; a folder has its own")
        return os.fspath(data), None
    if not isinstance(data, Sequence) or len(data) != 2:
        raise InvalidValueError("data is a folder, 'mnist', or a pair of arrays (x, y)")
    if task not in (None, *_TASKS):
        raise InvalidValueError(f"task {task!r} is unknown; expected one of {', '.join(_TASKS)}")
    names = None if class_names is None else name_list("class_names", class_names)
    arrays = _arrays(data[0], data[1], names, task)
    if validation_data is None:
        return None, (arrays, None)
    return None, (arrays, _arrays(validation_data[0], validation_data[1], arrays["names"], arrays["task"]))


def _arrays(x: Any, y: Any, names: list[str] | None, task: str | None) -> dict[str, Any]:
    images, targets = as_array(x), as_array(y)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise InvalidValueError(
            f"x has the shape (count, height, width, channels) with 1 or 3 channels, not {images.shape}"
        )
    if targets.ndim == 0:
        raise InvalidValueError(f"y has the class, the labels, or the values of each image; it is {y!r}")
    if targets.dtype == object:
        # Columns of names in tables are of objects.
        targets = np.asarray(targets.tolist())
    if targets.dtype.kind not in "biufUS":
        raise InvalidValueError(f"y has numbers, or names of classes, not {targets.dtype}")
    if not len(images):
        raise InvalidValueError("there are no images: x is empty")
    if len(images) != len(targets):
        raise InvalidValueError(f"x has {len(images)} images, y has {len(targets)} targets")
    if np.issubdtype(images.dtype, np.floating):
        if images.size and not (0.0 <= images.min() and images.max() <= 1.0):
            raise InvalidValueError("float images are from 0 to 1 here; others are given as uint8, 0 to 255")
        images = np.rint(images * 255.0).astype(np.uint8)
    if images.dtype != np.uint8:
        raise InvalidValueError(f"x is uint8, or float from 0 to 1, not {images.dtype}")
    found: dict[str, Any] = {"images": np.ascontiguousarray(images), "labels": [], "rows": None}
    task = task or _task(targets)
    if task == "classify":
        if targets.ndim == 2:
            targets = targets.argmax(axis=1) if targets.shape[1] > 1 else targets[:, 0]
        if targets.dtype.kind in "US":
            names = names or sorted({str(name) for name in targets})
            numbers = {name: number for number, name in enumerate(names)}
            unknown = sorted({str(name) for name in targets} - set(names))
            if unknown:
                raise InvalidValueError(f"y has the class {unknown[0]!r}, which is not among {', '.join(names)}")
            targets = np.array([numbers[str(name)] for name in targets], dtype=np.int64)
        labels = targets.astype(np.int64)
        if labels.min() < 0:
            raise InvalidValueError(f"classes are numbers from 0 on, not {labels.min()}")
        count = max(len(names or []), int(labels.max()) + 1)
        occur = len(np.unique(labels))
        if names is None and count > max(_MANY, 10 * occur):
            raise InvalidValueError(
                f"labels go up to {count - 1}, but only {occur} different ones occur: number the classes from 0, as "
                "numpy.unique(y, return_inverse=True)[1] does, or give them by name"
            )
        names = names or [str(number) for number in range(count)]
        if count > len(names):
            raise InvalidValueError(f"y has the class {count - 1}; there are names of {len(names)} classes")
        return {**found, "labels": labels.tolist(), "names": names, "task": task}
    if targets.dtype.kind in "US":
        raise InvalidValueError(f"y has names of classes; task={task!r} takes numbers")
    rows = np.ascontiguousarray(targets.reshape(len(targets), -1), dtype=np.float32)
    names = names or [str(number) for number in range(rows.shape[1])]
    return {**found, "rows": rows, "names": names, "task": task}


def _task(targets: npt.NDArray[Any]) -> str:
    if targets.ndim == 1 or targets.shape[1] == 1:
        return "regress" if np.issubdtype(targets.dtype, np.floating) else "classify"
    if not np.isin(targets, (0, 1)).all():
        return "regress"
    return "classify" if (targets.sum(axis=1) == 1).all() else "multilabel"


def _size_of(arrays: dict[str, Any] | None, model: str) -> tuple[int, int] | None:
    """Images in memory have one size, which networks that are trained on them take, except those for digits."""
    if arrays is None or model in ("mnist-cnn", "lenet5"):
        return None
    return int(arrays["images"].shape[1]), int(arrays["images"].shape[2])


def _class_weights(weights: Any, arrays: dict[str, Any] | None) -> list[tuple[str, float]]:
    if weights is None or weights == "balanced":
        return []
    if not isinstance(weights, Mapping):
        raise InvalidValueError(f"class_weight is 'balanced', or a factor per class, not {weights!r}")
    names = None if arrays is None else arrays["names"]

    def name(key: Any) -> str:
        return str(names[key]) if names is not None and isinstance(key, int) and key < len(names) else str(key)

    return [(name(key), real(f"class_weight of {key!r}", value)) for key, value in weights.items()]
