"""The coordinates a fit works in: rows near mean 0 and unit variance.

EM does not care (the answer moves with the rows), rounding does: offsets and units of the data then cost nothing, and
the fast kernel stays accurate for longer. Scales are powers of two and shifts whole multiples of them, so that rows are
moved without being rounded again: noise of 6e-8 of the spread is much to a cluster that is 1e-5 of it wide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from jaxgmm.families import Family
from jaxgmm.mixture import Mixture

_BLOCK = 1 << 16
# Features that say the same thing leave a correlation matrix singular; this much is added to its diagonal.
_SHRINKAGE = 1e-6
# A ridge below this part of the data's own width is far narrower than they are.
_NARROW = 0.1
#: the scale-free ridge, in variances of each feature
AUTO_RIDGE = 1e-6


@dataclass(frozen=True)
class Coordinates:
    """Rows are taken to (x − shift) / root. All in float64, NumPy.

    Attributes:
        shift, root: (d,).
        spread: (d,), the data's standard deviations, in these coordinates.
        centre: (d,), the data's mean, in these coordinates.
        own: a root of the data's covariance in these coordinates, as their family has it: (d, d) or (d,).
    """

    shift: Any
    root: Any
    spread: Any
    centre: Any
    own: Any

    def rows(self, block: Any) -> Any:
        """(x − shift) / root of rows (b, d), as (d, b)."""
        return ((np.asarray(block, np.float64) - self.shift) / self.root).T

    @property
    def whitener(self) -> Any:
        """The matrix (d, d) that takes these rows to unit covariance, for families that allow one; else None."""
        return np.tril(np.linalg.inv(self.own)) if self.own.ndim == 2 else None

    def ridge(self, reg_covar: float | Literal["auto"]) -> Any:
        """The root of `reg_covar` on the diagonal of data covariances; "auto" goes by each feature's variance."""
        if reg_covar == "auto":
            return np.sqrt(AUTO_RIDGE) * self.spread
        return self.scaled(np.full(len(self.shift), np.sqrt(reg_covar)))

    def scaled(self, root: Any) -> Any:
        """A root of a covariance of the data, (d,) or lower triangular, in these coordinates."""
        return root / self.root if root.ndim == 1 else root / self.root[:, None]

    def floor(self, ridge: Any) -> Any:
        """The width per feature, (d,), that a component owes to `ridge`; 0 where the data are hardly wider."""
        data = self.own if self.own.ndim == 1 else np.diagonal(self.own)
        return np.where(ridge < _NARROW * data, ridge, 0.0)

    def log_volume(self) -> float:
        """What log-densities differ by."""
        return float(np.sum(np.log(self.root)))

    def to_data(self, mixture: Mixture, dtype: np.dtype) -> Mixture:
        """A mixture of these coordinates as one of the data."""
        return _mapped(mixture, self.shift, self.root, dtype)

    def from_data(self, mixture: Mixture, dtype: np.dtype) -> Mixture:
        """A mixture of the data as one of these coordinates."""
        return _mapped(mixture, -self.shift / self.root, 1 / self.root, dtype)


def _mapped(mixture: Mixture, shift: Any, root: Any, dtype: np.dtype) -> Mixture:
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), mixture)
    moved = Mixture(wide.weights, wide.components.affine(shift, root))
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), moved)


@dataclass(frozen=True)
class DataSummary:
    """What is known of each feature before a fit: float64, (d,), over rows with weight.

    Attributes:
        mean, scale: weighted mean and standard deviation.
        lowest, highest: the range.
    """

    mean: Any
    scale: Any
    lowest: Any
    highest: Any

    @property
    def unit(self) -> Any:
        """A length for every feature, constant ones included."""
        varied = self.scale[self.scale > 0]
        usual = np.exp(np.mean(np.log(varied))) if len(varied) else 1.0
        return np.where(self.scale > 0, self.scale, usual)


def summarise(x: Any, sample_weight: Any) -> DataSummary:
    """Sums up `x`, (n, d), in three sweeps in float64."""
    sweep = _Sweep(x, sample_weight)
    lowest = sweep.extreme(np.min)
    highest = sweep.extreme(np.max)
    # About the middle of the range: nothing overflows, and a constant feature's mean is that constant.
    middle = lowest / 2 + highest / 2
    mean = np.where(lowest < highest, middle + sweep(lambda rows: rows - middle), lowest)
    reach = np.maximum(highest - mean, mean - lowest)
    # Squares are taken of deviations no larger than 1: they neither overflow nor vanish.
    unit = np.where(reach > 0, reach, 1.0)
    scale = np.sqrt(sweep(lambda rows: ((rows - mean) / unit) ** 2)) * unit
    return DataSummary(mean, np.where(lowest < highest, scale, 0.0), lowest, highest)


def coordinates(family: type[Family], x: Any, sample_weight: Any, summary: DataSummary | None = None) -> Coordinates:
    """The coordinates for fitting `family` to `x`, (n, d), whose `summary` may be at hand."""
    d = x.shape[1]
    summary = summarise(x, sample_weight) if summary is None else summary
    mean, scale = summary.mean, summary.unit
    if family.rescaling == "none":
        return Coordinates(np.zeros(d), np.ones(d), np.ones(d), mean, np.ones(d))
    if family.rescaling == "scalar":
        largest = np.max(summary.scale) or 1.0
        scale = np.full(d, largest * np.sqrt(np.mean((summary.scale / largest) ** 2)) or 1.0)
    root = 2.0 ** np.round(np.log2(scale))
    # A constant feature is 0 for good.
    shift = np.where(summary.scale > 0, np.round(mean / root) * root, mean)
    own = spread = scale / root
    if family.rescaling == "linear":
        correlation = _Sweep(x, sample_weight).matrix(lambda rows: (rows - mean) / scale)
        factor = np.linalg.cholesky(correlation / (1 + _SHRINKAGE) + _SHRINKAGE * np.eye(d))
        own = spread[:, None] * factor
    return Coordinates(shift, root, spread, (mean - shift) / root, own)


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
