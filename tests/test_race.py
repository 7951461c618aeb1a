from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, data
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits

import jaxgmm
from jaxgmm import plotting
from jaxgmm.fit.search import SEARCHES
from jaxgmm.race import jumps
from jaxgmm.race.jumps import moves
from jaxgmm.race.race import Race
from jaxgmm.race.ranking import heading_for, ranked
from jaxgmm.race.rules import Plan, RaceRules
from jaxgmm.rows import ArrayRows
from jaxgmm.run import loop
from jaxgmm.run.status import SOUND, Status

RULES = RaceRules()


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 7, (6, 2))
    return (centres[rng.integers(0, 6, 6000)] + rng.normal(size=(6000, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def raced(blobs):
    return jaxgmm.fit(0, blobs, 6, n_init=40, search="race")


def test_a_race_ends_where_all_starts_run_to_the_end_would(blobs, raced):
    everyone = jaxgmm.fit(0, blobs, 6, n_init=40, search="all")
    assert raced.rounds
    assert raced.score > everyone.score - 1e-4
    assert raced.passes.sum() < everyone.passes.sum()


def test_the_winner_is_an_optimum_of_all_rows(blobs, raced):
    again = jaxgmm.fit(0, blobs, 6, init=raced.mixture, tol=1e-5)
    assert again.score - raced.score < 1e-4
    np.testing.assert_allclose(raced.mixture.score(blobs), raced.score, atol=5e-5)


def test_everyone_is_accounted_for(raced):
    n = len(raced.status)
    assert set(raced.status) <= {Status.CONVERGED, Status.ROUNDING, Status.MAX_ITER, Status.OUTRUN, Status.MERGED}
    final, winner = raced.rounds[-2:]
    assert (final.kind, winner.kind) == ("final", "winner")
    assert final.rows == winner.rows == 6000
    assert list(winner.restart) == [raced.best]
    np.testing.assert_array_equal(np.isin(np.arange(n), final.restart), np.isin(raced.status, SOUND))
    alive = np.arange(n)
    read = np.zeros(n)
    for leg in raced.rounds:
        assert set(leg.restart) <= set(alive)
        alive = alive if leg.kind == "trial" else np.unique(leg.restart[leg.through])
        np.add.at(read, leg.restart, leg.passes)
    np.testing.assert_allclose(read, raced.passes)
    np.testing.assert_array_equal(np.sum(~np.isnan(raced.history), axis=1) - 1, raced.n_iter)


def test_the_same_key_gives_the_same_race(blobs, raced):
    again = jaxgmm.fit(0, blobs, 6, n_init=40, search="race")
    np.testing.assert_array_equal(again.mixture.means, raced.mixture.means)
    np.testing.assert_array_equal(again.status, raced.status)


def test_jumps_find_what_no_start_came_near():
    grid = 10.0 * np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    rng = np.random.default_rng(0)
    x = (grid[np.arange(4800) % 16] + rng.normal(size=(4800, 2))).astype(np.float32)
    truth = jaxgmm.Mixture.create(np.full(16, 1 / 16), grid, np.broadcast_to(np.eye(2), (16, 2, 2))).score(x)
    options = {"n_init": 8, "init": "random_from_data"}
    everyone = jaxgmm.fit(0, x, 16, search="all", **options)
    assert everyone.score < truth - 0.02
    found = jaxgmm.fit(0, x, 16, search="race", **options)
    assert found.moves[found.best] > 0
    assert found.score > truth


def test_a_race_is_the_default_where_all_starts_would_take_longer(blobs, monkeypatch):
    assert not jaxgmm.fit(0, blobs, 2, n_init=8, max_iter=60).rounds
    monkeypatch.setitem(SEARCHES, "race", Race(RaceRules(worthwhile=6000 * 8 * 11)))
    assert jaxgmm.fit(0, blobs, 2, n_init=8, max_iter=60).rounds
    assert not jaxgmm.fit(0, blobs[:-1], 2, n_init=8, max_iter=60).rounds
    assert not jaxgmm.fit(0, blobs, 2, init=np.arange(6000) % 2).rounds


def test_a_race_compiles_few_programs(blobs):
    """One block and one start for each size of sample, however many rounds there are and whatever the key."""
    options = {"n_init": 64, "search": "race", "kernel": "shared_feature", "on_degenerate": "stop"}
    jax.clear_caches()
    result = jaxgmm.fit(0, blobs, 6, **options)
    sizes = 2  # before the final, and from there on
    assert len(result.rounds) > 5
    counted = (loop.block, loop.start, jumps.moves)
    assert [program._cache_size() for program in counted] == [sizes, sizes, 1]
    jaxgmm.fit(1, blobs, 6, **options)
    assert [program._cache_size() for program in counted] == [sizes, sizes, 1]


def test_with_few_rows_nobody_is_left_behind():
    """Below some thousand rows every start runs to its end, and jumps come on top."""
    x = load_digits().data[:, ::4].astype(np.float32) + np.random.default_rng(0).normal(0, 0.5, (1797, 16))
    everyone = jaxgmm.fit(2, x, 6, n_init=8, search="all", dtype="float32")
    found = jaxgmm.fit(2, x, 6, n_init=8, search="race", dtype="float32")
    assert found.rounds[0].rows == found.rounds[-1].rows == 1797
    # To their end: in batches of another size rounding may send one of them another way.
    assert np.sum(np.isclose(found.rounds[0].passes, everyone.passes, rtol=0.1)) >= 7
    assert found.score > everyone.score - 1e-5


def test_the_winner_runs_on_until_gains_are_a_tenth_of_tol(raced):
    final, winner = raced.rounds[-2:]
    assert winner.log_likelihood[0] >= np.max(final.log_likelihood) - 1e-6
    gains = np.diff(raced.history[raced.best][: raced.n_iter[raced.best] + 1])
    assert abs(gains[-1]) < 1e-6  # tol is 1e-5


def test_who_has_converged_is_told_so_though_others_used_up_their_steps(blobs):
    for limit in (60, 80, 100):
        everyone = jaxgmm.fit(0, blobs[:1500], 4, n_init=16, search="all", max_iter=limit)
        found = jaxgmm.fit(0, blobs[:1500], 4, n_init=16, search="race", max_iter=limit)
        assert Status.CONVERGED in everyone.status
        assert Status(found.status[found.best]) is Status.CONVERGED
        assert (found.n_iter <= limit).all()


def test_few_starts_all_run_to_the_end(blobs):
    result = jaxgmm.fit(0, blobs, 3, n_init=4, search="race")
    assert not result.rounds
    assert np.isin(result.status, SOUND).all()


def test_a_time_limit_ends_a_race_with_the_best_so_far(blobs):
    result = jaxgmm.fit(0, blobs, 6, n_init=40, search="race", max_seconds=0.0)
    assert Status(result.status[result.best]) is Status.TIME_LIMIT
    np.testing.assert_allclose(result.mixture.score(blobs), result.score, atol=5e-5)


def test_a_callback_may_end_a_race(blobs):
    result = jaxgmm.fit(0, blobs, 6, n_init=40, search="race", on_block=lambda info: True)
    assert Status(result.status[result.best]) is Status.STOPPED


@pytest.mark.slow
def test_weights_count_in_a_race(blobs):
    twice = jaxgmm.fit(0, np.concatenate([blobs, blobs[:3000]]), 4, n_init=16, search="race")
    weighted = jaxgmm.fit(0, blobs, 4, n_init=16, search="race", sample_weight=np.repeat([2.0, 1.0], 3000))
    np.testing.assert_allclose(twice.score, weighted.score, atol=1e-4)


def test_samples_follow_weights():
    weights = np.array([0.5, 3.0, 1.0, 1.5], np.float32)
    rows = ArrayRows.from_array(jnp.arange(4.0)[:, None], jnp.asarray(weights))
    drawn = rows.sample(jax.random.key(0), 1200)
    values = np.asarray(drawn.x[0], int)[np.asarray(drawn.weights) > 0]
    np.testing.assert_allclose(np.bincount(values), 200 * weights, atol=1)
    np.testing.assert_allclose(jnp.sum(drawn.weights), 6.0, rtol=1e-5)
    even = ArrayRows.from_array(jnp.arange(50.0)[:, None])
    thirty = even.sample(jax.random.key(1), 30)
    assert len(np.unique(thirty.x[0, np.asarray(thirty.weights) > 0])) == 30


def test_rows_in_wider_room_add_up_to_the_same():
    """Slots past the end are not read, whatever is in them, and many or few rows need one program."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 2)).astype(np.float32)
    rows = ArrayRows.from_array(jnp.asarray(x))
    traced = []

    @jax.jit
    def total(rows):
        traced.append(rows.n_slots)
        sums = lambda _, some: (jnp.sum(some.weights), some.x @ some.weights, jnp.sum(some.weights > 0))  # noqa: E731
        return rows.total(sums, None, 512).value

    few = rows.sample(jax.random.key(0), 700, rows.n_slots)
    chex.assert_trees_all_close(total(few), total(rows.sample(jax.random.key(0), 700)), rtol=1e-5, atol=1e-2)
    all_of_them = rows.to_the_last()
    chex.assert_trees_all_close(total(all_of_them), total(rows), rtol=1e-6, atol=1e-3)
    assert int(total(few)[2]) == 700
    assert int(total(all_of_them)[2]) == 5000
    assert len(traced) == 4 - 1  # few and all, read to their last row, share one
    poisoned = replace(few, x=few.x.at[:, 2048:].set(jnp.nan), weights=few.weights.at[2048:].set(1.0))
    chex.assert_trees_all_equal(total(poisoned), total(few))


@pytest.mark.parametrize("family", [pytest.param(n, marks=[pytest.mark.slow] * (n in ("full", "diag"))) for n in NAMES])
def test_a_jump_moves_one_component_to_rows_of_another(family):
    x = data(family, np.random.default_rng(2), 400).astype(np.float32)
    result = jaxgmm.fit(0, x, 4, covariance_type=family, n_init=2)
    rows = ArrayRows.from_array(jnp.asarray(x))
    stood = jax.tree.map(jnp.asarray, result.mixtures)
    jumped = moves(
        np.array([0, 5], np.uint32), stood, jnp.arange(2), rows, jnp.full(x.shape[1], 1e-3), 7, "centred", 2, 6
    )
    assert jumped.weights.shape == (2, 7, 4)
    np.testing.assert_allclose(jumped.weights.sum(-1), 1, atol=1e-5)
    changed = np.any(np.asarray(jumped.components.means) != np.asarray(stood.components.means)[:, None], axis=-1)
    assert (changed.sum(-1) <= 2).all()
    assert changed.any(-1).mean() > 0.9
    ended = jaxgmm.fit(0, x, 4, covariance_type=family, init=jax.tree.map(lambda leaf: np.asarray(leaf)[0], jumped))
    assert np.isfinite(ended.log_likelihood).any()


def test_headings_extrapolate_a_geometric_series():
    gains = 0.8 ** np.arange(20)
    history = np.full((2, 25), np.nan)
    history[0, :20] = np.cumsum(gains)
    history[1, :3] = [1.0, 2.0, 2.0]
    np.testing.assert_allclose(heading_for(history, RULES), [5.0, 2.0], rtol=0.02)


def test_runners_on_the_way_to_one_optimum_count_as_one():
    labels = np.array([[0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 2]])
    kept, merged = ranked(np.array([-1.0, -1.0001, -1.0002, -np.inf]), labels, 3, 4, RULES)
    assert kept == [0, 2]
    assert merged == {1: 0}
    apart, _ = ranked(np.array([-1.0, -1.1, -1.2, -1.3]), labels, 3, 4, RULES)
    assert apart == [0, 1, 2, 3]
    pairs = linear_sum_assignment(-np.eye(3)[labels[0]].T @ np.eye(3)[labels[1]])
    assert (np.eye(3)[labels[0]].T @ np.eye(3)[labels[1]])[pairs].sum() == 6


@pytest.mark.parametrize("n", [8, 40, 128, 1000])
@pytest.mark.parametrize("n_rows", [100, 10_000, 1_000_000])
@pytest.mark.parametrize(("shape", "n_parameters"), [((2, 1), 5), ((20, 4), 300), ((40, 30), 20_000)])
def test_plans_are_within_their_means(n, n_rows, shape, n_parameters):
    plan = Plan.of(RULES, n, n_rows, shape, n_parameters)
    sample = plan.sample or n_rows
    assert sample <= n_rows
    assert plan.larger is None or sample < plan.larger <= n_rows / 1.5
    assert plan.leaders >= 2
    assert plan.rounds >= 1
    assert plan.leaders < RULES.contenders <= plan.width


def test_an_unknown_search_is_named():
    with pytest.raises(ValueError, match="search must be one of 'race', 'all'"):
        jaxgmm.fit(0, np.zeros((9, 2)), 2, search="rase")


def test_a_picture_tells_the_race(raced, blobs):
    ax = plotting.plot_race(raced)
    assert len(ax.lines) > 40
    told = {leg.kind for leg in raced.rounds} - {"trial", "escape"}
    assert {text.get_text().split("\n")[0] for text in ax.texts} == told >= {"heat", "final", "winner"}
    with pytest.raises(ValueError, match="race"):
        plotting.plot_race(jaxgmm.fit(0, blobs[:100], 2, max_iter=1))
