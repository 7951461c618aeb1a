"""Rows farther away than the dtype can square: finite and ordered densities, responsibilities that sum to 1."""

from __future__ import annotations

import numpy as np
import pytest
from create import GAUSSIANS, mixture
from scipy.stats import multivariate_normal

import jaxgmm
from jaxgmm import Mixture

FARTHEST = {"float32": 1e37, "float64": 1e300}


@pytest.mark.parametrize("name", GAUSSIANS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_rows_are_finite_ordered_and_shared_out(name, dtype):
    m = mixture(name, np.random.default_rng(0), dtype=dtype)
    direction = np.array([1.0, -2.0, 0.5, 1.5])
    distances = np.geomspace(1.0, FARTHEST[dtype] / 4, 60)
    x = (distances[:, None] * direction).astype(dtype)
    log_p, shares, joint = m.score_samples(x), m.responsibilities(x), m.joint_log_prob(x)
    assert np.isfinite(log_p).all()
    assert np.isfinite(joint).all()
    within = distances < 1e150
    assert (np.diff(log_p[within]) < 0).all()
    assert (np.diff(log_p) <= 0).all()
    assert not np.isnan(shares).any()
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(m.predict(x), shares.argmax(1))
    # far out one component owns the row, and goes on owning it
    assert len(set(m.predict(x[distances > 1e25]))) == 1
    assert shares.dtype == dtype


def test_far_densities_are_right_where_float64_has_them():
    m = mixture("full", np.random.default_rng(1), k=1, dtype="float32")
    x = np.array([[1e19, 0, 0, 0], [1e30, 1e30, 0, 0], [0.1, 0.2, 0.3, 0.4]], np.float32)
    wide = m.astype(np.float64)
    want = multivariate_normal(wide.means[0], wide.covariances[0]).logpdf(x.astype(np.float64))
    got = m.score_samples(x)
    assert got.dtype == np.float64  # −1e60 has no float32
    np.testing.assert_allclose(got, want, rtol=1e-5)
    near = m.score_samples(x[2:])
    assert near.dtype == np.float32
    np.testing.assert_allclose(got[2:], near, rtol=1e-6)


def test_a_batch_of_mixtures_and_an_empty_component():
    means = np.array([[[0.0], [10.0]], [[5.0], [-5.0]]], np.float32)
    batch = Mixture.create([[0.5, 0.5], [1.0, 0.0]], means, np.ones((2, 2)), covariance_type="spherical")
    x = np.array([[1e25], [-1e25], [3.0]], np.float32)
    shares = batch.responsibilities(x)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(shares[1, :, 1], 0)
    assert np.isfinite(batch.score_samples(x)).all()


def test_covariances_leave_float32_when_they_must(faithful):
    for scale in (1e-20, 1e20):
        result = jaxgmm.fit(0, (faithful * scale).astype(np.float32), 2)
        covariances = result.mixture.covariances
        assert covariances.dtype == np.float64
        plain = jaxgmm.fit(0, faithful.astype(np.float32), 2).mixture
        assert plain.covariances.dtype == np.float32
        np.testing.assert_allclose(covariances / scale**2, plain.covariances, rtol=2e-3)
        again = Mixture.create(result.mixture.weights, result.mixture.means, covariances)
        np.testing.assert_allclose(again.components.scale_tril, result.mixture.components.scale_tril, rtol=1e-5)


def test_samples_come_in_blocks_that_fit():
    d = 48
    m = Mixture.create([0.3, 0.7], np.stack([np.zeros(d), np.full(d, 3.0)]), np.stack([np.eye(d)] * 2))
    x, labels = m.sample(0, 5000)  # more than one block of 4 194 304 / d²
    assert x.shape == (5000, d)
    assert labels.mean() == pytest.approx(0.7, abs=0.03)
    np.testing.assert_allclose(x[labels == 1].mean(0), 3, atol=0.1)
    assert len(np.unique(x[:, 0])) == 5000
