"""What tells the restarts of one batch apart for good: their components, their keys, the rows they see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows
from jaxgmm.rows.folds import without


@trees.register_dataclass
@dataclass(frozen=True)
class Tags:
    """Leading axis r.

    Attributes:
        present: (r, k), which components there are. An absent one only fills the batch up to a common k: its weight
            is exactly 0, it holds no rows, stays as it is, and nothing is ever wrong with it. Not beside a prior,
            which would give it pseudo-rows.
        number: what a restart's keys are folded with.
        fold: the number of the fold that a restart does not see, of `rows.folds.FoldedRows`; None where all restarts
            see all rows.
    """

    present: Bool[Array, "r k"]
    number: Int[Array, " r"]
    fold: Int[Array, " r"] | None = None

    @classmethod
    def plain(cls, mixtures: Mixture) -> Tags:
        """Every component, every row, and keys in order."""
        r, k = mixtures.weights.shape
        # NumPy's: nothing is compiled for them.
        return cls(np.ones((r, k), bool), np.arange(r, dtype=np.int32))


def total_weight(rows: Rows, tags: Tags) -> Float[Array, " r"]:
    """The weight of the rows that each restart sees."""
    seen = without(rows, tags.fold).total_weight  # of many folds many
    return namespace(seen).broadcast_to(seen, tags.number.shape)


def n_rows(rows: Rows, tags: Tags) -> Int[Array, " r"]:
    """How many rows each restart sees."""
    seen = without(rows, tags.fold).n_rows
    return namespace(seen).broadcast_to(seen, tags.number.shape)
