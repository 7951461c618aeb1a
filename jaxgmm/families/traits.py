"""What is true of a family as a whole: everything that others would else read off its name or its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgmm.families.constraints import Constraint, Free

#: affine maps of rows, from the most to the fewest
Maps = Literal["linear", "feature", "scalar", "none"]


@dataclass(frozen=True)
class Support:
    """The rows that components can make.

    Attributes:
        words: what rows must hold.
        low, high: the range of their values, both ends included.
        values: the only values there are; None where there is no list of them.
        whole: whether values are whole numbers.
    """

    words: str
    low: float = -np.inf
    high: float = np.inf
    values: tuple[float, ...] | None = None
    whole: bool = False

    @property
    def discrete(self) -> bool:
        """Whether components have probabilities, and not densities."""
        return self.whole or self.values is not None

    @property
    def everything(self) -> bool:
        return not self.discrete and self.low == -np.inf and self.high == np.inf

    def outside(self, x: Any) -> Any:
        """Which entries of `x`, NumPy, no component can make."""
        if self.values is not None:
            return ~np.isin(x, self.values)
        inside = (x >= self.low) & (x <= self.high)
        return ~(inside & (x == np.rint(x)) if self.whole else inside)


REALS = Support("real numbers")
NON_NEGATIVE = Support("nothing below 0", low=0.0)
COUNTS = Support("whole numbers from 0 on", low=0.0, whole=True)
BINARY = Support("only 0 and 1", 0.0, 1.0, values=(0, 1))


@dataclass(frozen=True)
class Traits:
    """The facts of one family.

    Attributes:
        name: what users call it, `covariance_type`.
        support: the rows that components can make.
        maps: the maps R x + shift of rows that leave the family as it is: R any lower triangular matrix ("linear"),
            any diagonal one ("feature"), a multiple of the identity ("scalar"); or "none", not even a shift.
        means: where means lie.
        covariance_axes: the axes of covariances in scikit-learn's shape, of "k" and "d"; None where covariances follow
            from the means, and cannot be given.
        shared: the fields that all components have in common.
        gaussian: whether components are Gaussian: densities with ellipses for contours, known by two moments.
        fewer_rows: the families to try where components have too few rows for this one.
        means_called: what their means are called in words.

    Example:
        >>> Traits("exponential", support=NON_NEGATIVE, means=Positive())
    """

    name: str
    support: Support = REALS
    maps: Maps = "none"
    means: Constraint = Free()
    covariance_axes: tuple[str, ...] | None = None
    shared: tuple[str, ...] = ()
    gaussian: bool = False
    fewer_rows: tuple[str, ...] = ()
    means_called: str = "means"

    @property
    def has_width(self) -> bool:
        """Whether components have a width beside their means, which a ridge widens and rows may fail to give."""
        return self.covariance_axes is not None

    @property
    def one_covariance(self) -> bool:
        """Whether all components have one covariance between them."""
        return self.covariance_axes is not None and "k" not in self.covariance_axes

    @property
    def covariance_kind(self) -> Literal["matrix", "feature", "number"] | None:
        """What a covariance is, and so the scale of its prior: a matrix, a variance per feature, or one for all."""
        if self.covariance_axes is None:
            return None
        return ("number", "feature", "matrix")[self.covariance_axes.count("d")]

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """scikit-learn's shape of the covariances of K components, for families with a width."""
        return tuple({"k": k, "d": d}[axis] for axis in self.covariance_axes or ())

    def unit_covariances(self, k: int, d: int) -> Any:
        """Covariances of variance 1 in that shape, NumPy float64."""
        unit = np.eye(d) if self.covariance_kind == "matrix" else 1.0
        return np.broadcast_to(unit, self.covariance_shape(k, d))

    def matrices(self, covariances: Any, k: int, d: int) -> Any:
        """Covariances in scikit-learn's shape, after leading axes, as matrices (..., k, d, d); NumPy."""
        covariances = np.asarray(covariances)
        kind = self.covariance_kind or "feature"
        if kind == "number":
            covariances = np.broadcast_to(covariances[..., None], (*covariances.shape, d))
        if kind != "matrix":
            covariances = covariances[..., None] * np.eye(d)
        if not self.one_covariance:
            return covariances
        return np.broadcast_to(covariances[..., None, :, :], (*covariances.shape[:-2], k, d, d))
