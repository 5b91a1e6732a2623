"""Exceptions: each is a :class:`LucidaError` and, where one fits, the built-in exception that programs catch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._results import History, StyleResult
    from ._model import Model


class LucidaError(Exception):
    """Anything that Lucida cannot do; the message says what is wrong and what to do.

    One that is none of the subclasses below is a bug in Lucida.
    """


class InvalidValueError(LucidaError, ValueError):
    """A value, or the content of a file, cannot be used."""


class _WithPath(LucidaError, OSError):
    """An error about a file, whose text is the library's message alone."""

    def __init__(self, message: str, errno: int | None = None, filename: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errno = errno
        self.filename = filename

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.errno, self.filename)


class FileError(_WithPath):
    """The system, or a server, refused to read or write something."""


class MissingFileError(_WithPath, FileNotFoundError):
    """There is no such file or folder, and no network of that name."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped Lucida, whatever it was doing; this is what was done until then.

    ``model`` and ``history`` are those of a training, ``image`` that of a style transfer; what was not made is ``None``, as
    is everything of work that is done whole or not at all. In a notebook: ``import sys; model = sys.last_value.model``.

    It is a :class:`KeyboardInterrupt`, not a :class:`LucidaError`: ``except Exception`` does not catch it.
    """

    model: Model | None = None
    history: History | None = None
    image: StyleResult | None = None
