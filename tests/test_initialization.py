"""Where restarts start."""

from __future__ import annotations

import chex
import numpy as np
import pytest
from create import NAMES, data
from reference import em_iteration

import jaxgmm
from jaxgmm.starts.methods import METHODS


def start(x, k, init, **options):
    return jaxgmm.fit(options.pop("key", 0), x, k, init=init, max_iter=0, **options)


@pytest.mark.parametrize("method", ["k-means++", "random_from_data"])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_seeds_are_rows_with_uniform_weights_and_the_datas_variances(kind, method, iris):
    m = start(iris, 4, method, covariance_type=kind, n_init=3).mixtures
    np.testing.assert_allclose(m.weights, 0.25)
    for means in m.means:
        gaps = np.abs(means[:, None] - iris[None]).max(-1)
        assert (gaps.min(1) < 1e-9).all()
        assert len(set(gaps.argmin(1))) == 4
    variances = iris.var(0)
    want = {"full": np.diag(variances), "tied": np.diag(variances), "diag": variances, "spherical": variances.mean()}
    want = want[kind]
    np.testing.assert_allclose(m.covariances, np.broadcast_to(want, m.covariances.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_restarts_start_apart(method, iris):
    m = start(iris, 3, method, n_init=5).mixtures
    assert len({m.means[i].tobytes() for i in range(5)}) >= (3 if method == "kmeans" else 5)
    chex.assert_trees_all_equal(m, start(iris, 3, method, n_init=5).mixtures)
    other = start(iris, 3, method, n_init=5, key=1).mixtures
    assert not np.array_equal(m.means, other.means)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", NAMES)
def test_every_method_starts_every_family(kind, method):
    x = data(kind, np.random.default_rng(0), n=90)
    m = start(x, 3, method, covariance_type=kind, n_init=2).mixtures
    assert np.isfinite(m.score_samples(x)).all()


def test_kmeans_plusplus_beats_random_rows():
    """Seeds spread over well-separated clusters: nearly always one in each."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 2)) * 30
    labels = rng.integers(0, 10, 2000)
    x = centres[labels] + rng.normal(size=(2000, 2))

    def found(method):
        means = start(x, 10, method, n_init=50).mixtures.means
        nearest = np.linalg.norm(means[:, :, None] - centres, axis=-1).argmin(-1)
        return np.mean([len(set(row)) for row in nearest])

    assert found("k-means++") > 9.5 > found("random_from_data")


def test_kmeans_is_lloyds_optimum():
    """After its rounds every row belongs to the nearest of the means, and every mean is its rows' own."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(100, 2)) + c for c in ([0, 0], [8, 0], [0, 8])])
    m = start(x, 3, "kmeans", reg_covar=0).mixture
    nearest = np.linalg.norm(x[:, None] - m.means, axis=-1).argmin(1)
    for k in range(3):
        np.testing.assert_allclose(m.means[k], x[nearest == k].mean(0))
        np.testing.assert_allclose(m.covariances[k], np.cov(x[nearest == k].T, bias=True))
    np.testing.assert_allclose(m.weights, np.bincount(nearest) / 300)


@pytest.mark.parametrize("kind", NAMES)
def test_labels_and_responsibilities_are_one_m_step(kind):
    rng = np.random.default_rng(3)
    x = data(kind, rng, n=120)
    r = rng.dirichlet(np.ones(3), 120)
    m = start(x, 3, r, covariance_type=kind, reg_covar=0.01).mixture
    counts = r.sum(0)
    np.testing.assert_allclose(m.weights, counts / 120)
    means = r.T @ x / counts[:, None]
    np.testing.assert_allclose(m.means, (means + 0.01) / 1.02 if kind == "bernoulli" else means, atol=1e-9)
    labels = rng.integers(0, 3, 120)
    hard = start(x, 3, labels, covariance_type=kind, reg_covar=0.01).mixture
    chex.assert_trees_all_close(hard, start(x, 3, np.eye(3)[labels], covariance_type=kind, reg_covar=0.01).mixture)
    if kind == "full":
        want = np.stack([np.cov(x[labels == k].T, bias=True) for k in range(3)]) + 0.01 * np.eye(4)
        np.testing.assert_allclose(hard.covariances, want, atol=1e-10)


def test_batches_of_labels_and_responsibilities_are_batches_of_starts(iris):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (4, 150))
    many = start(iris, 2, labels)
    assert many.mixtures.batch_shape == (4,)
    chex.assert_trees_all_close(many.mixtures[2], start(iris, 2, labels[2]).mixture, rtol=1e-10)
    assert start(iris, 2, rng.dirichlet(np.ones(2), (3, 150))).mixtures.batch_shape == (3,)


def test_a_given_mixture_is_the_start(iris):
    given = start(iris, 3, "kmeans").mixture
    again = start(iris, 3, given).mixture
    chex.assert_trees_all_close(again, given, rtol=1e-9, atol=1e-12)
    want = em_iteration("full", given.weights, given.means, given.covariances, iris, np.ones(150), 0.0)
    one = jaxgmm.fit(0, iris, 3, init=given, max_iter=1, tol=0, reg_covar=0)
    np.testing.assert_allclose(one.mixture.means, want[2])
    np.testing.assert_allclose(one.mixture.covariances, want[3], rtol=1e-8, atol=1e-10)


def test_random_responsibilities_do_not_depend_on_chunks(iris, monkeypatch):
    from jaxgmm.starts import methods

    whole = start(iris, 3, "random", n_init=2).mixtures
    monkeypatch.setattr(methods, "chunk_size", lambda *_: 37)
    methods._each_compiled.clear_cache()
    chex.assert_trees_all_close(start(iris, 3, "random", n_init=2).mixtures, whole, rtol=1e-9, atol=1e-12)
    methods._each_compiled.clear_cache()


def test_large_data_is_seeded_on_a_sample(monkeypatch):
    from jaxgmm.starts import seeding

    seen = []
    original = seeding.plus_plus
    monkeypatch.setattr(
        seeding, "plus_plus", lambda words, x, *rest: seen.append(x.shape[-1]) or original(words, x, *rest)
    )
    x = np.random.default_rng(0).normal(size=(50_000, 2)).astype(np.float32)
    m = start(x, 3, "k-means++", n_init=2).mixtures
    assert seen == [8192]
    assert (np.abs(m.means[:, :, None] - x).max(-1).min(-1) < 1e-5).all()


def test_rows_that_all_coincide_still_give_seeds():
    m = start(np.ones((20, 2)), 3, "k-means++").mixture
    assert np.isfinite(m.score_samples(np.ones((1, 2)))).all()
