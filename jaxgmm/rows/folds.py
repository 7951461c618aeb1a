"""Rows in folds, of which every restart may leave out another one: one pass serves them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from jaxgmm.inputs.typing import Array
from jaxgmm.rows.base import ChunkFunction, Rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FoldedRows:
    """A place for rows, and a fold for each of them.

    Leaving a fold out is a matter of weights: rows, and whatever is computed from them alone, are the same for all
    restarts, so that they still share every read and the wide product.

    Attributes:
        rows: all of them.
        fold: (m,), the number of each row's fold, for every slot.
        total_weights, counts: (f + 1,), weight and number of the rows that are left without fold 0, 1, …; last those
            of all rows.
    """

    rows: Rows
    fold: Int[Array, " m"]
    total_weights: Float[Array, " f+1"]
    counts: Int[Array, " f+1"]

    @property
    def total_weight(self) -> Float[Array, ""]:
        return self.rows.total_weight

    @property
    def n_rows(self) -> Int[Array, ""]:
        return self.rows.n_rows

    @property
    def n_features(self) -> int:
        return self.rows.n_features

    @property
    def n_slots(self) -> int:
        return self.rows.n_slots

    @property
    def whitener(self) -> Float[Array, "d d"] | None:
        return self.rows.whitener

    def possible(self, index: Int[Array, " b"]) -> Bool[Array, "k b"] | None:
        return self.rows.possible(index)

    def total(self, function: ChunkFunction, chunk: int) -> tuple[Any, Any]:
        return self.rows.total(function, chunk)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Remaining(FoldedRows):
    """The rows without one fold."""

    left_out: Int[Array, ""]

    @property
    def total_weight(self) -> Float[Array, ""]:
        return self.total_weights[self.left_out]

    @property
    def n_rows(self) -> Int[Array, ""]:
        return self.counts[self.left_out]

    def total(self, function: ChunkFunction, chunk: int) -> tuple[Any, Any]:
        def kept(x: Array, w: Array, index: Array) -> Any:
            return function(x, jnp.where(self.fold[index] == self.left_out, 0, w), index)

        return self.rows.total(kept, chunk)


def without(rows: Rows, fold: Int[Array, ""] | None) -> Rows:
    """`rows` less those of one fold; all of them for None, or for the number after the last."""
    if fold is None:
        return rows
    assert isinstance(rows, FoldedRows)
    return _Remaining(rows.rows, rows.fold, rows.total_weights, rows.counts, fold)
