"""What is known of the components that rows come from: labels as users say them, and as a pass has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.inputs import arrays, trees
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.typing import Array, Bool, Int

UNKNOWN = -1


class Labels(NamedTuple):
    """What labels mean.

    Attributes:
        names: (l,), the labels that some component has, ascending.
        possible: (l + 1, k), which components each of them allows; last all, for rows without a label.
    """

    names: Any
    possible: Any

    def places(self, label: Any) -> Any:
        """For every label, −1 included, its row in `possible`."""
        return np.where(label == UNKNOWN, len(self.names), np.searchsorted(self.names, label))

    def known(self, label: Any, slots: int) -> Known:
        """What labels (n,) tell of the rows in so many slots, NumPy; whatever where there is no row."""
        own: Any = np.resize(self.places(label), slots).astype(np.int32)
        return Known(own, np.asarray(self.possible))

    def owners(self, label: Any) -> Any:
        """(n,), the component of every row with these labels (n,), where all are known; else None."""
        alone, own = self.possible.sum(axis=1) == 1, self.places(label)
        return np.argmax(self.possible, axis=1)[own] if alone[own].all() else None


@trees.register_dataclass
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


def whole(name: str, value: Any, shape: tuple[int, ...], what: str) -> Any:
    """Labels as int64, of this `shape`, one for every `what`, −1 where unknown.

    Raises:
        ValueError, TypeError: naming what does not fit.
    """
    array = arrays.to_numpy(name, value)
    if array.dtype.kind not in "iu":
        raise ArgumentTypeError(name, "be integers, -1 where unknown", f"dtype {array.dtype}")
    if array.shape != shape:
        raise ArgumentError(name, f"have shape {shape}, one a {what}", str(array.shape))
    if array.min() < UNKNOWN:
        raise ArgumentError(name, "be at least -1", f"{array.min()} for {what} {int(np.argmin(array))}")
    return array.astype(np.int64)
