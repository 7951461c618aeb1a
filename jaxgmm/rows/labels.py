"""What is known of the components that rows come from."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jaxtyping import Bool, Int

from jaxgmm.inputs.typing import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Known:
    """Labels of rows, each of which leaves some components possible.

    Attributes:
        label: (m,), for every slot a row of `possible`.
        possible: (l + 1, k), the components that each label allows; last all of them, for rows without a label.
    """

    label: Int[Array, " m"]
    possible: Bool[Array, "l+1 k"]

    def of(self, index: Int[Array, " b"]) -> Bool[Array, "k b"]:
        """Which components the rows at `index` may come from."""
        return self.possible.T[:, self.label[index]]

    def take(self, index: Int[Array, " b"]) -> Known:
        """What is known of the rows at `index`, in that order."""
        return Known(self.label[index], self.possible)
