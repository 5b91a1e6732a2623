"""Checks of options. The extension takes exact types; what it says about others does not name the option's values."""

from __future__ import annotations

import functools
import inspect
import operator
import os
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, Union, cast

import numpy as np

from ._errors import InvalidValueError

PathLike = Union[str, "os.PathLike[str]"]
Size = Union[int, "tuple[int, int]"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Texts of values, not longer than a message bears.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80

#: Numbers of the extension have 64 bits.
_BELOW = 1 << 64
#: Counts of which 0 would be none at all.
_FROM_ONE = frozenset(("batch_size", "diversity", "epochs", "size", "top"))


def _expected(name: str, what: str, value: object) -> InvalidValueError:
    shown = " ".join(_SHORT.repr(value).split())
    return InvalidValueError(f"{name}: {what} is expected, not {shown}")


def whole(name: str, value: Any) -> int:
    """A count, or the number of something."""
    least = 1 if name in _FROM_ONE else 0
    try:
        number = operator.index(value)
    except TypeError:
        raise _expected(name, "a whole number", value) from None
    if number < least:
        raise _expected(name, f"a whole number of at least {least}", value)
    if number >= _BELOW:
        raise _expected(name, "a whole number below 2**64", value)
    return number


def real(name: str, value: Any) -> float:
    """A number that need not be whole."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _expected(name, "a number", value) from None


def pair(size: Size | None) -> tuple[int, int] | None:
    """Height and width."""
    if size is None:
        return None
    try:
        sides = tuple(size) if isinstance(size, Iterable) and not isinstance(size, str) else (size, size)
        height, width = (whole("size", side) for side in sides)
    except ValueError:
        raise _expected("size", "a number of pixels, or (height, width)", size) from None
    return height, width


def index_list(name: str, values: Iterable[int] | None) -> list[int] | None:
    """Numbers of filters, say."""
    if values is None:
        return None
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _expected(name, "a list of whole numbers", values)
    return [whole(name, one) for one in values]


def name_list(name: str, values: str | Iterable[str]) -> list[str]:
    """One name or several."""
    if isinstance(values, str):
        return [values]
    if isinstance(values, bytes) or not isinstance(values, Iterable):
        raise _expected(name, "a name, or a list of names,", values)
    return [str(one) for one in values]


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _expected(name, "a text (str)", value)


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise _expected(name, "True or False", value)


def _path(name: str, value: Any) -> None:
    if not isinstance(value, (str, os.PathLike)):
        raise _expected(name, "a path", value)
    if not os.fspath(value):
        raise InvalidValueError(f"{name}: the path is empty")


_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "int": whole,
    "float": real,
    "str": _text,
    "bool": _flag,
    "PathLike": _path,
}


def checked(function: _Function) -> _Function:
    """The same function, which first refuses values of other types than its signature says, where these are simple ones.

    The signature is the one place that says what an option takes.
    """
    signature = inspect.signature(function)
    checks: dict[str, tuple[Callable[[str, Any], object], bool]] = {}
    for name, parameter in signature.parameters.items():
        # Annotations are text: none of them is evaluated.
        kinds = set(str(parameter.annotation).split(" | "))
        check = _CHECKS.get("".join(kinds - {"None"}))
        if check is not None:
            checks[name] = check, "None" in kinds

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            check, optional = checks.get(name, (None, True))
            if check is not None and not (optional and value is None):
                check(name, value)
        return function(*args, **kwargs)

    return cast(_Function, call)


def warn(message: str) -> None:
    """Warns about the line that called the package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
