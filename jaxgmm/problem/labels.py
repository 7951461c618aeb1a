"""Labels of some rows: which components they may come from, as users say it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxgmm.inputs import arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError

UNKNOWN = -1


class Labels(NamedTuple):
    """Checked labels.

    Attributes:
        label: (n,), for every row a row of `possible`.
        possible: (l + 1, k), which components each label allows; last all, for rows without a label.
    """

    label: Any
    possible: Any

    def of(self, kept: Any) -> Labels:
        """Those of the rows `kept`."""
        return self._replace(label=self.label[kept])

    @property
    def owners(self) -> Any:
        """(n,), every row's component, where all are known; else None."""
        alone = self.possible.sum(axis=1) == 1
        return np.argmax(self.possible, axis=1)[self.label] if alone[self.label].all() else None


def checked_labels(labels: Any, component_labels: Any, n: int, k: int, present: Any = slice(None)) -> Labels | None:
    """`labels` of `n` rows, with those of `k` components; None where nothing is known. `present` are rows with weight.

    Raises:
        ValueError, TypeError: naming what does not fit.
    """
    if labels is None:
        if component_labels is not None:
            hint = "they say which labels components have"
            raise ArgumentError("component_labels", "be left out where there are no labels", None, hint)
        return None
    label = _whole("labels", labels, (n,), "row")
    own = np.arange(k) if component_labels is None else _whole("component_labels", component_labels, (k,), "component")
    names = np.unique(own[own != UNKNOWN])
    lost = ~np.isin(label, (*names, UNKNOWN))
    if lost.any():
        row = int(np.argmax(lost))
        wanted = f"0 … {k - 1}" if component_labels is None else f"among {names.tolist()}"
        raise ArgumentError("labels", f"be {wanted}, or -1 where unknown", f"{label[row]} at row {row}")
    if (label == UNKNOWN).all():
        return None
    possible = np.concatenate([own == names[:, None], np.ones((1, k), bool)])
    _check_room(label[present], own, names)
    return Labels(np.where(label == UNKNOWN, len(names), np.searchsorted(names, label)), possible)


def _check_room(label: Any, own: Any, names: Any) -> None:
    """Refuses labels of rows with weight that leave some component without a row."""
    if (label == UNKNOWN).any():
        return
    if (own == UNKNOWN).any():
        k = int(np.argmax(own == UNKNOWN))
        wants = "not be -1 where all rows have a label"
        raise ArgumentError("component_labels", wants, f"-1 for component {k}")
    for name in names:
        held, wanted = np.count_nonzero(label == name), np.count_nonzero(own == name)
        if held < wanted:
            parts = "component" if wanted == 1 else "components"
            got = f"{held} with label {name} for {wanted} {parts}"
            raise ArgumentError("labels", "leave rows for every component", got)


def _whole(name: str, value: Any, shape: tuple[int, ...], what: str) -> Any:
    array = arrays.to_numpy(name, value)
    if array.dtype.kind not in "iu":
        raise ArgumentTypeError(name, "be integers, -1 where unknown", f"dtype {array.dtype}")
    if array.shape != shape:
        raise ArgumentError(name, f"have shape {shape}, one a {what}", str(array.shape))
    if array.min() < UNKNOWN:
        raise ArgumentError(name, "be at least -1", f"{array.min()} for {what} {int(np.argmin(array))}")
    return array.astype(np.int64)
