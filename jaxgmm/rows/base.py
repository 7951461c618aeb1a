"""Where rows live, said once: a place for rows can sum a function over all of them.

A row source is a pytree with

    total(function, chunk) -> (value, error)

where `function(x, w, index)` sees a chunk of rows, x (d, b) with rows minor, their weights w (b,) and their row
numbers index (b,), and returns a pytree of sums over them. `value + error` is the sum over all rows: `error` is what
rounding dropped from `value`. Rows with weight 0 must add nothing: that is how chunks are padded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from jaxgmm.inputs.typing import Array

ChunkFunction = Callable[[Float[Array, "d b"], Float[Array, " b"], Int[Array, " b"]], Any]

# Measured on CPU: fastest when what a chunk touches stays near the caches, yet every product is wide enough. Within a
# chunk sums are not compensated: their error grows with its rows, and above 2048 little speed is left to gain.
_CHUNK_ELEMENTS = 1 << 20
_CHUNK_ROWS = (128, 2048)


class Rows(Protocol):
    """A place for rows."""

    @property
    def total_weight(self) -> Float[Array, ""]: ...

    @property
    def n_rows(self) -> Int[Array, ""]: ...

    @property
    def n_features(self) -> int: ...

    @property
    def n_slots(self) -> int:
        """Rows with their padding: what a chunk size is chosen against."""
        ...

    @property
    def whitener(self) -> Float[Array, "d d"] | None:
        """What takes the rows to unit covariance, lower triangular, for kernels that need it; None to leave them."""
        ...

    def possible(self, index: Int[Array, " b"]) -> Bool[Array, "k b"] | None:
        """Which components the rows numbered `index` may come from; None, as here, where nothing is known of that."""
        return None

    def total(self, function: ChunkFunction, chunk: int) -> tuple[Any, Any]: ...


def chunk_size(elements_per_row: int, n_slots: int) -> int:
    """Rows per chunk for a function that holds `elements_per_row` numbers for each: it follows from the shapes."""
    low, high = _CHUNK_ROWS
    wanted = _CHUNK_ELEMENTS // max(elements_per_row, 1)
    chunk = low
    while chunk * 3 // 2 <= wanted and chunk < high:
        chunk *= 2
    return min(chunk, n_slots)


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b and its rounding error, leaf by leaf. (Knuth, TAOCP 2, §4.2.2)"""

    def dropped(x: Array, y: Array, total: Array) -> Array:
        back = total - x
        return (x - (total - back)) + (y - back)

    total = jax.tree.map(jnp.add, a, b)
    return total, jax.tree.map(dropped, a, b, total)


def compensated_add(total: tuple[Any, Any], term: Any) -> tuple[Any, Any]:
    """`total` = (value, error) with `term` added."""
    value, error = total
    value, dropped = two_sum(value, term)
    return value, jax.tree.map(jnp.add, error, dropped)
