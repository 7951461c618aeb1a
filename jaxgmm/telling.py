"""Warnings point at the line that called the library: there Python shows a text once, and there it can be acted on."""

from __future__ import annotations

import sys
import warnings

# scikit-learn wraps the methods of estimators, and its tools call them, by joblib.
_BETWEEN = {"jaxgmm", "sklearn", "joblib", "contextlib"}


def warn(message: str, category: type[Warning]) -> None:
    """Warns at the innermost line that is neither this library's nor of a tool that called it for the user."""
    warnings.warn(message, category, stacklevel=_outside() + 1)


def _outside() -> int:
    """How many calls up from the caller of this function that line is."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    return level
