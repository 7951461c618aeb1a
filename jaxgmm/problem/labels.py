"""Labels of some rows: which components they may come from, as users say it."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.rows.labels import UNKNOWN, Labels, whole


def checked_labels(label: Any, component_labels: Any, k: int, present: Any = slice(None)) -> Labels | None:
    """What labels (n,) mean, with those of `k` components; None where nothing is known. `present` are rows with weight.

    Raises:
        ValueError, TypeError: naming what does not fit.
    """
    if label is None:
        if component_labels is not None:
            hint = "they say which labels components have"
            raise ArgumentError("component_labels", "be left out where there are no labels", None, hint)
        return None
    own = np.arange(k) if component_labels is None else whole("component_labels", component_labels, (k,), "component")
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
    return Labels(names, possible)


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
