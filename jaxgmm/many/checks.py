"""Many data sets before a fit: which need a closer look, and one warning for all of them."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from jaxgmm.families import Family
from jaxgmm.inputs import telling
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Bool, Float, Num
from jaxgmm.problem.checks import HEAVY_RIDGE, RANGE, WEIGHTS, WORN, DataWarning, check_data, varies, wear
from jaxgmm.problem.summary import DataSummary
from jaxgmm.rows import ArraySource

# Rows for each component among which K different ones are usually found.
_DISTINCT = 8


def unremarkable(
    x: Num[np.ndarray, "p n d"], sample_weight: Float[np.ndarray, "p n"], summary: DataSummary, family: type[Family],
    n_components: int, reg_covar: float | Literal["auto"], dtype: np.dtype,
) -> Bool[np.ndarray, " p"]:  # fmt: skip
    """Which of many data sets, (p, n, d) in the dtype they came in, `check_data` surely has nothing to say of: (p,).

    Rows without weight are one of the others.
    """
    n = np.count_nonzero(sample_weight, axis=-1)
    largest, total = np.max(sample_weight, axis=-1), np.sum(sample_weight, axis=-1, dtype=np.float64)
    fine = (largest >= WEIGHTS[dtype][0]) & (total <= WEIGHTS[dtype][1])
    traits = family.traits
    # Of discrete values one column says little of how many rows differ.
    first = x[:, :0, 0] if traits.support.discrete else x[:, : _DISTINCT * n_components, 0]
    fine &= 1 + np.count_nonzero(np.diff(np.sort(first, axis=-1), axis=-1), axis=-1) >= n_components
    if traits.support.discrete:
        return fine
    size = np.maximum(np.abs(summary.lowest), np.abs(summary.highest))
    good = varies(summary) & (size <= RANGE[dtype][1]) & (summary.scale >= RANGE[dtype][0])
    if not traits.has_width:
        return fine & good.all(axis=(-2, -1))
    good &= wear(x, summary) <= WORN
    if x.dtype.kind in "iu":
        good &= size <= 2.0 ** (24 if dtype == np.float32 else 53)
    if not isinstance(reg_covar, str):
        good &= np.sqrt(reg_covar) <= np.sqrt(HEAVY_RIDGE) * summary.scale
    return fine & good.all(axis=(-2, -1)) & (n >= x.shape[-1])


def looked_at(i: int, x: Any, weights: Any, *rest: Any) -> list[tuple[int, str]]:
    """What `check_data` has to say of data set `i`."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            check_data(ArraySource(x, weights), *rest)
        except ArgumentError as error:
            raise error.of(f"{error.argument}[{i}]") from None
    return [(i, str(warning.message)) for warning in heard]


def warn_of_data(complaints: list[tuple[int, str]]) -> None:
    """One warning for all data sets with something to warn of."""
    if complaints:
        i, message = complaints[0]
        more = len({number for number, _ in complaints}) - 1
        others = f"; {more} more data sets have warnings of their own" if more else ""
        telling.warn(f"x[{i}]: {message}{others}", DataWarning)
