"""When restarts end, and what they say of it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import jaxgmm
from jaxgmm import EM, Gradient, Status
from jaxgmm.run.status import SOUND
from jaxgmm.run.stopping import CRITERIA, Progress, settled


@pytest.fixture(scope="module")
def slow():
    """Overlapping clusters in float64: EM creeps, its gains nearly a geometric series; and where it ends."""
    x = np.random.default_rng(0).normal(size=(400, 1)) + np.repeat([-1.1, 1.1], 200)[:, None]
    start = jaxgmm.fit(0, x, 2, max_iter=0, init="kmeans").mixture
    end = jaxgmm.fit(0, x, 2, init=start, tol=1e-13, max_iter=20_000)
    return x, start, end


@pytest.mark.parametrize("stopping", CRITERIA)
def test_each_rule_keeps_its_word(stopping, slow):
    x, start, end = slow
    tol = 1e-6
    result = jaxgmm.fit(0, x, 2, init=start, tol=tol, stopping=stopping, max_iter=20_000)
    assert result.status[0] == Status.CONVERGED
    gains = np.diff(result.history[0])
    short = (end.log_likelihood[0] - result.log_likelihood[0]) / len(x)
    if stopping in ("log_likelihood", "change"):
        assert abs(gains[-1]) < tol
        assert (np.abs(gains[:-1]) >= tol).all()
    elif stopping == "aitken":
        assert short < 3 * tol  # what it promises: little is left, not only little gained
        assert len(gains) > np.argmax(np.abs(gains) < tol) + 5
    else:
        before = jaxgmm.fit(0, x, 2, init=start, tol=0, max_iter=len(gains) - 1).mixture
        m = result.mixture
        sigma = np.sqrt(before.covariances[:, 0, 0])
        moves = [(m.means - before.means)[:, 0] / sigma, m.weights - before.weights]
        moves += [np.sqrt(m.covariances[:, 0, 0]) / sigma - 1]
        assert np.max(np.abs(moves)) < tol
        earlier = jaxgmm.fit(0, x, 2, init=start, tol=0, max_iter=len(gains) - 2).mixture
        assert np.max(np.abs(before.means - earlier.means)[:, 0] / sigma) > tol / 2


def test_aitken_sees_what_a_series_still_adds():
    """Gains 1, ½, ¼ … leave as much again; gains that do not shrink leave no end in sight."""
    one = jnp.ones(1)
    call = lambda gain, before, tol: bool(settled("aitken", jnp.asarray(tol), gain * one, before * one, None, None)[0])  # noqa: E731
    assert not call(0.25, 0.5, 0.249)
    assert call(0.25, 0.5, 0.26)
    assert not call(0.25, 0.26, 1.0)
    assert not call(0.25, 0.25, 1.0)
    assert not call(0.25, jnp.nan, 1.0)
    assert call(-0.25, 0.5, 1.0)  # what has begun to fall has nothing left to gain
    assert not call(-2.0, 0.5, 1.0)


def test_rounding_is_told_from_progress():
    steps, value = 32, jnp.full(4, -5.0)
    noise = 1e-7 * np.where(np.arange(steps) % 2, 1.0, -1.0)
    gains = jnp.asarray(
        np.stack([noise, np.full(steps, 1e-7), 1000 * noise, np.full(steps, 1e-3)], axis=1), jnp.float32
    )
    progress = Progress.none(value)
    for gain in gains[:-1]:
        progress = progress.after(gain)
        assert not progress.rounding(value).any()
    # gains that cancel, steady gains, gains that cancel but are too large for rounding, and real ones
    assert progress.after(gains[-1]).rounding(value).tolist() == [True, False, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_tolerance_below_rounding_ends_all_the_same(seed):
    """In float32, where gains never fall below such a tol but by luck: nothing runs to max_iter."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(500, 3)) + 3 * rng.integers(3, size=(500, 1))).astype(np.float32)
    result = jaxgmm.fit(seed, x, 3, n_init=8, tol=1e-12, max_iter=20_000)
    assert np.isin(result.status, (Status.CONVERGED, Status.ROUNDING)).all()
    exact = jaxgmm.fit(seed, x.astype(np.float64), 3, init=result.mixtures, tol=1e-12, max_iter=20_000)
    gap = (exact.log_likelihood - result.log_likelihood) / len(x)
    assert np.max(np.abs(gap)) < 1e-5


