"""What users hand in where rows are wanted, as a source if it is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.rows import RowSource
from jaxgmm.sources.files import files
from jaxgmm.sources.sliced import SlicedSource

# Libraries whose arrays are not in memory, though NumPy would read them as a whole.
_ELSEWHERE = ("h5py", "zarr", "dask")


def opened(x: Any, sample_weight: Any = None, labels: Any = None) -> tuple[Any, Any, Any]:
    """`x` as a source where it is a path, or an array that is not in memory; with what is left beside it.

    Raises:
        TypeError: an iterator, which could be read only once.
        DataError, OSError: of files; see `sources.files`.
    """
    if isinstance(x, RowSource | np.ndarray):
        return x, sample_weight, labels
    if _is_path(x) or (isinstance(x, list | tuple) and x and all(map(_is_path, x))):
        return files(x), sample_weight, labels
    if isinstance(x, Iterator):
        hint = "jaxgmm.sources.from_blocks takes a function that returns a fresh iterator"
        raise ArgumentTypeError("x", "be rows that can be read again", f"{type(x).__name__}, an iterator", hint)
    if type(x).__module__.partition(".")[0] in _ELSEWHERE and len(getattr(x, "shape", ())) == 2:
        return SlicedSource(x, sample_weight, labels), None, None
    return x, sample_weight, labels


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)
