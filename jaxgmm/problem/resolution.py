"""How fine the rows themselves are: the narrowest scale they show, and the steps their values are rounded to.

A component narrower than that in some direction owes its likelihood to the ridge, or to values that repeat. Both follow
from how rows lie among their neighbours, feature by feature, which a few far rows or a heavy tail cannot change.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.rows import ArraySource, RowSource

# Rows that are looked at.
_LOOKED_AT = 256
# The narrowest interval with this share of the rows tells the scale, a wider one where all its rows are equal.
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.95, 1.0)
# Fewer values lie on a grid by chance.
_FEWEST = 8
#: a component may be as narrow as this part of the narrowest scale: the root of the ridge that is added by default
NARROW = 1e-3
# Values are multiples of a step where their distances are whole to this share of it. Steps are found as a greatest
# common divisor is, by remainders, in so many rounds.
_WHOLE, _ROUNDS = 0.01, 6


class Widths(NamedTuple):
    """Widths per feature, (d,), float64, that components are held against; 0 where nothing is to be said of them.

    Attributes:
        ridge: what every component owes to the ridge.
        floor: the same where it is far narrower than the data: all that is left of a component that collapses.
        spike: what a component on a handful of rows must be wider than.
        resolution: the width below which a component says nothing of the rows but how they were written down.
        usual: the narrowest scale that the rows show.
    """

    ridge: Any
    floor: Any
    spike: Any
    resolution: Any
    usual: Any

    @property
    def limit(self) -> Any:
        """As wide a component must be, in every direction, for its rows to be as wide as the resolution."""
        return np.sqrt(self.ridge**2 + self.resolution**2)


def narrowest_scale(ordered: SortedValues, scale: Any) -> Any:
    """The standard deviation of a normal about as dense as the densest rows are; at most `scale`, 0 for equal rows.

    Args:
        ordered: see there.
        scale: (..., d), standard deviations.
    """
    found = np.zeros(scale.shape)
    for share in _SHARES:
        # What a standard normal needs for as many rows about its mode.
        usual = 2 * NormalDist().inv_cdf(0.5 + 0.5 * min(share, 0.99))
        found = np.where(found > 0, found, _narrowest_interval(ordered, share) / usual)
    return np.minimum(np.where(found > 0, found, scale), scale)


def _narrowest_interval(ordered: SortedValues, share: float) -> Any:
    """The length of the shortest interval with this share of the weight, its ends included: (..., d)."""
    values, weights = ordered
    m = values.shape[-1]
    if weights is None:
        steps = max(0, int(np.ceil(share * m - 1e-9)) - 1)
        return np.min(values[..., steps:] - values[..., : m - steps], axis=-1)
    shortest = []
    for column, own in zip(values, weights, strict=True):  # of one data set
        reached = np.cumsum(own)
        before = reached - own
        last = np.searchsorted(reached, before + (share - 1e-9) * reached[-1])
        there = last < m
        shortest.append(np.min(column[last[there]] - column[there]) if there.any() else np.inf)
    return np.array(shortest)


def rounding_step(ordered: SortedValues, narrowest: Any, dtype: np.dtype) -> Any:
    """The step h of a grid that all values lie on, k · h + c, (..., d); 0 for none, or one too fine to matter.

    Args:
        ordered, narrowest: see there.
        dtype: what the rows came in, whose own rounding is no step.
    """
    none = np.zeros_like(narrowest)
    values = ordered.values
    if values.shape[-1] < _FEWEST:
        return none
    gaps = np.diff(values, axis=-1)
    eps = np.finfo(dtype).eps if dtype.kind == "f" else np.finfo(np.float64).eps
    noise = 16 * eps * np.maximum(np.abs(values[..., 0]), np.abs(values[..., -1]))
    least = np.maximum(noise, NARROW * narrowest)
    step = _smallest(gaps, noise)
    for _ in range(_ROUNDS):
        coarse = np.isfinite(step) & (step > least)
        if not coarse.any():  # as where values are continuous: two of so many lie close together
            return none
        step = np.where(coarse, step, 1.0)
        whole = np.rint(gaps / step[..., None]) * step[..., None]
        rest = np.where(coarse, _smallest(np.abs(gaps - whole), np.maximum(noise, _WHOLE * step)), np.nan)
        if np.all(np.isinf(rest) | ~coarse):
            return np.where(coarse, step, 0.0)
        step = np.where(np.isinf(rest), step, rest)
    return np.where(coarse & np.isinf(rest), step, 0.0)


def _smallest(values: Any, above: Any) -> Any:
    """The smallest of `values` along the last axis that is more than `above`; infinite where none is."""
    return np.min(np.where(values > above[..., None], values, np.inf), axis=-1)


class SortedValues(NamedTuple):
    """Values of some rows, ascending in each column, (..., d, m), and their weights; None where those are equal."""

    values: Any
    weights: Any


def fineness(source: RowSource, scale: Any) -> tuple[Any, Any]:
    """`narrowest_scale` and `rounding_step` of each column, (d,); `scale` are its standard deviations.

    Rows without weight are not looked at.
    """
    return _fineness(_ordered(source), scale, source.dtype)


def fineness_of_many(x: Any, sample_weight: Any, scale: Any) -> tuple[Any, Any]:
    """The same of many data sets, (p, n, d) with weights (p, n): (p, d). What is found for one depends on it alone."""
    narrowest, step = np.empty(scale.shape), np.empty(scale.shape)
    present = sample_weight > 0
    counts = np.count_nonzero(present, axis=1)
    first = np.arange(x.shape[1]) < counts[:, None]
    largest = np.max(sample_weight, axis=1, keepdims=True)
    alike = np.all((present == first) & (~present | (sample_weight == largest)), axis=1)
    for n in np.unique(counts[alike]):
        these = np.flatnonzero(alike & (counts == n))
        values = np.swapaxes(x[these][:, _chosen(int(n))], 1, 2).astype(np.float64, order="C")
        ordered = SortedValues(np.sort(values, axis=-1), None)  # fast along what is contiguous
        narrowest[these], step[these] = _fineness(ordered, scale[these], x.dtype)
    for i in np.flatnonzero(~alike):
        narrowest[i], step[i] = fineness(ArraySource(x[i], sample_weight[i]), scale[i])
    return narrowest, step


def _fineness(ordered: SortedValues, scale: Any, dtype: np.dtype) -> tuple[Any, Any]:
    narrowest = narrowest_scale(ordered, scale)
    return narrowest, rounding_step(ordered, narrowest, dtype)


def _chosen(n: int) -> Any:
    """Numbers of rows to look at, always the same."""
    if n <= _LOOKED_AT:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _LOOKED_AT, replace=False, shuffle=False))


def _ordered(source: RowSource) -> SortedValues:
    """The values of one data set."""
    w = None if source.weights is None else np.asarray(source.weights, np.float64)
    present = None if w is None else np.flatnonzero(w)
    index = _chosen(source.shape[0]) if present is None else present[_chosen(len(present))]
    columns = np.ascontiguousarray(np.asarray(source.rows_at(index), np.float64).T)
    if w is None or np.ptp(w[present]) == 0:
        return SortedValues(np.sort(columns, axis=-1), None)
    order = np.argsort(columns, axis=-1, kind="stable")
    return SortedValues(np.take_along_axis(columns, order, axis=-1), w[index][order])
