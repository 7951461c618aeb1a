"""A mixture the textbook way, in NumPy and SciPy float64: what every family and both kernels are held to."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from scipy.stats import bernoulli, multivariate_normal


def covariance_matrices(kind: str, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
    """(k, d, d) from scikit-learn's shapes."""
    if kind == "full":
        return covariances
    if kind == "tied":
        return np.broadcast_to(covariances, (k, d, d))
    if kind == "diag":
        return np.stack([np.diag(row) for row in covariances])
    return np.stack([value * np.eye(d) for value in covariances])


def log_prob(kind: str, means: np.ndarray, covariances: np.ndarray, x: np.ndarray) -> np.ndarray:
    """log p(x_n | k), (n, k)."""
    k, d = means.shape
    if kind == "bernoulli":
        return np.stack([bernoulli.logpmf(x, mu).sum(1) for mu in means], axis=1)
    matrices = covariance_matrices(kind, covariances, k, d)
    columns = [multivariate_normal(m, s).logpdf(x).reshape(-1) for m, s in zip(means, matrices, strict=True)]
    return np.stack(columns, axis=1)


def responsibilities(m, x: np.ndarray) -> np.ndarray:
    """r (n, k) of a `Mixture`."""
    joint = np.log(m.weights) + log_prob(m.covariance_type, m.means, m.covariances, x)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def em_iteration(
    kind: str,
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    ridge: float,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Log-likelihood at the parameters, and the parameters after one EM iteration (Bishop 2006, §9.2.2, §9.3.3)."""
    k, d = means.shape
    joint = np.log(weights) + log_prob(kind, means, covariances, x)
    log_p = logsumexp(joint, axis=1)
    r = np.exp(joint - log_p[:, None]) * w[:, None]
    counts = r.sum(0)
    new_means = (r.T @ x) / counts[:, None]
    log_likelihood = float(w @ log_p)
    if kind == "bernoulli":
        return log_likelihood, counts / w.sum(), (new_means + ridge) / (1 + 2 * ridge), covariances
    scatter = np.stack([(r[:, j, None] * (x - new_means[j])).T @ (x - new_means[j]) for j in range(k)])
    eye = np.eye(d)
    if kind == "full":
        new = scatter / counts[:, None, None] + ridge * eye
    elif kind == "tied":
        new = scatter.sum(0) / w.sum() + ridge * eye
    else:
        new = np.stack([np.diag(s) for s in scatter]) / counts[:, None] + ridge
        new = new if kind == "diag" else new.mean(1)
    return log_likelihood, counts / w.sum(), new_means, new
