"""The straight line: rows → starts → restarts → the best of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxgmm import precision, validation
from jaxgmm.coordinates import coordinates
from jaxgmm.drivers import EM, Driver
from jaxgmm.families import FAMILIES, Family
from jaxgmm.initialization import METHODS, from_assignments, initialize
from jaxgmm.loop import Controls
from jaxgmm.mixture import Mixture
from jaxgmm.restarts import KERNEL_NAMES, BlockInfo, run
from jaxgmm.result import FitResult, best_restart
from jaxgmm.rows import ArrayRows


def fit(
    key: Key[Array, ""] | int,
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    n_init: int | None = None,
    init: Any = "k-means++",
    sample_weight: Any = None,
    driver: Driver | None = None,
    tol: float = 1e-5,
    max_iter: int = 1000,
    reg_covar: float = 1e-6,
    kernel: str = "auto",
    dtype: Any = None,
    on_block: Callable[[BlockInfo], None] | None = None,
) -> FitResult:
    """Fits a mixture from `n_init` starts at once and returns the best, and all the others.

    Args:
        key: a JAX key, or a seed. Restart i starts from fold_in(key, i), whatever `n_init`.
        x: rows, (n, d); anything array-like, memory maps included. float64 rows compute in float64, all others in
            float32.
        n_components: K.
        covariance_type: "full", "tied", "diag", "spherical"; or "bernoulli" for rows of zeros and ones.
        n_init: how many starts; 1 by default, or as many as `init` holds.
        init: "k-means++", "kmeans", "random_from_data", "random"; a `Mixture`, or a batch of them; labels (n,) or
            (r, n); responsibilities (n, k) or (r, n, k).
        sample_weight: (n,), how often each row counts; 1 by default.
        driver: how parameters move: `EM()` by default, or `Gradient(...)`.
        tol: a restart has converged when its mean log-likelihood changes by less, in nats per row; 0 runs exactly
            `max_iter` iterations.
        max_iter: the most iterations a restart may take.
        reg_covar: the ridge: added to each covariance's diagonal, in squared units of the data.
        kernel: "shared_feature", "centred", or "auto", which chooses for each restart by its conditioning.
        dtype: "float32" or "float64", to compute in another precision than the rows'.
        on_block: called with a `BlockInfo` between blocks of iterations.

    Returns:
        A `FitResult`. A warning says so if even the best restart is degenerate.

    Raises:
        ValueError, TypeError: before anything is compiled, naming the argument, what it got and what it wants.
        FitError: no restart stayed finite.
    """
    family = FAMILIES[validation.choice("covariance_type", covariance_type, FAMILIES)]
    kernel = validation.choice("kernel", kernel, ("auto", *KERNEL_NAMES))
    key = validation.random_key(key)
    x = validation.rows("x", x)
    n_components = validation.integer("n_components", n_components, 1)
    sample_weight = validation.weights("sample_weight", sample_weight, len(x))
    present = len(x) if sample_weight is None else int(np.count_nonzero(sample_weight))
    if n_components > present:
        weighted = "" if sample_weight is None else " with weight"
        raise ValueError(f"n_components must be at most the number of rows{weighted}, {present}; got {n_components}")
    tol, reg_covar = validation.real("tol", tol), validation.real("reg_covar", reg_covar)
    max_iter = validation.integer("max_iter", max_iter, 0)
    driver = EM() if driver is None else driver
    if not (hasattr(driver, "init") and hasattr(driver, "step")):
        raise TypeError(f"driver must be a driver such as EM() or Gradient(...), got {driver!r}")
    if family.rescaling == "none" and not np.isin(x, (0, 1)).all():
        raise ValueError(f"x must hold only 0 and 1 for covariance_type={family.name!r}")
    assigned = _checked_init(init, n_init, family, n_components, x.shape)
    dtype = precision.compute_dtype(x, dtype=dtype)

    begun = time.perf_counter()
    with precision.scope(dtype):
        frame = coordinates(family, x, sample_weight)
        rows = ArrayRows.from_numpy(x, sample_weight, frame.rows, dtype)
        ridge = jnp.asarray(frame.ridge(reg_covar), dtype)
        if isinstance(init, Mixture):
            starts = frame.from_data(init if init.batch_shape else batched(init), dtype)
        elif assigned is not None:
            starts = from_assignments(
                jnp.asarray(assigned, dtype if assigned.dtype.kind == "f" else None), rows, family, n_components, ridge
            )
        else:
            centre, spread = jnp.asarray(frame.centre, dtype), jnp.asarray(frame.spread, dtype)
            starts = initialize(key, rows, family, n_components, n_init or 1, init, ridge, centre, spread)
        controls = Controls(jnp.asarray(tol, dtype), jnp.asarray(max_iter, jnp.int32), ridge, key)
        ended = run(driver, starts, rows, controls, kernel=kernel, on_block=on_block, log_volume=frame.log_volume())
        mixtures = frame.to_data(ended.mixtures, dtype)
        total_weight = float(rows.total_weight)

    best = best_restart(ended.log_likelihood, ended.status)
    return FitResult(
        mixture=mixtures[best],
        mixtures=mixtures,
        best=best,
        log_likelihood=ended.log_likelihood,
        n_iter=ended.n_iter,
        status=ended.status,
        kernel=ended.kernel,
        passes=ended.passes,
        history=ended.history,
        total_weight=total_weight,
        seconds=time.perf_counter() - begun,
    )


def batched(mixture: Mixture) -> Mixture:
    """One mixture as a batch of one."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], mixture)


