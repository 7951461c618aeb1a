"""Rows that are few enough to be computed with in NumPy: nothing is compiled for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Float, Int
from jaxgmm.rows.base import Chunk, InOneArray, Operand
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known, Labels
from jaxgmm.rows.source import RowSource
from jaxgmm.rows.sums import Compensated, Sums

_BLOCK = 1 << 16


@trees.register_dataclass
@dataclass(frozen=True)
class HostRows(InOneArray):
    """Rows in one NumPy array, float64: rows minor, x (d, n), weights (n,), without padding."""

    x: Float[np.ndarray, "d n"]
    weights: Float[np.ndarray, " n"]
    total_weight: Float[np.ndarray, ""]
    n_rows: Int[np.ndarray, ""]
    frame: Frame | None = None
    known: Known | None = None

    @classmethod
    def from_source(
        cls, source: RowSource, transform: Callable[[Any], Any], whitener: Any = None, labels: Labels | None = None
    ) -> HostRows:
        """`transform` of a source's rows (b, d), which gives (d, b); in float64.

        Args:
            whitener: the matrix that takes them to unit covariance; None for none.
            labels: what the labels in the source mean; None where nothing is known.
        """
        x = np.concatenate([transform(block.x) for block in source.blocks(_BLOCK)], axis=1)
        weights = None if source.weights is None else np.asarray(source.weights, np.float64)
        known = None if labels is None else labels.known(source.labels, x.shape[1])
        return cls.of(x, weights, Frame.of_all(x, whitener), known)

    @classmethod
    def of(cls, x: Any, weights: Any = None, frame: Frame | None = None, known: Known | None = None) -> HostRows:
        """Rows (d, n) with these weights, (n,); each counts once for None."""
        weights = np.ones(x.shape[1]) if weights is None else weights
        x = np.where(weights > 0, x, 0.0)  # 0 · ∞ is no nothing
        return cls(x, weights, np.asarray(weights.sum()), np.asarray(x.shape[1], np.int32), frame, known)

    @property
    def on_host(self) -> bool:
        return True

    def row_weights(self) -> Any:
        return self.weights

    def take(self, index: Int[np.ndarray, " b"]) -> HostRows:  # type: ignore[override]
        known = None if self.known is None else self.known.take(index)
        return HostRows.of(self.x[:, index], self.weights[index], self.frame, known)

    def pick(self, index: Any, room: int | None = None) -> HostRows:  # type: ignore[override]
        return self.take(np.asarray(index))

    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        sums = None
        for start in range(0, self.n_slots, chunk):
            index = np.arange(start, min(start + chunk, self.n_slots))
            own = slice(start, start + chunk)
            some = Chunk(self.x[:, own], self.weights[own], index, self.possible(index))
            part = function(operand, some)
            sums = part if sums is None else trees.map(np.add, sums, part)
        return Compensated(sums, trees.map(np.zeros_like, sums))
