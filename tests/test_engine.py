"""NumPy and JAX run the same fit: the same starts, steps and answers, and NumPy compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import GAUSSIANS, NAMES, data
from house import ROOT
from jaxtyping import Float
from scipy.special import logsumexp
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

import jaxgmm
from jaxgmm.families import FAMILIES, Family, Positive, Traits, family, parameter
from jaxgmm.families.hosting import on_numpy
from jaxgmm.fit import engine
from jaxgmm.inputs import threefry
from jaxgmm.inputs.randomness import restart_keys, words_of
from jaxgmm.inputs.typing import Array
from jaxgmm.problem.kmeans import lloyd, plus_plus, trials_for
from jaxgmm.rows import chunks

X = load_iris().data
SMALL = {"n_init": 3, "max_iter": 60}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def both(x, k, **options):
    """The same fit by either engine."""
    return [jaxgmm.fit(0, x, k, engine=name, **options) for name in ("numpy", "jax")]


def the_same(host, device, rtol=1e-8):
    assert (host.engine, device.engine) == ("numpy", "jax")
    np.testing.assert_array_equal(host.n_iter, device.n_iter)
    np.testing.assert_array_equal(host.status, device.status)
    np.testing.assert_array_equal(host.spurious, device.spurious)
    np.testing.assert_array_equal(host.revivals, device.revivals)
    np.testing.assert_allclose(host.passes, device.passes)
    np.testing.assert_allclose(host.log_likelihood, device.log_likelihood, rtol=rtol)
    np.testing.assert_allclose(host.log_prior, device.log_prior, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(host.history, device.history, rtol=rtol)
    assert host.mixtures.dtype == device.mixtures.dtype
    for own, other in zip(jax.tree.leaves(host.mixtures), jax.tree.leaves(device.mixtures), strict=True):
        np.testing.assert_allclose(own, other, rtol=rtol, atol=rtol)
    assert host.worth[host.best] == pytest.approx(device.worth[device.best], rel=rtol)


@contextmanager
def nothing_compiled():
    """Fails if a program is compiled within."""
    compiled, on = [], True
    heard = lambda event, _, **__: on and event.endswith("backend_compile_duration") and compiled.append(event)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        yield
    finally:
        on = False
    assert not compiled


def test_the_guard_sees_compilation():
    with pytest.raises(AssertionError), nothing_compiled():
        jax.jit(lambda x: x * 3.25)(np.ones(7))


# ---- the same fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["k-means++", "kmeans", "random_from_data", "random"])
@pytest.mark.parametrize("name", NAMES)
def test_every_family_and_every_start(name, init, rng):
    the_same(*both(data(name, rng), 3, covariance_type=name, init=init, **SMALL))


@pytest.mark.parametrize("name", GAUSSIANS)
def test_float32_rows_to_rounding(name):
    host, device = both(X.astype(np.float32), 3, covariance_type=name, n_init=4, max_iter=400, tol=1e-6)
    assert host.mixture.dtype == np.float32
    assert host.score == pytest.approx(device.score, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_fit_can_be_told(name, rng):
    x = data(name, rng)
    w, labels = rng.uniform(0, 2, len(x)), rng.choice([-1, 0, 1, 2], len(x))
    w[::7] = 0.0
    told = {"covariance_type": name, **SMALL}
    the_same(*both(x, 3, sample_weight=w, **told))
    the_same(*both(x, 3, labels=labels, sample_weight=w, **told))
    the_same(*both(x, 3, labels=labels % 2, component_labels=[0, 1, 1], init="kmeans", **told))
    the_same(*both(x, 3, driver=jaxgmm.HardEM(), **told))
    the_same(*both(x, 3, prior="default", **told))
    means = np.full((3, x.shape[1]), np.nan)
    means[1] = 0.4
    weights = np.array([0.2, np.nan, np.nan])
    the_same(*both(x, 3, fixed=jaxgmm.Fixed(weights=weights, means=means), **told))
    for stopping in ("aitken", "parameters", "change"):
        the_same(*both(x, 3, stopping=stopping, tol=1e-3, **told))


def test_starts_that_are_given(rng):
    labels = rng.integers(0, 3, (2, len(X)))
    the_same(*both(X, 3, init=labels, max_iter=40))
    the_same(*both(X, 3, init=(rng.dirichlet(np.ones(3), len(X)), "k-means++"), n_init=3, max_iter=40))
    batch = jaxgmm.fit(0, X, 3, n_init=2, max_iter=2, engine="jax").mixtures
    the_same(*both(X, 3, init=batch, max_iter=40))


@pytest.mark.parametrize("on_degenerate", ["reinit", "stop", "keep"])
def test_collapses_and_what_comes_after(on_degenerate, rng):
    x = np.concatenate([rng.normal(size=(60, 2)), np.repeat([[4.0, 4.0]], 3, axis=0)])
    host, device = both(x, 6, n_init=8, reg_covar=1e-9, on_degenerate=on_degenerate, max_iter=200)
    collapsed = host.revivals.any() if on_degenerate == "reinit" else (host.status == jaxgmm.Status.DEGENERATE).any()
    assert collapsed or on_degenerate == "keep"
    # Spikes magnify rounding: now and then one restart takes another turn.
    assert np.sum(host.status != device.status) <= 1
    assert np.sum(host.revivals != device.revivals) <= 1
    assert host.worth[host.best] == pytest.approx(device.worth[device.best], rel=1e-4)


def test_tight_clusters_take_the_accurate_road():
    rng = np.random.default_rng(0)
    x = np.concatenate([c + 1e-7 * rng.normal(size=(50, 2)) for c in ([0, 0], [1, 0], [0, 1])])
    host, device = both(x, 3, n_init=4, reg_covar=0.0)
    assert "centred" in host.kernel
    the_same(host, device, rtol=1e-6)


def test_rows_are_read_in_chunks(monkeypatch):
    whole = jaxgmm.fit(0, X, 3, n_init=2, engine="numpy", labels=np.arange(150) % 4 - 1)
    monkeypatch.setitem(chunks._CHUNKS, "host", (1, 16, 32))
    parts = jaxgmm.fit(0, X, 3, n_init=2, engine="numpy", labels=np.arange(150) % 4 - 1)
    np.testing.assert_allclose(parts.history, whole.history, rtol=1e-9)


@pytest.mark.parametrize("criterion", ["bic", "icl", "cv", "heldout"])
def test_selections(criterion):
    options = {"criterion": criterion, "n_init": 2, "covariance_types": ("full", "tied", "diag"), "n_folds": 3}
    host, device = (jaxgmm.select(1, X, (1, 2, 4), engine=name, **options) for name in ("numpy", "jax"))
    assert (host.best.engine, device.best.engine) == ("numpy", "jax")
    for own, other in zip(host.table, device.table, strict=True):
        assert (own.n_components, own.covariance_type, own.status) == (
            other.n_components,
            other.covariance_type,
            other.status,
        )
        np.testing.assert_allclose(own.criterion, other.criterion, rtol=1e-7)
    assert host.best.score == pytest.approx(device.best.score, rel=1e-9)


@pytest.mark.parametrize("init", ["k-means++", "kmeans", "random_from_data", "random"])
def test_many_data_sets(init, rng):
    sets = [data("full", rng, n) for n in (40, 60, 45)]
    host, device = (
        jaxgmm.fit_many(2, sets, 2, init=init, n_init=3, prior="default", max_iter=80, engine=name)
        for name in ("numpy", "jax")
    )
    np.testing.assert_allclose(host.restarts.log_likelihood, device.restarts.log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(host.bests.log_likelihood, device.bests.log_likelihood, rtol=1e-7)
    np.testing.assert_allclose(host.restarts.log_prior, device.restarts.log_prior, rtol=1e-4)
    alone = jaxgmm.fit(
        jax.random.fold_in(jax.random.key(2), 1), sets[1], 2, init=init, n_init=3, prior="default", max_iter=80
    )
    np.testing.assert_allclose(host.restarts.log_likelihood[1], alone.log_likelihood, rtol=1e-8)


def test_callbacks_deadlines_and_checkpoints_work_alike(tmp_path):
    heard = []
    stopped = jaxgmm.fit(0, X, 3, n_init=4, engine="numpy", tol=0, on_block=lambda info: heard.append(info) or True)
    assert len(heard) == 1
    assert set(stopped.counts()) == {"STOPPED"}
    late = jaxgmm.fit(0, X, 3, n_init=4, engine="numpy", tol=0, max_seconds=0.0)
    assert set(late.counts()) == {"TIME_LIMIT"}
    path = tmp_path / "fit.ckpt"
    options = {"n_init": 4, "tol": 0, "max_iter": 100, "engine": "numpy"}

    class Killed(Exception):
        pass

    def kill(info):
        if info.block == 2:
            raise Killed

    with pytest.raises(Killed):
        jaxgmm.fit(0, X, 3, checkpoint=path, every=0, on_block=kill, **options)
    assert path.exists()
    resumed, whole = jaxgmm.fit(0, X, 3, checkpoint=path, every=0, **options), jaxgmm.fit(0, X, 3, **options)
    np.testing.assert_array_equal(resumed.log_likelihood, whole.log_likelihood)
    np.testing.assert_array_equal(resumed.history, whole.history)


# ---- who runs what --------------------------------------------------------------------------------------------


def test_small_fits_compile_nothing():
    with nothing_compiled():
        for k in (2, 3):
            result = jaxgmm.fit(0, X[: 137 + k], k, n_init=5)
            assert result.engine == "numpy"
            for n in range(1, 26):
                result.mixture.score_samples(X[:n])
                result.mixture.predict(X[:n])
            result.components(), result.mixture.bic(X), result.mixtures.entropy(X)
        model = jaxgmm.GaussianMixture(3, n_init=4, random_state=0).fit(X[:141])
        model.score_samples(X[:9]), model.bic(X), model.sample(11)
        jaxgmm.select(0, X[:139], range(1, 4), n_init=2, criterion="cv", n_folds=3)
        jaxgmm.fit_many(0, [X[:31], X[40:77]], 2, n_init=2)


def test_large_fits_take_programs(monkeypatch, rng):
    assert engine.host_seconds(100_000, 8, 12, 32, 1000, jaxgmm.families.FAMILIES["full"]) > engine._COMPILING
    assert engine.host_seconds(150, 4, 3, 64, 1000, jaxgmm.families.FAMILIES["full"]) < 0.5
    monkeypatch.setattr(engine, "_COMPILING", 0.0)
    assert jaxgmm.fit(0, X, 2).engine == "jax"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "cupy"}, "engine must be one of 'auto', 'numpy', 'jax'"),
        ({"engine": "numpy", "driver": jaxgmm.Squarem()}, "needs JAX"),
        ({"engine": "numpy", "search": "race"}, "needs JAX"),
        ({"engine": "numpy", "kernel": "shared_feature_64"}, "float64 throughout"),
    ],
)
def test_what_numpy_cannot_do_is_said(options, words):
    with pytest.raises(ValueError, match=words):
        jaxgmm.fit(0, X, 2, **options)


def test_drivers_that_need_jax_get_it():
    assert jaxgmm.fit(0, X, 2, driver=jaxgmm.Squarem(), max_iter=3, tol=0).engine == "jax"


WITHOUT_BACKEND = """
import sys
import jaxgmm
assert "jax" not in sys.modules, "jax is loaded before it is needed"
import numpy as np
x = np.random.default_rng(0).normal(size=(150, 3))
model = jaxgmm.GaussianMixture(3, n_init=3, random_state=0).fit(x)
model.predict(x), model.bic(x), model.score_samples(x[:1])
jaxgmm.fit(0, x, 2, n_init=4).components()
jaxgmm.select(0, x, range(1, 3), n_init=2)
try:
    import jax
    jax.numpy.ones(1)
