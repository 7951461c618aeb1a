"""Many data sets at once: thousands of small mixtures in one call."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Key

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import FAMILIES, Family
from jaxgmm.fit.result import best_of
from jaxgmm.inputs import arguments, precision
from jaxgmm.many import mapped
from jaxgmm.many.checks import warn
from jaxgmm.many.mapped import Posed
from jaxgmm.many.problem import Frames, checked, posed, waves
from jaxgmm.many.result import Evidence, ManyResult, Restarts, warn_of_doubt
from jaxgmm.many.runner import ManyRun, Runner, sized, taken
from jaxgmm.mixture import Mixture
from jaxgmm.problem.prior import Prior
from jaxgmm.problem.prior import checked as checked_prior
from jaxgmm.run.loop import Controls
from jaxgmm.run.revival import REVIVALS
from jaxgmm.run.soundness import owed, unsound
from jaxgmm.run.stopping import CRITERIA
from jaxgmm.starts.methods import METHODS

# Data sets whose results are looked at together.
_TOGETHER = 1024


def fit_many(
    key: Key[Array, ""] | int,
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    n_init: int = 1,
    init: str = "k-means++",
    sample_weight: Any = None,
    tol: float = 1e-5,
    stopping: str = "log_likelihood",
    max_iter: int = 1000,
    reg_covar: float | Literal["auto"] = "auto",
    prior: Prior | str | None = None,
    on_degenerate: str = "reinit",
    kernel: str = "auto",
    dtype: Any = None,
) -> ManyResult:
    """Fits one mixture to each of many data sets, from `n_init` starts each, all in one batch.

    Data set i gets what `fit(jax.random.fold_in(key, i), x[i], ...)` gets, up to rounding. Each has its own
    coordinates, ridge, kernels and statuses, and none changes another.

    Args:
        key: a JAX key, or a seed.
        x: (p, n, d), or a list of arrays (n_i, d). If any holds float64 all compute in float64, else in float32.
        n_components: K, the same for all.
        covariance_type, n_init, init, tol, stopping, max_iter, reg_covar, on_degenerate, kernel, dtype: as in `fit`;
            `init` is a method's name.
        sample_weight: (p, n), or a list of arrays (n_i,).
        prior: as in `fit`; what `Prior` leaves out follows from each data set.

    Returns:
        A `ManyResult`. One warning says how many data sets have no restart to rely on: a restart that ends
        degenerate or not finite has its status, and a data set with no other is no error.

    Raises:
        ValueError, TypeError: before anything is compiled, naming the argument, what it got and what it wants; of rows
            the data set, row and column.
        MemoryError: the device has no room for one batch of data sets.
    """
    family = FAMILIES[arguments.choice("covariance_type", covariance_type, FAMILIES)]
    kernel = arguments.choice("kernel", kernel, ("auto", *KERNEL_NAMES))
    stopping = arguments.choice("stopping", stopping, CRITERIA)
    on_degenerate = arguments.choice("on_degenerate", on_degenerate, ("reinit", "stop", "keep"))
    init = arguments.choice("init", init, METHODS)
    key = arguments.random_key(key)
    n_components = arguments.integer("n_components", n_components, 1)
    n_init = arguments.integer("n_init", n_init, 1)
    tol, max_iter = arguments.real("tol", tol), arguments.integer("max_iter", max_iter, 0)
    reg_covar = arguments.real_or_word("reg_covar", reg_covar, ("auto",))
    sets = checked(x, sample_weight, family)
    short = np.flatnonzero(sets.lengths < n_components)
    if len(short):
        raise ValueError(
            f"n_components must be at most the number of rows with weight in every data set, "
            f"{sets.lengths[short[0]]} in x[{short[0]}]; got {n_components}"
        )
    prior = checked_prior(prior, family, sets.n_features)
    dtype = precision.compute_dtype(*(sets.x if isinstance(sets.x, list) else [sets.x]), dtype=dtype)

    begun = time.perf_counter()
    nothing: Any = np.zeros(0, dtype)
    numbers: Any = np.asarray(tol, dtype), np.asarray(max_iter, np.int32), np.asarray(on_degenerate == "keep")
    shared = Controls(
        tol=numbers[0],
        max_iter=numbers[1],
        penalty=Penalty(nothing),
        floor=nothing,
        key=key,
        keep_degenerate=numbers[2],
        criterion=stopping,
    )
    lives = REVIVALS if on_degenerate == "reinit" else 0
    make = partial(_starts, shared, family, n_components, n_init, init)
    parts, complaints = [], []
    with precision.scope(dtype):
        for members, slots in waves(sets):
            data, frames, heard = posed(
                key, sets, members, slots, family, n_components, reg_covar, prior, dtype
            )  # fmt: skip
            run = Runner(data, make, shared, (n_init, n_components), dtype, kernel, lives).run()
            parts.append((members, *_found(data, frames, run)))
            complaints += heard
    order = np.argsort(np.concatenate([members for members, *_ in parts]))
    restarts, evidence, total = jax.tree.map(
        lambda *leaves: np.concatenate(leaves)[order], *(part[1:] for part in parts)
    )
    best = best_of(restarts.log_likelihood + restarts.log_prior - restarts.owed, restarts.status)[0]
    result = ManyResult(
        mixtures=restarts.mixtures[np.arange(len(best)), best],
        best=best,
        restarts=restarts,
        total_weight=total,
        seconds=time.perf_counter() - begun,
        evidence=evidence,
    )
    warn(complaints)
    warn_of_doubt(result)
    return result


def _found(data: Posed, frames: Frames, run: ManyRun) -> tuple[Restarts, Evidence, Any]:
    """Restarts and evidence of the data sets of one wave, and their total weights."""
    frame, dtype = frames.frame, run.mixtures.dtype
    wide = run.mixtures.astype(np.float64)

    def looked_at(chosen: Any, real: Any) -> Any:
        some, widths = taken((wide, frames.widths), chosen)
        flagged = unsound(some, widths, frames.n_rows[chosen])
        debt = owed(some, widths, some.weights * frames.total_weight[chosen, None, None], flagged)
        held = mapped.log_priors(taken(data, chosen), some)
        there = mapped.moved(some, frame.shift[chosen], frame.root[chosen])
        return taken(jax.tree.map(np.asarray, (flagged.any(axis=-1), debt, held, there)), real)

    with precision.scope(np.dtype(np.float64)):
        parts = [looked_at(*part) for part in sized(np.arange(len(frames.n_rows)), _TOGETHER)]
    spurious, debts, log_prior, mixtures = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    restarts = Restarts(
        mixtures=mixtures.astype(dtype),
        log_likelihood=run.log_likelihood - (frame.log_volume() * frames.total_weight)[:, None],
        log_prior=log_prior,
        n_iter=run.n_iter,
        status=run.status,
        spurious=spurious,
        owed=debts,
        revivals=run.revivals,
        kernel=run.kernel,
        passes=run.passes,
        remaining=run.remaining,
    )
    ridge = frames.ridge * (type(mixtures.components).rescaling != "none")  # as `Problem.diagnosis` has it
    evidence = Evidence(run.mixtures, frame, ridge, frames.widths, data.penalty.prior, frames.n_rows)
    return restarts, evidence, frames.total_weight


def _starts(
    shared: Controls, family: type[Family], n_components: int, n_init: int, method: str, data: Posed, numbers: Any
) -> Mixture:
    return mapped.drawn(data, shared, family, n_components, n_init, method)
