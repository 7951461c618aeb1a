"""Arrays of other libraries, which are read a slice at a time: HDF5, Zarr, dask, and whatever is like them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.rows import Block, RowSource
from jaxgmm.rows.labels import whole
from jaxgmm.rows.source import digest_of

_BLOCK = 1 << 16


def sliced(x: Any, sample_weight: Any = None, labels: Any = None) -> RowSource:
    """Rows of any object with `shape` (n, d), `dtype`, and slices `x[start:stop]` that NumPy can read.

    Args:
        x: an HDF5 dataset, a Zarr or dask array, or one of your own.
        sample_weight: (n,), how often each row counts.
        labels: (n,), which component each row belongs to, −1 where unknown.

    Raises:
        TypeError, ValueError: no such object, or weights and labels that do not fit.

    Example:
        >>> with h5py.File("rows.h5") as file:
        ...     jaxgmm.fit(0, jaxgmm.sources.sliced(file["rows"]), 12)
    """
    return SlicedSource(x, sample_weight, labels)


class SlicedSource(RowSource):
    """See `sliced`."""

    def __init__(self, x: Any, sample_weight: Any = None, labels: Any = None) -> None:
        shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
        if shape is None or dtype is None or not hasattr(x, "__getitem__"):
            raise ArgumentTypeError("x", "have a shape (n, d), a dtype and slices", type(x).__name__)
        if len(shape) != 2 or not all(isinstance(length, int | np.integer) and length > 0 for length in shape):
            raise ArgumentError("x", "have shape (n, d) with n, d ≥ 1", str(tuple(shape)))
        self.x, self.shape = x, (int(shape[0]), int(shape[1]))
        self.dtype = arrays.to_numpy("x", x[:1]).dtype
        self.weights = arguments.weights("sample_weight", sample_weight, self.shape[0])
        self.labels = None if labels is None else whole("labels", labels, (self.shape[0],), "row")

    def blocks(self, size: int) -> Iterator[Block]:
        for start in range(0, self.shape[0], size):
            own = slice(start, min(start + size, self.shape[0]))
            beside = (None if part is None else part[own] for part in (self.weights, self.labels))
            yield Block(self._read(own), *beside)

    def rows_at(self, index: Any) -> Any:
        """By slices that hold some of them: not every library reads single rows, and few do it fast."""
        parts = []
        for start in np.unique(index // _BLOCK) * _BLOCK:
            first, last = np.searchsorted(index, (start, start + _BLOCK))
            own = index[first:last]
            parts.append(self._read(slice(int(own[0]), int(own[-1]) + 1))[own - own[0]])
        return np.concatenate(parts) if parts else np.empty((0, self.shape[1]), self.dtype)

    def fingerprint(self) -> bytes:
        return digest_of(self.blocks(_BLOCK), f"{self.dtype} {self.shape}")

    def _read(self, own: slice) -> Any:
        rows = arrays.to_numpy("x", self.x[own])
        wanted = own.stop - own.start, self.shape[1]
        if rows.shape != wanted:
            wants = f"give rows {own.start} to {own.stop - 1} as {wanted}, as its shape says"
            raise ArgumentError("x", wants, str(rows.shape))
        return rows