def _checked_init(init: Any, n_init: int | None, family: type[Family], k: int, shape: tuple[int, int]) -> Any:
    """Labels (r, n) or responsibilities (r, n, k) if `init` holds any, else None; complains of what cannot start."""
    n, d = shape
    if n_init is not None:
        n_init = validation.integer("n_init", n_init, 1)
    if isinstance(init, str):
        validation.choice("init", init, METHODS)
        return None
    if isinstance(init, Mixture):
        if len(init.batch_shape) > 1:
            raise ValueError(f"init must be a mixture with at most one leading axis, got {init.batch_shape}")
        wanted, got = (family.name, k, d), (init.covariance_type, init.n_components, init.n_features)
        if wanted != got:
            raise ValueError(
                f"init must be a {wanted[0]} mixture with {k} components and {d} features, "
                f"got {got[0]} with {got[1]} and {got[2]}"
            )
        held = init.batch_shape[0] if init.batch_shape else 1
        assigned = None
    else:
        assigned = np.asarray(init)
        if assigned.dtype.kind in "iu" and assigned.ndim in (1, 2) and assigned.shape[-1] == n:
            assigned = assigned.reshape(-1, n).astype(np.int32)
            if assigned.min() < 0 or assigned.max() >= k:
                raise ValueError(f"init labels must lie in 0 … {k - 1}, got {assigned.min()} … {assigned.max()}")
        elif assigned.dtype.kind == "f" and assigned.ndim in (2, 3) and assigned.shape[-2:] == (n, k):
            assigned = assigned.reshape(-1, n, k)
            if not ((assigned >= 0).all() and np.allclose(assigned.sum(-1), 1, atol=1e-3)):
                raise ValueError("init responsibilities must be at least 0 and sum to 1 over components")
        else:
            raise ValueError(
                f"init must be one of {', '.join(map(repr, METHODS))}, a Mixture, integer labels ({n},) or (r, {n}), "
                f"or responsibilities ({n}, {k}) or (r, {n}, {k}); got dtype {assigned.dtype}, shape {assigned.shape}"
            )
        held = len(assigned)
    if n_init not in (None, held):
        raise ValueError(f"n_init must be left out or be {held}, the starts that init holds; got {n_init}")
    return assigned
