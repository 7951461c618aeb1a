"""Mixtures in NumPy float64, written from the textbook alone: what the device is held to.

Nothing here is shared with jaxgmm, with its tests or with the ladder's reference: densities by Cholesky factors,
moments in two passes, all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: the largest errors a step may make: nats per row; relative; in standard deviations; relative in any direction
BOUNDS = {
    "float32": {"log_likelihood": 1e-4, "counts": 1e-3, "means": 1e-3, "covariances": 1e-3},
    "float64": {"log_likelihood": 1e-7, "counts": 1e-6, "means": 1e-6, "covariances": 1e-6},
}


@dataclass(frozen=True)
class Parameters:
    """Of one mixture: π (k,), μ (k, d), Σ (k, d, d) whatever the structure; of a Bernoulli mixture Σ follows from μ."""

    kind: str
    weights: Any
    means: Any
    covariances: Any

    @classmethod
    def of(cls, mixture: Any) -> Parameters:
        """Those of an unbatched `jaxgmm.Mixture` at rest, as it rounded them."""
        weights, means = (np.asarray(a, np.float64) for a in (mixture.weights, mixture.means))
        return cls(mixture.covariance_type, weights, means, mixture.covariance_matrices())


@dataclass(frozen=True)
class Step:
    """What one EM step says: Σ w log p / Σ w at its start, N_k (k,), and the parameters it leads to."""

    log_likelihood: Any
    counts: Any
    means: Any
    covariances: Any


def _joint(at: Parameters, x: Any) -> Any:
    """log π_k p(x_n | k), (n, k)."""
    if at.kind == "bernoulli":
        return np.log(at.weights) + x @ np.log(at.means).T + (1 - x) @ np.log1p(-at.means).T
    joint = np.empty((len(x), len(at.weights)))
    for k, (mean, covariance) in enumerate(zip(at.means, at.covariances, strict=True)):
        factor = np.linalg.cholesky(covariance)
        y = np.linalg.solve(factor, (x - mean).T)
        log_det = 2 * np.log(np.diagonal(factor)).sum()
        joint[:, k] = np.log(at.weights[k]) - 0.5 * ((y * y).sum(0) + log_det + len(mean) * np.log(2 * np.pi))
    return joint


def _log_p(joint: Any) -> Any:
    top = joint.max(axis=1)
    return top + np.log(np.exp(joint - top[:, None]).sum(axis=1))


def score(at: Parameters, x: Any) -> float:
    """Mean log-likelihood of rows (n, d), nats per row."""
    return float(_log_p(_joint(at, np.asarray(x, np.float64))).mean())


def step(at: Parameters, x: Any, w: Any = None) -> Step:
    """One EM step without a ridge from rows (n, d) of weights w (n,) (Bishop 2006, §9.2.2, §9.3.3)."""
    x = np.asarray(x, np.float64)
    w = np.ones(len(x)) if w is None else np.asarray(w, np.float64)
    joint = _joint(at, x)
    log_p = _log_p(joint)
    r = np.exp(joint - log_p[:, None]) * w[:, None]
    counts = r.sum(axis=0)
    means = r.T @ x / counts[:, None]
    if at.kind == "bernoulli":
        covariances = (means * (1 - means))[:, :, None] * np.eye(x.shape[1])
    else:
        scatter = np.stack([(r[:, k, None] * (x - mean)).T @ (x - mean) for k, mean in enumerate(means)])
        covariances = _structured(at.kind, scatter, counts)
    return Step(w @ log_p / w.sum(), counts, means, covariances)


def _structured(kind: str, scatter: Any, counts: Any) -> Any:
    own = scatter / counts[:, None, None]
    if kind == "tied":
        return np.broadcast_to(scatter.sum(axis=0) / counts.sum(), own.shape)
    if kind == "full":
        return own
    variances = np.diagonal(own, axis1=1, axis2=2)
    if kind == "spherical":
        variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
    return variances[:, :, None] * np.eye(variances.shape[1])


def errors(got: Step, want: Step) -> dict[str, float]:
    """How far `got` is from `want`, in the units of `BOUNDS`; the worst component. What is not finite is NaN or ∞."""
    half = np.linalg.inv(np.linalg.cholesky(want.covariances))
    mean = np.einsum("kde,ke->kd", half, got.means - want.means)
    difference = half @ (got.covariances - want.covariances) @ np.swapaxes(half, 1, 2)
    found = {
        "log_likelihood": np.abs(got.log_likelihood - want.log_likelihood),
        "counts": np.max(np.abs(got.counts / want.counts - 1)),
        "means": np.max(np.linalg.norm(mean, axis=1)),
        # No more than √d times the 2-norm, and unlike it defined for what is not finite.
        "covariances": np.max(np.linalg.norm(difference, axis=(1, 2))),
    }
    return {name: float(value) for name, value in found.items()}


def within(found: dict[str, float], dtype: str) -> bool:
    """Whether every error keeps its bound; NaN keeps none."""
    return all(found[name] <= bound for name, bound in BOUNDS[dtype].items())


def drawn(n: int, d: int, k: int, seed: int, apart: float = 4.0) -> tuple[Any, Parameters]:
    """Rows (n, d) in float64 of `k` full components of about unit width, their means about `apart` apart; the truth."""
    rng = np.random.default_rng((seed, n, d, k))
    weights = rng.dirichlet(np.full(k, 20.0))
    means = apart / np.sqrt(2) * rng.standard_normal((k, d))
    mixing = np.eye(d) + 0.3 * rng.standard_normal((k, d, d)) / np.sqrt(d)
    labels = rng.choice(k, n, p=weights)
    x = means[labels] + np.einsum("nde,ne->nd", mixing[labels], rng.standard_normal((n, d)))
    return x, Parameters("full", weights, means, mixing @ np.swapaxes(mixing, 1, 2))
