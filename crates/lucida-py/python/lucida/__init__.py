"""Lucida: train convolutional networks, take them apart, and transfer style, fast on any CPU.

>>> import lucida
>>> model, history = lucida.train("mnist", epochs=3)
>>> images, labels = lucida.digits()
>>> model.classify(images[0])
>>> model.explain(images[0], method="grad-cam")
"""

from ._errors import FileError, Interrupted, InvalidValueError, LucidaError, MissingFileError
from ._lucida import version as _version
from ._model import Model, load, methods, networks
from ._progress import Progress
from ._results import (
    Classification,
    Deconvolution,
    Explanation,
    FeatureMaps,
    HeatMap,
    History,
    Image,
    ImageGrid,
    Maximized,
    Prediction,
    Projection,
    ReceptiveField,
    ReceptiveFields,
    StyleResult,
    Summary,
    sample,
)
from ._style import style
from ._train import digits, train

__version__ = _version()

__all__ = [
    "Classification",
    "Deconvolution",
    "Explanation",
    "FeatureMaps",
    "FileError",
    "HeatMap",
    "History",
    "Image",
    "ImageGrid",
    "Interrupted",
    "InvalidValueError",
    "LucidaError",
    "Maximized",
    "MissingFileError",
    "Model",
    "Prediction",
    "Progress",
    "Projection",
    "ReceptiveField",
    "ReceptiveFields",
    "StyleResult",
    "Summary",
    "digits",
    "load",
    "methods",
    "networks",
    "sample",
    "style",
    "train",
]
