"""One EM step of a few restarts by each family, dtype and kernel, against the same step on the host."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gpu.host import BOUNDS, Parameters, Step, drawn, errors, step, within
from jaxgmm import Mixture, em
from jaxgmm.families import FAMILIES
from jaxgmm.inputs import precision
from jaxgmm.rows import ArrayRows, ArraySource

KINDS = ("full", "tied", "diag", "spherical", "bernoulli")
#: rows, features, components, restarts; several chunks by either kernel, the last of which overlaps its neighbour
N, D, K, R = 5000, 4, 3, 3


@partial(jax.jit, static_argnames="kernel")
def _step(mixtures: Mixture, rows: ArrayRows, kernel: str) -> tuple[Any, Mixture]:
    statistics = em.e_step(mixtures, rows, kernel=kernel)
    ridge = jnp.zeros(rows.n_features, rows.x.dtype)
    return statistics, jax.vmap(lambda mixture, sums: em.m_step(mixture, sums, ridge))(mixtures, statistics)


def data(kind: str, dtype: str) -> tuple[Any, Any]:
    """Rows (n, d) that the family could have made, and their weights, some of them 0."""
    rng = np.random.default_rng(1)
    w = rng.uniform(0.5, 2, N) * (rng.uniform(size=N) > 0.1)
    if kind == "bernoulli":
        rates = rng.uniform(0.1, 0.9, (K, D))
        x = (rng.uniform(size=(N, D)) < rates[rng.integers(K, size=N)]).astype(np.float64)
    else:
        x = drawn(N, D, K, seed=2, apart=2.0)[0]
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x.astype(dtype), w.astype(dtype)


def starts(kind: str, x: Any, dtype: str) -> Mixture:
    """`R` mixtures near the data, none at rest."""
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.full(K, 5.0), R)
    if kind == "bernoulli":
        return Mixture.create(weights, rng.uniform(0.2, 0.8, (R, K, D)), covariance_type=kind, dtype=dtype)
    means = np.stack([x[rng.choice(N, K, replace=False)] for _ in range(R)])
    mixing = 0.7 * np.eye(D) + 0.1 * rng.standard_normal((R, K, D, D))
    full = mixing @ np.swapaxes(mixing, -1, -2)
    variances = np.diagonal(full, axis1=-2, axis2=-1)
    covariances = {"full": full, "tied": full[:, 0], "diag": variances, "spherical": variances[..., 0]}[kind]
    return Mixture.create(weights, means, covariances, covariance_type=kind, dtype=dtype)


def on_device(mixtures: Mixture, x: Any, w: Any, kernel: str) -> list[Step]:
    """The step of every restart."""
    dtype = x.dtype
    linear = FAMILIES[mixtures.covariance_type].traits.maps == "linear"
    whitener = np.linalg.inv(np.linalg.cholesky(np.cov(x.T.astype(np.float64)))) if linear else None
    with precision.scope(dtype):
        rows = ArrayRows.from_source(ArraySource(x, w), lambda block: np.asarray(block, np.float64).T, dtype, whitener)
        statistics, new = jax.tree.map(np.asarray, _step(mixtures, rows, kernel))
    # The pair's parts are added in float64, as a fit adds them.
    total = statistics.log_likelihood.astype(np.float64) + statistics.log_likelihood_error
    per_row = total / statistics.total_weight
    counts, means = statistics.counts.astype(np.float64), new.means.astype(np.float64)
    covariances = new.covariance_matrices()
    return [Step(per_row[i], counts[i], means[i], covariances[i]) for i in range(R)]


def judged(got: list[Step], want: list[Step], dtype: str) -> dict[str, Any]:
    """The largest error of each kind over restarts, and whether all keep their bounds."""
    each = [errors(ours, truth) for ours, truth in zip(got, want, strict=True)]
    worst = {name: float(np.max([found[name] for found in each])) for name in BOUNDS[dtype]}
    told = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    return {"ok": within(worst, dtype), "errors": worst, "found": told}


def checked(kind: str, dtype: str, kernel: str) -> dict[str, Any]:
    """One case."""
    x, w = data(kind, dtype)
    mixtures = starts(kind, x, dtype)
    want = [step(Parameters.of(mixtures[i]), x, w) for i in range(R)]
    return judged(on_device(mixtures, x, w, kernel), want, dtype)
