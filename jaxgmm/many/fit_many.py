"""Many data sets at once: thousands of small mixtures in one call."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from jaxgmm.drivers import EM
from jaxgmm.em.choice import kernel_for
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import FAMILIES
from jaxgmm.fit.engine import runs_on_host
from jaxgmm.fit.result import best_of
from jaxgmm.inputs import arguments, precision, trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array, Bool, Int, Key
from jaxgmm.many import mapped
from jaxgmm.many.checks import warn_of_data
from jaxgmm.many.host import HostJudge, run_one_by_one
from jaxgmm.many.lanes import PackedLanes, entries, sized
from jaxgmm.many.mapped import Posed
from jaxgmm.many.problem import Frames, checked_data_sets, posed, waves
from jaxgmm.many.result import Evidence, ManyResult, warn_of_doubt
from jaxgmm.many.starts import drawn
from jaxgmm.mixture import Mixture
from jaxgmm.problem.prior import Prior, checked_prior
from jaxgmm.run.options import Settings
from jaxgmm.run.record import Restarts
from jaxgmm.run.soundness import owed, unsound
from jaxgmm.starts.methods import METHODS
from jaxgmm.starts.revival import REVIVALS

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
    engine: str = "auto",
    dtype: Any = None,
) -> ManyResult:
    """Fits one mixture to each of many data sets, from `n_init` starts each, all in one batch.

    Data set i gets what `fit(jax.random.fold_in(key, i), x[i], ...)` gets, up to rounding. Each has its own
    coordinates, ridge, kernels and statuses, and none changes another.

    Args:
        key: a JAX key, or a seed.
        x: (p, n, d), or a list of arrays (n_i, d). If any holds float64 all compute in float64, else in float32.
        n_components: K, the same for all.
        covariance_type, n_init, init, tol, stopping, max_iter, reg_covar, on_degenerate, kernel, engine, dtype: as in
            `fit`;
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
    settings = Settings.checked(
        tol=tol, stopping=stopping, max_iter=max_iter, max_seconds=None, reg_covar=reg_covar,
        on_degenerate=on_degenerate, kernel=kernel_for(kernel, family), on_block=None,
    )  # fmt: skip
    init = arguments.choice("init", init, METHODS)
    key = arguments.random_key(key)
    n_components = arguments.integer("n_components", n_components, 1)
    n_init = arguments.integer("n_init", n_init, 1)
    sets = checked_data_sets(x, sample_weight, family)
    short = np.flatnonzero(sets.lengths < n_components)
    if len(short):
        fewest = f"{sets.lengths[short[0]]} in x[{short[0]}]"
        wants = f"be at most the number of rows with weight in every data set, {fewest}"
        raise ArgumentError("n_components", wants, str(n_components))
    prior = checked_prior(prior, family, sets.n_features)
    dtype = precision.compute_dtype(*(sets.x if isinstance(sets.x, list) else [sets.x]), dtype=dtype)

    host = runs_on_host(
        engine, driver=EM(), search=None, kernel=settings.kernel, family=family, max_iter=max_iter, tol=tol,
        shape=(int(np.mean(sets.lengths)), sets.n_features), n_components=n_components, n_init=n_init,
        n_sets=len(sets),
    )  # fmt: skip

    begun = time.perf_counter()
    nothing: Any = np.zeros(0, dtype)  # in place of what each data set has of its own
    shared = settings.controls(key, Penalty(nothing), nothing, dtype)
    lives = REVIVALS if on_degenerate == "reinit" else 0

    def make(data: Posed, _: Any) -> Mixture:
        return drawn(data, family, n_components, n_init, init)

    members, found, complaints = [], [], []
    with precision.scope(dtype, host):
        for numbers, slots in waves(sets):
            data, frames, heard = posed(
                key, sets, numbers, slots, family, n_components, settings.reg_covar, prior, dtype, host
            )  # fmt: skip
            if host:
                ended = run_one_by_one(data, make, shared, settings.kernel, lives)
            else:
                ended = PackedLanes(data, make, shared, (n_init, n_components), dtype, settings.kernel, lives).run()
            members.append(numbers)
            found.append(_judged(data, frames, ended, host))
            complaints += heard
    order = np.argsort(np.concatenate(members))
    restarts, evidence = trees.map(lambda *leaves: np.concatenate(leaves)[order], *found)
    best = best_of(restarts.worth, restarts.status)[0]
    result = ManyResult(best, restarts, time.perf_counter() - begun, evidence)
    warn_of_data(complaints)
    warn_of_doubt(result)
    return result


def _judged(data: Posed, frames: Frames, ended: Restarts, on_host: bool) -> tuple[Restarts, Evidence]:
    """The restarts of the data sets of one wave in the coordinates of the data, and what they were judged by."""
    frame, wide = frames.frame, ended.mixtures.astype(np.float64)
    tools: Any = HostJudge if on_host else mapped

    def looked_at(chosen: Int[np.ndarray, " q"], real: Bool[np.ndarray, " q"]) -> Restarts:
        some, widths = entries((wide, frames.widths), chosen)
        flagged = (HostJudge.unsound if on_host else unsound)(some, widths, frames.n_rows[chosen])
        counts = some.weights * frames.total_weight[chosen, None, None]
        judged = replace(
            ended[chosen],
            mixtures=tools.moved(some, frame.shift[chosen], frame.root[chosen]),
            log_prior=tools.log_priors_each(entries(data, chosen), some),
            spurious=flagged.any(axis=-1),
            owed=owed(some, widths, counts, flagged),
        )
        return trees.map(np.asarray, judged)[real]

    p = len(frames.n_rows)
    with precision.scope(np.dtype(np.float64), on_host):
        restarts = Restarts.joined([looked_at(*part) for part in sized(np.arange(p), p if on_host else _TOGETHER)])
    volume = (frame.log_volume() * frames.total_weight)[:, None]
    restarts = replace(
        restarts,
        mixtures=restarts.mixtures.astype(ended.mixtures.dtype),
        log_likelihood=restarts.log_likelihood - volume,
    )
    ridge = frames.ridge * wide.components.traits.has_width  # as `diagnose` has it
    return restarts, Evidence(ended.mixtures, replace(frames, ridge=ridge), data.penalty.prior)
