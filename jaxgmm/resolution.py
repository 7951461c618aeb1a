"""How fine the rows themselves are: the narrowest scale they show, and the steps their values are rounded to.

A component narrower than that in some direction owes its likelihood to the ridge, or to values that repeat. Both follow
from how rows lie among their neighbours, feature by feature, which a few far rows or a heavy tail cannot change.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

# Rows that are looked at.
_LOOKED_AT = 256
# The narrowest interval with this share of the rows, and this many, tells the scale; wider ones where its rows are
# equal.
_SHARES, _FEWEST = (0.05, 0.1, 0.25, 0.5, 0.75, 0.95, 1.0), 8
#: a component may be as narrow as this part of the narrowest scale: the root of the ridge that is added by default
NARROW = 1e-3
# Values are multiples of a step where their distances are whole to this share of it. Steps are found as a greatest
# common divisor is, by remainders, in so many rounds.
_WHOLE, _ROUNDS = 0.01, 6


class Widths(NamedTuple):
    """Widths per feature, (d,), float64, that components are held against; 0 where nothing is to be said of them.

    Attributes:
        ridge: what every component owes to the ridge.
        floor: the width of a spike on a handful of rows.
        resolution: the width below which a component says nothing of the rows but how they were written down.
    """

    ridge: Any
    floor: Any
    resolution: Any

    @property
    def limit(self) -> Any:
        """As wide a component must be, in every direction, for its rows to be as wide as the resolution."""
        return np.sqrt(self.ridge**2 + self.resolution**2)


def narrowest_scale(ordered: Any, scale: Any) -> Any:
    """The standard deviation of a normal about as dense as the densest rows are; at most `scale`, 0 for equal rows.

    Args:
        ordered: values of equal weight, ascending, (..., d, m); see `ordered_values`.
        scale: (..., d), standard deviations.
    """
    m = ordered.shape[-1]
    found = np.zeros(scale.shape)
    for share in _SHARES:
        steps = min(max(_FEWEST, round(share * m)), m - 1)
        if steps < 1:
            break
        width = np.min(ordered[..., steps:] - ordered[..., :-steps], axis=-1)
        # What a standard normal needs for as many rows about its mode.
        usual = 2 * NormalDist().inv_cdf(0.5 + 0.5 * steps / (m + 1))
        found = np.where(found > 0, found, width / usual)
    return np.minimum(np.where(found > 0, found, scale), scale)


def rounding_step(ordered: Any, narrowest: Any, dtype: np.dtype) -> Any:
    """The step h of a grid that all values lie on, k · h + c, (..., d); 0 for none, or one too fine to matter.

    Args:
        ordered, narrowest: as `narrowest_scale` has them.
        dtype: what the rows came in, whose own rounding is no step.
    """
    none = np.zeros_like(narrowest)
    if ordered.shape[-1] < _FEWEST:
        return none
    gaps = np.diff(ordered, axis=-1)
    eps = np.finfo(dtype).eps if dtype.kind == "f" else np.finfo(np.float64).eps
    noise = 16 * eps * np.maximum(np.abs(ordered[..., 0]), np.abs(ordered[..., -1]))
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


def ordered_values(x: Any, sample_weight: Any) -> Any:
    """Some values of each column of `x`, (n, d) or (p, n, d), ascending and of equal weight: float64, (..., d, m).

    Args:
        sample_weight: (n,), (p, n) or None; rows without weight are not looked at.
    """
    if x.ndim == 2:
        return _ordered(*_some(x, sample_weight))
    if _odd(sample_weight):
        parts = [_ordered(*_some(rows, w)) for rows, w in zip(x, sample_weight, strict=True)]
        m = min(part.shape[1] for part in parts)
        return np.stack([part[:, _levels(m, part.shape[1])] for part in parts])
    index = _chosen(x.shape[1])
    present = sample_weight[:, index] > 0
    values = np.swapaxes(x[:, index], 1, 2).astype(np.float64, order="C")  # sorting is fast along what is contiguous
    ordered = np.sort(np.where(present[:, None], values, np.inf), axis=-1)
    counts = np.maximum(np.count_nonzero(present, axis=1), 1)
    m = int(counts.min())
    if m == ordered.shape[-1]:
        return ordered
    places = np.stack([_levels(m, int(n)) for n in counts])
    return np.take_along_axis(ordered, places[:, None], axis=-1)


def _odd(weights: Any) -> bool:
    """Whether rows with weight do not all count alike in every data set."""
    largest = np.max(weights, axis=1, keepdims=True)
    return not np.all((weights == 0) | (weights == largest))


def _chosen(n: int) -> Any:
    """Numbers of rows to look at, always the same."""
    if n <= _LOOKED_AT:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _LOOKED_AT, replace=False, shuffle=False))


def _some(x: Any, w: Any) -> tuple[Any, Any]:
    present = np.arange(len(x)) if w is None else np.flatnonzero(w)
    index = present[_chosen(len(present))]
    return np.asarray(x[index], np.float64), None if w is None else np.asarray(w, np.float64)[index]


def _ordered(x: Any, w: Any) -> Any:
    columns = np.ascontiguousarray(x.T)
    if w is None or np.ptp(w) == 0:
        return np.sort(columns, axis=-1)
    order = np.argsort(columns, axis=-1, kind="stable")
    levels = (np.arange(len(x)) + 0.5) / len(x)
    taken = []
    for column, own in zip(columns, order, strict=True):
        reached = np.cumsum(w[own])
        place = np.minimum(np.searchsorted(reached, levels * reached[-1]), len(x) - 1)
        taken.append(column[own[place]])
    return np.stack(taken)


def _levels(m: int, n: int) -> Any:
    """`m` of `n` places, evenly."""
    return ((np.arange(m) + 0.5) * n / m).astype(np.int64)
