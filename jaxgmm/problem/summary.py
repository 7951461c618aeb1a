"""What is known of each feature before a fit: means, spreads, ranges, and how fine the rows are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from jaxgmm.problem.resolution import fineness

_BLOCK = 1 << 16


@dataclass(frozen=True)
class DataSummary:
    """What is known of each feature before a fit: float64, (d,), over rows with weight; of many data sets (p, 1, d).

    Attributes:
        mean, scale: weighted mean and standard deviation.
        lowest, highest: the range.
        narrowest, step: the narrowest scale the rows show, and the steps they are rounded to; see `resolution`.
    """

    mean: Any
    scale: Any
    lowest: Any
    highest: Any
    narrowest: Any
    step: Any

    @property
    def unit(self) -> Any:
        """A length for every feature, constant ones included."""
        varied = self.scale > 0
        logs = np.log(np.where(varied, self.scale, 1.0))
        usual = np.exp(_total(logs) / np.maximum(_total(varied), 1))
        return np.where(varied, self.scale, usual)

    def each(self) -> Iterator[DataSummary]:
        """The summaries of many data sets, one by one."""
        return map(DataSummary, *(np.squeeze(getattr(self, field.name), 1) for field in fields(self)))


def summarise(x: Any, sample_weight: Any) -> DataSummary:
    """Sums up `x`, (n, d), in three sweeps in float64; or many data sets, (p, n, d), with weights (p, n)."""
    means = sweep(x, sample_weight)
    lowest = means.extreme(np.min)
    highest = means.extreme(np.max)
    # About the middle of the range: nothing overflows, and a constant feature's mean is that constant.
    middle = lowest / 2 + highest / 2
    mean = np.where(lowest < highest, middle + means(lambda rows: rows - middle), lowest)
    reach = np.maximum(highest - mean, mean - lowest)
    # Squares are taken of deviations no larger than 1: they neither overflow nor vanish.
    unit = np.where(reach > 0, reach, 1.0)
    scale = np.sqrt(means(lambda rows: scaled(rows, mean, unit) ** 2)) * unit
    scale = np.where(lowest < highest, scale, 0.0)
    narrowest, step = fineness(x, sample_weight, scale if x.ndim == 2 else scale[:, 0])
    narrowest, step = (values if x.ndim == 2 else values[:, None] for values in (narrowest, step))
    return DataSummary(mean, scale, lowest, highest, narrowest, step)


def scaled(rows: Any, middle: Any, unit: Any) -> Any:
    """(rows − middle) / unit."""
    held = rows - middle
    held /= unit  # in place: fresh memory costs more than what is done to it
    return held


def _total(values: Any) -> Any:
    return np.sum(values, axis=-1, keepdims=True)


class _Sweep:
    """Weighted means of functions of the rows, a block at a time; rows without weight are not looked at."""

    def __init__(self, x: Any, sample_weight: Any) -> None:
        self.x = x
        w = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        w = w / w.max()  # the sum of weights must not overflow
        self.w = w / w.sum()

    def _blocks(self) -> Any:
        for start in range(0, len(self.x), _BLOCK):
            w = self.w[start : start + _BLOCK]
            rows = np.asarray(self.x[start : start + _BLOCK], np.float64)
            yield (w, rows) if (w > 0).all() else (w[w > 0], rows[w > 0])

    def __call__(self, function: Callable[[Any], Any]) -> Any:
        return sum(w @ function(rows) for w, rows in self._blocks())

    def matrix(self, function: Callable[[Any], Any]) -> Any:
        """Σ w z zᵀ for z = function(row)."""
        return sum((w[:, None] * z).T @ z for w, z in ((w, function(rows)) for w, rows in self._blocks()))

    def extreme(self, pick: Callable[..., Any]) -> Any:
        """`pick` (np.min or np.max) over all rows."""
        return pick([pick(rows, axis=0) for w, rows in self._blocks() if len(w)], axis=0)


class _SweepOfMany:
    """The same over many data sets at once, (p, n, d): results are (p, 1, d), so that they meet rows as (d,) does.

    Rows without weight must be finite, and near enough to the others not to overflow.
    """

    def __init__(self, x: Any, sample_weight: Any) -> None:
        self.x = np.asarray(x, np.float64)
        w = sample_weight / np.max(sample_weight, axis=-1, keepdims=True)
        self.w = (w / _total(w))[:, None]

    def __call__(self, function: Callable[[Any], Any]) -> Any:
        return self.w @ function(self.x)

    def matrix(self, function: Callable[[Any], Any]) -> Any:
        z = function(self.x)
        return (np.swapaxes(z, -1, -2) * self.w) @ z

    def extreme(self, pick: Callable[..., Any]) -> Any:
        absent = -pick([-np.inf, np.inf])  # what `pick` leaves aside
        return pick(np.where(np.swapaxes(self.w, -1, -2) > 0, self.x, absent), axis=-2, keepdims=True)


def sweep(x: Any, sample_weight: Any) -> Any:
    return _Sweep(x, sample_weight) if x.ndim == 2 else _SweepOfMany(x, sample_weight)
