"""Lower triangular factors and the quadratic features that go with them. Leading axes batch throughout."""

from __future__ import annotations

from functools import cache, reduce
from operator import add
from typing import Any

import numpy as np

from jaxgmm.families.base import Root
from jaxgmm.families.namespace import HIGHEST, einsum, namespace
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.typing import Array, Float, Int

# LAPACK's batched factorisations are avoided on purpose: from 32 rows on, its own threads and XLA's wait for each
# other, and a batch that takes milliseconds can take minutes. Up to that, steps column by column, vectorised over the
# batch, are as fast.
_BLOCK = 32
# Batches of products this small are reductions: XLA on CPU calls a matrix product for each, at ten times the cost.
_TINY = 8
# What is this small is written out, term by term: reductions and loops over so few cost three times what the terms do.
# Over more, written out they compile longer and run no faster.
_FEW = 4
# Of factors of so many numbers, on the host, the inverses of the last few are kept.
_SMALL, _LAST = 1 << 14, 4
_kept: tuple[tuple[Any, Any], ...] = ()


def inverse(factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """L⁻¹, once per pass: rows then need a product, never a triangular solve."""
    return _inverse_on_host(factor) if namespace(factor) is np else _differentiable_inverse()(factor)


def _inverse_on_host(factor: Any) -> Any:
    """Of small factors the last few are kept: a step asks for the same ones in several places."""
    global _kept
    if factor.size > _SMALL:
        return _solved_on_host(factor)
    for known, result in _kept:
        if known.shape == factor.shape and known.dtype == factor.dtype and (known == factor).all():
            return result
    result = _solved_on_host(factor)
    result.setflags(write=False)
    _kept = ((factor.copy(), result), *_kept[: _LAST - 1])  # a copy, as arrays may be written to
    return result


def _solved_on_host(factor: Any) -> Any:
    result = np.zeros_like(factor)
    for j in range(factor.shape[-1]):
        own = factor[..., j, j, None]
        if j:
            known = factor[..., j, None, :j] @ result[..., :j, :j]
            np.divide(known[..., 0, :], -own, out=result[..., j, :j])
        result[..., j, j] = 1 / own[..., 0]
    return result


@cache
def _differentiable_inverse() -> Any:
    made = jax.custom_jvp(_inverse)
    made.defjvp(_inverse_jvp)
    return made


def _inverse(factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    d = factor.shape[-1]
    if d > _BLOCK:
        h = _split(d)
        top, bottom = inverse(factor[..., :h, :h]), inverse(factor[..., h:, h:])
        corner = -product(bottom, product(factor[..., h:, :h], top))
        return _assembled(top, corner, bottom)
    if d <= _FEW:
        rows: list[Array] = []
        for j in range(d):
            known = sum((factor[..., j, k, None] * rows[k] for k in range(j)), jnp.zeros_like(factor[..., 0]))
            unit = (np.arange(d) == j).astype(factor.dtype)
            rows.append((unit - known) / factor[..., j, j, None])
        return jnp.stack(rows, -2)

    def row(j: Int[Array, ""], x: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
        own = lax.dynamic_index_in_dim(factor, j, -2, keepdims=False)
        unit = (jnp.arange(d) == j).astype(factor.dtype)
        values = unit - jnp.einsum("...k,...kc->...c", own, x, precision=HIGHEST)
        return lax.dynamic_update_index_in_dim(x, values / lax.dynamic_index_in_dim(own, j, -1), j, -2)

    return lax.fori_loop(0, d, row, jnp.zeros_like(factor))


def _inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    result = inverse(primals[0])
    return result, -jnp.tril(product(result, product(jnp.tril(tangents[0]), result)))


def cholesky(matrix: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """L with L Lᵀ the given matrix, of which the lower triangle is read; NaN where it is not positive definite."""
    d = matrix.shape[-1]
    if namespace(matrix) is np:
        return _cholesky_on_host(matrix)
    if d > _BLOCK:
        h = _split(d)
        top = cholesky(matrix[..., :h, :h])
        corner = product(matrix[..., h:, :h], jnp.swapaxes(inverse(top), -1, -2))
        bottom = cholesky(matrix[..., h:, h:] - gram(corner))
        return _assembled(top, corner, bottom)
    if d <= _FEW:
        columns: list[Array] = []
        for j in range(d):
            values = matrix[..., j] - sum(c * c[..., j, None] for c in columns)
            columns.append(jnp.where(np.arange(d) >= j, values / jnp.sqrt(values[..., j, None]), 0))
        return jnp.stack(columns, -1)

    def column(j: Int[Array, ""], factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
        own = lax.dynamic_index_in_dim(factor, j, -2, keepdims=False)
        values = lax.dynamic_index_in_dim(matrix, j, -1, keepdims=False)
        values = values - jnp.einsum("...ik,...k->...i", factor, own, precision=HIGHEST)
        pivot = jnp.sqrt(lax.dynamic_index_in_dim(values, j, -1))
        return lax.dynamic_update_index_in_dim(factor, jnp.where(jnp.arange(d) >= j, values / pivot, 0), j, -1)

    return lax.fori_loop(0, d, column, jnp.zeros_like(matrix))


def _cholesky_on_host(matrix: Any) -> Any:
    try:
        return np.linalg.cholesky(matrix)  # which reads the lower triangle
    except np.linalg.LinAlgError:  # of a batch it would not say which
        factor = np.zeros_like(matrix)
        for j in range(matrix.shape[-1]):
            values = matrix[..., j:, j] - (factor[..., j:, :j] @ factor[..., j, :j, None])[..., 0]
            factor[..., j:, j] = values / np.sqrt(values[..., :1])
        return factor


def _split(d: int) -> int:
    """About half, in whole blocks, so that few sizes of block are compiled."""
    return -(-d // (2 * _BLOCK)) * _BLOCK


def product(a: Float[Array, "*#k d e"], b: Float[Array, "*#k e f"]) -> Float[Array, "*k d f"]:
    """A B."""
    if namespace(a, b) is np:
        return np.matmul(a, b)
    if max(*a.shape[-2:], b.shape[-1]) <= _FEW + 1:  # [1, x] has an entry more than x
        return reduce(add, (a[..., :, e, None] * b[..., None, e, :] for e in range(a.shape[-1])))
    if max(*a.shape[-2:], b.shape[-1]) <= _TINY:
        return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)
    return jnp.matmul(a, b, precision=HIGHEST)


def _assembled(top: Array, corner: Array, bottom: Array) -> Array:
    above = jnp.zeros((*top.shape[:-1], bottom.shape[-1]), top.dtype)
    rows = (jnp.concatenate([top, above], axis=-1), jnp.concatenate([corner, bottom], axis=-1))
    return jnp.concatenate(rows, axis=-2)


def congruent(a: Float[Array, "*k d e"], m: Float[Array, "*k e e"]) -> Float[Array, "*k d d"]:
    """A M Aᵀ."""
    return product(product(a, m), a.swapaxes(-1, -2))


def matrix(root: Root) -> Float[Array, "d d"]:
    """A root as a lower triangular matrix."""
    return namespace(root).diag(root) if root.ndim == 1 else root


def apply(root: Root, x: Float[Array, "*k d"]) -> Float[Array, "*k d"]:
    """R x. Works on NumPy arrays too."""
    if root.ndim == 1:
        return x * root
    return x @ root.T if namespace(root, x) is np else einsum("...e,de->...d", x, root)


def apply_transposed(root: Root, x: Float[Array, "*k d"]) -> Float[Array, "*k d"]:
    """Rᵀ x. Works on NumPy arrays too."""
    if root.ndim == 1:
        return x * root
    return x @ root if namespace(root, x) is np else einsum("...d,de->...e", x, root)


def apply_left(root: Root, factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """R L. Works on NumPy arrays too."""
    return factor * root[:, None] if root.ndim == 1 else root @ factor


def gram(factor: Float[Array, "*k d e"]) -> Float[Array, "*k d d"]:
    """L Lᵀ."""
    return product(factor, factor.swapaxes(-1, -2))


def covariance(factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """L Lᵀ in one operation: outside of compiled programs every term that `gram` writes out is a call of its own.

    NumPy stays NumPy.
    """
    if namespace(factor) is np:
        return factor @ np.swapaxes(factor, -1, -2)
    return einsum("...de,...fe->...df", factor, factor)


def whitened(factor: Float[Array, "*k d d"], root: Root) -> Float[Array, "*k d d"]:
    """L⁻¹ R."""
    return product(inverse(factor), matrix(root))


def log_det(factor: Float[Array, "*k d d"]) -> Float[Array, "*k"]:
    """log det L."""
    xp = namespace(factor)
    return xp.sum(xp.log(xp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


def trace(a: Float[Array, "*k d d"]) -> Float[Array, "*k"]:
    """tr A."""
    xp = namespace(a)
    return xp.sum(xp.diagonal(a, axis1=-2, axis2=-1), axis=-1)


def squared_norm(a: Float[Array, "*k d d"]) -> Float[Array, "*k"]:
    """‖A‖²_F = tr(A Aᵀ)."""
    return namespace(a).sum(a * a, axis=(-2, -1))


def update(
    factor: Float[Array, "*k d d"],
    m: Float[Array, "*k d d"],
    ridge: Root,
) -> Float[Array, "*k d d"]:
    """The factor of L M Lᵀ + R Rᵀ, as L·chol(M + L⁻¹ R Rᵀ L⁻ᵀ): M is near I, whatever the scale of L."""
    whitened_ridge = gram(whitened(factor, ridge))
    return product(factor, cholesky(m + whitened_ridge))


def turned(inverse: Float[Array, "*k d d"], new_factor: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
    """|L⁻¹L' − I|, entry by entry."""
    return abs(product(inverse, new_factor) - namespace(inverse).eye(inverse.shape[-1], dtype=inverse.dtype))


@cache
def _triangle(d: int) -> tuple[Any, Any]:
    """The rows and columns of an upper triangle, row by row; in 32 bits, which mean the same whether JAX has 64."""
    i, j = np.triu_indices(d)
    return i.astype(np.int32), j.astype(np.int32)


@cache
def _places(d: int) -> Any:
    """Where each entry of a symmetric matrix lies in its upper triangle."""
    i, j = _triangle(d)
    place = np.zeros((d, d), np.int32)
    place[i, j] = place[j, i] = np.arange(len(i))
    return place


def with_one(x: Float[Array, "d b"]) -> Float[Array, "e b"]:
    """[1, x]: the constant feature first."""
    xp = namespace(x)
    return xp.concatenate([xp.ones((1, x.shape[1]), x.dtype), x])


def pairs(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
    """x_i x_j for i ≤ j, row by row of the upper triangle."""
    # Indexing compiles to one fused loop; concatenated slices cost twice as much on CPU.
    i, j = _triangle(x.shape[0])
    return x[i] * x[j]


def pair_coefficients(form: Float[Array, "*k d d"]) -> Float[Array, "*k f"]:
    """c with xᵀ A x = c · pairs(x), A symmetric."""
    i, j = _triangle(form.shape[-1])
    return form[..., i, j] * np.where(i == j, 1, 2).astype(form.dtype)


def form(coefficients: Float[Array, "*k f"], d: int) -> Float[Array, "*k d d"]:
    """The symmetric A with c · pairs(x) = xᵀ A x: what `pair_coefficients` makes c of."""
    i, j = _triangle(d)
    return symmetric(coefficients * np.where(i == j, 1, 0.5).astype(coefficients.dtype), d)


def upper(matrix: Float[Array, "*k d d"]) -> Float[Array, "*k f"]:
    """The upper triangle, row by row: what `symmetric` makes a matrix of."""
    i, j = _triangle(matrix.shape[-1])
    return matrix[..., i, j]


def symmetric(sums: Float[Array, "*k f"], d: int) -> Float[Array, "*k d d"]:
    """The symmetric matrix whose upper triangle, row by row, is `sums`."""
    return sums[..., _places(d)]


def augmented_whitener(means: Float[Array, "*r k d"], inverse: Float[Array, "*r k d d"]) -> Float[Array, "*r k e e"]:
    """B with B [1, x] = [1, L⁻¹(x − μ)]: carries raw moments of [1, x] to whitened ones by congruence."""
    xp, d = namespace(means, inverse), means.shape[-1]
    offset = -einsum("...kde,...ke->...kd", inverse, means)
    top = xp.broadcast_to(xp.eye(1, d + 1, dtype=means.dtype), (*means.shape[:-1], 1, d + 1))
    return xp.concatenate([top, xp.concatenate([offset[..., None], inverse], axis=-1)], axis=-2)
