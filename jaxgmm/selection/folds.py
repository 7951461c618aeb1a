"""Rows dealt to folds that are kept back together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxgmm.inputs.lazily import jnp
from jaxgmm.inputs.randomness import fold_key, generator
from jaxgmm.inputs.threefry import Words
from jaxgmm.inputs.typing import Float, Int
from jaxgmm.problem.pose import Problem
from jaxgmm.rows import Rows, RowSource
from jaxgmm.rows.folds import FoldedRows
from jaxgmm.rows.source import Chosen


@dataclass(frozen=True)
class Folds:
    """Which rows are kept back together.

    Attributes:
        fold: (n,), each row's number; −1 for those that never are.
        number: how many folds there are.
    """

    fold: Int[np.ndarray, " n"]
    number: int

    @classmethod
    def none(cls, n: int) -> Folds:
        return cls(np.full(n, -1, np.int32), 0)

    @classmethod
    def dealt(cls, key: Words, n: int, number: int) -> Folds:
        """Every row into one of `number` folds, whose sizes differ by one at most."""
        return cls((_permutation(key, n) % number).astype(np.int32), number)

    @classmethod
    def split(cls, key: Words, n: int, held_out: int) -> Folds:
        """So many rows into one fold, the others into none."""
        return cls(np.where(_permutation(key, n) < held_out, 0, -1).astype(np.int32), 1)

    @property
    def where(self) -> str:
        """What a count of rows to fit is a count in, as words after it."""
        return " outside every fold" if self.number else ""

    def training(self, source: RowSource) -> Iterator[RowSource]:
        """The rows left without each fold; all rows if there are no folds."""
        if not self.number:
            yield source
        for fold in range(self.number):
            yield Chosen(source, self.fold != fold)

    def rows(self, problem: Problem, sample_weight: Float[np.ndarray, " n"] | None) -> Rows:
        """The problem's rows, with folds if there are any."""
        if not self.number:
            return problem.rows
        held = np.concatenate([np.bincount(self.fold[self.fold >= 0], minlength=self.number), [0]])
        w = np.ones(len(self.fold)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        kept = [np.sum(w[self.fold != fold]) for fold in range(self.number + 1)]
        padding = problem.rows.n_slots - len(self.fold)
        beside = (
            np.pad(self.fold, (0, padding), constant_values=-1),
            np.array(kept, problem.dtype),
            (len(self.fold) - held).astype(np.int32),
        )
        return FoldedRows(problem.rows, *(beside if problem.rows.on_host else map(jnp.asarray, beside)))


def _permutation(key: Words, n: int) -> Int[np.ndarray, " n"]:
    return generator(fold_key(key)).permutation(n)
