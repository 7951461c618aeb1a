"""Places for rows and sources of rows that are no arrays, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxgmm.rows import ArrayRows, Block, Rows, RowSource


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwoArrays(Rows):
    """Rows in two arrays, with nothing written but what must be."""

    first: ArrayRows
    second: ArrayRows

    @property
    def total_weight(self):
        return self.first.total_weight + self.second.total_weight

    @property
    def n_rows(self):
        return self.first.n_rows + self.second.n_rows

    @property
    def n_features(self):
        return self.first.n_features

    @property
    def n_slots(self):
        return self.first.n_slots + self.second.n_slots

    def total(self, function, operand, chunk):
        def further_on(held, rows):
            operand, before = held
            return function(operand, replace(rows, index=rows.index + before))

        first = self.first.total(function, operand, chunk)
        return first + self.second.total(further_on, (operand, self.first.n_rows), chunk)


def captured(function: Any, *args: Any) -> list[Any]:
    """What `function` takes from outside that is traced, beside its arguments."""
    return [held for held in jax.make_jaxpr(function)(*args).consts if isinstance(held, jax.core.Tracer)]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Elsewhere(ArrayRows):
    """Rows that no function may be summed over but one that has all it needs from its operand."""

    def total(self, function, operand, chunk):
        chunk = min(chunk, self.n_slots)
        some = self._chunk(self.x[:, :chunk], self.weights[:chunk], jax.numpy.arange(chunk))
        assert captured(function, operand, some) == []
        return super().total(function, operand, chunk)

    @classmethod
    def of(cls, rows: ArrayRows) -> Elsewhere:
        return cls(rows.x, rows.weights, rows.total_weight, rows.n_rows, rows.frame, rows.known)


class Cards(RowSource):
    """Rows on a stack of cards, so many on each: no array, and blocks of odd lengths."""

    def __init__(self, x, weights=None, labels=None, on_each=777, **said):
        held = Block(x, weights, labels)
        self.cards = [held.at(slice(start, start + on_each)) for start in range(0, len(x), on_each)]
        self.shape, self.dtype = said.get("shape", x.shape), said.get("dtype", x.dtype)
        self.largest = 0

    def blocks(self, size):
        self.largest = max(self.largest, size)
        for card in self.cards:
            for start in range(0, len(card.x), size):
                yield card.at(slice(start, start + size))

    def fingerprint(self):
        return repr([[None if part is None else np.asarray(part).tobytes() for part in card] for card in self.cards]).encode()  # fmt: skip
