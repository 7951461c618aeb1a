"""Laws of the pass: chunks, padding, weights, kernels, the lower bound, the gradient."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, batch, constrained, data, free, mixture, rows, scope
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.scipy.special import logsumexp

import jaxgmm
from jaxgmm.drivers.objective import log_likelihood
from jaxgmm.em import KERNELS, e_step, expected_log_likelihood, m_step
from jaxgmm.em.choice import limits
from jaxgmm.mixture import joint_log_prob, posterior
from jaxgmm.rows import Compensated, chunk_size


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NAMES)
def test_any_chunk_size_gives_the_same_statistics(name, kernel, rng):
    x, w, m = data(name, rng, n=301), rng.uniform(0, 2, 301), mixture(name, rng)
    with scope():
        held = rows(x, w)
        whole = e_step(m, held, kernel=kernel, chunk=held.n_slots)
        for chunk in (1, 7, 16, 100, 303):
            chex.assert_trees_all_close(e_step(m, held, kernel=kernel, chunk=chunk), whole, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_kernels_agree(name, rng):
    x, m = data(name, rng), batch(name, rng, 3)
    with scope():
        one, *others = (e_step(m, rows(x), kernel=kernel) for kernel in KERNELS)
        total = lambda s: s.log_likelihood + s.log_likelihood_error  # noqa: E731
        for other in others:
            np.testing.assert_allclose(total(one), total(other), rtol=1e-12)
            chex.assert_trees_all_close(one.moments, other.moments, rtol=1e-9, atol=1e-9)
            chex.assert_trees_all_close(one.counts, other.counts, rtol=1e-10)
            np.testing.assert_allclose(one.conditioning, other.conditioning, rtol=1e-9)


def test_statistics_of_halves_add_up_and_keep_the_conditioning_of_their_mixture(rng):
    x, m = data("full", rng), mixture("full", rng)
    with scope():
        both, whole = e_step(m, rows(x[:60])) + e_step(m, rows(x[60:])), e_step(m, rows(x))
        kappa = [float(e_step(m, rows(part)).conditioning) for part in (x[:60], x[60:])]
        assert float(both.conditioning) == max(kappa) > 1
        chex.assert_trees_all_close(replace(both, conditioning=whole.conditioning), whole, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NAMES)
def test_weights_repeat_and_remove_rows(name, kernel, rng):
    x, m, w = data(name, rng), mixture(name, rng), rng.integers(0, 4, 157)
    with scope():
        weighted = e_step(m, rows(x, w), kernel=kernel)
        repeated = e_step(m, rows(np.repeat(x, w, axis=0)), kernel=kernel)
        chex.assert_trees_all_close(weighted, repeated, rtol=1e-10, atol=1e-9)


def test_a_row_without_weight_has_no_say_even_if_impossible(rng):
    x, m = data("full", rng), mixture("full", rng)
    wild = np.concatenate([x, np.full((3, 4), 1e200)])
    with scope():
        for kernel in KERNELS:
            s = e_step(m, rows(wild, np.r_[np.ones(157), np.zeros(3)]), kernel=kernel)
            want = e_step(m, rows(x), kernel=kernel)
            chex.assert_trees_all_close(s, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_the_log_likelihood_is_autodiffs(name, rng):
    """Fisher's identity, against `jax.grad` straight through the rows."""
    x, w, m = data(name, rng), rng.uniform(0, 2, 157), mixture(name, rng)
    with scope():
        held = rows(x, w)
        at = free(m)

        def plain(parameters):
            joint = joint_log_prob(constrained(name, parameters), jnp.asarray(x).T)
            return jnp.sum(w * logsumexp(joint, axis=0))

        want = jax.grad(plain)(at)
        for kernel in KERNELS:
            ours = log_likelihood(lambda m: e_step(m, held, kernel=kernel, chunk=64))  # noqa: B023
            value, got = jax.value_and_grad(lambda p: ours(constrained(name, p))[0])(at)  # noqa: B023
            assert float(value) == pytest.approx(float(plain(at)), rel=1e-11)
            chex.assert_trees_all_close(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_lower_bound_is_tight_after_the_e_step_and_never_above(name, rng):
    """ELBO(r, θ) = Q + entropy of r: equals log L(θ) for the posterior, and is below it for other r."""
    x, m, other = data(name, rng), mixture(name, rng), mixture(name, rng)
    r = m.responsibilities(x)
    entropy = -np.sum(np.where(r > 0, r * np.log(np.where(r > 0, r, 1)), 0))
    with scope():
        s = e_step(m, rows(x))
        at_home = float(expected_log_likelihood(m, s, m, jnp.zeros(4))) + entropy
        away = float(expected_log_likelihood(m, s, other, jnp.zeros(4))) + entropy
    assert at_home == pytest.approx(m.log_likelihood(x), rel=1e-12)
    assert away < other.log_likelihood(x)


@cache
def _em_iteration(name: str, kernel: str):
    """One compiled iteration for each family and kernel, whatever hypothesis draws."""

    def iteration(m, x, w):
        held = rows(x, w)
        s = e_step(m, held, kernel=kernel)
        return s.log_likelihood + s.log_likelihood_error, s.conditioning, m_step(m, s, jnp.zeros(4))

    return jax.jit(iteration)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    kernel=st.sampled_from(list(KERNELS)),
    seed=st.integers(0, 2**31),
    spread=st.floats(0.1, 10),
    weighted=st.booleans(),
)
def test_the_log_likelihood_never_falls(name, kernel, seed, spread, weighted):
    rng = np.random.default_rng(seed)
    x = data(name, rng, n=64) * (1 if name == "bernoulli" else spread)
    w = rng.uniform(0.1, 3, 64) if weighted else np.ones(64)
    m, values = mixture(name, rng, k=2), []
    with scope():
        for _ in range(12):
            value, kappa, m = _em_iteration(name, kernel)(m, x, w)
            if kernel != "centred" and kappa > limits("auto", np.float64)[0]:
                break  # where `fit` would not believe it either
            values.append(float(value))
            # without a ridge a component may collapse onto its last row: the likelihood has no maximum there
            if bool(jnp.any(m.components.collapsed())) or float(jnp.min(m.weights)) < 1e-12:
                break
    gains = np.diff(values)
    assert (gains >= -1e-9 * (1 + abs(values[0]))).all(), gains.min()


