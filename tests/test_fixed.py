"""Parameters held in a fit: against scikit-learn where it can, against constrained maxima, and by EM's own laws."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import GAUSSIANS, NAMES, batch, data, mixture, rows, scope
from scipy.optimize import minimize

import jaxgmm
from jaxgmm import Fixed, Gradient, Mixture, Prior
from jaxgmm.drivers.objective import about, origin
from jaxgmm.em import e_step, expected_log_likelihood, m_step
from jaxgmm.em.penalty import Pinned

K, D = 3, 4
FREE = np.full(D, np.nan)


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def pinned(m, weights=(1, 0, 0), means=(1, 1, 0), covariances=(0, 1, 0)) -> Pinned:
    if m.covariance_type == "bernoulli":
        covariances = (0, 0, 0)
    if m.covariance_type == "tied":
        covariances = (1, 1, 1) if any(covariances) else (0, 0, 0)
    return Pinned(m, *(jnp.asarray(part, bool) for part in (weights, means, covariances)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "held", [((1, 0, 0), (1, 1, 0), (0, 1, 0)), ((1, 1, 1), (0, 1, 0), (0, 0, 0)), ((0, 1, 1), (1, 1, 1), (0, 0, 0))]
)
def test_the_m_step_is_the_maximum_over_what_is_free(name, held, rng):
    """Q as a function of what is free, climbed by SciPy from the M-step's own answer and from elsewhere: no higher."""
    x, m = data(name, rng), mixture(name, rng)
    with scope():
        pin = pinned(m, *held)
        statistics = e_step(m, rows(x))
        ridge = jnp.full(D, 0.1)
        new = m_step(m, statistics, ridge, None, pin)
        chex.assert_trees_all_close(pin.within(new), new, rtol=1e-12)
        flat, unflatten = jax.flatten_util.ravel_pytree(origin(m))

        def minus_q(free):
            return -expected_log_likelihood(m, statistics, about(m, unflatten(free), pin), ridge)

        slope = jax.jit(jax.value_and_grad(minus_q))
        climbed = minimize(
            lambda free: [np.asarray(v, np.float64) for v in slope(free)],
            np.asarray(flat) + 0.01,
            jac=True,
            options=dict(gtol=1e-7),
        )
        reached = float(expected_log_likelihood(m, statistics, new, ridge))
        np.testing.assert_allclose(-climbed.fun, reached, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prior", [None, Prior(concentration=2.0, mean_strength=0.5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_held_is_returned_as_given_and_the_objective_rises(name, prior, dtype, rng):
    x = data(name, rng, n=300).astype(dtype)
    truth = mixture(name, rng, dtype=dtype)
    weights, means = np.array([0.25, np.nan, np.nan]), np.array([truth.means[0], FREE, truth.means[2]])
    covariances = None
    if name in ("full", "diag", "spherical"):
        covariances = np.array(truth.covariances)
        covariances[:2] = np.nan
    if name == "tied":
        covariances = truth.covariances
    fixed = Fixed(weights, means, covariances)
    result = jaxgmm.fit(
        0,
        x,
        K,
        covariance_type=name,
        fixed=fixed,
        prior=prior,
        n_init=3,
        reg_covar=0 if prior is None and name != "bernoulli" else "auto",
        tol=1e-7,
    )
    close = dict(rtol=1e-12) if dtype == "float64" else dict(rtol=3e-6, atol=1e-6)
    for found in (result.mixtures[i] for i in range(3)):
        np.testing.assert_allclose(found.weights[0], 0.25, **close)
        np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-5)
        np.testing.assert_allclose(found.means[[0, 2]], truth.means[[0, 2]], **close)
        if name == "tied":
            np.testing.assert_allclose(found.covariances, truth.covariances, **close)
        elif covariances is not None:
            np.testing.assert_allclose(found.covariances[2], truth.covariances[2], **close)
    if dtype == "float64" and prior is None and name != "bernoulli":
        assert np.nanmin(np.diff(result.history, axis=1)) > -1e-12


