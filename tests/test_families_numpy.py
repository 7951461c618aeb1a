"""Every family on NumPy's arrays, restarts along a leading axis, against the same on JAX's, restarts by `vmap`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import DTYPES, NAMES, parameters, scope
from create import data as known_data
from jax.extend.core import Primitive
from newcomers import newcomers, registered
from reference import em_iteration

from jaxgmm import Mixture, Status
from jaxgmm.em import SufficientStatistics, m_step
from jaxgmm.em.penalty import Pinned
from jaxgmm.families import FAMILIES, LowerTriangular, SharedFeatures
from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate
from jaxgmm.families.constraints import constraints
from jaxgmm.families.namespace import expit, xlogy
from jaxgmm.mixture.density import ANSWERS, joint_log_prob, posterior
from jaxgmm.run.soundness import faults, suspects
from jaxgmm.run.stopping import CRITERIA, Progress, settled

R, K, D, N = 3, 3, 4, 50
NEW = tuple(newcomers())
every_family = pytest.mark.parametrize("name", NAMES + NEW)


@pytest.fixture(autouse=True)
def families():
    with registered() as found:
        yield found


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


class JaxUsed(AssertionError):
    pass


@pytest.fixture
def without_jax(monkeypatch):
    """Runs a function where nothing may be computed with JAX, and wants NumPy's arrays from it."""

    def refuse(self, *_, **__):
        raise JaxUsed(self.name)

    def run(function, *args, **options):
        with monkeypatch.context() as patched:
            patched.setattr(Primitive, "bind", refuse)
            found = function(*args, **options)
        kinds = {type(leaf) for leaf in jax.tree.leaves(found)}
        assert all(issubclass(kind, np.ndarray | np.generic) for kind in kinds), kinds
        return found

    return run


def mixture(name: str, rng: np.random.Generator) -> Mixture:
    """One of a family, well away from any edge."""
    weights = rng.dirichlet(np.full(K, 5.0))
    if name in NAMES:
        return Mixture.create(*parameters(name, rng, K, D), covariance_type=name)
    traits = FAMILIES[name].traits
    means = rng.normal(size=(K, D)) if traits.support.everything else rng.uniform(0.5, 4, (K, D))
    covariances = rng.uniform(0.5, 2) * traits.unit_covariances(K, D) if traits.has_width else None
    return Mixture.create(weights, means, covariances, covariance_type=name)


def batch(name: str, rng: np.random.Generator) -> Mixture:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(mixture(name, rng) for _ in range(R)))


def data(name: str, rng: np.random.Generator) -> np.ndarray:
    """Rows as the device has them, (d, n)."""
    if name in NAMES:
        return known_data(name, rng, N, D).T
    x = rng.normal(size=(D, N))
    return x if FAMILIES[name].traits.support.everything else x**2


def ridge(name: str, rng: np.random.Generator, whole: bool = False) -> np.ndarray:
    """A root of a ridge that the family may have."""
    maps = FAMILIES[name].traits.maps
    if whole and maps == "linear":
        return 0.3 * np.tril(rng.normal(size=(D, D)))
    return np.full(D, 0.2) if maps == "scalar" else rng.uniform(0.1, 0.4, D)


def prior(name: str, rng: np.random.Generator) -> Conjugate:
    traits = FAMILIES[name].traits
    root = ridge(name, rng, whole=True) + (0.5 * np.eye(D) if traits.maps == "linear" else 0.5)
    numbers = (2.0, np.full(D, traits.means.inside), 0.7, root, 7.5)
    return Conjugate(*map(np.asarray, numbers))


