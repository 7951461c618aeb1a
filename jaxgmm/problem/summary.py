"""What is known of each feature before a fit: means, spreads, ranges, and how fine the rows are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from jaxgmm.problem.resolution import fineness, fineness_of_many
from jaxgmm.rows import RowSource

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


def summarise(means: Sweep) -> DataSummary:
    """Sums up the rows of a sweep, in float64."""
    lowest, highest = means.range()
    # About the middle of the range: nothing overflows, and a constant feature's mean is that constant.
    middle = lowest / 2 + highest / 2
    mean = np.where(lowest < highest, middle + means(lambda rows: rows - middle), lowest)
    reach = np.maximum(highest - mean, mean - lowest)
    # Squares are taken of deviations no larger than 1: they neither overflow nor vanish.
    unit = np.where(reach > 0, reach, 1.0)
    scale = np.sqrt(means(lambda rows: scaled(rows, mean, unit) ** 2)) * unit
    scale = np.where(lowest < highest, scale, 0.0)
    return DataSummary(mean, scale, lowest, highest, *means.fineness(scale))


def scaled(rows: Any, middle: Any, unit: Any) -> Any:
    """(rows − middle) / unit."""
    held = rows - middle
    held /= unit  # in place: fresh memory costs more than what is done to it
    return held


def _total(values: Any) -> Any:
    return np.sum(values, axis=-1, keepdims=True)


class Sweep(ABC):
    """Weighted means over rows, in float64; rows without weight have no say."""

    @abstractmethod
    def __call__(self, function: Callable[[Any], Any]) -> Any:
        """Σ w z for z = function(row)."""

    @abstractmethod
    def matrix(self, function: Callable[[Any], Any]) -> Any:
        """Σ w z zᵀ for z = function(row)."""

    @abstractmethod
    def range(self) -> tuple[Any, Any]:
        """The lowest and the highest over all rows."""

    @abstractmethod
    def fineness(self, scale: Any) -> tuple[Any, Any]:
        """The narrowest scale and the steps of rounding of each feature; see `resolution`."""

    @abstractmethod
    def lines(self, *parts: Any) -> tuple[Any, ...]:
        """What is found for each feature, without the axis in the place of rows."""


class SweepOfOne(Sweep):
    """Over the rows of one source, a block at a time."""

    def __init__(self, source: RowSource) -> None:
        self.source, self.largest, self.total = source, 1.0, float(source.shape[0])
        if source.weights is not None:
            w = np.asarray(source.weights, np.float64)
            self.largest = w.max()
            self.total = (w / self.largest).sum()  # the sum of weights themselves might overflow

    def _blocks(self) -> Iterator[tuple[Any, Any]]:
        for block in self.source.blocks(_BLOCK):
            w = np.ones(len(block.x)) if block.weight is None else np.asarray(block.weight, np.float64)
            w, rows = w / self.largest / self.total, np.asarray(block.x, np.float64)
            yield (w, rows) if (w > 0).all() else (w[w > 0], rows[w > 0])

    def __call__(self, function: Callable[[Any], Any]) -> Any:
        return sum(w @ function(rows) for w, rows in self._blocks())

    def matrix(self, function: Callable[[Any], Any]) -> Any:
        return sum((w[:, None] * z).T @ z for w, z in ((w, function(rows)) for w, rows in self._blocks()))

    def range(self) -> tuple[Any, Any]:
        ends = [(rows.min(axis=0), rows.max(axis=0)) for w, rows in self._blocks() if len(w)]
        return np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)

    def fineness(self, scale: Any) -> tuple[Any, Any]:
        return fineness(self.source, scale)

    def lines(self, *parts: Any) -> tuple[Any, ...]:
        return parts


class SweepOfMany(Sweep):
    """Over many data sets at once, (p, n, d): results are (p, 1, d), so that they meet rows as (d,) does.

    Rows without weight must be finite, and near enough to the others not to overflow.
    """

    def __init__(self, x: Any, sample_weight: Any) -> None:
        self.given, self.sample_weight = x, sample_weight
        self.x = np.asarray(x, np.float64)
        w = sample_weight / np.max(sample_weight, axis=-1, keepdims=True)
        self.w = (w / _total(w))[:, None]

    def __call__(self, function: Callable[[Any], Any]) -> Any:
        return self.w @ function(self.x)

    def matrix(self, function: Callable[[Any], Any]) -> Any:
        z = function(self.x)
        return (np.swapaxes(z, -1, -2) * self.w) @ z

    def range(self) -> tuple[Any, Any]:
        there = np.swapaxes(self.w, -1, -2) > 0
        lowest = np.min(np.where(there, self.x, np.inf), axis=-2, keepdims=True)
        return lowest, np.max(np.where(there, self.x, -np.inf), axis=-2, keepdims=True)

    def fineness(self, scale: Any) -> tuple[Any, Any]:
        narrowest, step = fineness_of_many(self.given, self.sample_weight, scale[:, 0])
        return narrowest[:, None], step[:, None]

    def lines(self, *parts: Any) -> tuple[Any, ...]:
        return tuple(part[:, 0] for part in parts)