@pytest.mark.parametrize("name", GAUSSIANS)
def test_gradients_end_where_em_does(name, rng):
    centres = rng.normal(size=(K, D)) * 4
    x = centres[rng.integers(0, K, 400)] + rng.normal(size=(400, D))
    shapes = {
        "full": np.tile(np.eye(D), (K, 1, 1)),
        "tied": np.eye(D),
        "diag": np.ones((K, D)),
        "spherical": np.ones(K),
    }
    start = Mixture.create(np.full(K, 1 / K), centres + 0.5, shapes[name], covariance_type=name)
    means = np.array([centres[0] + 0.3, FREE, FREE])
    fixed = Fixed([np.nan, 0.3, np.nan], means, np.eye(D) if name == "tied" else None)
    options = dict(covariance_type=name, init=start, fixed=fixed, tol=1e-10, max_iter=4000)
    em = jaxgmm.fit(0, x, K, **options)
    climbed = jaxgmm.fit(0, x, K, driver=Gradient("lbfgs"), **options)
    np.testing.assert_allclose(climbed.score, em.score, atol=2e-6)
    np.testing.assert_allclose(climbed.mixture.means, em.mixture.means, atol=5e-3)
    np.testing.assert_allclose(climbed.mixture.means[0], means[0], rtol=1e-12)
    np.testing.assert_allclose(climbed.mixture.weights[1], 0.3, rtol=1e-12)


def test_all_held_is_no_fit_at_all(rng):
    x, m = data("full", rng), mixture("full", rng)
    result = jaxgmm.fit(0, x, K, fixed=Fixed(m.weights, m.means, m.covariances))
    chex.assert_trees_all_close(result.mixture, m, rtol=1e-10)
    np.testing.assert_allclose(result.score, m.score(x), rtol=1e-10)


def test_a_known_background_leaves_the_rest_to_the_others(rng):
    """A broad known component, and clusters in front of it that a fit of everything would share with it."""
    background = rng.normal(size=(500, 2)) * 8
    clusters = np.concatenate([rng.normal(size=(150, 2)) * 0.5 + centre for centre in ([3, 3], [-4, 1])])
    free = np.full((2, 2), np.nan)
    fixed = Fixed(means=[[0, 0], free[0], free[0]], covariances=[64 * np.eye(2), free, free])
    result = jaxgmm.fit(0, np.concatenate([background, clusters]), 3, fixed=fixed, n_init=8)
    np.testing.assert_allclose(result.mixture.weights[0], 500 / 800, atol=0.05)
    order = np.argsort(result.mixture.means[1:, 0])
    np.testing.assert_allclose(result.mixture.means[1:][order], [[-4, 1], [3, 3]], atol=0.2)


def test_a_given_component_may_have_no_rows(rng):
    x = rng.normal(size=(300, 2))
    free = np.full((2, 2), np.nan)
    far = Fixed(means=[[50, 50], free[0]], covariances=[np.eye(2), free])
    result = jaxgmm.fit(0, x, 2, fixed=far)
    assert result.status[0] == jaxgmm.Status.CONVERGED
    np.testing.assert_allclose(result.mixture.weights, [0, 1], atol=1e-6)
    np.testing.assert_allclose(result.mixture.covariances[1], np.cov(x.T, bias=True), rtol=1e-4)


def test_seeds_keep_away_from_given_means(rng):
    x = np.concatenate([rng.normal(size=(100, 2)) * 0.1 + centre for centre in ([0, 0], [10, 0], [0, 10])])
    fixed = Fixed(means=[[0, 0], [np.nan] * 2, [np.nan] * 2])
    starts = jaxgmm.fit(0, x, 3, fixed=fixed, n_init=16, max_iter=0).mixtures.means
    nearest = np.linalg.norm(starts[:, 1:], axis=-1).min()
    assert nearest > 5


