"""Many starts at once: alone or together, dropped or frozen, sound or broken."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, controls, data, scope

import jaxgmm
from jaxgmm import FitError, Mixture, Status
from jaxgmm.em.choice import KERNEL_NAMES, choose_kernels, limits
from jaxgmm.fit.result import best_restart
from jaxgmm.rows import ArrayRows
from jaxgmm.run import batching, loop
from jaxgmm.run.batching import size_class, width_for
from jaxgmm.run.lanes import run_restarts
from jaxgmm.starts.revival import REVIVALS


@pytest.mark.slow
@pytest.mark.parametrize("init", ["k-means++", "kmeans", "random_from_data", "random"])
def test_restart_i_alone_is_restart_i_in_a_batch(init, iris):
    few = jaxgmm.fit(9, iris, 3, n_init=2, init=init, max_iter=12, tol=0)
    many = jaxgmm.fit(9, iris, 3, n_init=7, init=init, max_iter=12, tol=0)
    chex.assert_trees_all_close(many.mixtures[:2], few.mixtures, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_starts_is_a_loop_over_them(name):
    rng = np.random.default_rng(2)
    x = data(name, rng, n=200)
    options = {"covariance_type": name, "tol": 1e-6, "max_iter": 60}
    starts = jaxgmm.fit(1, x, 2, n_init=4, max_iter=0, covariance_type=name).mixtures
    together = jaxgmm.fit(0, x, 2, init=starts, **options)
    for i in range(4):
        alone = jaxgmm.fit(0, x, 2, init=starts[i], **options)
        assert alone.n_iter[0] == together.n_iter[i]
        assert alone.status[0] == together.status[i]
        chex.assert_trees_all_close(together.mixtures[i], alone.mixture, rtol=1e-7, atol=1e-9)


def test_compaction_changes_nothing_but_the_batch(iris, monkeypatch):
    """Dropping finished restarts between blocks, against carrying all of them to the end."""
    options = {"n_init": 24, "tol": 1e-7, "max_iter": 400}
    carried = jaxgmm.fit(3, iris, 3, **options)
    sizes, original = [], loop.block

    def spy(driver, pool, members, *rest, **kernel):
        sizes.append(len(members))
        return original(driver, pool, members, *rest, **kernel)

    monkeypatch.setattr(batching, "_COMPACTION_WORK", 0.0)
    monkeypatch.setattr(batching, "_WORTH_PARTING", 0.0)
    monkeypatch.setattr(batching, "_TOGETHER", 16)
    monkeypatch.setattr(loop, "block", spy)
    dropped = jaxgmm.fit(3, iris, 3, **options)
    assert max(sizes) == 12  # two batches of as many
    assert min(sizes) < 12
    assert len(set(sizes)) <= 5  # few shapes, few programs
    np.testing.assert_array_equal(dropped.status, carried.status)
    np.testing.assert_allclose(dropped.log_likelihood, carried.log_likelihood, rtol=1e-9)
    np.testing.assert_array_equal(dropped.n_iter, carried.n_iter)


def test_size_classes_halve_only_when_it_pays():
    assert size_class(40, 128, 1e12) == 64
    assert size_class(64, 128, 1e12) == 64
    assert size_class(65, 128, 1e12) == 128
    assert size_class(1, 128, 1e12) == 1
    assert size_class(1, 128, 1.0) == 128


def test_exactly_max_iter_iterations_when_tol_is_zero(iris):
    for iterations in (0, 1, 31, 32, 33, 70):
        result = jaxgmm.fit(0, iris, 2, n_init=3, tol=0, max_iter=iterations)
        assert (result.n_iter == iterations).all()
        assert (result.status == Status.MAX_ITER).all()
        assert result.history.shape == (3, iterations + 1)
        assert np.isfinite(result.history).all()


def by_hand(x, starts: Mixture, **more):
    """A run of `starts` on rows as they are, in float64."""
    with scope():
        rows = ArrayRows.from_array(jnp.asarray(x))
        return run_restarts(jaxgmm.EM(), jax.tree.map(jnp.asarray, starts), rows, controls(x.shape[1], **more)).restarts


def test_a_broken_restart_never_hurts_its_neighbours(iris):
    starts = jaxgmm.fit(0, iris, 3, n_init=3, max_iter=1).mixtures
    means = starts.means.copy()
    means[1] = np.nan
    broken = Mixture(starts.weights, type(starts.components)(means, starts.components.scale_tril))
    mixed, sound = by_hand(iris, broken), by_hand(iris, starts)
    assert mixed.status[1] == Status.NON_FINITE
    assert best_restart(mixed.log_likelihood, mixed.status, np.zeros(3, bool)) != 1
    for i in (0, 2):
        chex.assert_trees_all_equal(mixed.mixtures[i], sound.mixtures[i])
        assert mixed.log_likelihood[i] == sound.log_likelihood[i]
        assert mixed.n_iter[i] == sound.n_iter[i]


def test_a_collapsing_restart_never_hurts_its_neighbours(iris):
    """Bit for bit, though its fate is another: it stops, is revived, or goes on."""
    starts = jaxgmm.fit(0, iris, 3, n_init=3, max_iter=1).mixtures
    weights = starts.weights.copy()
    weights[1] = [1 - 2e-9, 1e-9, 1e-9]
    doomed = Mixture(weights, starts.components)
    plain = jaxgmm.fit(0, iris, 3, init=starts)
    for fate in ("reinit", "stop", "keep"):
        mixed = jaxgmm.fit(0, iris, 3, init=doomed, on_degenerate=fate)
        for i in (0, 2):
            chex.assert_trees_all_equal(mixed.mixtures[i], plain.mixtures[i])
            assert mixed.log_likelihood[i] == plain.log_likelihood[i]


def test_all_broken_is_one_error_with_counts(iris):
    starts = jaxgmm.fit(0, iris, 3, n_init=2, max_iter=1).mixtures
    ended = by_hand(iris, jax.tree.map(lambda leaf: leaf * np.nan, starts))
    with pytest.raises(FitError, match=r"no restart stayed finite: 2 NON_FINITE\..*float64"):
        best_restart(ended.log_likelihood, ended.status, np.zeros(2, bool))


def far_row(faithful):
    """Old Faithful with one far row, and a start with a component on it."""
    x = np.concatenate([faithful, [[50.0, 500.0]]])
    return x, Mixture.create([0.5, 0.5], [[3.5, 70.0], [50.0, 500.0]], np.stack([np.diag([1.0, 180.0])] * 2))


@pytest.mark.parametrize("ridge", [0, "auto"])
def test_collapse_has_a_status_and_keeps_the_mixture_before_it(faithful, ridge):
    """A component on a single row: without a ridge nothing is left of it, with one hardly anything else."""
    x, start = far_row(faithful)
    with pytest.warns(RuntimeWarning, match="every restart is degenerate") as caught:
        collapsed = jaxgmm.fit(0, x, 2, init=start, reg_covar=ridge, on_degenerate="stop")
    assert caught[0].filename == __file__
    assert collapsed.status[0] == Status.DEGENERATE
    assert np.isfinite(collapsed.mixture.score_samples(x)).all()


def test_a_collapsed_component_may_be_kept(faithful):
    x, start = far_row(faithful)
    with pytest.warns(RuntimeWarning, match="every restart is spurious"):
        kept = jaxgmm.fit(0, x, 2, init=start, on_degenerate="keep")
    assert kept.status[0] == Status.CONVERGED
    assert kept.spurious[0]
    report = kept.components()
    np.testing.assert_array_equal(report.spurious, [False, True])
    np.testing.assert_allclose(report.counts, [272, 1], rtol=1e-6)
    np.testing.assert_array_equal(report.ridge_dominates, [False, True])


def test_a_spurious_optimum_loses_to_a_sound_one(faithful):
    """A spike on five rows that nearly coincide has by far the higher likelihood, for no good reason."""
    near = np.array([[0, 0], [1e-5, 1e-4], [-1e-5, 1.5e-4], [0.5e-5, -1e-4]])
    x = np.concatenate([faithful, faithful[100] + near])
    sound = jaxgmm.fit(0, x, 3, n_init=5).mixture
    two = jaxgmm.fit(0, x, 2, n_init=5).mixture
    spike = Mixture.create(
        [*two.weights * 0.985, 0.015], [*two.means, x[100]], [*two.covariances, np.diag([1e-10, 1e-8])]
    )
    both = jax.tree.map(lambda a, b: np.stack([a, b]), sound, spike)
    result = jaxgmm.fit(0, x, 3, init=both, reg_covar=1e-13)
    assert result.log_likelihood[1] > result.log_likelihood[0] + 50
    np.testing.assert_array_equal(result.spurious, [False, True])
    assert result.best == 0
    np.testing.assert_array_equal(result.components(1).spurious, [False, False, True])
    assert not result.components().spurious.any()


def test_units_change_nothing(faithful):
    """At 1e-8 of the scale the default ridge still is no blob."""
    one = jaxgmm.fit(0, faithful, 2, n_init=4)
    tiny = jaxgmm.fit(0, faithful * 1e-8, 2, n_init=4)
    np.testing.assert_array_equal(tiny.mixture.predict(faithful * 1e-8), one.mixture.predict(faithful))
    np.testing.assert_allclose(tiny.mixture.means * 1e8, one.mixture.means, rtol=1e-4)


def test_a_component_that_lost_its_rows_is_put_on_others(faithful):
    """Revived from the key, deterministically; the two clusters are found after all."""
    start = Mixture.create([0.5, 0.5], [[3.5, 70.0], [500.0, 9000.0]], np.stack([np.diag([1.0, 180.0])] * 2))
    one, two = (jaxgmm.fit(3, faithful, 2, init=start) for _ in range(2))
    chex.assert_trees_all_equal(one.mixture, two.mixture)
    assert one.status[0] == Status.CONVERGED
    assert 1 <= one.revivals[0] <= REVIVALS
    best = jaxgmm.fit(0, faithful, 2, n_init=20)
    assert one.score == pytest.approx(best.score, abs=1e-4)
    with pytest.warns(RuntimeWarning, match="degenerate"):
        stopped = jaxgmm.fit(3, faithful, 2, init=start, on_degenerate="stop")
    assert stopped.status[0] == Status.DEGENERATE
    assert stopped.revivals[0] == 0


def test_a_restart_does_not_live_for_ever(faithful):
    """Where data want a component on a single row, its last life gives them one, and says so."""
    x, start = far_row(faithful)
    with pytest.warns(RuntimeWarning, match="spurious"):
        result = jaxgmm.fit(0, x, 2, init=start)
    assert result.revivals[0] == REVIVALS
    assert result.status[0] == Status.CONVERGED


def test_the_best_is_the_best_of_the_sound():
    values = np.array([3.0, 9.0, 5.0, np.nan])
    status = np.array([Status.CONVERGED, Status.DEGENERATE, Status.MAX_ITER, Status.NON_FINITE])
    sound = np.zeros(4, bool)
    assert best_restart(values, status, sound) == 2
    assert best_restart(values, status, status == Status.MAX_ITER) == 0
    assert best_restart(values[1:], status[1:], np.array([False, True, False])) == 1
    assert best_restart(values[1:2], status[1:2], sound[1:2]) == 0
    assert best_restart(values[:1], status[:1], ~sound[:1]) == 0


def test_the_fastest_kernel_that_can_be_trusted_is_chosen():
    names = np.array(KERNEL_NAMES)

    def chosen(*asked, kappa=(1e2, 1e6, 1e10, 1e20, np.inf, np.nan)):
        return names[choose_kernels(np.array(kappa), limits(*asked))].tolist()

    fast, in_64, centred = KERNEL_NAMES
    assert chosen("auto", np.float32) == [fast, in_64, in_64, centred, centred, centred]
    assert chosen("auto", np.float64) == [fast, fast, centred, centred, centred, centred]
    # a line search tells nothing of most of the mixtures it asks about
    assert chosen("auto", np.float32, True) == [in_64, in_64, in_64, centred, centred, centred]
    assert chosen("auto", np.float64, True) == chosen("auto", np.float64)
    for name in KERNEL_NAMES:
        assert chosen(name, np.float32) == [name] * 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_tight_clusters_move_to_the_centred_kernel_and_stay_right(kind):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 3))
    x = (centres[rng.integers(0, 4, 4000)] + 1e-3 * rng.normal(size=(4000, 3))).astype(np.float32)
    options = {"covariance_type": kind, "n_init": 4, "reg_covar": 0.0, "tol": 1e-6}
    result = jaxgmm.fit(0, x, 4, **options)
    assert result.kernel[result.best] == "centred"
    exact = jaxgmm.fit(0, x, 4, dtype="float64", **options)
    assert result.mixture.score(x.astype(float)) == pytest.approx(exact.score, abs=2e-4)
    loose = jaxgmm.fit(0, rng.normal(size=(500, 3)).astype(np.float32), 2, covariance_type=kind, max_iter=5)
    assert loose.kernel[0] == "shared_feature"


def test_batches_on_cpus_are_even_and_small_where_steps_are_long(monkeypatch):
    assert width_for(128, 1e8) == 16
    assert width_for(40, 1e8) == 14
    assert width_for(32, 1e8) == 32
    assert width_for(128, 1e3) == 128
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert width_for(128, 1e8) == 128


def test_blocks_are_reported(iris):
    heard = []
    result = jaxgmm.fit(0, iris, 3, n_init=5, tol=1e-6, on_block=heard.append)
    assert [info.block for info in heard] == list(range(1, len(heard) + 1))
    assert heard[-1].n_active == 0
    assert heard[0].n_restarts == 5
    assert [info.n_active for info in heard] == sorted((info.n_active for info in heard), reverse=True)
    assert heard[-1].rows == result.passes.sum() * 150
    assert heard[-1].best == pytest.approx(result.score)
    assert heard[-1].n_iter == result.n_iter.max()


def test_new_values_do_not_compile_again(iris):
    """Data, key, tol, ridge, max_iter: all traced."""
    rng = np.random.default_rng(0)

    def once(seed, tol, ridge, iterations):
        x = iris + rng.normal(size=iris.shape)
        jaxgmm.fit(seed, x, 3, n_init=4, tol=tol, reg_covar=ridge, max_iter=iterations, kernel="shared_feature")

    once(0, 1e-3, 1e-6, 50)
    before = (loop.block._cache_size(), loop.start._cache_size())
    once(1, 1e-5, 1e-3, 70)
    once(2, 0.0, 0.0, 33)
    assert (loop.block._cache_size(), loop.start._cache_size()) == before


def test_learning_rates_do_not_compile_again(iris):
    start = jaxgmm.fit(0, iris, 2, max_iter=1).mixture

    def once(rate):
        driver = jaxgmm.Gradient("adam", learning_rate=rate)
        return jaxgmm.fit(0, iris, 2, init=start, driver=driver, max_iter=20, tol=0, kernel="shared_feature")

    first = once(0.01)
    before = loop.block._cache_size()
    second = once(0.02)
    assert loop.block._cache_size() == before
    assert second.score != first.score


def test_the_same_key_gives_the_same_bits(iris):
    one, two = (jaxgmm.fit(11, iris, 3, n_init=6) for _ in range(2))
    chex.assert_trees_all_equal(one.mixtures, two.mixtures)
    np.testing.assert_array_equal(one.log_likelihood, two.log_likelihood)


def test_run_needs_no_fit(iris):
    """The loop on rows as they are, by hand."""
    ended = by_hand(iris, jaxgmm.fit(0, iris, 2, n_init=3, max_iter=0).mixtures, ridge=1e-3)
    assert (ended.status == Status.CONVERGED).all()
    want = jaxgmm.fit(0, iris, 2, n_init=3, reg_covar=1e-6, tol=1e-6, max_iter=300)
    np.testing.assert_allclose(ended.log_likelihood, want.log_likelihood, rtol=1e-6)