def agree(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    """Whether two trees are equal, but for rounding."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype or a.dtype.kind in "iu"
        size = np.max(np.abs(np.where(np.isfinite(b), b, 0)), initial=1e-300) if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * size)


def both(without_jax, function, *each, shared=()):
    """`function` of what has restarts in front and of what they share, on NumPy; held against `vmap` on JAX."""
    found = without_jax(function, *each, *shared)
    with scope():
        on_device = jax.tree.map(jnp.asarray, tuple(shared))
        agree(found, jax.jit(jax.vmap(lambda *mine: function(*mine, *on_device)))(*jax.tree.map(jnp.asarray, each)))
    return found


def statistics(m: Mixture, x: np.ndarray) -> SufficientStatistics:
    r, log_p = posterior(joint_log_prob(m, x))
    total = np.sum(log_p, axis=-1)
    full = np.full_like(total, x.shape[-1])
    return SufficientStatistics(total, 0 * total, full, r.sum(axis=-1), m.components.moments(x, r), 0 * total)


def test_the_guard_sees_jax(without_jax):
    with scope(), pytest.raises(JaxUsed):
        without_jax(lambda x: jnp.asarray(x) + 1, np.ones(2))
    with pytest.raises(AssertionError):
        without_jax(lambda: jnp.ones(2) if False else jax.device_put(1.0))


@every_family
def test_a_family_is_the_same_on_numpy(name, rng, without_jax):
    m, other, x = batch(name, rng), batch(name, rng), data(name, rng)
    c, o, check = m.components, other.components, partial(both, without_jax)
    r = np.moveaxis(rng.dirichlet(np.ones(K), (R, N)), -1, -2)
    counts, root = r.sum(axis=-1), ridge(name, rng)
    check(lambda c, x: c.log_prob(x), c, shared=[x])
    moments = check(lambda c, r, x: c.moments(x, r), c, r, shared=[x])
    check(lambda c, n, s, o: c.expected_log_prob(n, s, o), c, counts, moments, o)
    for one in (root, ridge(name, rng, whole=True)):
        better = check(lambda c, n, s, ridge: c.improve(n, s, ridge), c, counts, moments, shared=[one])
        check(lambda c, ridge: c.ridge_trace(ridge), c, shared=[one])
    assert np.all(c.expected_log_prob(counts, moments, better) > c.expected_log_prob(counts, moments, c))
    which = np.array([[True, False, False], [True, True, True], [False, False, False]])
    check(lambda c, s, which: c.about_means(s, which), c, moments, which)
    check(lambda c, which, o: c.with_replaced(which, o), c, which, o)
    for ask in (
        lambda c: c.covariances,
        lambda c: c.collapsed(),
        lambda c: c.log_width(),
        lambda c: c.unconstrain(),
        lambda c: c.constrain(c.unconstrain()),
    ):
        check(ask, c)
    check(lambda c, o: c.move(o), c, o)
    check(lambda c, o: c.compose(o), c, o)
    if FAMILIES[name].says("pseudo"):
        check(lambda c, p: c.pseudo(p), c, shared=[prior(name, rng)])
    if FAMILIES[name].traits.maps != "none":
        check(lambda c, shift, root: c.affine(shift, root), c, shared=[rng.normal(size=D), root])
    single = mixture(name, rng).components
    without_jax(single.picked, np.array([2, 0]))
    placed = without_jax(single.placed, np.array([2, 0]), single.picked(np.array([0, 2])))
    np.testing.assert_array_equal(placed.means, single.means[[2, 1, 0]])


@pytest.mark.parametrize(
    "name", [n for n in NAMES + NEW if issubclass(FAMILIES.get(n, newcomers().get(n)), SharedFeatures)]
)
def test_shared_features_are_the_same_on_numpy(name, rng, without_jax):
    m, x = batch(name, rng), data(name, rng)
    c, check = m.components, partial(both, without_jax)
    r = np.moveaxis(rng.dirichlet(np.ones(K), (R, N)), -1, -2)
    theta, psi = check(lambda c: c.natural(), c), check(lambda c: c.common_natural(), c)
    phi, common = without_jax(c.features, x), without_jax(c.common_features, x)
    log_prob = np.einsum("rkf,fb->rkb", theta, phi) + np.einsum("rg,gb->rb", psi, common)[:, None]
    np.testing.assert_allclose(log_prob, c.log_prob(x), rtol=1e-10, atol=1e-10)
    sums = np.einsum("rkb,fb->rkf", r, phi)
    found = check(lambda c, s, g: c.moments_from_features(s, g), c, sums, np.tile(common.sum(axis=-1), (R, 1)))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(c.moments(x, r)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@every_family
def test_densities_are_the_same_on_numpy(name, rng, without_jax):
    m, x = batch(name, rng), data(name, rng)
    joint = both(without_jax, lambda m, x: joint_log_prob(m, x), m, shared=[x])
    possible, w = rng.uniform(size=(K, N)) < 0.8, rng.uniform(0, 2, N)
    both(without_jax, lambda j, w: posterior(j, w), joint, shared=[w])
    both(without_jax, lambda j, w, p: posterior(j, w, p), joint, shared=[w, possible])
    for ask in ANSWERS.values():
        both(without_jax, ask, joint)
    absent = Mixture(m.weights * [1.0, 1.0, 0.0], m.components)
    assert np.all(without_jax(joint_log_prob, absent, x)[:, 2] == -np.inf)


@every_family
@pytest.mark.parametrize("held", ["nothing", "prior", "pinned"])
def test_the_m_step_is_the_same_on_numpy(name, held, rng, without_jax):
    m, x, root = batch(name, rng), data(name, rng), ridge(name, rng)
    known, pinned = None, None
    if held == "prior":
        known = prior(name, rng)
    if held == "pinned":
        one, which = mixture(name, rng), np.array([True, False, False])
        pinned = Pinned(one, which, which, np.full(K, False))
        m = without_jax(pinned.within, m)
    s = without_jax(statistics, m, x)
    found = both(without_jax, lambda m, s, *rest: m_step(m, s, *rest), m, s, shared=[root, known, pinned])
    np.testing.assert_allclose(found.weights.sum(-1), 1)
    if pinned is not None:
        np.testing.assert_array_equal(found.means[:, 0], np.broadcast_to(one.means[0], (R, D)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_em_iteration_on_numpy_is_the_textbooks(name, dtype, rng, without_jax):
    weights, means, covariances = parameters(name, rng, K, D)
    m = Mixture.create(weights, means, covariances, covariance_type=name, dtype=dtype)
    x = data(name, rng)
    log_likelihood, *want = em_iteration(name, weights, means, covariances, x.T, np.ones(N), 0.01)
    s = without_jax(statistics, m, x.astype(dtype))
    new = without_jax(m_step, m, s, np.full(D, 0.1, dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves((s, new))} == {np.dtype(dtype)}
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(s.log_likelihood, log_likelihood, rtol=tolerance)
    got = (new.weights, new.means, new.components.covariances)
    for value, wanted in zip(got[: 2 if covariances is None else 3], want, strict=False):
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


@every_family
def test_soundness_is_the_same_on_numpy(name, rng, without_jax):
    m, floor = batch(name, rng), np.full(D, 1e-3)
    weights = m.weights.copy()
    weights[1] = [1.0, 0.0, 0.0]
    broken = jax.tree.map(lambda leaf: np.where(np.arange(R).reshape(-1, *[1] * (leaf.ndim - 1)) == 2, np.nan, leaf), m)
    cases = [m, Mixture(weights, m.components), broken]
    for case in cases:
        for keep in (False, True):
            args = (case, np.array([-1.0, -2.0, np.nan]), np.array([False, True, False]), np.array([90, 4, 90]))
            ask = lambda m, p, lenient, n, floor, keep: faults(m, p, lenient, floor=floor, n_rows=n, keep=keep)  # noqa: E731
            found = both(without_jax, ask, *args, shared=[floor, np.asarray(keep)])
            assert found.status[2] == (Status.NON_FINITE if keep or case is not broken else found.status[2])
        both(
            without_jax,
            lambda m, n, spike, limit: suspects(m, spike, limit, n, False),
            case, np.array([90, 4, 90]), shared=[floor, floor],
        )  # fmt: skip
    assert without_jax(faults, cases[1], np.zeros(R), np.zeros(R, bool), floor=floor, n_rows=np.full(R, 90), keep=False).status[1] == Status.DEGENERATE  # fmt: skip


@every_family
@pytest.mark.parametrize("criterion", CRITERIA)
def test_stopping_is_the_same_on_numpy(name, criterion, rng, without_jax):
    old = batch(name, rng)
    free = jax.tree.map(lambda leaf: leaf + 1e-5 * rng.normal(size=leaf.shape), old.components.unconstrain())
    new = Mixture(old.weights, type(old.components).constrain(free))
    gains = np.array([1e-7, 1e-3, -1e-9]), np.array([1e-6, 1e-4, 1e-9])

    def ask(tol, gain, previous, old, new):
        return settled(criterion, tol, gain, previous, old, new)

    for tol in (1e-8, 1e-4, 1.0):
        found = without_jax(ask, np.asarray(tol), *gains, old, new)
        with scope():
            agree(found, ask(jnp.asarray(tol), *map(jnp.asarray, gains), *jax.tree.map(jnp.asarray, (old, new))))


def test_progress_is_the_same_on_numpy(rng, without_jax):
    steps = 1e-9 * rng.normal(size=(70, R)) + [0.0, 1e-9, 0.0]
    with scope():
        theirs = Progress.none(jnp.zeros(R))
        mine = without_jax(Progress.none, np.zeros(R))
        for gain in steps:
            mine, theirs = without_jax(mine.after, gain), theirs.after(jnp.asarray(gain))
            agree(mine, theirs)
            agree(without_jax(mine.rounding, np.full(R, -4e4)), theirs.rounding(jnp.full(R, -4e4)))


@pytest.mark.parametrize("d", [1, 2, 4, 5, 9, 40])
def test_factors_are_the_same_on_numpy(d, rng, without_jax):
    a = rng.normal(size=(2, 3, d, 2 * d))
    spd = a @ a.swapaxes(-1, -2)
    factor = without_jax(tri.cholesky, spd)
    agree(factor, np.linalg.cholesky(spd))
    inverse = without_jax(tri.inverse, factor)
    np.testing.assert_allclose(inverse @ factor, np.broadcast_to(np.eye(d), spd.shape), atol=1e-9)
    spd[1, 2] *= -1  # what is not positive definite is NaN, and nothing beside it
    with np.errstate(all="ignore"):
        spoiled = without_jax(tri.cholesky, spd)
        factor[0, 0, 0, 0] = 0.0
        assert np.isinf(without_jax(tri.inverse, factor)[0, 0]).any()
    assert np.isnan(spoiled[1, 2]).any()
    np.testing.assert_allclose(spoiled[:1], np.linalg.cholesky(spd[:1]), rtol=1e-9, atol=1e-9)


def test_functions_that_numpy_lacks():
    x = np.array([-800.0, -2.0, 0.0, 3.0, 800.0])
    with scope():
        agree(expit(x), jax.nn.sigmoid(jnp.asarray(x)))
        agree(xlogy(np.array([0.0, 2.0]), np.array([0.0, 3.0])), jnp.array([0.0, 2 * np.log(3.0)]))


def test_moves_are_by_each_constraint():
    factor = np.tile(np.diag([2.0, 4.0]), (3, 1, 1))
    assert LowerTriangular().change(factor, factor + 1).max() == 0.5
    rules = {name: [type(rule).__name__ for rule in constraints(f).values()] for name, f in FAMILIES.items()}
    assert rules["exponential"] == ["Positive"]


def test_what_all_share_stays_unless_all_are_replaced(rng):
    """Both kinds of array: the covariance of a tied mixture is everybody's."""
    mine, fresh = mixture("tied", rng).components, mixture("tied", rng).components
    for which, kept in (([True, True, False], True), ([True, True, True], False)):
        for kind in (np.asarray, jnp.asarray):
            with scope():
                found = jax.tree.map(kind, mine).with_replaced(kind(which), jax.tree.map(kind, fresh))
            np.testing.assert_array_equal(found.scale_tril, mine.scale_tril if kept else fresh.scale_tril)
            np.testing.assert_array_equal(found.means[0], fresh.means[0])
