"""How far components lie from each other, in NumPy and float64, whatever the units and however flat the covariances."""

from __future__ import annotations

from typing import Any

import numpy as np

METRICS = ("bhattacharyya", "mahalanobis")
#: no distance is larger, so that sums of them stay finite
LARGEST = 1e300
_EPS, _TINY = np.finfo(np.float64).eps, np.finfo(np.float64).tiny


def gaussian(metric: str, means: Any, matrices: Any, other_means: Any, other_matrices: Any) -> Any:
    """Distances (k, m) between Gaussians, from means (k, d) and (m, d), covariances (k, d, d) and (m, d, d).

    Both by the mean Σ of the two covariances: "mahalanobis" is √(Δᵀ Σ⁻¹ Δ) for Δ = μ − μ', "bhattacharyya" is
    ⅛ Δᵀ Σ⁻¹ Δ + ½ log(det Σ / √(det Σ_k det Σ'_m)) (Bhattacharyya 1943; Kailath 1967).
    """
    means, other_means = np.asarray(means, np.float64), np.asarray(other_means, np.float64)
    volumes, other_volumes = _standardised(matrices)[2], _standardised(other_matrices)[2]
    columns = []
    for mean, matrix, other_volume in zip(other_means, other_matrices, other_volumes, strict=True):
        scale, factor, volume = _standardised(matrices / 2 + matrix / 2)
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.linalg.solve(factor, ((means - mean) / scale)[..., None])[..., 0]
            largest = np.maximum(np.max(np.abs(y), axis=1), _TINY)  # squares of y itself may overflow
            distance = largest * np.linalg.norm(y / largest[:, None], axis=1)
            if metric == "bhattacharyya":
                distance = distance / 8 * distance + np.maximum(volume - (volumes + other_volume) / 2, 0.0) / 2
        columns.append(distance)
    return bounded(np.stack(columns, axis=1))


def bernoulli(rates: Any, other_rates: Any) -> Any:
    """Bhattacharyya distances (k, m) between products of Bernoullis, −Σ_d log(√(p q) + √((1 − p)(1 − q)))."""
    p, q = np.asarray(rates, np.float64)[:, None], np.asarray(other_rates, np.float64)[None]
    overlap = np.sqrt(p * q) + np.sqrt((1 - p) * (1 - q))
    # Each feature that the two contradict each other in counts, though one would do to keep them apart.
    return bounded(np.maximum(-np.log(np.maximum(overlap, _TINY)).sum(-1), 0.0))


def bounded(distances: Any) -> Any:
    """Distances, `LARGEST` where there is none or it is larger."""
    return np.minimum(np.nan_to_num(distances, nan=LARGEST, posinf=LARGEST), LARGEST)


def _standardised(matrices: Any) -> tuple[Any, Any, Any]:
    """Covariances (k, d, d) as standard deviations (k, d) and factors of correlations (k, d, d); and log det (k,)."""
    d = matrices.shape[-1]
    scale = np.sqrt(np.maximum(np.einsum("kdd->kd", matrices), _TINY))
    correlations = matrices / scale[:, :, None] / scale[:, None, :]
    factor, ridge = np.full_like(correlations, np.nan), 16 * (d + 1) * _EPS  # what rounding takes from eigenvalues
    while np.isnan(factor).any() and ridge < 1:
        try:
            factor = np.linalg.cholesky(correlations + ridge * np.eye(d))
        except np.linalg.LinAlgError:
            ridge *= 100
    with np.errstate(invalid="ignore"):
        volume = 2 * np.sum(np.log(scale) + np.log(np.einsum("kdd->kd", factor)), axis=1)
    return scale, factor, volume
