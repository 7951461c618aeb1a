"""One EM step of the ladder's data by each contender, from the same rounded start parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ladder_data import Case, D, Errors, Step, dense, errors, reference_step

from jaxgmm import Mixture
from jaxgmm.em import e_step, m_step
from jaxgmm.em.choice import KERNEL_NAMES, choose_kernels, fastest, limits
from jaxgmm.families import FAMILIES
from jaxgmm.inputs import precision
from jaxgmm.problem.cells import clustered, n_cells
from jaxgmm.problem.pose import Problem, pose
from jaxgmm.rows import ArraySource, Rows
from jaxgmm.rows.places import placed

#: the fast kernel, rows in cells
CELLS = "cells"


@dataclass(frozen=True)
class Ours:
    """jaxgmm's step, and where it loses what it loses.

    Attributes:
        kernel, conditioning: which was run, and κ of the start.
        errors: against the reference from the rounded rows and parameters, the result mapped to the data in float64.
        from_start: against a reference that starts where rounding to the fit's coordinates put the parameters.
        arithmetic: against one that has the rows, too, as the fit's coordinates round them: the step's own error.
        stored_mean: the new means' error once rounded to the dtype in data units, in standard deviations.
    """

    kernel: str
    conditioning: float
    errors: Errors
    from_start: Errors | None
    arithmetic: Errors | None
    stored_mean: float


@partial(jax.jit, static_argnames="kernel")
def _step(mixture: Mixture, rows: Rows, kernel: str) -> tuple[Any, Mixture]:
    statistics = e_step(mixture, rows, kernel=kernel)
    return statistics, m_step(mixture, statistics, jnp.zeros(D, mixture.weights.dtype))


def jaxgmm_step(case: Case, kernel: str, truth: Step, attribute: bool = False) -> Ours:
    """What a step of `jaxgmm.fit(init=...)` does; `attribute` adds the two references that say where errors arise.

    `CELLS` in place of a kernel is the fast one with rows in cells, as a fit of so many rows more would lay them out.
    """
    family, dtype = FAMILIES[case.family], case.x.dtype
    with precision.scope(dtype):
        posed = _posed(case)
        frame, rows = posed.frame, posed.rows
        if kernel == CELLS:
            kernel, rows = "shared_feature", _in_cells(case, posed)
        given = Mixture(case.weights, family(case.means, case.factor))  # type: ignore[call-arg]
        start = frame.from_data(given, dtype)
        trusted = limits(kernel, dtype)
        number = fastest(trusted)
        while True:
            statistics, new = jax.tree.map(np.asarray, _step(start, rows, KERNEL_NAMES[number]))
            if (needed := int(choose_kernels(statistics.conditioning, trusted))) <= number:
                break
            number = needed
        chosen = KERNEL_NAMES[number]
        moved = np.asarray(rows.pick(np.arange(len(case.x))).x)[:, : len(case.x)].T
        conditioning = float(statistics.conditioning)

    # The pair's parts are added in float64, as `restarts` adds them.
    total = np.float64(statistics.log_likelihood) + np.float64(statistics.log_likelihood_error)
    inner = total / len(case.x)
    outer = inner - frame.log_volume()
    ours = _as_step(case.family, outer, frame.to_data(new, np.dtype(np.float64)))
    stored = errors(_as_step(case.family, outer, frame.to_data(new, dtype)), truth).mean
    from_start = arithmetic = None
    if attribute:
        back = frame.to_data(start, np.dtype(np.float64))
        from_start = errors(ours, _reference(case.family, case.x, back))
        arithmetic = errors(_as_step(case.family, inner, new), _reference(case.family, moved, start))
    return Ours(chosen, conditioning, errors(ours, truth), from_start, arithmetic, stored)


def misjudged(chosen: str, shared: Errors, dtype: str) -> str | None:
    """What is wrong with a choice of kernel, given the error `shared_feature` has there.

    `centred` costs a few times more; where the fast kernel has a hundredth of the error that is allowed, even a start
    that moves into conditioning ten times worse would have kept it.
    """
    if chosen == "shared_feature" and not shared.within(dtype):
        return "shared_feature errs too much"
    if chosen == "centred" and shared.within(dtype, share=0.01):
        return "centred for nothing"
    return None


def _posed(case: Case) -> Problem:
    with warnings.catch_warnings():
        # Rightly it warns of offsets that rounding has eaten into.
        warnings.simplefilter("ignore")
        return pose(ArraySource(case.x), FAMILIES[case.family], len(case.weights), 0.0, None, case.x.dtype)


def _in_cells(case: Case, posed: Problem) -> Rows:
    family, frame, k = FAMILIES[case.family], posed.frame, len(case.weights)
    source, dtype = ArraySource(case.x), case.x.dtype
    cells = clustered(frame.rows(case.x), family, n_cells(k), frame.spread, np.asarray(posed.penalty.ridge))
    return placed(source, frame.rows, dtype, frame.whitener, None, cells)


def _factor(mixture: Mixture) -> Any:
    components: Any = mixture.components
    return components.scale_tril if hasattr(components, "scale_tril") else components.scale


def _as_step(family: str, log_likelihood: Any, mixture: Mixture) -> Step:
    return Step(log_likelihood, mixture.weights, mixture.means, dense(family, _factor(mixture)))


def _reference(family: str, x: Any, start: Mixture) -> Step:
    return reference_step(family, x, start.weights, start.means, _factor(start))


# ---- peers ---------------------------------------------------------------------------------------------------


def _covariances(case: Case, dtype: Any) -> Any:
    """The start's covariances in scikit-learn's shape, formed in float64."""
    factor = case.factor.astype(np.float64)
    if case.family in ("full", "tied"):
        covariances = factor @ np.swapaxes(factor, -1, -2)
    else:
        covariances = factor[:, 0] ** 2 if case.family == "spherical" else factor**2
    with np.errstate(over="ignore"):
        return covariances.astype(dtype)


def _precisions(case: Case, dtype: Any) -> Any:
    """Their inverses, from the factors."""
    factor = case.factor.astype(np.float64)
    if case.family in ("full", "tied"):
        inverse = np.linalg.inv(factor)
        precisions = np.swapaxes(inverse, -1, -2) @ inverse
    else:
        precisions = factor[:, 0] ** -2 if case.family == "spherical" else factor**-2
    with np.errstate(over="ignore"):
        return precisions.astype(dtype)


def _spread_out(family: str, covariances: Any) -> Any:
    """(k, d, d) from scikit-learn's shapes."""
    covariances = np.asarray(covariances, np.float64)
    if family == "spherical":
        covariances = covariances[:, None]
    return covariances if family == "full" else dense(family, covariances)


