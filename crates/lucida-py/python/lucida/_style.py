"""Style transfer."""

from __future__ import annotations

import os
from collections.abc import Sequence

from . import _lucida
from ._errors import Interrupted
from ._images import ImageLike, source
from ._options import PathLike, checked, real
from ._progress import ProgressOption, watched
from ._results import Image, StyleResult


@checked
def style(
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike],
    *,
    size: int | None = None,
    preset: str = "best",
    steps: int | None = None,
    style_weight: float = 1.0,
    style_scale: float = 1.0,
    smoothness: float = 1.0,
    keep_colors: str | None = None,
    blend: Sequence[float] | None = None,
    mask: ImageLike | None = None,
    preserve: ImageLike | None = None,
    network: str | None = None,
    weights: PathLike | None = None,
    coarsest: int | None = None,
    optimizer: str | None = None,
    pooling: str = "max",
    style_loss: str = "gram",
    init: str = "content",
    seed: int = 42,
    progress: ProgressOption = True,
) -> StyleResult:
    """Transfers the style of one or several images to a content: an image whose ``array`` is ``uint8``.

    Images are paths, PIL images, or ``uint8`` arrays; ``"brushwork"`` is a built-in style. Options are those of
    ``lucida style``: ``size`` is the longer side of the result in pixels (512), ``style_weight`` and ``smoothness`` are
    factors on those of the ``preset`` (``"best"``, ``"gatys"``, ``"tensorflow"``), ``keep_colors`` is ``"luminance"`` or
    ``"histogram"``, ``blend`` the weights of several styles, ``mask`` an image that assigns them to regions, and
    ``preserve`` one of the regions that stay (white). The same images, options and ``seed`` give the same image as
    ``lucida style``.

    ``progress`` may be a function: it gets a :class:`lucida.Progress`, which counts optimized pixels and whose ``detail`` has
    scale, step, and losses. Ctrl-C raises :class:`lucida.Interrupted`, whose ``image`` is the best so far.
    """
    several = isinstance(style, Sequence) and not isinstance(style, (str, bytes, os.PathLike))
    styles = list(style) if several else [style]
    options = {
        "preset": preset,
        "size": size,
        "style_weight": style_weight,
        "style_scale": style_scale,
        "keep_colors": keep_colors,
        "network": network,
        "weights": None if weights is None else os.fspath(weights),
        "steps": steps,
        "coarsest": coarsest,
        "optimizer": optimizer,
        "pooling": pooling,
        "style_loss": style_loss,
        "init": init,
        "smoothness": smoothness,
        "blend": [real("blend", weight) for weight in blend or []],
        "seed": seed,
    }

    def given(image: ImageLike) -> object:
        return source(image.array if isinstance(image, Image) else image)

    def optional(image: ImageLike | None) -> object:
        return None if image is None else given(image)

    with watched(progress) as watch:
        found, stopped_by = _lucida.style(
            given(content), [given(one) for one in styles], optional(mask), optional(preserve), options, watch
        )
    result = StyleResult(found)
    if stopped_by is not None:
        if not isinstance(stopped_by, Interrupted):
            raise stopped_by
        stop = Interrupted(f"stopped after {result.steps} steps")
        stop.image = result
        raise stop from None
    return result