@pytest.mark.parametrize("name", NAMES)
def test_within_is_idempotent_and_keeps_the_simplex(name, rng):
    with scope():
        given, others = mixture(name, rng), batch(name, rng, 4)
        pin = pinned(given)
        once = jax.vmap(pin.within)(others)
        chex.assert_trees_all_close(jax.vmap(pin.within)(once), once, rtol=1e-12)
        np.testing.assert_allclose(once.weights.sum(1), 1, rtol=1e-12)
        np.testing.assert_allclose(once.weights[:, 1] / once.weights[:, 2], others.weights[:, 1] / others.weights[:, 2])


@pytest.mark.parametrize(
    ("fixed", "name", "error", "words"),
    [
        ("means", "full", TypeError, "fixed must be a Fixed"),
        (Fixed(weights=[0.5, np.nan, np.nan]), "full", ValueError, r"fixed.weights must have shape \(2,\)"),
        (Fixed(weights=[0.7, 0.7]), "full", ValueError, "fixed.weights must sum to 1 where none is free, got 1.4"),
        (Fixed(weights=[1.0, np.nan]), "full", ValueError, "fixed.weights must leave something"),
        (Fixed(weights=[-0.1, np.nan]), "full", ValueError, r"fixed.weights must lie in \(0, 1\]"),
        (
            Fixed(means=[[1, np.nan], [0, 0]]),
            "full",
            ValueError,
            "fixed.means of component 0 must be given whole or all NaN",
        ),
        (Fixed(means=[[np.inf, 0], [0, 0]]), "full", ValueError, "fixed.means must be finite"),
        (Fixed(means=[["a", "b"], ["c", "d"]]), "full", TypeError, "fixed.means"),
        (Fixed(covariances=[-1.0, np.nan]), "spherical", ValueError, "fixed.covariances"),
        (Fixed(covariances=np.array([[1.0, 2.0], [2.0, 1.0]])), "tied", ValueError, "fixed.covariances"),
        (Fixed(covariances=np.ones((2, 2))), "bernoulli", ValueError, "fixed.covariances must be None"),
        (Fixed(means=[[2.0, 0.5], [np.nan, np.nan]]), "bernoulli", ValueError, r"fixed.means must lie in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(fixed, name, error, words, rng):
    with pytest.raises(error, match=words):
        jaxgmm.fit(0, data(name, rng, n=20, d=2), 2, covariance_type=name, fixed=fixed)


def test_held_weights_leave_the_rest_to_somebody(rng):
    x = rng.normal(size=(200, 2))
    free = np.full((2, 2), np.nan)
    fixed = Fixed([0.3, np.nan], [[np.nan] * 2, [100, 100]], [free, np.eye(2)])
    result = jaxgmm.fit(0, x, 2, fixed=fixed)
    np.testing.assert_allclose(result.mixture.weights, [0.3, 0.7], rtol=1e-12)
    np.testing.assert_allclose(result.score, result.mixture.score(x), rtol=1e-9)


def test_rows_are_counted_where_weights_are_held(rng):
    x = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 12])
    result = jaxgmm.fit(0, x, 2, fixed=Fixed(weights=[0.9, 0.1]), n_init=2)
    np.testing.assert_allclose(result.components().counts, [300, 300], atol=0.1)


def test_known_rates_may_have_no_rows(rng):
    x = (rng.uniform(size=(300, 6)) < 0.1).astype(float)
    fixed = Fixed(means=[[1.0 - 1e-6] * 6, [np.nan] * 6])
    result = jaxgmm.fit(0, x, 2, covariance_type="bernoulli", fixed=fixed)
    assert result.status[0] == jaxgmm.Status.CONVERGED
    np.testing.assert_allclose(result.mixture.weights, [0, 1], atol=1e-3)


def test_kmeans_settles_around_given_means(rng):
    x = np.concatenate([rng.normal(size=(100, 2)) * 0.3 + centre for centre in ([0, 0], [10, 0])])
    fixed = Fixed(means=[[1.5, 12], [np.nan] * 2, [np.nan] * 2])
    starts = jaxgmm.fit(0, x, 3, fixed=fixed, init="kmeans", n_init=4, max_iter=0).mixtures
    assert (starts.weights > 0).all()
    np.testing.assert_allclose(np.sort(starts.means[:, 1:, 0], axis=1), [[0, 10]] * 4, atol=0.2)
