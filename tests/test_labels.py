"""Rows whose component is known: against scikit-learn's supervised estimates, and against EM written out in NumPy."""

from __future__ import annotations

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, data, mixture, rows, scope
from scipy.special import logsumexp
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.metrics import accuracy_score
from sklearn.naive_bayes import GaussianNB

import jaxgmm
from jaxgmm import Status
from jaxgmm.em import e_step
from jaxgmm.rows.labels import Known

CENTRES = np.array([[0.0, 0.0], [3.0, 0.5], [0.5, 3.0]])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def clumps(rng, n=600, overlap=1.0):
    owners = rng.integers(0, 3, n)
    return CENTRES[owners] + overlap * rng.normal(size=(n, 2)), owners


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", ["centred", "shared_feature"])
def test_a_pass_shares_rows_among_possible_components_only(name, kernel, rng):
    x, m = data(name, rng), mixture(name, rng)
    label = rng.integers(0, 4, len(x))
    possible = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [1, 1, 1]], bool)
    joint = np.where(possible[label], np.asarray(m.joint_log_prob(x)), -np.inf)
    r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    with scope():
        place = rows(x)
        known = Known(jnp.asarray(np.resize(label, place.n_slots)), jnp.asarray(possible))
        place = type(place)(place.x, place.weights, place.total_weight, place.n_rows, None, known)
        for chunk in (None, 32):
            found = e_step(m, place, kernel=kernel, chunk=chunk)
            np.testing.assert_allclose(found.log_likelihood, logsumexp(joint, axis=1).sum(), rtol=1e-10)
            np.testing.assert_allclose(found.counts, r.sum(0), rtol=1e-10)
        index = jnp.asarray(rng.integers(0, len(x), 50))
        taken = e_step(m, place.take(index), kernel=kernel)
        np.testing.assert_allclose(taken.log_likelihood, logsumexp(joint, axis=1)[index].sum(), rtol=1e-10)


