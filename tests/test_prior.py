"""Maximum a posteriori: against the formulas of Fraley & Raftery (2007), written out in NumPy, and against gradients."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import GAUSSIANS, NAMES, batch, data, mixture, rows, scope
from reference import responsibilities
from scipy import stats
from scipy.special import xlogy

import jaxgmm
from jaxgmm import Gradient, Prior
from jaxgmm.drivers import EM
from jaxgmm.em import e_step, log_prior, m_step
from jaxgmm.em.penalty import Penalty
from jaxgmm.families.base import Conjugate

K, D = 3, 4
ALPHA, STRENGTH, DOF = 2.5, 0.7, 9.0


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def conjugate(name: str) -> Conjugate:
    rng = np.random.default_rng(8)
    centre = rng.uniform(0.2, 0.8, D)
    scatter = np.tril(rng.normal(size=(D, D))) + 2 * np.eye(D)
    if name in ("diag", "bernoulli"):
        scatter = np.diagonal(scatter)
    if name == "spherical":
        scatter = np.full(D, 1.7)
    with scope():
        return Conjugate(*map(jnp.asarray, (ALPHA, centre, STRENGTH, scatter, DOF)))


def by_the_book(name: str, x, r, centre, root):
    """The mode of the posterior given responsibilities r (n, k), in NumPy."""
    counts = r.sum(0)
    weights = (counts + ALPHA - 1) / (counts.sum() + K * (ALPHA - 1))
    sums = r.T @ x
    means = (sums + STRENGTH * centre) / (counts + STRENGTH)[:, None]
    if name == "bernoulli":
        return weights, means, None
    scatters = []
    for k in range(K):
        own = sums[k] / counts[k]
        z = x - own
        away = own - centre
        shrunk = STRENGTH * counts[k] / (STRENGTH + counts[k])
        scatters.append((r[:, k, None] * z).T @ z + shrunk * np.outer(away, away))
    scatters = np.array(scatters)
    prior = root @ root.T if root.ndim == 2 else np.diag(root**2)
    if name == "full":
        return weights, means, (scatters + prior) / (counts + DOF + D + 2)[:, None, None]
    if name == "tied":
        return weights, means, (scatters.sum(0) + prior) / (counts.sum() + DOF + D + 1 + K)
    diagonal = np.einsum("kdd->kd", scatters)
    if name == "diag":
        return weights, means, (diagonal + root**2) / (counts + DOF + 3)[:, None]
    return weights, means, (diagonal.sum(1) + root[0] ** 2) / (counts * D + DOF + D + 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", ["centred", "shared_feature"])
def test_the_m_step_is_the_mode_given_responsibilities(name, kernel, rng):
    x, m = data(name, rng), mixture(name, rng)
    prior = conjugate(name)
    with scope():
        statistics = e_step(m, rows(x), kernel=kernel)
        new = m_step(m, statistics, jnp.zeros(D), prior)
        r = responsibilities(m, x)
        weights, means, covariances = by_the_book(name, x, r, np.asarray(prior.centre), np.asarray(prior.scatter))
        np.testing.assert_allclose(new.weights, weights, rtol=1e-9)
        np.testing.assert_allclose(new.means, means, rtol=1e-8, atol=1e-10)
        if covariances is not None:
            np.testing.assert_allclose(new.components.covariances, covariances, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_log_prior_is_that_of_the_named_densities(name, rng):
    """Against SciPy's densities, up to one constant."""
    prior = conjugate(name)
    centre, root = np.asarray(prior.centre), np.asarray(prior.scatter)

    def reference(m) -> float:
        total = xlogy(ALPHA - 1, np.asarray(m.weights)).sum()
        if name == "bernoulli":
            mu = np.asarray(m.means)
            return total + np.sum(STRENGTH * (xlogy(centre, mu) + xlogy(1 - centre, 1 - mu)))
        matrices = m.covariance_matrices()
        for mean, covariance in zip(m.means, matrices, strict=True):
            total += stats.multivariate_normal(centre, covariance / STRENGTH).logpdf(mean)
        if name == "full":
            return total + sum(stats.invwishart(DOF, root @ root.T).logpdf(c) for c in matrices)
        if name == "tied":
            return total + stats.invwishart(DOF, root @ root.T).logpdf(matrices[0])
        if name == "diag":
            variances = np.einsum("kdd->kd", matrices)
            return total + stats.invgamma(DOF / 2, scale=root**2 / 2).logpdf(variances).sum()
        return total + stats.invgamma(DOF / 2, scale=root[0] ** 2 / 2).logpdf(matrices[:, 0, 0]).sum()

    with scope():
        both = [mixture(name, rng), mixture(name, rng)]
        ours = [float(log_prior(m, prior)) for m in both]
    assert ours[1] - ours[0] == pytest.approx(reference(both[1]) - reference(both[0]), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_em_never_lowers_the_posterior(name, rng):
    x, starts, prior = data(name, rng), batch(name, rng, 2), conjugate(name)
    with scope():
        places, penalty = rows(x), Penalty(jnp.zeros(D), prior)
        step = jax.jit(jax.vmap(lambda s: EM().step(s, lambda m: e_step(m, places), penalty)))
        state = jax.vmap(lambda m: EM().init(m, lambda m: e_step(m, places), penalty))(starts)
        values = []
        for _ in range(25):
            values.append(np.asarray(state.log_likelihood + state.log_prior))
            state = step(state)
    assert (np.diff(values, axis=0) >= -1e-9 * np.abs(values[0])).all()
    assert (values[-1] > values[0] + 1e-3).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "spherical", "bernoulli"])
