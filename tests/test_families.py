"""The checker that every family passes."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import DTYPES, NAMES, constrained, data, free, mixture, parameters, rows, scope
from reference import em_iteration, log_prob

from jaxgmm import Mixture
from jaxgmm.drivers.objective import about, origin
from jaxgmm.em import KERNELS, e_step, expected_log_likelihood, m_step
from jaxgmm.families import FAMILIES

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
everywhere = pytest.mark.parametrize(("name", "dtype"), [(n, t) for n in NAMES for t in DTYPES])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@everywhere
def test_log_prob_is_the_textbook_density(name, dtype, rng):
    weights, means, covariances = parameters(name, rng)
    x = data(name, rng)
    m = Mixture.create(weights, means, covariances, covariance_type=name, dtype=dtype)
    want = np.log(weights) + log_prob(name, means, covariances, x)
    got = m.joint_log_prob(x.astype(dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kernel", KERNELS)
@everywhere
def test_one_em_iteration_is_the_textbook_update(name, dtype, kernel, rng):
    x, w, ridge = data(name, rng), rng.uniform(0, 2, 157), 0.01
    weights, means, covariances = parameters(name, rng)
    m = Mixture.create(weights, means, covariances, covariance_type=name, dtype=dtype)
    want = em_iteration(name, weights, means, covariances, x, w, ridge)
    with scope(dtype):
        s = e_step(m, rows(x, w, dtype), kernel=kernel, chunk=64)
        new = m_step(m, s, jnp.sqrt(jnp.full(4, ridge, dtype)))
        got = (s.log_likelihood + s.log_likelihood_error, new.weights, new.means, new.components.covariances)
        got = tuple(np.asarray(value) for value in got)
    assert all(value.dtype == dtype for value in got)
    for value, wanted in zip(got[: 3 if covariances is None else 4], want, strict=False):
        np.testing.assert_allclose(value, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kernel", KERNELS)
@everywhere
def test_statistics_of_halves_add_up(name, dtype, kernel, rng):
    x, m = data(name, rng), mixture(name, rng, dtype=dtype)
    with scope(dtype):
        whole, left, right = (e_step(m, rows(part, dtype=dtype), kernel=kernel) for part in (x, x[:50], x[50:]))
        chex.assert_trees_all_close(left + right, whole, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_q_is_stationary_at_its_maximum_and_lower_elsewhere(name, ridge, rng):
    x, m = data(name, rng), mixture(name, rng)
    with scope():
        statistics, r = e_step(m, rows(x)), jnp.sqrt(jnp.full(4, ridge))
        best = m_step(m, statistics, r)

        def q(parameters):
            return expected_log_likelihood(m, statistics, constrained(name, parameters), r)

        at = free(best)
        chex.assert_trees_all_close(jax.grad(q)(at), jax.tree.map(jnp.zeros_like, at), atol=1e-8)
        for seed in range(5):
            keys = iter(jax.random.split(jax.random.key(seed), 16))
            near = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(next(keys), a.shape), at)  # noqa: B023
            assert q(near) < q(at)


@pytest.mark.parametrize("name", NAMES)
def test_q_about_itself_is_the_expected_joint(name, rng):
    """Q(θ; S(θ)) against Σ r log π p computed row by row."""
    x, m = data(name, rng), mixture(name, rng)
    with scope():
        got = float(expected_log_likelihood(m, e_step(m, rows(x)), m, jnp.zeros(4)))
    assert got == pytest.approx(float(np.sum(m.responsibilities(x) * m.joint_log_prob(x))), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_q_elsewhere_is_the_expected_joint(name, rng):
    x, m, other = data(name, rng), mixture(name, rng), mixture(name, rng)
    with scope():
        got = float(expected_log_likelihood(m, e_step(m, rows(x)), other, jnp.zeros(4)))
    assert got == pytest.approx(float(np.sum(m.responsibilities(x) * other.joint_log_prob(x))), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_ridge_price_is_what_q_charges(name, rng):
    x, m = data(name, rng), mixture(name, rng)
    with scope():
        s, ridge = e_step(m, rows(x)), jnp.asarray([0.3, 0.4, 0.5, 0.6])
        if m.components.traits.maps == "linear":
            ridge = jnp.asarray(np.tril(rng.normal(size=(4, 4))))
        elif m.components.traits.maps == "scalar":
            ridge = jnp.full(4, 0.5)
        without = expected_log_likelihood(m, s, m, jnp.zeros(4))
        charged = float(without - expected_log_likelihood(m, s, m, ridge))
        want = float(0.5 * jnp.sum(s.counts * m.components.ridge_trace(ridge)))
    assert charged == pytest.approx(want, rel=1e-9)
    if name == "full":
        added = np.asarray(ridge) @ np.asarray(ridge).T
        traces = [np.trace(added @ np.linalg.inv(c)) for c in m.covariances]
        assert want == pytest.approx(0.5 * float(np.asarray(s.counts) @ traces), rel=1e-9)


@everywhere
def test_free_parameters_round_trip(name, dtype, rng):
    m = mixture(name, rng, dtype=dtype)
    with scope(dtype):
        back = constrained(name, free(m))
        chex.assert_trees_all_close(back, m, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)
        chex.assert_trees_all_equal_dtypes(back, jax.tree.map(jnp.asarray, m))


@pytest.mark.parametrize("name", NAMES)
def test_any_free_parameters_are_a_mixture(name, rng):
    m = mixture(name, rng)
    with scope():
        wild = jax.tree.map(lambda a: 5 * jnp.asarray(rng.normal(size=a.shape)), free(m))
        made = jax.tree.map(np.asarray, constrained(name, wild))
    assert made.weights.sum() == pytest.approx(1)
    assert np.isfinite(made.score_samples(data(name, rng))).all()
    assert not bool(jnp.any(made.components.collapsed()))


@pytest.mark.slow
@everywhere
def test_vmap_is_a_loop(name, dtype, rng):
    x = data(name, rng)
    singles = [mixture(name, rng, dtype=dtype) for _ in range(4)]
    with scope(dtype):
        many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *singles)
        for kernel in KERNELS:
            together = e_step(many, rows(x, dtype=dtype), kernel=kernel)
            apart = [e_step(m, rows(x, dtype=dtype), kernel=kernel) for m in singles]
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *apart)
            chex.assert_trees_all_close(together, stacked, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", NAMES)
def test_free_parameters_about_an_anchor_start_at_it_and_mean_the_same_everywhere(name, rng):
    m, x = mixture(name, rng), data(name, rng)
    with scope():
        chex.assert_trees_all_close(about(m, origin(m)), m, rtol=1e-12, atol=1e-12)
        step = jax.tree.map(lambda a: 0.3 * jnp.asarray(rng.normal(size=a.shape)), origin(m))
        moved = jax.tree.map(np.asarray, about(m, step))
        assert not np.allclose(moved.means, m.means)
        if m.components.traits.maps == "none":
            return
        shift, scale = np.arange(4.0), np.full(4, 3.0)
        elsewhere = Mixture(m.weights, m.components.affine(shift, scale))
        there = jax.tree.map(np.asarray, about(elsewhere, step))
    np.testing.assert_allclose(there.score_samples(x * scale + shift), moved.score_samples(x) - np.log(scale).sum())


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_mixtures_moments(name, rng):
    weights, means, covariances = parameters(name, rng)
    m = Mixture.create(weights, means, covariances, covariance_type=name)
    x, labels = m.sample(3, 200_000)
    np.testing.assert_allclose(np.bincount(labels, minlength=3) / len(x), weights, atol=0.01)
    for k in range(3):
        own = x[labels == k]
        np.testing.assert_allclose(own.mean(0), means[k], atol=0.03)
        want = np.diagonal(m.covariances[k]) if name == "full" else None
        want = np.diagonal(m.covariances) if name == "tied" else want
        want = m.covariances[k] if want is None else want
        np.testing.assert_allclose(own.var(0), np.broadcast_to(want, 4), rtol=0.05)
        if name == "full":
            np.testing.assert_allclose(np.cov(own.T), m.covariances[k], atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_n_parameters_counts_what_is_free(name, rng):
    m = mixture(name, rng)
    size = sum(leaf.size for leaf in jax.tree.leaves(m.components.unconstrain()))
    above = {"full": 3 * 6, "tied": 6}.get(name, 0)  # what stands above the diagonal is not free
    assert m.n_parameters == size - above + 3 - 1


@pytest.mark.parametrize("name", [n for n in NAMES if FAMILIES[n].traits.maps != "none"])
def test_affine_moves_densities_with_the_rows(name, rng):
    m, x = mixture(name, rng), data(name, rng)
    shift = rng.normal(size=4)
    scale = np.full(4, 2.5) if FAMILIES[name].traits.maps == "scalar" else rng.uniform(0.5, 3, 4)
    roots = [scale]
    if FAMILIES[name].traits.maps == "linear":
        roots.append(np.tril(rng.normal(size=(4, 4)), -1) + np.diag(scale))
    for root in roots:
        moved = Mixture(m.weights, m.components.affine(shift, root))
        there = x @ (root if root.ndim == 2 else np.diag(root)).T + shift
        np.testing.assert_allclose(moved.score_samples(there), m.score_samples(x) - np.log(scale).sum())


@pytest.mark.parametrize("name", ["full", "tied"])
def test_a_matrix_ridge_is_added_whole(name, rng):
    x, m = data(name, rng), mixture(name, rng)
    root = np.tril(rng.normal(size=(4, 4)))
    with scope():
        s = e_step(m, rows(x))
        plain, ridged = (m_step(m, s, r).components.covariances for r in (jnp.zeros(4), jnp.asarray(root)))
        np.testing.assert_allclose(ridged - plain, np.broadcast_to(root @ root.T, ridged.shape), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_is_seen(name, rng):
    m = mixture(name, rng)
    assert not bool(jnp.any(m.components.collapsed()))
    broken = jax.tree.map(lambda a: a * np.nan, m.components)
    assert bool(jnp.any(broken.collapsed()))
    if name != "bernoulli":
        field = "scale_tril" if name in ("full", "tied") else "scale"
        tiny = type(m.components)(m.means, getattr(m.components, field) * 1e-17)
        assert bool(jnp.any(tiny.collapsed()))
