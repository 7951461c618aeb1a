"""Lower triangular factors and the quadratic features that go with them. Leading axes batch throughout."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from jaxgmm.families.base import Root

HIGHEST = lax.Precision.HIGHEST


def inverse(factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """L⁻¹, once per pass: rows then need a product, never a triangular solve."""
    eye = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    return solve_triangular(factor, eye, lower=True)


def matrix(root: Root) -> Float[Array, "d d"]:
    """A root as a lower triangular matrix."""
    return jnp.diag(root) if root.ndim == 1 else root


def apply(root: Root, x: Float[Array, "*k d"]) -> Float[Array, "*k d"]:
    """R x. Works on NumPy arrays too."""
    return x * root if root.ndim == 1 else x @ root.T


def apply_left(root: Root, factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """R L. Works on NumPy arrays too."""
    return factor * root[:, None] if root.ndim == 1 else root @ factor


def gram(factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """L Lᵀ."""
    return jnp.einsum("...de,...fe->...df", factor, factor, precision=HIGHEST)


def whitened(factor: Float[Array, "*k d d"], root: Root) -> Float[Array, "*k d d"]:
    """L⁻¹ R."""
    return jnp.matmul(inverse(factor), matrix(root), precision=HIGHEST)


def log_det(factor: Float[Array, "*k d d"]) -> Float[Array, "*k"]:
    """log det L."""
    return jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


def squared_norm(a: Float[Array, "*k d d"]) -> Float[Array, "*k"]:
    """‖A‖²_F = tr(A Aᵀ)."""
    return jnp.sum(a * a, axis=(-2, -1))


def update(
    factor: Float[Array, "*k d d"],
    m: Float[Array, "*k d d"],
    ridge: Root,
) -> Float[Array, "*k d d"]:
    """The factor of L M Lᵀ + R Rᵀ, as L·chol(M + L⁻¹ R Rᵀ L⁻ᵀ): M is near I, whatever the scale of L."""
    whitened_ridge = gram(whitened(factor, ridge))
    return jnp.einsum("...de,...ef->...df", factor, jnp.linalg.cholesky(m + whitened_ridge), precision=HIGHEST)


def log_diagonal(factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """A free lower triangle: the strict part of L, and the logarithm of its diagonal."""
    eye = jnp.eye(factor.shape[-1], dtype=bool)
    return jnp.where(eye, jnp.log(jnp.where(eye, factor, 1.0)), factor)


def exp_diagonal(free: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """Undoes `log_diagonal`; what stands above the diagonal is ignored."""
    eye = jnp.eye(free.shape[-1], dtype=bool)
    return jnp.tril(jnp.where(eye, jnp.exp(jnp.where(eye, free, 0.0)), free))


def with_one(x: Float[Array, "d b"]) -> Float[Array, "e b"]:
    """[1, x]: the constant feature first."""
    return jnp.concatenate([jnp.ones((1, x.shape[1]), x.dtype), x])


def pairs(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
    """x_i x_j for i ≤ j, row by row of the upper triangle."""
    # Indexing compiles to one fused loop; concatenated slices cost twice as much on CPU.
    i, j = np.triu_indices(x.shape[0])
    return x[i] * x[j]


def pair_coefficients(form: Float[Array, "*k d d"]) -> Float[Array, "*k f"]:
    """c with xᵀ A x = c · pairs(x), A symmetric."""
    i, j = np.triu_indices(form.shape[-1])
    return form[..., i, j] * np.where(i == j, 1, 2).astype(form.dtype)


def symmetric(sums: Float[Array, "*k f"], d: int) -> Float[Array, "*k d d"]:
    """The symmetric matrix whose upper triangle, row by row, is `sums`."""
    i, j = np.triu_indices(d)
    place = np.zeros((d, d), np.int32)
    place[i, j] = place[j, i] = np.arange(len(i))
    return sums[..., place]


def augmented_whitener(means: Float[Array, "k d"], inverse: Float[Array, "k d d"]) -> Float[Array, "k e e"]:
    """B with B [1, x] = [1, L⁻¹(x − μ)]: carries raw moments of [1, x] to whitened ones by congruence."""
    k, d = means.shape
    offset = -jnp.einsum("kde,ke->kd", inverse, means, precision=HIGHEST)
    top = jnp.broadcast_to(jnp.eye(1, d + 1, dtype=means.dtype), (k, 1, d + 1))
    return jnp.concatenate([top, jnp.concatenate([offset[:, :, None], inverse], axis=2)], axis=1)