def test_gradients_find_what_em_finds(name, rng):
    x = data(name, rng, n=300)
    prior = Prior(concentration=2.0, mean_strength=1.0)
    options = {"covariance_type": name, "prior": prior, "tol": 1e-12, "max_iter": 5000}
    em = jaxgmm.fit(0, x, 2, **options)
    up = jaxgmm.fit(0, x, 2, init=em.mixture, driver=Gradient("lbfgs"), **options)
    # EM's own end is a fixed point for gradients: nothing is left to gain
    assert up.log_posterior[0] == pytest.approx(em.log_posterior[0], abs=1e-4)
    chex.assert_trees_all_close(up.mixture, em.mixture, atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", GAUSSIANS)
def test_the_default_prior_follows_the_units(name, iris):
    """Scale and shift the data, and the answer follows: nothing in the prior knows the units."""
    one = jaxgmm.fit(0, iris, 3, covariance_type=name, prior="default", max_iter=20, tol=0)
    other = jaxgmm.fit(0, 1e-6 * iris + 3, 3, covariance_type=name, prior="default", max_iter=20, tol=0)
    np.testing.assert_allclose(other.mixture.weights, one.mixture.weights, rtol=1e-6)
    np.testing.assert_allclose((other.mixture.means - 3) / 1e-6, one.mixture.means, rtol=1e-5)
    np.testing.assert_allclose(other.mixture.covariances / 1e-12, one.mixture.covariances, rtol=1e-4, atol=1e-6)


def test_the_default_prior_is_that_of_mclust(iris):
    """K = 1 in closed form: mean of the data, Λ = S, κ = 0.01, ν = d + 2."""
    m = jaxgmm.fit(0, iris, 1, prior="default").mixture
    covariance = np.cov(iris.T, bias=True)
    np.testing.assert_allclose(m.means[0], iris.mean(0), rtol=1e-9)
    np.testing.assert_allclose(m.covariances[0], covariance * (150 + 1) / (150 + 6 + 4 + 2), rtol=1e-4)


def test_a_prior_of_ones_own_is_in_units_of_the_data(faithful):
    prior = Prior(mean=[3.0, 70.0], mean_strength=50, scale=[[2.0, 1.0], [1.0, 300.0]], dof=60, concentration=4)
    m = jaxgmm.fit(0, faithful, 1, prior=prior).mixture
    n, mean = len(faithful), faithful.mean(0)
    away = mean - prior.mean
    scatter = (faithful - mean).T @ (faithful - mean) + 50 * n / (50 + n) * np.outer(away, away) + prior.scale
    np.testing.assert_allclose(m.means[0], (n * mean + 50 * np.array(prior.mean)) / (n + 50), rtol=1e-9)
    np.testing.assert_allclose(m.covariances[0], scatter / (n + 60 + 4), rtol=1e-9)


def test_a_prior_keeps_rows_that_coincide_apart_from_zero_variance():
    x = np.repeat([[0.0, 0.0], [1.0, 5.0]], 20, axis=0)
    result = jaxgmm.fit(0, x, 2, prior="default", reg_covar=0.0)
    report = result.components()
    assert np.isfinite(result.log_posterior).all()
    np.testing.assert_allclose(report.counts, [20, 20], rtol=1e-6)
    np.testing.assert_allclose(report.prior_share, 8 / 28, rtol=1e-6)
    assert not report.prior_dominates.any()


@pytest.mark.parametrize(
    ("prior", "kind", "message"),
    [
        ("weak", "full", r"prior must be None, 'default' or a Prior\(...\); got 'weak'"),
        (3, "full", r"prior must be None, 'default' or a Prior\(...\); got 3"),
        (Prior(concentration=0.5), "full", "prior.concentration must be a finite number of at least 1, got 0.5"),
        (Prior(mean_strength=-1), "full", "prior.mean_strength must be a finite number of at least 0, got -1"),
        (Prior(mean=[1.0]), "full", r"prior.mean must be 2 finite numbers, one a feature; got \[1.0\]"),
        (Prior(dof=1.0), "full", "prior.dof must be above n_features - 1 = 1, got 1"),
        (Prior(scale=[[1.0, 2.0], [2.0, 1.0]]), "full", "prior.scale must be positive definite, got smallest .* -1"),
        (Prior(scale=np.eye(2)), "diag", r"prior.scale must have shape \(\) or \(2,\) .* got \(2, 2\)"),
        (Prior(scale=1.0), "bernoulli", "prior.scale must be None for covariance_type='bernoulli'"),
    ],
)
def test_what_is_no_prior_is_refused(prior, kind, message):
    x = np.array([[0, 1], [1, 0], [1, 1]])
    with pytest.raises((ValueError, TypeError), match=message):
        jaxgmm.fit(0, x, 1, covariance_type=kind, prior=prior)
