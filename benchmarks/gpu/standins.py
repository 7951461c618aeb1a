"""Stand-ins for what jaxgmm imports beside JAX and NumPy, so that it runs where nothing can be installed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import jax


class _Shaped:
    """`Float[Array, "k d"]` and its like: they are read by people and checkers, never while a program runs."""

    def __class_getitem__(cls, _: Any) -> Any:
        return Any


def _jaxtyping() -> ModuleType:
    module = ModuleType("jaxtyping", "Shapes that say nothing.")

    def attribute(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return jax.Array if name == "Array" else _Shaped

    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module


_MAKERS = {"jaxtyping": _jaxtyping}


def install() -> list[str]:
    """Puts a stand-in in the place of each module that is missing; their names."""
    missing = []
    for name, make in _MAKERS.items():
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = make()
            missing.append(name)
    return missing
