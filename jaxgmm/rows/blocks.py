"""Row-by-row results, a block of rows at a time: what is computed for a row never needs all rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import compiled

# Per block the widest intermediate holds about this many numbers, however long the array.
_BLOCK_ELEMENTS = 1 << 22


def blocks(x: Any, elements_per_row: int) -> Iterator[tuple[int, int, Any]]:
    """(start, stop, block) over the rows of `x`; the last block is padded to the size of the others by its last row.

    The size is a power of two that depends on shapes alone, so that few programs are compiled.
    """
    n = len(x)
    size = 256
    while size < n and size * 2 * elements_per_row <= _BLOCK_ELEMENTS:
        size *= 2
    for start in range(0, n, size):
        block = np.asarray(x[start : start + size])
        yield start, min(start + size, n), padded(block, size)


def padded(block: Any, size: int) -> Any:
    """`block`, (b, d), with its last row repeated up to (size, d)."""
    missing = size - len(block)
    return np.concatenate([block, np.repeat(block[-1:], missing, axis=0)]) if missing > 0 else block


@partial(compiled, static_argnames=("function", "batch_axes"))
def _apply(function: Callable[..., Any], batch_axes: int, parameters: Any, block: Any) -> Any:
    for _ in range(batch_axes):
        function = jax.vmap(function, in_axes=(0, None))
    return function(parameters, block.T)


def rowwise(
    function: Callable[[Any, Any], Any],
    parameters: Any,
    x: Any,
    dtype: np.dtype,
    elements_per_row: int,
    batch_axes: int,
) -> Iterator[tuple[int, int, Any]]:
    """`function(parameters, block)` over blocks (d, b) of `x` (n, d); yields (start, stop, results with rows last)."""
    for start, stop, block in blocks(x, elements_per_row):
        yield start, stop, _apply(function, batch_axes, parameters, jnp.asarray(block, dtype))