@pytest.mark.parametrize("name", ["full", "tied", "diag"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_of_all_rows_give_the_supervised_estimate(name, dtype, rng):
    x, owners = clumps(rng)
    result = jaxgmm.fit(0, x.astype(dtype), 3, covariance_type=name, labels=owners, reg_covar=0, n_init=4)
    counts = np.bincount(owners)
    by = {
        "full": lambda: QuadraticDiscriminantAnalysis(store_covariance=True).fit(x, owners).covariance_,
        "tied": lambda: LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(x, owners).covariance_,
        "diag": lambda: GaussianNB(var_smoothing=0).fit(x, owners).var_,
    }
    exact = dict(rtol=1e-10) if dtype == "float64" else dict(rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(result.mixture.weights, counts / len(x), **exact)
    np.testing.assert_allclose(result.mixture.means, [x[owners == k].mean(0) for k in range(3)], **exact)
    np.testing.assert_allclose(result.mixture.covariances, by[name](), **exact)
    assert list(result.status) == [Status.CONVERGED]
    once = jaxgmm.fit(0, x.astype(dtype), 3, covariance_type=name, labels=owners, reg_covar=0, max_iter=0)
    chex.assert_trees_all_close(once.mixture, result.mixture, **exact)


def test_the_log_likelihood_is_that_of_rows_and_labels(rng):
    x, owners = clumps(rng)
    owners = np.where(rng.uniform(size=len(x)) < 0.5, owners, -1)
    result = jaxgmm.fit(0, x, 3, labels=owners)
    joint = result.mixture.joint_log_prob(x)
    known = owners >= 0
    expected = joint[known, owners[known]].sum() + logsumexp(joint[~known], axis=1).sum()
    np.testing.assert_allclose(result.log_likelihood[0], expected, rtol=1e-8)
    assert np.all(np.diff(result.history[0]) > -1e-12)


def test_a_few_labels_name_the_components_and_help(rng):
    x, owners = clumps(rng, n=900, overlap=1.1)
    few = np.full(len(x), -1)
    for k in range(3):
        few[np.flatnonzero(owners == k)[:10]] = (k + 1) % 3
    for init in ("k-means++", "kmeans", "random_from_data", "random"):
        result = jaxgmm.fit(0, x, 3, labels=few, init=init, n_init=2)
        assert accuracy_score((owners + 1) % 3, result.mixture.predict(x)) > 0.85, init


def test_a_class_may_have_several_components(rng):
    x = np.concatenate([rng.normal(size=(150, 2)) + centre for centre in ((-6, 0), (6, 0), (0, 0))])
    classes = np.repeat([7, 7, 3], 150)  # the class 7 lies on both sides of the class 3
    seen = np.where(rng.uniform(size=len(x)) < 0.3, classes, -1)
    own = np.array([7, 3, 7])
    result = jaxgmm.fit(0, x, 3, labels=seen, component_labels=own, n_init=4)
    assert accuracy_score(classes, own[result.mixture.predict(x)]) > 0.98
    np.testing.assert_allclose(np.sort(result.mixture.means[[0, 2], 0]), [-6, 6], atol=0.3)
    np.testing.assert_allclose(result.mixture.means[1], [0, 0], atol=0.3)


def test_a_component_without_a_label_finds_what_has_none(rng):
    x, owners = clumps(rng, overlap=0.5)
    seen = np.where(owners == 2, -1, owners)
    result = jaxgmm.fit(0, x, 3, labels=seen, component_labels=[0, 1, -1], n_init=2)
    np.testing.assert_allclose(result.mixture.means, CENTRES, atol=0.15)


def test_rows_without_weight_lose_their_labels(rng):
    x, owners = clumps(rng, n=200)
    w = (rng.uniform(size=200) < 0.7).astype(float)
    with_weights = jaxgmm.fit(0, x, 3, labels=owners, sample_weight=w)
    without = jaxgmm.fit(0, x[w > 0], 3, labels=owners[w > 0])
    chex.assert_trees_all_close(with_weights.mixture, without.mixture, rtol=1e-10)


@pytest.mark.parametrize("driver", [jaxgmm.Gradient("lbfgs"), jaxgmm.Gradient(batch_size=128)])
def test_gradients_see_labels_too(driver, rng):
    x, owners = clumps(rng)
    owners = np.where(rng.uniform(size=len(x)) < 0.3, owners, -1)
    em = jaxgmm.fit(0, x, 3, labels=owners, tol=1e-9)
    found = jaxgmm.fit(0, x, 3, labels=owners, driver=driver, max_iter=150, tol=1e-7)
    assert abs(em.score - found.score) < (1e-5 if driver.batch_size is None else 0.02)


def test_no_labels_at_all_change_nothing(rng):
    x, _ = clumps(rng, n=200)
    blank = jaxgmm.fit(3, x, 3, labels=np.full(200, -1), n_init=2)
    chex.assert_trees_all_equal(blank.mixtures, jaxgmm.fit(3, x, 3, n_init=2).mixtures)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (dict(labels=[0, 1]), ValueError, r"labels must have shape \(6,\), one a row; got \(2,\)"),
        (dict(labels=[0.5] * 6), TypeError, "labels must be integers, -1 where unknown; got dtype float64"),
        (dict(labels=[0, 0, 0, 1, 1, 2]), ValueError, "labels must be 0 … 1, or -1 where unknown; got 2 at row 5"),
        (dict(labels=[0, 0, 0, 1, 1, -2]), ValueError, "labels must be at least -1, got -2 for row 5"),
        (
            dict(labels=[0, 0, 0, 0, 0, 0]),
            ValueError,
            "labels must leave rows for every component, got 0 with label 1 for 1 component",
        ),
        (
            dict(component_labels=[0, 1]),
            ValueError,
            "component_labels must be left out where there are no labels",
        ),
        (
            dict(labels=[0, 0, 0, 0, 0, 1], sample_weight=[1, 1, 1, 1, 1, 0]),
            ValueError,
            "got 0 with label 1 for 1 component",
        ),
        (dict(labels=[0] * 6, component_labels=[0, -1]), ValueError, "must not be -1 where all rows have a label"),
        (dict(labels=[5] * 6, component_labels=[4, 5, 5]), ValueError, r"component_labels must have shape \(2,\)"),
        (dict(labels=[4, 4, 4, 9, 5, 5], component_labels=[4, 5]), ValueError, r"labels must be among \[4, 5\], or -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(options, error, words, rng):
    with pytest.raises(error, match=words):
        jaxgmm.fit(0, rng.normal(size=(6, 2)), 2, **options)


def test_a_rare_label_is_not_lost_among_many_rows(rng):
    x = rng.normal(size=(20000, 2)).astype(np.float32)
    x[:3] = [[8, 8], [8.1, 8], [8, 8.2]]
    labels = np.full(20000, -1)
    labels[:3], labels[3:400] = 1, 0
    for init in ("kmeans", "k-means++", "random_from_data"):
        result = jaxgmm.fit(0, x, 2, labels=labels, init=init, on_degenerate="stop", covariance_type="spherical")
        assert result.status[0] == Status.CONVERGED, init
        np.testing.assert_allclose(result.mixture.means, [[0, 0], [8.03, 8.07]], atol=0.05)


def test_random_starts_share_rows_with_one_possible_component(rng):
    x, owners = clumps(rng)
    starts = jaxgmm.fit(0, x, 3, labels=np.where(owners == 0, 0, -1), init="random", n_init=4, max_iter=0)
    assert np.isfinite(starts.log_likelihood).all()
