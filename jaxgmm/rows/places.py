"""Which place rows are put in: one array on one device, in cells or not; for many data sets one array for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from jaxgmm.rows.base import ArrayRows, Chunk, Rows, Sample
from jaxgmm.rows.cell_rows import CellRows
from jaxgmm.rows.cells import Cells, laid_about, laid_in_cells
from jaxgmm.rows.folds import FoldedRows
from jaxgmm.rows.frames import PROBES, Frame
from jaxgmm.rows.labels import Known, Labels
from jaxgmm.rows.source import RowSource


def placed(
    source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, whitener: Any = None,
    labels: Labels | None = None, cells: Cells | None = None,
) -> Rows:  # fmt: skip
    """`transform` of a source's rows, where passes will read them: in cells, or as they are."""
    if cells is not None:
        return laid_in_cells(source, transform, dtype, cells, whitener, labels)
    return ArrayRows.from_source(source, transform, dtype, whitener, labels)


def beside_one_another(x: Any, weights: Any, total_weight: Any, n_rows: Any, whitener: Any = None) -> Sample:
    """Data sets as they will lie on the device, NumPy, in the dtype of `x`; `jax.vmap` gives each of them as `Rows`.

    Args:
        x: (p, d, m), rows minor; what has no weight is set to 0 there.
        weights: (p, m), 0 where there is no row.
        total_weight: (p,), their sums.
        n_rows: (p,).
        whitener: (p, d, d), or None.
    """
    x *= (weights > 0)[:, None]
    whitener = None if whitener is None else whitener.astype(x.dtype)
    some = np.arange(PROBES)[:, None] * n_rows // PROBES  # of each data set rows from everywhere
    probe: Any = np.take_along_axis(x, some.T[:, None], axis=-1)
    frame = Frame(probe if whitener is None else whitener @ probe, whitener)
    held: Any = {"weights": weights.astype(x.dtype), "total_weight": total_weight.astype(x.dtype)}
    return ArrayRows(x=x, n_rows=n_rows.astype(np.int32), frame=frame, **held)


def in_one_array(x: Any, weights: Any, rows: Rows) -> Rows:
    """Some of `rows`, (d, b) and (b,), numbered from 0, of which nothing is known. Pure."""
    return ArrayRows(x, weights, rows.total_weight, rows.n_rows, rows.frame)


def further_on(some: Chunk, first: Any, known: Known | None) -> Chunk:
    """`some` rows with `first` added to their numbers, and what is `known` of rows by these. Pure."""
    index = some.index + first
    return replace(some, index=index, possible=None if known is None else known.of(index))


def anew_about(rows: Rows, components: Any, weights: Any) -> Rows | None:
    """The same rows laid out anew about `components`, NumPy; None where rows have no cells."""
    if isinstance(rows, FoldedRows):
        inner = anew_about(rows.rows, components, weights)
        return None if inner is None else replace(rows, rows=inner)
    return laid_about(rows, components, weights) if isinstance(rows, CellRows) else None
