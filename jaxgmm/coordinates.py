"""The coordinates a fit works in: rows at mean 0, as near to unit covariance as their family allows.

EM does not care (the answer moves with the rows), rounding does: offsets, units and correlations of the data as a
whole then cost nothing, and the fast kernel stays accurate for longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgmm.families import Family
from jaxgmm.mixture import Mixture

_BLOCK = 1 << 16
# Features that say the same thing leave a correlation matrix singular; this much is added to its diagonal.
_SHRINKAGE = 1e-6


@dataclass(frozen=True)
class Coordinates:
    """Rows are taken to R⁻¹(x − shift). All in float64, NumPy.

    Attributes:
        shift: (d,).
        root: R: (d, d) lower triangular, or (d,) for a diagonal.
        spread: a root of the per-feature variances of the data, in these coordinates.
        centre: the data's mean, in these coordinates.
    """

    shift: Any
    root: Any
    spread: Any
    centre: Any

    def rows(self, block: Any) -> Any:
        """R⁻¹(x − shift) of rows (b, d), as (d, b)."""
        moved = (np.asarray(block, np.float64) - self.shift).T
        return self._solve(moved)

    def _solve(self, columns: Any) -> Any:
        if self.root.ndim == 1:
            return columns / self.root[:, None]
        return np.tril(np.linalg.inv(self.root)) @ columns

    def ridge(self, reg_covar: float) -> Any:
        """The root of `reg_covar` on the diagonal of data covariances."""
        if self.root.ndim == 1:
            return np.sqrt(reg_covar) / self.root
        return self._solve(np.sqrt(reg_covar) * np.eye(len(self.shift)))

    def log_volume(self) -> float:
        """log det R: what log-densities differ by."""
        diagonal = self.root if self.root.ndim == 1 else np.diagonal(self.root)
        return float(np.sum(np.log(diagonal)))

    def to_data(self, mixture: Mixture, dtype: np.dtype) -> Mixture:
        """A mixture of these coordinates as one of the data."""
        return _mapped(mixture, self.shift, self.root, dtype)

    def from_data(self, mixture: Mixture, dtype: np.dtype) -> Mixture:
        """A mixture of the data as one of these coordinates."""
        back = 1 / self.root if self.root.ndim == 1 else self._solve(np.eye(len(self.shift)))
        shift = -self._solve(self.shift[:, None])[:, 0]
        return _mapped(mixture, shift, back, dtype)


def _mapped(mixture: Mixture, shift: Any, root: Any, dtype: np.dtype) -> Mixture:
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), mixture)
    moved = Mixture(wide.weights, wide.components.affine(shift, root))
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), moved)


def coordinates(family: type[Family], x: Any, sample_weight: Any) -> Coordinates:
    """The coordinates for fitting `family` to `x`, (n, d), by two or three sweeps in float64."""
    d = x.shape[1]
    sums = _Sweep(x, sample_weight)
    mean = sums(lambda rows: rows)
    if family.rescaling == "none":
        return Coordinates(np.zeros(d), np.ones(d), np.ones(d), mean)
    reach = sums.largest(lambda rows: np.abs(rows - mean))
    # Squares are taken of deviations no larger than 1: they neither overflow nor vanish.
    unit = np.where(reach > 0, reach, 1.0)
    scale = np.sqrt(sums(lambda rows: ((rows - mean) / unit) ** 2)) * unit
    if family.rescaling == "scalar":
        largest = max(np.max(scale), np.finfo(np.float64).tiny)
        scale = np.full(d, largest * np.sqrt(np.mean((scale / largest) ** 2)))
    scale = np.where(scale > 0, scale, 1.0)
    if family.rescaling != "linear":
        return Coordinates(mean, scale, np.ones(d), np.zeros(d))

    correlation = sums.matrix(lambda rows: (rows - mean) / scale)
    factor = np.linalg.cholesky(correlation / (1 + _SHRINKAGE) + _SHRINKAGE * np.eye(d))
    spread = np.tril(np.linalg.inv(factor))
    return Coordinates(mean, scale[:, None] * factor, spread, np.zeros(d))


class _Sweep:
    """Weighted means of functions of the rows, a block at a time; rows without weight are not looked at."""

    def __init__(self, x: Any, sample_weight: Any) -> None:
        self.x = x
        self.w = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        self.w = self.w / self.w.sum()

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

    def largest(self, function: Callable[[Any], Any]) -> Any:
        return np.max([np.max(function(rows), axis=0, initial=0.0) for _, rows in self._blocks()], axis=0)