except RuntimeError:
    sys.exit(0)
sys.exit("the guard does not see a backend")
"""


def test_small_fits_start_no_backend():
    """With a platform that there is none of, whatever starts JAX's backend fails."""
    environment = os.environ | {"JAX_PLATFORMS": "nothing", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", WITHOUT_BACKEND], env=environment, check=True)


# ---- random bits and k-means ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, 2**31])
def test_bits_are_those_of_jax(seed):
    key = jax.random.key(np.uint32(seed))
    words = words_of(key)
    np.testing.assert_array_equal(threefry.folded(words, 5), jax.random.key_data(jax.random.fold_in(key, 5)))
    np.testing.assert_array_equal(restart_keys(words, 6), jax.random.key_data(jax.random.split(key, 6)))
    np.testing.assert_array_equal(threefry.uniform(words, 100), jax.random.uniform(key, (100,), "float32"))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(threefry.uniform(words, 9, np.float64), jax.random.uniform(key, (9,), "float64"))
    np.testing.assert_allclose(threefry.gumbel(words, 1000), jax.random.gumbel(key, (1000,), "float32"), atol=2e-5)


def seeded(x, k, r, w=None, trials=None):
    words = restart_keys(np.array([0, 3], np.uint32), r)
    w = np.ones(len(x)) if w is None else w
    return plus_plus(words[None], x.T[None], w[None], k, np.full(r, trials or trials_for(k)))[0]


def test_seeds_are_apart_and_better_with_more_trials():
    rng = np.random.default_rng(0)
    x = np.concatenate([c + 0.01 * rng.normal(size=(40, 2)) for c in rng.normal(size=(6, 2)) * 5])
    found = seeded(x, 6, 200)
    assert all(len({i // 40 for i in seeds}) == 6 for seeds in found)  # one in every cluster
    cost = lambda seeds: np.mean([np.min(((x[:, None] - x[s]) ** 2).sum(-1), axis=1).sum() for s in seeds])  # noqa: E731
    many = rng.normal(size=(500, 3))
    x = many
    assert cost(seeded(many, 8, 60)) < cost(seeded(many, 8, 60, trials=1))
    np.testing.assert_array_equal(seeded(many, 8, 4)[:, :5], seeded(many, 5, 4, trials=trials_for(8)))
    np.testing.assert_array_equal(seeded(many, 8, 7)[:4], seeded(many, 8, 4))  # whoever is beside them
    w = (np.arange(500) % 5 == 0).astype(float)
    assert np.all(seeded(many, 8, 20, w) % 5 == 0)
    assert seeded(np.ones((30, 2)), 3, 5).shape == (5, 3)  # rows that all coincide


def test_seeds_are_drawn_by_squared_distance():
    x = np.array([[0.0], [1.0], [3.0]])
    words = threefry.folded(np.array([0, 1], np.uint32), np.arange(40_000))
    seeds = plus_plus(words[None], x.T[None], np.ones((1, 3)), 2, np.ones(len(words), int))[0]
    for first, others in ((0, {1: 0.1, 2: 0.9}), (1, {0: 0.2, 2: 0.8}), (2, {0: 9 / 13, 1: 4 / 13})):
        own = seeds[seeds[:, 0] == first, 1]
        for second, chance in others.items():
            assert np.mean(own == second) == pytest.approx(chance, abs=0.02)


def test_lloyd_is_scikit_learns(rng):
    x, w = rng.normal(size=(300, 3)), rng.uniform(0.5, 2, 300)
    starts = x[rng.choice(300, (4, 5))]
    centres, cells = lloyd(starts[None], x.T[None], w[None], 7)
    for own, start, cell in zip(centres[0], starts, cells[0], strict=True):
        theirs = KMeans(5, init=start, n_init=1, max_iter=7, tol=0, algorithm="lloyd").fit(x, sample_weight=w)
        np.testing.assert_allclose(own, theirs.cluster_centers_, atol=1e-10)
        np.testing.assert_array_equal(cell, theirs.predict(x))


# ---- answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_same_for_few_rows_and_many(name, dtype, rng, monkeypatch):
    x = data(name, rng, 200).astype(dtype)
    one = jaxgmm.fit(0, x, 3, covariance_type=name, n_init=2, max_iter=5)
    for mixture in (one.mixture, one.mixtures):
        few = [getattr(mixture, ask)(x) for ask in ("score_samples", "responsibilities", "predict")]
        monkeypatch.setattr("jaxgmm.mixture.answers._AT_ONCE", 0)
        many = [getattr(mixture, ask)(x) for ask in ("score_samples", "responsibilities", "predict")]
        monkeypatch.undo()
        for own, other in zip(few, many, strict=True):
            assert (own.dtype, own.shape) == (other.dtype, other.shape)
            np.testing.assert_allclose(own, other, rtol=1e-4 if dtype == "float32" else 1e-9, atol=1e-5)
    joint = one.mixture.joint_log_prob(x)
    np.testing.assert_allclose(one.mixture.score_samples(x), logsumexp(joint, axis=1), rtol=1e-5, atol=1e-5)


# ---- families that users have written for JAX -----------------------------------------------------------------


def exponential(name: str, xp) -> type[Family]:
    """A family whose densities are written for one mixture, and in `xp`; callers of JAX map it over restarts."""

    @family
    class Exponential(Family):
        means: Float[Array, "*r k d"] = parameter(Positive())
        traits = Traits(name, means=Positive())

        @classmethod
        def from_means(cls, means, centre, root):
            return cls(abs(means) + 1e-3)

        @property
        def covariances(self):
            return self.means**2

        def log_prob(self, x):
            return -xp.sum(x[None] / self.means[:, :, None], 1) - xp.sum(xp.log(self.means), 1)[:, None]

        def moments(self, x, r):
            return r @ x.T

        def expected_log_prob(self, counts, moments, other):
            return xp.sum(-moments / other.means - counts[:, None] * xp.log(other.means))

        def improve(self, counts, moments, ridge):
            return type(self)(abs(moments) / (counts[:, None] + 1e-12) + 1e-6)

        def sample(self, key, labels):
            return jax.random.exponential(key, (len(labels), self.means.shape[1])) * self.means[labels]

    return Exponential


@pytest.mark.parametrize("xp", [np, jnp], ids=["of one mixture", "of JAX"])
def test_families_that_numpy_cannot_take_go_by_programs(xp, rng, monkeypatch):
    made = exponential(f"exponential by {xp.__name__}", xp)
    monkeypatch.setitem(FAMILIES, made.traits.name, made)
    assert not on_numpy(made)
    if xp is np:
        return
    x = rng.exponential(size=(300, 2)) * np.where(rng.random(300) < 0.5, 1, 6)[:, None]
    result = jaxgmm.fit(0, x, 2, covariance_type=made.traits.name, n_init=3)
    assert result.engine == "jax"
    m = result.mixture
    wanted = np.log(m.weights)[:, None] - (x.T[None] / m.means[:, :, None]).sum(1) - np.log(m.means).sum(1)[:, None]
    found = m.score_samples(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, logsumexp(wanted, axis=0), rtol=1e-12)
    with pytest.raises(ValueError, match="needs JAX"):
        jaxgmm.fit(0, x, 2, covariance_type=made.traits.name, engine="numpy")


def test_all_families_here_are_numpys():
    assert all(map(on_numpy, FAMILIES.values()))


# ---- when NumPy takes longer than it looked -------------------------------------------------------------------


def test_a_fit_that_takes_long_is_begun_anew_by_a_program(monkeypatch):
    monkeypatch.setattr(engine, "patience", lambda: 0.0)
    options = {"n_init": 4, "tol": 1e-9, "max_iter": 200}
    found = jaxgmm.fit(0, X, 3, **options)
    assert found.engine == "jax"
    assert "TIME_LIMIT" not in found.counts()
    np.testing.assert_array_equal(found.history, jaxgmm.fit(0, X, 3, engine="jax", **options).history)
    assert jaxgmm.fit(0, X, 3, engine="numpy", **options).engine == "numpy"  # as it was asked for
    late = jaxgmm.fit(0, X, 3, max_seconds=0.0, **options)  # that limit is the user's
    assert late.engine == "numpy"
    assert "TIME_LIMIT" in late.counts()


def test_programs_that_are_there_are_used_for_what_is_not_small(monkeypatch):
    shape, arguments = ("full", 3), {"driver": jaxgmm.EM(), "search": None, "kernel": "auto", "tol": 1e-5}
    arguments |= {"family": FAMILIES["full"], "n_components": 8, "n_init": 4, "max_iter": 1000, "compiled": shape}
    assert engine.runs_on_host("auto", shape=(20_000, 2), **arguments)
    monkeypatch.setattr(engine, "_compiled", {shape})
    assert not engine.runs_on_host("auto", shape=(20_000, 2), **arguments)
    assert engine.runs_on_host("auto", shape=(150, 2), **arguments)  # always has the same answer
    assert not engine.runs_on_host("auto", shape=(20_000, 2), **arguments | {"compiled": None, "tol": 0})


def test_k_means_holds_few_distances_at_a_time(monkeypatch, rng):
    x, starts = rng.normal(size=(301, 3)), rng.normal(size=(1, 2, 5, 3))
    whole = lloyd(starts, x.T[None], np.ones((1, 301)), 4)
    monkeypatch.setattr("jaxgmm.problem.kmeans._NEAR_ELEMENTS", 64)
    for own, other in zip(lloyd(starts, x.T[None], np.ones((1, 301)), 4), whole, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-12)
