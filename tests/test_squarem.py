"""SQUAREM: the same optima as the driver it wraps, in fewer passes, and nothing lost on the way."""

from __future__ import annotations

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, data, mixture, rows, scope

import jaxgmm
from jaxgmm import EM, Fixed, Gradient, HardEM, Prior, Squarem
from jaxgmm.drivers import FixedPoint, State
from jaxgmm.drivers.parameters import constrained, unconstrained
from jaxgmm.em import EStep, Penalty


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def overlapping(rng, n=300):
    """Three components of which no row can be told: EM creeps."""
    return np.concatenate([rng.normal(centre, 1, (n, 2)) for centre in ((0, 0), (2, 0), (0, 2))])


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_a_slow_fit_takes_a_fraction_of_ems_passes(kind, rng):
    x = overlapping(rng)
    start = jaxgmm.fit(0, x, 3, covariance_type=kind, n_init=3, max_iter=3).mixtures
    options = {"covariance_type": kind, "init": start, "tol": 1e-9, "max_iter": 5000}
    em, fast = (jaxgmm.fit(0, x, 3, driver=driver, **options) for driver in (EM(), Squarem()))
    best = em.log_likelihood.max() - 1e-3
    assert fast.log_likelihood.max() > best
    assert em.passes[em.best] > 500
    assert (fast.passes < em.passes / 2).all(), (fast.passes, em.passes)
    assert np.nanmin(np.diff(fast.history)) > -1e-12


def test_passes_are_those_that_read_the_rows(rng):
    """Two a step and one at the start, whatever becomes of a step."""
    result = jaxgmm.fit(0, overlapping(rng), 3, driver=Squarem(), n_init=3, max_iter=25, tol=0)
    np.testing.assert_array_equal(result.passes, 1 + 2 * 25)


@pytest.mark.parametrize("kernel", ["centred", "shared_feature"])
def test_a_step_is_the_papers(kernel, rng):
    """Against the formula, written down in NumPy: α from differences of free parameters, and no less than EM's."""
    x, penalty = overlapping(rng), Penalty(jnp.zeros(2))
    driver, start = Squarem(), jaxgmm.fit(0, x, 3, max_iter=3).mixture
    with scope():
        estep = EStep(rows(x), kernel)
        state = driver.init(jax.tree.map(jnp.asarray, start), estep, penalty)
        lengths = []
        for _ in range(6):
            points = [state]
            for _ in range(2):
                points.append(
                    EM().step(State.at(points[-1].mixture, estep(points[-1].mixture), penalty), estep, penalty)
                )
            flat = [np.asarray(jax.flatten_util.ravel_pytree(unconstrained(point.mixture))[0]) for point in points]
            r, v = flat[1] - flat[0], flat[2] - 2 * flat[1] + flat[0]
            length = min(max(np.linalg.norm(r) / np.linalg.norm(v), 1), float(state.memory.longest))
            wanted = flat[0] + 2 * length * r + length**2 * v
            state = driver.step(state, estep, penalty)
            got = np.array(jax.flatten_util.ravel_pytree(unconstrained(state.mixture))[0])
            logits = np.s_[-3:]  # known up to a constant
            if not np.allclose(got, flat[1], atol=1e-9):
                lengths.append(length)
                got[logits], wanted[logits] = (a - np.log(np.exp(a).sum()) for a in (got[logits], wanted[logits]))
                np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-8)
            assert state.log_likelihood >= points[1].log_likelihood
    assert max(lengths) > 2


def test_a_step_too_far_ends_at_one_of_em_and_shortens_the_next(rng):
    x, penalty = overlapping(rng), Penalty(jnp.zeros(2))
    start = jaxgmm.fit(0, x, 3, max_iter=3).mixture

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Straight(FixedPoint):
        """EM, whose second step repeats the first but for a hundredth: as if it led very far."""

        def update(self, mixture, statistics, penalty):
            new = EM().update(mixture, statistics, penalty)
            begun = jnp.allclose(mixture.means, start.means)
            first = jax.tree.map(lambda a, b: jnp.where(begun, a, b), new, mixture)
            from_start = jax.tree.map(lambda a, b: b + 0.99 * (b - a), unconstrained(start), unconstrained(first))
            return jax.tree.map(lambda a, b: jnp.where(begun, a, b), new, constrained(from_start, first))

    with scope():
        driver, estep = Squarem(Straight()), EStep(rows(x))
        state = driver.init(jax.tree.map(jnp.asarray, start), estep, penalty)
        bold = state.memory._replace(longest=jnp.asarray(500.0))
        state = State.at(state.mixture, state.memory.statistics, penalty, memory=bold)
        after = driver.step(state, estep, penalty)
        plain = EM().step(EM().init(state.mixture, estep, penalty), estep, penalty)
        chex.assert_trees_all_close(after.mixture, plain.mixture, rtol=1e-9, atol=1e-12)
        chex.assert_trees_all_close(after.memory.statistics, plain.memory, rtol=1e-9, atol=1e-9)
        assert after.log_likelihood == pytest.approx(float(plain.log_likelihood), rel=1e-12)
        assert after.memory.longest == pytest.approx((1 + 100) / 2, rel=0.05)
        assert after.passes == 3
        assert after.conditioning > plain.conditioning  # of where it has been


