"""Parameters as scikit-learn has them, to and from a `Mixture`; starts that users give in part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_array

from jaxgmm.families import FAMILIES
from jaxgmm.inputs import precision, trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.mixture import Mixture

#: the Gaussian structures, which have covariances to show
COVARIANCE_TYPES = tuple(name for name, family in FAMILIES.items() if family.traits.gaussian)


def _matrices(covariance_type: str) -> bool:
    return FAMILIES[covariance_type].traits.covariance_kind == "matrix"


def mixture_of(weights: Any, means: Any, precisions_cholesky: Any, covariance_type: str) -> Mixture:
    """A mixture from scikit-learn's parameters: Σ⁻¹ = U Uᵀ, U = `precisions_cholesky`, upper triangular.

    Raises:
        ValueError: weights of each row by itself, which code made for scikit-learn may have set.
    """
    if np.ndim(weights) != 1:
        raise ArgumentError("weights_", "have shape (k,)", str(np.shape(weights)))
    dtype = precision.compute_dtype(*map(np.asarray, (weights, means, precisions_cholesky)))
    family: Any = FAMILIES[covariance_type]
    components = family(np.asarray(means, dtype), _factor(precisions_cholesky, covariance_type).astype(dtype))
    pi: Any = np.asarray(weights, dtype)
    return Mixture(pi, components)


def _factor(precisions_cholesky: Any, covariance_type: str) -> Any:
    """What the family holds of a covariance, in float64: L = U⁻ᵀ, or standard deviations (k, s)."""
    root = np.asarray(precisions_cholesky, np.float64)
    if _matrices(covariance_type):
        return np.tril(np.swapaxes(np.linalg.inv(root), -1, -2))
    return 1 / root if FAMILIES[covariance_type].traits.covariance_kind == "feature" else 1 / root[..., None]


def precisions_cholesky_of(mixture: Mixture) -> Any:
    """scikit-learn's `precisions_cholesky_`, in the mixture's dtype."""
    components: Any = mixture.components
    root, kind = np.asarray(components.root, np.float64), components.traits.covariance_kind
    inverse = np.triu(np.swapaxes(np.linalg.inv(root), -1, -2)) if kind == "matrix" else 1 / root
    return (inverse[..., 0] if kind == "number" else inverse).astype(mixture.dtype)


def precisions_of(precisions_cholesky: Any, covariance_type: str) -> Any:
    """Σ⁻¹ = U Uᵀ, in scikit-learn's shape for the structure."""
    root = precisions_cholesky
    return root @ np.swapaxes(root, -1, -2) if _matrices(covariance_type) else root**2


def _upper_root(precisions: Any, covariance_type: str) -> Any:
    """U with Σ⁻¹ = U Uᵀ: a Cholesky factor of the matrix read backwards, read backwards."""
    if _matrices(covariance_type):
        backwards = np.asarray(precisions, np.float64)[..., ::-1, ::-1]
        return np.linalg.cholesky(backwards)[..., ::-1, ::-1]
    return np.sqrt(np.asarray(precisions, np.float64))


# ---- what users give to start from --------------------------------------------------------------------------


def checked_starts(
    weights: Any, means: Any, precisions: Any, covariance_type: str, k: int, d: int
) -> tuple[Any, Any, Any]:
    """`weights_init`, `means_init` and `precisions_init` as arrays, None where not given.

    Raises:
        ValueError: in scikit-learn's words, where a shape or a value is wrong.
    """
    floats = [np.float64, np.float32]
    if weights is not None:
        weights = check_array(weights, dtype=floats, ensure_2d=False)
        _check_shape(weights, (k,), "weights")
        if (weights < 0).any() or (weights > 1).any():
            raise ValueError(
                "The parameter 'weights' should be in the range [0, 1], "
                f"but got max value {weights.min():.5f}, min value {weights.max():.5f}"
            )
        if abs(1 - weights.sum()) > (1e-6 if weights.dtype == np.float32 else 1e-8):
            raise ValueError(
                f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}"
            )
    if means is not None:
        means = check_array(means, dtype=floats, ensure_2d=False)
        _check_shape(means, (k, d), "means")
    if precisions is not None:
        precisions = check_array(precisions, dtype=floats, ensure_2d=False, allow_nd=True)
        shape = FAMILIES[covariance_type].traits.covariance_shape(k, d)
        _check_shape(precisions, shape, f"{covariance_type} precision")
        _check_positive(precisions, covariance_type)
    return weights, means, precisions


def _check_shape(array: Any, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")


def _check_positive(precisions: Any, covariance_type: str) -> None:
    if not _matrices(covariance_type):
        if (precisions <= 0).any():
            raise ValueError(f"'{covariance_type} precision' should be positive")
        return
    symmetric = np.allclose(precisions, np.swapaxes(precisions, -1, -2))
    if not symmetric or (np.linalg.eigvalsh(precisions) <= 0).any():
        raise ValueError(f"'{covariance_type} precision' should be symmetric, positive-definite")


def started_from(starts: Mixture, weights: Any, means: Any, precisions: Any) -> Mixture:
    """The batch `starts` with what was given in place of its own; None leaves it."""
    kind = starts.covariance_type
    components: Any = starts.components

    def everywhere(array: Any, like: Any) -> Any:
        return np.broadcast_to(np.asarray(array, like.dtype), like.shape)

    if means is not None:
        components = replace(components, means=everywhere(means, components.means))
    if precisions is not None:
        factor = _factor(_upper_root(precisions, kind), kind)
        components = components.with_root(everywhere(factor, components.root))
    if weights is not None:
        weights = everywhere(np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64), starts.weights)
    return Mixture(starts.weights if weights is None else weights, components)


def start_of(weights: Any, means: Any, precisions: Any, covariance_type: str, dtype: Any) -> Mixture:
    """One start, leading axis 1, from parameters that are all given."""
    mixture = mixture_of(weights, means, _upper_root(precisions, covariance_type), covariance_type).astype(dtype)
    return started_from(trees.map(lambda leaf: leaf[None], mixture), weights, None, None)
