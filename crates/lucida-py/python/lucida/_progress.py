"""Progress of long work: a bar by tqdm where it is installed, or a function of the caller's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Iterator, Union

from ._errors import InvalidValueError

__all__ = ["Progress", "ProgressOption"]


@dataclass(frozen=True)
class Progress:
    """How far long work has progressed."""

    stage: str
    """The stage at hand, where there are several: ``"insertion"``. Each counts from 0."""
    unit: str
    """What ``done`` and ``total`` count: ``"image"``, ``"file"``, ``"step"``, ``"epoch"``, ``"pass"`` (through the network),
    ``"B"`` (bytes), or ``"pixel"``: those of the image in style transfer, once for each step, as a step on a small image is
    done sooner than one on a large image."""
    done: int
    """Units that are done."""
    total: int | None
    """All units, or ``None`` where the number is unknown."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Of a training: ``epoch`` (from 1), ``step`` and ``steps`` of the epoch, ``loss``, ``accuracy``. Of style transfer:
    ``scale``, the number of the image size at hand and of all, as ``[1, 3]``; ``size``, its height and width in pixels;
    ``step``, the number of the step at this size and of all, as ``[4, 50]``; ``loss``, ``content_loss``, ``style_loss``. Else
    empty."""

    @property
    def fraction(self) -> float | None:
        """The part of the work, or of the stage, that is done, 0 to 1; ``None`` where the total is unknown."""
        if self.total is None:
            return None
        return self.done / self.total if self.total else 1.0


ProgressOption = Union[bool, Callable[[Progress], object]]
"""``True`` shows a bar for work that takes longer than half a second, ``False`` nothing; a function is called about twenty
times a second."""


class _Bar:
    """One bar after another: a stage, or an epoch, has its own."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._of: tuple[str, int | None] | None = None

    def __call__(self, step: Progress) -> None:
        if step.unit == "epoch":
            # The bar of all steps continues.
            return
        of = (step.stage, step.total)
        if of != self._of:
            self.close()
            self._bar, self._of = _tqdm(of[0], step), of
        if self._bar is not None:
            self._bar.update(step.done - self._bar.n)
            shown = {name: step.detail[name] for name in ("epoch", "scale", "loss", "accuracy") if step.detail.get(name) is not None}
            if shown:
                self._bar.set_postfix(shown, refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _tqdm(title: str, step: Progress) -> Any:
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets the bar is one of text, which is fine.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    scaled = step.unit in ("B", "pixel")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tqdm(total=step.total, desc=title or None, unit=step.unit, unit_scale=scaled, delay=0.5, leave=False)


def shifted(watch: Callable[[str], None] | None, done: int, total: int) -> Callable[[str], None] | None:
    """The same for a part of the work, before which ``done`` of ``total`` units are done."""
    if watch is None:
        return None

    def take(text: str) -> None:
        step = json.loads(text)
        watch(json.dumps({**step, "done": step["done"] + done, "total": total}))

    return take


@contextmanager
def watched(option: ProgressOption) -> Iterator[Callable[[str], None] | None]:
    """What the extension calls with each step as JSON."""
    if option is False:
        yield None
        return
    bar = _Bar() if option is True else None
    show = bar if bar is not None else option
    if not callable(show):
        raise InvalidValueError(f"progress: True, False, or a function is expected, not {option!r}")

    def take(text: str) -> None:
        step = json.loads(text)
        show(Progress(step["stage"], step["unit"], step["done"], step["total"], step["detail"] or {}))

    try:
        yield take
    finally:
        if bar is not None:
            bar.close()
