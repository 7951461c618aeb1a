"""The coordinates a fit works in: rows near mean 0 and unit variance.

EM does not care (the answer moves with the rows), rounding does: offsets and units of the data then cost nothing, and
the fast kernel stays accurate for longer. Scales are powers of two and shifts whole multiples of them, so that rows are
moved without being rounded again: noise of 6e-8 of the spread is much to a cluster that is 1e-5 of it wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgmm.families import Family
from jaxgmm.inputs import trees
from jaxgmm.mixture import Mixture
from jaxgmm.problem.resolution import NARROW, Widths
from jaxgmm.problem.summary import DataSummary, Sweep, scaled

# Features that say the same thing leave a correlation matrix singular; this much is added to its diagonal.
_SHRINKAGE = 1e-6
# A ridge below this part of the data's own width is far narrower than they are.
_MUCH_NARROWER = 0.1
# The least width, in the data's own, that a dtype keeps apart from none: so many of its steps.
_STEPS = 8
# A component on a handful of rows is a spike where it is not wider than so many resolutions.
_SPIKE = 5
# The standard deviation of what is rounded off, in steps.
_ROUNDED = 12**-0.5


@trees.register_dataclass
@dataclass(frozen=True)
class Coordinates:
    """Rows are taken to (x − shift) / root. All in float64, NumPy; leading axes are data sets.

    Attributes:
        shift, root: (d,).
        spread: (d,), the data's standard deviations, in these coordinates.
        centre: (d,), the data's mean, in these coordinates.
        narrowest, step: (d,), the narrowest scale the rows show, and the steps they are rounded to, in these
            coordinates; see `resolution`.
        own: a root of the data's covariance in these coordinates, as their family has it: (d, d) or (d,).
    """

    shift: Any
    root: Any
    spread: Any
    centre: Any
    narrowest: Any
    step: Any
    own: Any

    def rows(self, block: Any, dtype: Any = np.float64) -> Any:
        """(x − shift) / root of rows (b, d), as (d, b): in float64, to be rounded to `dtype`.

        Or in `dtype` where that is just the same: a difference of two of its numbers is rounded once, the quotient by a
        power of two not at all.
        """
        narrow = self.shift.astype(dtype)
        if block.dtype == dtype == np.float32 and (narrow == self.shift).all():
            return scaled(block, narrow, self.root.astype(dtype)).T
        return scaled(np.asarray(block, np.float64), self.shift, self.root).T

    @property
    def whitener(self) -> Any:
        """The matrix (d, d) that takes these rows to unit covariance, for families that allow one; else None."""
        return np.tril(np.linalg.inv(self.own)) if self.own.ndim > self.root.ndim else None

    def ridge(self, reg_covar: float | Literal["auto"], dtype: np.dtype) -> Any:
        """The root of `reg_covar` on the diagonal of data covariances; "auto" goes by each feature's narrowest scale.

        It is never below what `dtype` can tell from nothing.
        """
        if reg_covar == "auto":
            return np.maximum(NARROW * self.narrowest, _STEPS * np.finfo(dtype).eps * self.spread)
        return np.sqrt(reg_covar) / self.root

    @property
    def resolution(self) -> Any:
        """(d,), the width below which a component says nothing of the rows but how they were written down."""
        return np.maximum(NARROW * self.narrowest, _ROUNDED * self.step)

    def scaled(self, root: Any) -> Any:
        """A root of a covariance of the data, (d,) or lower triangular, in these coordinates."""
        return root / self.root if root.ndim == 1 else root / self.root[:, None]

    def floor(self, ridge: Any) -> Any:
        """The width per feature, (d,), that a component owes to `ridge`; 0 where the data are hardly wider."""
        data = self.own if self.own.ndim == self.root.ndim else np.diagonal(self.own, axis1=-2, axis2=-1)
        return np.where(ridge < _MUCH_NARROWER * data, ridge, 0.0)

    def log_volume(self) -> Any:
        """What log-densities differ by."""
        return np.sum(np.log(self.root), axis=-1)

    def __getitem__(self, index: Any) -> Coordinates:
        """Those of one or some of the data sets along a leading axis."""
        return trees.map(lambda leaf: leaf[index], self)

    def to_data(self, mixture: Mixture, dtype: np.dtype) -> Mixture:
        """A mixture of these coordinates as one of the data."""
        return _mapped(mixture, self.shift, self.root, dtype)

    def from_data(self, mixture: Mixture, dtype: np.dtype) -> Mixture:
        """A mixture of the data as one of these coordinates."""
        return _mapped(mixture, -self.shift / self.root, 1 / self.root, dtype)


def _mapped(mixture: Mixture, shift: Any, root: Any, dtype: np.dtype) -> Mixture:
    wide = trees.map(lambda leaf: np.asarray(leaf, np.float64), mixture)
    moved = Mixture(wide.weights, wide.components.affine(shift, root))
    return trees.map(lambda leaf: np.asarray(leaf, dtype), moved)


def coordinates(family: type[Family], means: Sweep, summary: DataSummary) -> Coordinates:
    """The coordinates for fitting `family` to the rows of a sweep, which are summed up in `summary`."""
    d = summary.mean.shape[-1]
    mean, scale = summary.mean, summary.unit
    if family.traits.maps == "none":
        one = np.ones_like(mean)
        zero, one, mean = means.lines(np.zeros_like(mean), one, mean)
        return Coordinates(zero, one, one, mean, one, zero, one)
    if family.traits.maps == "scalar":
        largest = np.max(summary.scale, axis=-1, keepdims=True)
        unit = np.where(largest > 0, largest, 1.0)
        scale = unit * np.sqrt(np.mean((summary.scale / unit) ** 2, axis=-1, keepdims=True))
        scale = np.broadcast_to(np.where(scale > 0, scale, 1.0), mean.shape)
    root = 2.0 ** np.round(np.log2(scale))
    # A constant feature is 0 for good.
    shift = np.where(summary.scale > 0, np.round(mean / root) * root, mean)
    spread = scale / root
    narrowest = np.where(summary.scale > 0, summary.narrowest, scale) / root
    step = summary.step / root
    shift, root, line, centre, narrowest, step = means.lines(
        shift, root, spread, (mean - shift) / root, narrowest, step
    )
    own = line
    if family.traits.maps == "linear":
        correlation = means.matrix(lambda rows: scaled(rows, mean, scale))
        factor = np.linalg.cholesky(correlation / (1 + _SHRINKAGE) + _SHRINKAGE * np.eye(d))
        own = spread.reshape(*spread.shape[:-2], d, 1) * factor
    return Coordinates(shift, root, line, centre, narrowest, step, own)


def widths_of(family: type[Family], frame: Coordinates, summary: DataSummary, ridge: Any) -> Widths:
    """What components are held against; 0 for features that do not vary, and for families without widths."""
    varied = np.reshape(summary.scale > 0, np.shape(ridge)) & family.traits.has_width
    floor = frame.floor(ridge)
    spike = np.where(floor > 0, np.maximum(floor, _SPIKE * NARROW * frame.narrowest), 0.0)
    usual = np.maximum(frame.narrowest, frame.resolution)
    return Widths(*(np.where(varied, width, 0.0) for width in (ridge, floor, spike, frame.resolution, usual)))
