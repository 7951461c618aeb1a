"""What a user holds fixed in a fit: given weights, means or covariances of some or all components."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.em.penalty import Pinned
from jaxgmm.families import Family
from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.mixture import Mixture
from jaxgmm.problem.coordinates import Coordinates


@dataclass(frozen=True)
class Fixed:
    """Parameters that a fit leaves as they are: NaN marks those that it is to find.

    A covariance is fitted about a mean that is held; free weights share what held ones leave, in the proportions of
    their rows. The likelihood rises with every step as ever, by EM or by gradients. `Mixture.n_parameters`, and with
    it BIC and AIC, counts held parameters as others. What is held comes back to within rounding.

    Args:
        weights: (k,), each in (0, 1], NaN where free.
        means: (k, d), a row of NaN where free.
        covariances: in scikit-learn's shapes, full (k, d, d), diag (k, d), spherical (k,), all NaN where free; tied
            (d, d), which all components share. Not for "bernoulli".

    Raises:
        ValueError, TypeError: when a fit begins, for what does not fit.

    Example:
        >>> free = np.full(2, np.nan)
        >>> jaxgmm.fit(0, x, 2, fixed=jaxgmm.Fixed(means=[[0.0, 0.0], free]))
    """

    weights: Any = None
    means: Any = None
    covariances: Any = None


@dataclass(frozen=True)
class CheckedFixed:
    """A `Fixed` that fits: a sound mixture of the data, and which of its parameters are held, (k,) each."""

    given: Mixture
    weights: Any
    means: Any
    covariances: Any

    def pinned(self, frame: Coordinates, dtype: np.dtype) -> Pinned:
        """The same in the coordinates of `frame`."""
        which = self.weights, self.means, self.covariances
        return Pinned(frame.from_data(self.given, dtype), *which)


def checked_fixed(fixed: Any, family: type[Family], k: int, d: int) -> CheckedFixed | None:
    """`fixed` as it holds for mixtures of `k` components and `d` features; None where it holds nothing.

    Raises:
        ValueError, TypeError: naming what does not fit.
    """
    if fixed is None:
        return None
    if not isinstance(fixed, Fixed):
        raise ArgumentTypeError("fixed", "be a Fixed(weights=, means=, covariances=)", arguments.shown(fixed))
    traits = family.traits
    if fixed.covariances is not None and not traits.has_width:
        wants = f"be None for covariance_type={traits.name!r}"
        raise ArgumentError("fixed.covariances", wants, None, "they follow from the means")
    weights, has_weight = _part("weights", fixed.weights, (k,), each=True)
    means, has_mean = _part("means", fixed.means, (k, d), each=True)
    shape = traits.covariance_shape(k, d)
    covariances, has_covariance = _part("covariances", fixed.covariances, shape, each=not traits.one_covariance)
    if not (has_weight.any() or has_mean.any() or has_covariance.any()):
        return None
    _check_weights(weights, has_weight)
    centres: Any = np.where(has_mean[:, None], means, traits.means.inside)
    if has_mean.any() and traits.has_width and not family.says("about_means"):
        wants = f"be None for covariance_type={traits.name!r}, whose covariances cannot be fitted about held means"
        raise ArgumentError("fixed.means", wants, arguments.shown(fixed.means))
    if not np.all(traits.means.holds(centres)):
        wants = f"lie {traits.means.words} for covariance_type={traits.name!r}"
        raise ArgumentError("fixed.means", wants, arguments.shown(fixed.means))
    shares = np.where(has_weight, weights, 1.0)
    sigma = None
    if traits.has_width:
        held = has_covariance.reshape(has_covariance.shape + (1,) * (len(shape) - has_covariance.ndim))
        sigma = np.where(held, covariances, traits.unit_covariances(k, d))
    try:
        given = Mixture.create(shares / shares.sum(), centres, sigma, covariance_type=traits.name, dtype=np.float64)
    except ArgumentError as error:
        raise error.of(f"fixed.{error.argument}") from None
    shares = np.where(has_weight, weights, 1.0 / k)
    given = replace(given, weights=shares)
    shapes = np.broadcast_to(has_covariance, (k,)) if traits.has_width else has_mean
    return CheckedFixed(given, has_weight, has_mean, shapes)


def _part(name: str, value: Any, shape: tuple[int, ...], *, each: bool) -> tuple[Any, Any]:
    """`value` in float64 and which of it is given: for each component, or of all at once."""
    count = shape[:1] if each else ()
    if value is None:
        return np.full(shape, np.nan), np.zeros(count, bool)
    array = arrays.to_numpy(f"fixed.{name}", value)
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"fixed.{name}", "hold real numbers", f"dtype {array.dtype}")
    array = array.astype(np.float64)
    if array.shape != shape:
        raise ArgumentError(f"fixed.{name}", f"have shape {shape}, with NaN for what is free", str(array.shape))
    if np.isinf(array).any():
        wants = "be finite, or NaN for what is free"
        raise ArgumentError(f"fixed.{name}", wants, arguments.shown(array.tolist()))
    inner = tuple(range(len(count), len(shape)))
    free, partly = np.isnan(array).all(axis=inner), np.isnan(array).any(axis=inner)
    if np.any(partly & ~free):
        where = f" of component {int(np.argmax(partly & ~free))}" if each else ""
        wants = "be given whole or all NaN"
        raise ArgumentError(f"fixed.{name}{where}", wants, arguments.shown(array.tolist()))
    return array, np.asarray(~free)


def _check_weights(weights: Any, held: Any) -> None:
    given = weights[held]
    if not ((given > 0) & (given <= 1)).all():
        raise ArgumentError("fixed.weights", "lie in (0, 1]", arguments.shown(weights.tolist()))
    total, all_held = float(given.sum()), bool(held.all())
    if all_held and abs(total - 1) > 1e-6:
        raise ArgumentError("fixed.weights", "sum to 1 where none is free", f"{total:g}")
    if not all_held and total >= 1:
        wants = "leave something for the components that are free"
        raise ArgumentError("fixed.weights", wants, f"a sum of {total:g}")
