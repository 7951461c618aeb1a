"""The checker that every driver passes, and what only gradients promise."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from create import NAMES, controls, data, scope

import jaxgmm
from jaxgmm import EM, Gradient, HardEM, Squarem, Status
from jaxgmm.em import EStep, Penalty
from jaxgmm.em.choice import limits
from jaxgmm.rows import ArrayRows
from jaxgmm.run.lanes import run_restarts

DRIVERS = {
    "em": EM(),
    "squarem": Squarem(),
    "hard em": HardEM(),
    "squarem of hard em": Squarem(HardEM()),
    "adam": Gradient("adam", learning_rate=0.03),
    "lbfgs": Gradient("lbfgs"),
    "sgd with momentum, on a schedule": Gradient(
        optax.sgd, learning_rate=optax.cosine_decay_schedule(0.1, 100), momentum=0.5
    ),
    "lbfgs with a short memory": Gradient(optax.lbfgs, memory_size=3),
    "a ready transformation": Gradient(
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.02, weight_decay=0.0))
    ),
    "backtracking": Gradient(
        optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=15, store_grad=True))
    ),
    "mini-batches": Gradient("adam", learning_rate=0.01, batch_size=64),
}
MONOTONE = ("em", "squarem", "hard em", "squarem of hard em", "lbfgs", "backtracking")
every_driver = pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())


@pytest.fixture(scope="module")
def starts(iris):
    return jaxgmm.fit(4, iris, 3, n_init=5, max_iter=2).mixtures


@every_driver
def test_a_driver_climbs(driver, iris, starts):
    before = starts.log_likelihood(iris)
    result = jaxgmm.fit(0, iris, 3, init=starts, driver=driver, max_iter=40, tol=0)
    assert (result.n_iter == 40).all()
    assert (result.status == Status.MAX_ITER).all()
    assert (result.log_likelihood > before + 0.5).all()
    np.testing.assert_allclose(result.mixtures.log_likelihood(iris), result.log_likelihood, rtol=1e-9)


@pytest.mark.parametrize("name", MONOTONE)
def test_log_likelihood_never_falls_where_promised(name, iris, starts):
    result = jaxgmm.fit(
        0, iris, 3, init=starts, driver=DRIVERS[name], max_iter=60, tol=0, reg_covar=0, on_degenerate="stop"
    )
    assert np.nanmin(np.diff(result.history)) > -1e-9


@pytest.mark.parametrize("driver", [d for d in DRIVERS.values() if not d.stochastic])
def test_finished_restarts_stay_as_they_were(driver, iris, starts):
    """Each restart ends where and when it ends alone, however long its neighbours go on."""
    options = {"driver": driver, "tol": 3e-3, "max_iter": 100}
    together = jaxgmm.fit(0, iris, 3, init=starts, **options)
    assert len(set(together.n_iter.tolist())) > 1
    for i in range(3):
        alone = jaxgmm.fit(0, iris, 3, init=starts[i], **options)
        assert (alone.n_iter[0], alone.status[0]) == (together.n_iter[i], together.status[i])
        chex.assert_trees_all_close(together.mixtures[i], alone.mixture, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", NAMES)
def test_gradients_find_the_optimum_of_em(kind, optimizer):
    rng = np.random.default_rng(5)
    x = np.concatenate([data(kind, rng, n=150) * 0.5, np.abs(data(kind, rng, n=150))]).round(3)
    x = (x > 0.3).astype(float) if kind == "bernoulli" else x + 2 * (np.arange(300) >= 150)[:, None]
    # 1e-3 keeps a Bernoulli rate off 0 and 1, where its free parameter would run to infinity
    options = {"covariance_type": kind, "reg_covar": 1e-3 if kind == "bernoulli" else 1e-6}
    start = jaxgmm.fit(0, x, 2, max_iter=5, init="kmeans", **options).mixture
    em = jaxgmm.fit(0, x, 2, init=start, tol=1e-12, max_iter=5000, **options)
    driver = Gradient(optimizer)
    up = jaxgmm.fit(0, x, 2, init=start, driver=driver, tol=1e-12, max_iter=2000, **options)
    assert up.score == pytest.approx(em.score, abs=1e-3)
    np.testing.assert_allclose(up.mixture.means, em.mixture.means, atol=0.05)


@pytest.mark.parametrize("driver", [Gradient("adam"), Gradient("lbfgs")], ids=["adam", "lbfgs"])
def test_gradients_and_em_agree_on_iris(driver, iris):
    start = jaxgmm.fit(2, iris, 3, init="kmeans", max_iter=3).mixture
    em = jaxgmm.fit(0, iris, 3, init=start, tol=1e-10, max_iter=5000)
    up = jaxgmm.fit(0, iris, 3, init=start, driver=driver, tol=1e-10, max_iter=3000)
    assert up.score == pytest.approx(em.score, abs=1e-3)


@pytest.mark.slow
def test_gradients_and_em_agree_on_pixel_colours():
    from sklearn.datasets import load_sample_image

    x = load_sample_image("china.jpg").reshape(-1, 3)[::20].astype(np.float32)
    start = jaxgmm.fit(0, x, 4, reg_covar=1.0, max_iter=20).mixture
    em = jaxgmm.fit(0, x, 4, init=start, reg_covar=1.0, tol=1e-7, max_iter=2000)
    up = jaxgmm.fit(0, x, 4, init=start, driver=Gradient("lbfgs"), reg_covar=1.0, tol=1e-7, max_iter=500)
    assert up.mixture.score(x) == pytest.approx(em.mixture.score(x), abs=1e-3)


@pytest.mark.slow
def test_mini_batches_approach_the_optimum(faithful):
    em = jaxgmm.fit(0, faithful, 2, n_init=5)
    driver = Gradient("adam", learning_rate=optax.exponential_decay(0.05, 100, 0.6), batch_size=64)
    start = jaxgmm.fit(0, faithful, 2, max_iter=2).mixture
    up = jaxgmm.fit(0, faithful, 2, init=start, driver=driver, max_iter=1000, tol=0)
    assert up.score == pytest.approx(em.score, abs=0.02)
    assert up.passes[0] >= 1001 * 64 / 272
    exact = up.mixture.log_likelihood(faithful)
    assert up.log_likelihood[0] == pytest.approx(exact, rel=1e-9)


@pytest.mark.slow
def test_mini_batches_stop_when_all_rows_gain_no_more(faithful):
    driver = Gradient("adam", learning_rate=optax.exponential_decay(0.05, 50, 0.5), batch_size=64)
    result = jaxgmm.fit(0, faithful, 2, n_init=3, driver=driver, max_iter=5000, tol=1e-5)
    assert (result.status == Status.CONVERGED).all()
    assert (result.n_iter < 5000).all()


@pytest.mark.slow
def test_the_line_searchs_passes_are_counted(iris):
    """Every probe of the line search reads the rows once; nothing else does but the start."""
    calls = []

    def counted(rows_of):
        def total(self, function, operand, chunk):
            jax.debug.callback(lambda: calls.append(1))
            return rows_of(self, function, operand, chunk)

        return total

    with scope():
        rows = ArrayRows.from_array(jnp.asarray(iris))
        start = jax.tree.map(jnp.asarray, jaxgmm.fit(0, iris, 2, max_iter=2).mixture)
        driver = Gradient("lbfgs")
        estep = EStep(rows)
        penalty = Penalty(jnp.zeros(4))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ArrayRows, "total", counted(ArrayRows.total))
            state = driver.init(start, estep, penalty)
            for _ in range(5):
                state = driver.step(state, estep, penalty)
        jax.effects_barrier()
    assert int(state.passes) == len(calls) > 5


def _wide_over_tight():
    """Tight clusters in float32, and a start far too wide: where a line search goes the fast kernel is soon wrong."""
    rng = np.random.default_rng(0)
    x = (np.repeat([[0.0, 0.0], [1.0, 1.0]], 50, axis=0) + 1e-4 * rng.normal(size=(100, 2))).astype(np.float32)
    means = [[0.1, 0.0], [1.0, 0.9]]
    return x, jaxgmm.Mixture.create([0.5, 0.5], means, np.full((2, 2), 0.01), covariance_type="diag", dtype="float32")


def test_a_line_search_is_not_led_by_a_kernel_that_is_wrong():
    """A search that ends where the fast kernel is right, but on its way is told much that is not so."""
    x, start = _wide_over_tight()
    limit = limits("auto", np.float32)[0]
    seen = []

    class Watched(EStep):
        def __call__(self, mixture):
            statistics = super().__call__(mixture)
            jax.debug.callback(lambda *values: seen.append(values), mixture, statistics)
            return statistics

    rows, driver, penalty = ArrayRows.from_array(jnp.asarray(x)), Gradient("lbfgs"), Penalty(jnp.zeros(2))
    free, bound = (Watched(rows, "shared_feature", limit=each) for each in (jnp.inf, limit))
    before = driver.step(driver.init(start, free, penalty), free, penalty)
    jax.effects_barrier()
    seen.clear()
    led = driver.step(before, free, penalty)
    jax.effects_barrier()
    assert EStep(rows)(led.mixture).conditioning < limit  # nothing to be seen where it ends
    wrong = {inside: 0.0 for inside in (True, False)}  # by so many nats
    for mixture, statistics in seen:
        inside = bool(statistics.conditioning <= limit)
        error = abs(float(statistics.log_likelihood - EStep(rows)(mixture).log_likelihood))
        wrong[inside] = max(wrong[inside], error)
    assert wrong[True] < 0.02 < 0.1 < wrong[False], wrong
    kept = driver.step(before, bound, penalty)  # it keeps away from what is not so
    assert kept.log_likelihood == pytest.approx(float(EStep(rows)(kept.mixture).log_likelihood), abs=0.02)

    options = {"covariance_type": "diag", "init": start, "max_iter": 2, "on_degenerate": "keep", "reg_covar": 0}
    chosen, centred = (jaxgmm.fit(0, x, 2, driver=driver, kernel=name, **options) for name in ("auto", "centred"))
    assert chosen.kernel[0] == "shared_feature_64"
    np.testing.assert_allclose(chosen.history, centred.history, atol=3e-5)  # led, it was 1.2e-4 off


def test_a_line_search_takes_a_kernel_that_hardly_ever_fails(iris):
    assert Gradient("lbfgs").searches
    assert not Gradient("adam").searches
    for dtype, kernel in (("float64", "shared_feature"), ("float32", "shared_feature_64")):
        result = jaxgmm.fit(0, iris, 2, n_init=3, driver=Gradient("lbfgs"), max_iter=20, tol=0, dtype=dtype)
        assert set(result.kernel) == {kernel}


def test_a_search_kept_away_from_all_it_tries_is_refused(iris, starts):
    """Else the fast kernel could call a restart converged that it could not follow."""
    with scope():
        rows, driver, penalty = ArrayRows.from_array(jnp.asarray(iris)), Gradient("lbfgs"), Penalty(jnp.zeros(4))
        state = driver.init(jax.tree.map(jnp.asarray, starts[0]), EStep(rows), penalty)
        nothing = EStep(rows, "shared_feature", limit=0.5 * state.conditioning)
        stuck = driver.step(state, nothing, penalty)
        chex.assert_trees_all_close(stuck.mixture, state.mixture, rtol=1e-12)
        assert stuck.conditioning == np.inf


def test_gradient_complains_about_what_it_cannot_use():
    with pytest.raises(ValueError, match=r"optimizer must be one of 'adam', .* got 'adm'; did you mean 'adam'"):
        Gradient("adm")
    with pytest.raises(TypeError, match=r"optimizer must be a name, an optax factory or .* got 3"):
        Gradient(3)
    with pytest.raises(
        ValueError, match=r"optimizer must be an optax factory .* to take the settings \['learning_rate'\]"
    ):
        Gradient(optax.adam(0.1), learning_rate=0.2)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        Gradient("adam", batch_size=0)
    with pytest.raises(
        TypeError,
        match=r"settings must be one of .* for optimizer adam; got 'learning_rat'; did you mean 'learning_rate'",
    ):
        Gradient("adam", learning_rat=0.1)
    with pytest.raises(TypeError, match="settings must hold 'learning_rate' for optimizer adamw"):
        Gradient(optax.adamw)


@pytest.mark.parametrize(
    "driver",
    [EM(), Squarem(), HardEM(), Gradient("adam"), Gradient("lbfgs")],
    ids=["em", "squarem", "hard em", "adam", "lbfgs"],
)
def test_a_step_is_traced_once_per_shape(driver, iris):
    """New values, key, tol, ridge, max_iter and learning rate reuse the compiled program."""
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(n=1)(lambda d, s, r, c: _steps(d, s, r, c))
    step = jax.jit(traced)
    with scope():
        for i in range(3):
            rows = ArrayRows.from_array(jnp.asarray(iris + i))
            start = jaxgmm.fit(i, iris, 2, max_iter=1).mixture
            steering = controls(4, 10.0**-i, 5 + i, 1e-6 * i, key=np.array([0, i], np.uint32))
            if isinstance(driver, Gradient) and "learning_rate" in driver.numbers:
                driver = Gradient("adam", learning_rate=0.01 * (i + 1))
            step(driver, jax.tree.map(jnp.asarray, start), rows, steering)


def _steps(driver, start, rows, steering):
    estep = EStep(rows)
    state = driver.init(start, estep, steering.penalty)
    return driver.step(state, estep, steering.penalty).mixture


def test_run_is_public_enough_to_drive_by_hand(iris):
    """A custom driver needs only the contract."""

    class Halfway(EM):
        """EM that goes half the way in the means."""

        def update(self, mixture, statistics, penalty):
            return jax.tree.map(lambda a, b: (a + b) / 2, super().update(mixture, statistics, penalty), mixture)

    jax.tree_util.register_dataclass(Halfway, data_fields=[], meta_fields=[])
    with scope():
        rows = ArrayRows.from_array(jnp.asarray(iris))
        starts = jax.tree.map(jnp.asarray, jaxgmm.fit(0, iris, 2, n_init=2, max_iter=1).mixtures)
        ended = run_restarts(Halfway(), starts, rows, controls(4, tol=1e-8, max_iter=500)).restarts
    assert (ended.status == Status.CONVERGED).all()
    assert ended.log_likelihood.max() == pytest.approx(-214.354704, abs=1e-2)