def test_posterior_survives_impossible_rows():
    joint = jnp.asarray([[-jnp.inf, -1e30, 0.0], [-jnp.inf, -2e30, -jnp.inf]], jnp.float32)
    r, log_p = posterior(joint)
    np.testing.assert_array_equal(r, [[0.5, 1, 1], [0.5, 0, 0]])
    assert log_p[0] == -np.inf
    assert log_p[1] == np.float32(-1e30)
    assert log_p[2] == 0


def test_compensated_sums_keep_what_float32_drops():
    kept = Compensated(jnp.float32(0), jnp.float32(0))
    for _ in range(1000):
        kept = kept.plus(jnp.float32(0.1))
    exact = 1000 * float(np.float32(0.1))
    assert abs(float(kept.value) + float(kept.error) - exact) < 1e-6
    twice = kept + kept
    assert abs(float(twice.value) + float(twice.error) - 2 * exact) < 2e-6
    naive = np.float32(0)
    for _ in range(1000):
        naive += np.float32(0.1)
    assert abs(float(naive) - exact) > 1e-4  # so there was something to keep


def test_log_likelihood_in_float32_resolves_small_gains(rng):
    """Mean log-likelihoods in float32 are good to far less than their own rounding step times the rows."""
    x = rng.normal(size=(200_000, 3)).astype(np.float32)
    m = mixture("full", rng, d=3, dtype="float32")
    s = e_step(m, rows(x, dtype="float32"), kernel="centred", chunk=2048)
    got = (np.float64(s.log_likelihood) + np.float64(s.log_likelihood_error)) / len(x)
    assert got == pytest.approx(m.log_likelihood(x.astype(np.float64)) / len(x), abs=1e-6)


def test_chunk_size_follows_from_the_shapes():
    assert chunk_size(10, 100) == 100
    assert chunk_size(10, 10**7) == 2048
    assert chunk_size(10**4, 10**7) < chunk_size(10**3, 10**7)
    assert chunk_size(10**9, 10**7) == 128


def test_nothing_of_size_rows_by_components_is_stored(rng):
    """The compiled pass holds far less than one float per row and component."""
    n, k, r = 1 << 17, 16, 4
    m = batch("full", rng, r, k=k, d=2, dtype="float32")
    x = rows(rng.normal(size=(n, 2)), dtype="float32")
    for kernel in KERNELS:
        compiled = jax.jit(lambda m, x: e_step(m, x, kernel=kernel)).lower(m, x).compile()  # noqa: B023
        assert compiled.memory_analysis().temp_size_in_bytes < n * k * r * 4 / 2, kernel


def test_public_steps_work_under_jit(iris):
    m = jaxgmm.fit(0, iris, 2, max_iter=3).mixture
    with scope():
        held = rows(iris)
        new = jax.jit(lambda m: m_step(m, e_step(m, held), jnp.zeros(4)))(m)
    assert m.log_likelihood(iris) < jax.tree.map(np.asarray, new).log_likelihood(iris)
