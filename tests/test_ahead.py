"""What the core has for the estimator: EM counted as scikit-learn counts it, its stopping rule, starts of two kinds."""

from __future__ import annotations

import chex
import numpy as np
import pytest

import jaxgmm
from jaxgmm import EM, Status
from jaxgmm.drivers.ahead import EMAhead


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_mixture_is_one_step_ahead_of_its_log_likelihood(kind, iris):
    options = {"covariance_type": kind, "n_init": 2, "tol": 0}
    plain = jaxgmm.fit(0, iris, 3, max_iter=4, driver=EM(), **options)
    ahead = jaxgmm.fit(0, iris, 3, max_iter=3, driver=EMAhead(), **options)
    chex.assert_trees_all_close(ahead.mixtures, plain.mixtures, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ahead.history, plain.history[:, :4], rtol=1e-12)


@pytest.mark.slow
def test_a_kernel_that_cannot_be_trusted_is_left_as_by_em():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(c, s, (50, 2)) for c, s in ((0, 1e-5), (1, 1e-5), (0.5, 1))]).astype(np.float32)
    options = {"tol": 0, "reg_covar": 1e-14, "on_degenerate": "keep"}
    plain = jaxgmm.fit(0, x, 3, max_iter=20, driver=EM(), **options)
    ahead = jaxgmm.fit(0, x, 3, max_iter=19, driver=EMAhead(), **options)
    assert "centred" in ahead.kernel
    np.testing.assert_allclose(ahead.history[:, -1], plain.history[:, 19], rtol=1e-3)


@pytest.mark.slow
def test_collapse_is_seen_before_it_is_stepped_into():
    x = np.random.default_rng(0).normal(size=(60, 2))
    start = jaxgmm.Mixture.create([1 / 60, 59 / 60], [x[0], [0, 0]], [1e-6, 1.0], covariance_type="spherical")
    options = {"covariance_type": "spherical", "init": start, "reg_covar": 0, "max_iter": 5}
    with pytest.warns(jaxgmm.FitWarning, match="degenerate"):
        stopped = jaxgmm.fit(0, x, 2, driver=EMAhead(), on_degenerate="stop", **options)
    assert stopped.status[0] == Status.DEGENERATE
    revived = jaxgmm.fit(0, x, 2, driver=EMAhead(), on_degenerate="reinit", **options)
    assert revived.revivals[0] > 0
    with pytest.warns(jaxgmm.FitWarning, match="spurious"):
        held = jaxgmm.fit(0, x, 2, driver=EMAhead(hold=True), on_degenerate="keep", **options)
    assert np.isfinite(held.mixture.score(x))


def test_change_stops_at_a_saddle_where_gains_still_grow(iris):
    means = iris.mean(0) + 1e-3 * np.random.default_rng(0).normal(size=(3, 4))
    start = jaxgmm.Mixture.create(np.full(3, 1 / 3), means, np.broadcast_to(np.cov(iris.T, bias=True), (3, 4, 4)))
    options = {"init": start, "tol": 1e-4, "max_iter": 500, "reg_covar": 0}
    assert jaxgmm.fit(0, iris, 3, stopping="change", **options).n_iter[0] < 5
    assert jaxgmm.fit(0, iris, 3, stopping="log_likelihood", **options).n_iter[0] > 20


def test_starts_given_and_starts_drawn_make_one_batch(iris):
    labels = np.arange(150) % 3
    both = jaxgmm.fit(0, iris, 3, init=(labels, "random"), n_init=3, max_iter=0)
    given = jaxgmm.fit(0, iris, 3, init=labels, max_iter=0)
    drawn = jaxgmm.fit(0, iris, 3, init="random", n_init=2, max_iter=0)
    np.testing.assert_allclose(
        both.mixtures.means, np.concatenate([given.mixtures.means, drawn.mixtures.means]), rtol=1e-9
    )
    started = jaxgmm.fit(0, iris, 3, init=(given.mixtures, "random"), n_init=3, max_iter=0)
    np.testing.assert_allclose(started.mixtures.means, both.mixtures.means, rtol=1e-9)
    w = np.arange(150) % 2
    weighted = jaxgmm.fit(0, iris, 3, init=(labels, "random"), n_init=2, max_iter=0, sample_weight=w)
    fewer = jaxgmm.fit(0, iris[w > 0], 3, init=labels[w > 0], max_iter=0)
    np.testing.assert_allclose(weighted.mixtures.means[0], fewer.mixture.means, rtol=1e-9)


@pytest.mark.parametrize(
    ("init", "n_init", "message"),
    [
        ((np.zeros(150, int), "random"), 1, "n_init must be more than the 1 starts"),
        ((np.zeros(150, int), "random"), None, "n_init must be more than the 1 starts"),
        ((np.zeros(150, int), "rondom"), 2, "did you mean 'random'"),
        ((np.full(150, 7), "random"), 2, "init must hold labels in"),
    ],
)
def test_pairs_that_say_nothing_are_refused(init, n_init, message, iris):
    with pytest.raises(ValueError, match=message):
        jaxgmm.fit(0, iris, 3, init=init, n_init=n_init)
