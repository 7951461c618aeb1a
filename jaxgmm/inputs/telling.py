"""Warnings point at the line that called the library: there Python shows a text once, and there it can be acted on."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

# scikit-learn wraps the methods of estimators, and its tools call them, by joblib.
_BETWEEN = {"jaxgmm", "sklearn", "joblib", "contextlib"}

# Not warnings.catch_warnings, which changes what all threads hear.
_silent: ContextVar[bool] = ContextVar("silent", default=False)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing is warned of inside, as the caller has the same to say."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def warn(message: str, category: type[Warning]) -> None:
    """Warns at the innermost line that is neither this library's nor of a tool that called it for the user."""
    if not _silent.get():
        warnings.warn(message, category, stacklevel=_outside() + 1)


def _outside() -> int:
    """How many calls up from the caller of this function that line is."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    return level
