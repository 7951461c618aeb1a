"""How rows are laid out for the device: rows minor, in few lengths, where XLA takes them as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.rows.source import RowSource

_BLOCK = 1 << 16
# Where XLA takes arrays of the host as they are, without a copy.
_ALIGNED_BYTES = 64


class Laid(NamedTuple):
    """Rows as they will lie on the device, NumPy.

    Attributes:
        x: (d, m), padded with zeros.
        weights: (m,), 0 where there is no row.
        total_weight: (), their sum.
    """

    x: Any
    weights: Any
    total_weight: Any


def laid_out(source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, slots: int) -> Laid:
    """`transform` of a source's rows (b, d), which gives (d, b) in float64, in so many `slots`, block by block."""
    n, d = source.shape
    x, start = aligned_zeros((d, slots), dtype), 0
    for block in source.blocks(_BLOCK):
        stop = start + len(block.x)
        x[:, start:stop] = transform(block.x)
        start = stop
    weights = np.zeros(slots, dtype)
    weights[:n] = 1 if source.weights is None else source.weights
    x[:, weights == 0] = 0  # 0 · ∞ is no nothing: a row without weight must not overflow in a product
    return Laid(x, weights, summed_weight(source, dtype))


def summed_weight(source: RowSource, dtype: np.dtype) -> Any:
    """The weight of all rows, (), added up in float64."""
    total = source.shape[0] if source.weights is None else np.sum(source.weights, dtype=np.float64)
    return np.asarray(total, dtype)


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """An aligned array of zeros."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _ALIGNED_BYTES, np.uint8)
    start = -raw.ctypes.data % _ALIGNED_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)
