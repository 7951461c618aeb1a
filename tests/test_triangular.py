"""The algebra of factors, against NumPy's LAPACK."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import scope

from jaxgmm.families import linalg as tri


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 8, 31, 32, 33, 70, 130])
def test_cholesky_and_inverse_are_lapacks(d, dtype):
    rng = np.random.default_rng(d)
    a = rng.normal(size=(2, 3, d, 2 * d)) / np.sqrt(d)
    spd = (a @ a.swapaxes(-1, -2)).astype(dtype)
    with scope(dtype):
        factor = np.asarray(jax.jit(tri.cholesky)(spd))
        inverse = np.asarray(jax.jit(tri.inverse)(factor))
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    assert factor.dtype == inverse.dtype == dtype
    np.testing.assert_allclose(factor, np.linalg.cholesky(spd.astype(np.float64)), atol=tolerance)
    np.testing.assert_allclose(inverse @ factor, np.broadcast_to(np.eye(d), spd.shape), atol=20 * tolerance)
    assert (np.triu(inverse, 1) == 0).all()
    assert (np.triu(factor, 1) == 0).all()


@pytest.mark.parametrize("d", [1, 4, 5, 6, 8, 9])
def test_products_are_numpys(d):
    a, b = np.random.default_rng(d).normal(size=(2, 3, d, d))
    with scope():
        np.testing.assert_allclose(tri.product(jnp.asarray(a), jnp.asarray(b[:, :, :2])), a @ b[:, :, :2], atol=1e-13)
        np.testing.assert_allclose(tri.gram(jnp.asarray(a)), a @ a.swapaxes(-1, -2), atol=1e-13)


@pytest.mark.parametrize("d", [3, 40])
def test_what_is_not_positive_definite_gives_nan_alone(d):
    good = np.eye(d)
    bad = np.eye(d)
    bad[d - 1, d - 1] = -1.0
    with scope():
        factor = np.asarray(tri.cholesky(jnp.asarray(np.stack([good, bad]))))
    np.testing.assert_array_equal(factor[0], good)
    assert np.isnan(factor[1]).any()


@pytest.mark.parametrize("d", [3, 4, 5, 40])
def test_the_inverse_has_the_right_derivative(d):
    rng = np.random.default_rng(0)
    factor = np.tril(rng.normal(size=(d, d)) / d, -1) + np.diag(rng.uniform(1, 2, d))
    weight = rng.normal(size=(d, d))
    with scope():
        got = jax.grad(lambda a: jnp.sum(weight * tri.inverse(a)))(jnp.asarray(factor))
    x = np.linalg.inv(factor)
    np.testing.assert_allclose(got, np.tril(-x.T @ np.tril(weight) @ x.T), atol=1e-10)
