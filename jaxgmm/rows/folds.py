"""Rows in folds, of which every restart may leave out another one: one pass serves them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Float, Int
from jaxgmm.rows.base import CellSums, Chunk, Operand, Rows
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known
from jaxgmm.rows.sums import Compensated, Sums


@trees.register_dataclass
@dataclass(frozen=True)
class FoldedRows(Rows):
    """A place for rows, and a fold for each of them.

    Leaving a fold out is a matter of weights: rows, and whatever is computed from them alone, are the same for all
    restarts, so that they still share every read and the wide product.

    Attributes:
        rows: all of them.
        fold: (m,), the number of each row's fold, for every slot.
        total_weights, counts: (f + 1,), weight and number of the rows that are left without fold 0, 1, …; last those
            of all rows.
        left_out: the number of the fold without which these rows are; None for all rows. In NumPy restarts may each
            have their own, (r,).
    """

    rows: Rows
    fold: Int[Array, " m"]
    total_weights: Float[Array, " f+1"]
    counts: Int[Array, " f+1"]
    left_out: Int[Array, "*r"] | None = None

    @property
    def total_weight(self) -> Float[Array, "*r"]:
        return self.rows.total_weight if self.left_out is None else self.total_weights[self.left_out]

    @property
    def n_rows(self) -> Int[Array, "*r"]:
        return self.rows.n_rows if self.left_out is None else self.counts[self.left_out]

    @property
    def on_host(self) -> bool:
        return self.rows.on_host

    @property
    def is_far(self) -> bool:
        return self.rows.is_far

    def agreed(self, value: int) -> int:
        return self.rows.agreed(value)

    @property
    def n_read_now(self) -> int:
        return self.rows.n_read_now

    def attended(self, call: Callable[[], Any], told: Callable[[], bool] | None = None) -> Any:
        return self.rows.attended(call, told)

    @property
    def n_features(self) -> int:
        return self.rows.n_features

    @property
    def n_slots(self) -> int:
        return self.rows.n_slots

    @property
    def frame(self) -> Frame | None:  # type: ignore[override]
        return self.rows.frame

    @property
    def known(self) -> Known | None:  # type: ignore[override]
        return self.rows.known

    def row_weights(self) -> Any:
        weights = self.rows.row_weights()
        if self.left_out is None:
            return weights
        kept = (np.asarray(self.fold) != self.left_out)[: int(self.rows.n_rows)]
        return kept.astype(self.dtype) if weights is None else np.where(kept, weights, 0)

    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        if self.left_out is None:
            return self.rows.total(function, operand, chunk)

        def of_the_others(held: tuple[Operand, Array, Array], rows: Chunk) -> Sums:
            operand, fold, left_out = held
            return function(operand, _others(rows, fold, left_out))

        return self.rows.total(of_the_others, (operand, self.fold, self.left_out), chunk)

    def total_by_cell(self, local: CellSums, operand: Any, chunk: int) -> Compensated[Any]:
        if self.left_out is None:
            return self.rows.total_by_cell(local, operand, chunk)
        return self.rows.total_by_cell(_OfTheOthers(local), (operand, self.fold, self.left_out), chunk)


@dataclass(frozen=True)
class _OfTheOthers(CellSums):
    """Sums over all rows but those of a fold; the operand is that of `local`, all folds, and the one left out."""

    local: CellSums

    def localise(self, operand: Any, frame: Frame) -> Any:
        return self.local.localise(operand[0], frame), *operand[1:]

    def chunk(self, prepared: Any, some: Chunk) -> Any:
        return self.local.chunk(prepared[0], _others(some, *prepared[1:]))

    def gather(self, prepared: Any, sums: Compensated[Any]) -> Compensated[Any]:
        return self.local.gather(prepared[0], sums)


def _others(rows: Chunk, fold: Int[Array, " m"], left_out: Int[Array, "*r"]) -> Chunk:
    own = fold[rows.index]
    others = own != (left_out[..., None] if np.ndim(left_out) else left_out)
    return replace(rows, weights=namespace(own, rows.weights).where(others, rows.weights, 0))


def without(rows: Rows, fold: Int[Array, "*r"] | None) -> Rows:
    """`rows` less those of one fold; all of them for None, or for the number after the last."""
    if fold is None:
        return rows
    assert isinstance(rows, FoldedRows)
    return replace(rows, left_out=fold)
