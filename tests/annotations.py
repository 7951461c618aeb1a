"""Checks the annotations of the package while its tests run, shapes included: `JAXGMM_CHECK_ANNOTATIONS=1`.

Arguments and results of every function in these folders are held against what is written there, by beartype through
jaxtyping's import hook. Fields of dataclasses are not: JAX builds pytrees with whatever it likes as leaves.
"""

from __future__ import annotations

from typing import Any, runtime_checkable

import jax
import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

FOLDERS = ("families", "rows", "mixture", "em", "drivers", "run")
# These refuse wrong types themselves, in words that tests look at.
_IN_THEIR_OWN_WORDS = ("jaxgmm.mixture.files", "jaxgmm.mixture.ordering")

# An int where a float is wanted is no fault.
_STRICT = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function: Any) -> Any:
    """`function` with its annotations held against what comes and goes."""
    if function.__name__ == "__init__" or function.__module__ in _IN_THEIR_OWN_WORDS:
        return function
    for name, annotation in function.__annotations__.items():
        if "typing.Self" in repr(annotation):  # beartype knows it only in classes that it sees as a whole
            function.__annotations__[name] = Any
        if getattr(annotation, "_is_protocol", False):
            runtime_checkable(annotation)
    return _STRICT(function)


def install() -> None:
    """From here on: before the package is imported."""
    from jaxgmm.inputs import typing

    typing.Array = jax.Array | np.ndarray | np.generic
    for name in ("Bool", "Float", "Int", "Key", "Num", "Shaped", "UInt"):
        setattr(typing, name, getattr(jaxtyping, name))
    install_import_hook([f"jaxgmm.{folder}" for folder in FOLDERS], f"{__name__}.check")
