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
from jaxgmm import EM, Gradient, Status
from jaxgmm.drivers import Penalty
from jaxgmm.rows import ArrayRows
from jaxgmm.run.lanes import run_restarts

DRIVERS = {
    "em": EM(),
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
MONOTONE = ("em", "lbfgs", "backtracking")
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
        from jaxgmm.em import e_step

        estep = lambda m: e_step(m, rows)  # noqa: E731
        penalty = Penalty(jnp.zeros(4))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ArrayRows, "total", counted(ArrayRows.total))
            state = driver.init(start, estep, penalty)
            for _ in range(5):
                state = driver.step(state, estep, penalty)
        jax.effects_barrier()
    assert int(state.passes) == len(calls) > 5


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


@pytest.mark.parametrize("driver", [EM(), Gradient("adam"), Gradient("lbfgs")], ids=["em", "adam", "lbfgs"])
def test_a_step_is_traced_once_per_shape(driver, iris):
    """New values, key, tol, ridge, max_iter and learning rate reuse the compiled program."""
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(n=1)(lambda d, s, r, c: _steps(d, s, r, c))
    step = jax.jit(traced)
    with scope():
        for i in range(3):
            rows = ArrayRows.from_array(jnp.asarray(iris + i))
            start = jaxgmm.fit(i, iris, 2, max_iter=1).mixture
            steering = controls(4, 10.0**-i, 5 + i, 1e-6 * i, key=jax.random.key(i))
            if isinstance(driver, Gradient) and "learning_rate" in driver.numbers:
                driver = Gradient("adam", learning_rate=0.01 * (i + 1))
            step(driver, jax.tree.map(jnp.asarray, start), rows, steering)


def _steps(driver, start, rows, steering):
    from jaxgmm.em import e_step

    estep = lambda m: e_step(m, rows)  # noqa: E731
    state = driver.init(start, estep, steering.penalty)
    return driver.step(state, estep, steering.penalty).mixture


def test_run_is_public_enough_to_drive_by_hand(iris):
    """A custom driver needs only the contract."""

    class Halfway(EM):
        """EM that goes half the way in the means."""

        def step(self, state, e_step, penalty):
            new = EM.step(self, state, e_step, penalty).mixture
            mixture = jax.tree.map(lambda a, b: (a + b) / 2, new, state.mixture)
            return self._at(mixture, e_step, penalty, state.passes)

    jax.tree_util.register_dataclass(Halfway, data_fields=[], meta_fields=[])
    with scope():
        rows = ArrayRows.from_array(jnp.asarray(iris))
        starts = jax.tree.map(jnp.asarray, jaxgmm.fit(0, iris, 2, n_init=2, max_iter=1).mixtures)
        ended = run_restarts(Halfway(), starts, rows, controls(4, tol=1e-8, max_iter=500)).restarts
    assert (ended.status == Status.CONVERGED).all()
    assert ended.log_likelihood.max() == pytest.approx(-214.354704, abs=1e-2)