def test_float32_stops_where_float64_does(slow):
    """Not on a gain that rounding happened to hide."""
    x, start, _ = slow
    for tol in (1e-4, 1e-5, 1e-6):
        wide = jaxgmm.fit(0, x, 2, init=start, tol=tol, max_iter=20_000)
        narrow = jaxgmm.fit(0, x.astype(np.float32), 2, init=start.astype(np.float32), tol=tol, max_iter=20_000)
        assert narrow.status[0] in (Status.CONVERGED, Status.ROUNDING)
        assert narrow.n_iter[0] > 0.5 * wide.n_iter[0]
        assert narrow.score == pytest.approx(wide.score, abs=30 * tol)


def test_a_time_limit_returns_the_best_so_far(iris):
    jaxgmm.fit(0, iris, 3, n_init=4, tol=0, max_iter=40)
    result = jaxgmm.fit(0, iris, 3, n_init=4, tol=0, max_iter=10**9, max_seconds=0.2)
    assert (result.status == Status.TIME_LIMIT).all()
    assert (result.n_iter > 0).all()
    assert result.mixture.score(iris) == pytest.approx(result.score, abs=1e-9)
    assert "max_seconds" in Status.TIME_LIMIT.advice


def test_on_block_may_stop_the_fit(iris):
    calls = []
    result = jaxgmm.fit(0, iris, 3, n_init=4, tol=0, on_block=lambda info: calls.append(info) or len(calls) == 2)
    assert len(calls) == 2
    assert (result.status == Status.STOPPED).all()
    assert result.n_iter.max() == calls[-1].n_iter < 1000
    assert result.best in range(4)


UNSOUND = (Status.RUNNING, Status.DEGENERATE, Status.NON_FINITE, Status.OUTRUN, Status.MERGED)


@pytest.mark.parametrize("status", Status)
def test_every_status_has_advice(status):
    assert status.advice.endswith((".", "tol."))
    assert (status in SOUND) == (status not in UNSOUND)


def test_mini_batches_count_what_their_looks_at_all_rows_cost(iris):
    driver = Gradient("adam", batch_size=10)
    infos = []
    result = jaxgmm.fit(0, iris, 2, driver=driver, tol=0, max_iter=60, on_block=infos.append)
    steps = 61 * 10 / len(iris)
    looks = result.passes[0] - steps
    # at the start, whenever steps have read as much as a look does, and at the end
    assert looks == pytest.approx(round(looks))
    assert 3 <= looks <= 2 + steps
    assert infos[-1].rows <= result.passes[0] * len(iris)
    assert result.score == pytest.approx(result.mixture.score(iris), abs=1e-9)
    none = jaxgmm.fit(0, iris, 2, driver=driver, max_iter=0)
    assert none.score == pytest.approx(none.mixture.score(iris), abs=1e-9)
    em = jaxgmm.fit(0, iris, 2, driver=EM(), max_iter=0)
    assert none.score == pytest.approx(em.score, abs=1e-9)


def test_rows_without_weight_are_not_drawn(iris):
    """A mini-batch of nothing but absent rows would be no data at all."""
    weights = np.zeros(len(iris))
    weights[::30] = 1.0
    result = jaxgmm.fit(0, iris, 2, driver=Gradient("adam", batch_size=2), sample_weight=weights, max_iter=50, tol=0)
    assert result.status[0] in SOUND
    assert np.isfinite(result.history).all()