@pytest.mark.parametrize("name", NAMES)
def test_free_parameters_come_back(name, rng):
    m = mixture(name, rng)
    with scope():
        chex.assert_trees_all_close(constrained(unconstrained(m), m), m, rtol=1e-12, atol=1e-12)
        lacking = jaxgmm.Mixture(np.array([0.4, 0.0, 0.6]), m.components)
        back = constrained(unconstrained(lacking), lacking)
        pulled = unconstrained(lacking)
        pulled["logits"] = jnp.asarray(pulled["logits"]).at[1].set(0.0)
        assert constrained(pulled, lacking).weights[1] == 0  # wherever its logit is taken
    chex.assert_trees_all_close(back, lacking, rtol=1e-12, atol=1e-12)
    assert back.weights[1] == 0
    np.testing.assert_array_equal(back.means[1], m.means[1])


@pytest.mark.parametrize("name", NAMES)
def test_absent_components_stay_absent(name, rng):
    x, m = data(name, rng), mixture(name, rng)
    lacking = jaxgmm.Mixture(np.array([0.4, 0.0, 0.6]), m.components)
    others = jaxgmm.Mixture(np.array([0.4, 0.6]), m.components.picked(np.array([0, 2])))
    with scope():
        estep, penalty = EStep(rows(x)), Penalty(jnp.full(4, 0.1))
        ends = []
        for start in (lacking, others):
            state = Squarem().init(jax.tree.map(jnp.asarray, start), estep, penalty)
            for _ in range(8):
                state = Squarem().step(state, estep, penalty)
            ends.append(state)
        assert ends[0].mixture.weights[1] == 0
        np.testing.assert_array_equal(ends[0].mixture.means[1], m.means[1])
        np.testing.assert_allclose(ends[0].log_likelihood, ends[1].log_likelihood, rtol=1e-9)


@pytest.mark.parametrize("name", ["full", "tied"])
def test_what_is_held_stays_as_given(name, rng):
    x = overlapping(rng)
    shape = np.eye(2) if name == "tied" else np.array([np.eye(2), *np.full((2, 2, 2), np.nan)])
    fixed = Fixed([0.3, np.nan, np.nan], [[0.0, 0.0], [np.nan] * 2, [np.nan] * 2], shape)
    options = {"covariance_type": name, "fixed": fixed, "n_init": 2, "tol": 1e-9, "max_iter": 3000}
    em, fast = (jaxgmm.fit(0, x, 3, driver=driver, **options) for driver in (EM(), Squarem()))
    for found in (fast.mixtures[0], fast.mixtures[1]):
        np.testing.assert_allclose(found.weights[0], 0.3, rtol=1e-12)
        np.testing.assert_allclose(found.means[0], 0, atol=1e-12)
        np.testing.assert_allclose(found.covariance_matrices()[0], np.eye(2), rtol=1e-12, atol=1e-12)
    assert fast.score == pytest.approx(em.score, abs=1e-6)


def test_priors_labels_and_a_ridge_lead_where_em_goes(rng):
    x = overlapping(rng)
    labels = np.where(np.arange(900) % 10 == 0, np.arange(900) // 300, -1)
    start = jaxgmm.fit(0, x, 3, labels=labels, max_iter=2).mixture
    cases = (
        {"prior": Prior(concentration=3.0, mean_strength=5.0)},
        {"labels": labels},
        {"reg_covar": 0.5},
    )
    for more in cases:
        options = {"init": start, "tol": 1e-10, "max_iter": 5000} | more
        em, fast = (jaxgmm.fit(0, x, 3, driver=driver, **options) for driver in (EM(), Squarem()))
        assert fast.log_posterior[0] == pytest.approx(em.log_posterior[0], abs=1e-3), more
        np.testing.assert_allclose(fast.mixture.means, em.mixture.means, atol=5e-3)
        assert fast.passes[0] < em.passes[0]
        if "prior" in more:
            assert np.nanmin(np.diff(fast.history)) < 0 or fast.log_prior[0] != 0  # it is the posterior that rises


def test_what_a_step_asks_about_is_guarded():
    """From wide components to tight clusters: what the fast kernel says on the way is not believed."""
    rng = np.random.default_rng(0)
    x = (np.repeat([[0.0, 0.0], [1.0, 1.0]], 50, axis=0) + 1e-3 * rng.normal(size=(100, 2))).astype(np.float32)
    init = jaxgmm.Mixture.create(
        [0.5, 0.5], [[0.3, 0.0], [1.0, 0.7]], np.full((2, 2), 0.1), covariance_type="diag", dtype="float32"
    )
    options = {"covariance_type": "diag", "init": init, "max_iter": 2, "on_degenerate": "keep", "reg_covar": 0}
    auto, centred = (jaxgmm.fit(0, x, 2, driver=Squarem(), kernel=name, **options) for name in ("auto", "centred"))
    assert auto.kernel[0] == "shared_feature_64"
    np.testing.assert_allclose(auto.history, centred.history, atol=1e-4)


def test_only_maps_are_wrapped():
    with pytest.raises(TypeError, match=r"driver must be a driver whose step is a map .* such as EM\(\); got"):
        Squarem(Gradient("adam"))
    with pytest.raises(TypeError, match="driver must be a driver whose step is a map"):
        Squarem(Squarem())
    with pytest.raises(TypeError, match="driver must be a driver whose step is a map"):
        Squarem(HardEM)

    class Sampled(EM):
        @property
        def stochastic(self):
            return True

    with pytest.raises(ValueError, match="driver must read all rows at every step, got"):
        Squarem(Sampled())