def scikit_learn_step(case: Case, truth: Step, dtype: str) -> Errors:
    """`GaussianMixture` on the same rows and start, in `dtype`."""
    from sklearn.mixture import GaussianMixture

    x = case.x.astype(dtype)
    model = GaussianMixture(
        len(case.weights),
        covariance_type=case.family,
        weights_init=case.weights.astype(dtype),
        means_init=case.means.astype(dtype),
        precisions_init=_precisions(case, dtype),
        reg_covar=0.0,
        tol=0.0,
        max_iter=1,
    )
    with warnings.catch_warnings():
        # It warns of overflow, and of not converging in one iteration.
        warnings.simplefilter("ignore")
        model.fit(x)
    # After one iteration the bound is the mean log-likelihood at the start.
    step = Step(model.lower_bound_, model.weights_, model.means_, None)
    return errors(step, truth, _spread_out(case.family, model.covariances_))


def gmmx_step(case: Case, truth: Step) -> Errors | None:
    """`EMFitter` on the same rows and start; None for the structures it lacks."""
    from gmmx import EMFitter, GaussianMixtureModelJax

    if case.family not in ("full", "diag"):
        return None
    start = GaussianMixtureModelJax.from_squeezed(
        means=case.means,
        covariances=_covariances(case, case.x.dtype),
        weights=case.weights,
        covariance_type=case.family,
    )
    fitted = EMFitter(max_iter=1, tol=-1.0, reg_covar=0.0).fit(jnp.asarray(case.x), start)
    step = Step(fitted.log_likelihood, fitted.gmm.weights_numpy, fitted.gmm.means_numpy, None)
    return errors(step, truth, _spread_out(case.family, fitted.gmm.covariances.values_numpy))


PEERS: dict[str, dict[str, Callable[[Case, Step], Errors | None]]] = {
    "float32": {
        "scikit-learn float32": partial(scikit_learn_step, dtype="float32"),
        "scikit-learn float64": partial(scikit_learn_step, dtype="float64"),
        "gmmx float32": gmmx_step,
    },
    "float64": {"scikit-learn float64": partial(scikit_learn_step, dtype="float64")},
}
