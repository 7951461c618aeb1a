"""Priors: what a mixture's parameters are known to be near before any row is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgmm.families import Family
from jaxgmm.families.base import Conjugate
from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.problem.coordinates import Coordinates

# Features that say the same thing leave the data's own covariance singular.
_SHRINKAGE = 1e-3


@dataclass(frozen=True)
class Prior:
    """The conjugate prior of a mixture: its maximum a posteriori replaces the maximum of the likelihood.

    Weights are Dirichlet, means and covariances normal–inverse-Wishart (diag: a normal–inverse-gamma per feature,
    spherical: one of all features, tied: one covariance), rates of a Bernoulli mixture beta. What is left out follows
    from the data, in the manner of mclust: weak, and whatever the units (Fraley & Raftery 2007, J. Classification 24).

    Args:
        concentration: α of the Dirichlet, at least 1: α − 1 rows more for every component.
        mean: (d,), where means are drawn to; the data's mean.
        mean_strength: κ, how many rows that is worth.
        scale: the matrix Λ of the inverse Wishart, a scatter in squared units of the data: (d, d) for full and tied,
            (d,) if diagonal, or one number; the data's own covariance, drawn 0.1 % towards
            its diagonal, over K^(2/d).
        dof: ν, its degrees of freedom, above d − 1 (diag and spherical: above 0); d + 2.

    Raises:
        ValueError, TypeError: when a fit begins, for values out of range or of the wrong shape.
    """

    concentration: float = 1.0
    mean: Any = None
    mean_strength: float = 0.01
    scale: Any = None
    dof: float | None = None


def ridge_beside(
    prior: Prior | None, reg_covar: float | Literal["auto"]
) -> tuple[float | Literal["auto"], float | Literal["auto"]]:
    """The ridge that is added beside `prior`, and the one whose size the data are checked against.

    A prior keeps covariances positive as a ridge does: "auto" adds nothing to it, and no ridge is too small or large.
    """
    return (reg_covar, reg_covar) if prior is None else (0.0 if reg_covar == "auto" else reg_covar, "auto")


def conjugate(prior: Prior, family: type[Family], frame: Coordinates, k: int, dtype: np.dtype) -> Conjugate:
    """`prior` in the coordinates of `frame`, for K = `k` components."""
    d = len(frame.shift)
    mean = frame.centre if prior.mean is None else frame.rows(np.asarray(prior.mean, np.float64)[None])[:, 0]
    scatter = k ** (-1.0 / d) * _shrunk(frame.own) if prior.scale is None else _root(prior.scale, frame)
    dof = d + 2 if prior.dof is None else prior.dof
    numbers = (prior.concentration, mean, prior.mean_strength, scatter, dof)
    return Conjugate(*(np.asarray(value, dtype) for value in numbers))


def checked_prior(prior: Any, family: type[Family], d: int) -> Prior | None:
    """`prior` as a `Prior` that fits, or None.

    Raises:
        ValueError, TypeError: naming what does not fit.
    """
    if prior is None:
        return None
    if isinstance(prior, str) and prior == "default":
        prior = Prior()
    if not isinstance(prior, Prior):
        hint = arguments.did_you_mean(prior, ["default"]) if isinstance(prior, str) else ""
        raise ArgumentTypeError("prior", "be None, 'default' or a Prior(...)", arguments.shown(prior), hint)
    if not family.says("pseudo"):
        wants = f"be None for covariance_type={family.traits.name!r}, which has none"
        raise ArgumentError("prior", wants, arguments.shown(prior))
    arguments.real("prior.concentration", prior.concentration, 1.0)
    arguments.real("prior.mean_strength", prior.mean_strength)
    if prior.mean is not None:
        mean = arrays.finite("prior.mean", prior.mean)
        if mean.shape != (d,):
            raise ArgumentError("prior.mean", f"be {d} finite numbers, one a feature", arguments.shown(prior.mean))
        allowed = family.traits.means
        if not np.all(allowed.holds(mean)):
            wants = f"lie {allowed.words} for covariance_type={family.traits.name!r}"
            raise ArgumentError("prior.mean", wants, arguments.shown(prior.mean))
    if prior.dof is not None:
        _check_dof(prior.dof, family, d)
    if prior.scale is not None:
        _check_scale(prior.scale, family, d)
    return prior


def _check_dof(dof: Any, family: type[Family], d: int) -> None:
    kind = family.traits.covariance_kind
    if kind is None:
        raise ArgumentError("prior.dof", f"be None for covariance_type={family.traits.name!r}", str(dof))
    least, words = (d - 1, f"n_features - 1 = {d - 1}") if kind == "matrix" else (0, "0")
    if arguments.real("prior.dof", dof) <= least:
        raise ArgumentError("prior.dof", f"be above {words}", str(dof))


def _check_scale(covariance: Any, family: type[Family], d: int) -> None:
    kind = family.traits.covariance_kind
    if kind is None:
        wants = f"be None for covariance_type={family.traits.name!r}"
        raise ArgumentError("prior.scale", wants, arguments.shown(covariance))
    allowed: list[tuple[int, ...]] = [()]
    allowed += [(d,)] if kind != "number" else []
    allowed += [(d, d)] if kind == "matrix" else []
    array = arrays.finite("prior.scale", covariance, np.float64)
    if array.shape not in allowed:
        wants = f"have shape {' or '.join(map(str, allowed))} for covariance_type={family.traits.name!r}"
        raise ArgumentError("prior.scale", wants, str(array.shape))
    if array.ndim == 2 and np.abs(array - array.T).max() > 1e-5 * np.abs(array).max():
        raise ArgumentError("prior.scale", "be symmetric", f"a difference of {np.abs(array - array.T).max():g}")
    lowest = np.linalg.eigvalsh(array)[0] if array.ndim == 2 else np.min(array)
    if not lowest > 0:
        raise ArgumentError("prior.scale", "be positive definite", f"smallest eigenvalue {lowest:g}")


def _shrunk(root: Any) -> Any:
    """A root of a covariance drawn a little towards its diagonal: a singular one would keep nothing from collapsing."""
    if root.ndim == 1:
        return root
    covariance = root @ root.T
    return np.linalg.cholesky((1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diagonal(covariance)))


def _root(covariance: Any, frame: Coordinates) -> Any:
    """A root of `covariance`, of the data, in the coordinates of `frame`."""
    covariance = np.asarray(covariance, np.float64)
    if covariance.ndim < 2:
        return frame.scaled(np.broadcast_to(np.sqrt(covariance), frame.shift.shape))
    return frame.scaled(np.linalg.cholesky(covariance))
