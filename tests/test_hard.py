"""Classification EM: k-means in the limit, its own likelihood on the way, the mixture's at the end."""

from __future__ import annotations

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, controls, data, mixture, rows, scope
from places import Elsewhere
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

import jaxgmm
from jaxgmm import EM, Fixed, HardEM, Mixture
from jaxgmm.em import KERNELS, e_step
from jaxgmm.em.responsibilities import hard
from jaxgmm.mixture import posterior
from jaxgmm.run import loop


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize(
    ("name", "given"), [("spherical", lambda k, d: np.full(k, 2.0)), ("tied", lambda k, d: 2 * np.eye(d))]
)
def test_k_means_is_its_limit(name, given, rng):
    """Equal weights and one round covariance, given: the labels of scikit-learn's KMeans from the same centres."""
    x = load_digits().data[:600, 20:44] + rng.normal(size=(600, 24)) * 1e-3  # no ties
    k = 8
    centres = x[rng.choice(len(x), k, replace=False)]
    theirs = KMeans(k, init=centres, n_init=1, tol=0, algorithm="lloyd").fit(x)
    held = {"weights": np.full(k, 1 / k), "covariances": given(k, 24)}
    start = Mixture.create(means=centres, covariance_type=name, **held)
    ours = jaxgmm.fit(
        0, x, k, covariance_type=name, init=start, fixed=Fixed(**held), driver=HardEM(), tol=1e-12, max_iter=500
    )
    assert theirs.n_iter_ > 5
    np.testing.assert_array_equal(ours.mixture.predict(x), theirs.labels_)
    np.testing.assert_allclose(ours.mixture.means, theirs.cluster_centers_, rtol=1e-9)
    # what it has raised is the inertia, but for its sign and what is constant
    constant = np.log(1 / k) - 12 * np.log(2 * np.pi * 2.0)
    raised = ours.history[0, ours.n_iter[0]] * len(x)
    np.testing.assert_allclose(raised, constant * len(x) - theirs.inertia_ / 4, rtol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NAMES)
def test_a_pass_gives_every_row_whole_to_the_likeliest(name, kernel, rng):
    x, w, m = data(name, rng), rng.uniform(0, 2, 157), mixture(name, rng)
    joint = m.joint_log_prob(x)
    with scope():
        s = e_step(m, rows(x, w), kernel=kernel, assign=hard, chunk=50)
        counts = np.bincount(joint.argmax(1), weights=w, minlength=3)
        np.testing.assert_allclose(s.counts, counts, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(s.log_likelihood + s.log_likelihood_error, w @ joint.max(1), rtol=1e-11)
        moments = m.components.moments(jnp.asarray(x.T), jnp.asarray(np.eye(3)[joint.argmax(1)].T * w))
        for a, b in zip(*(jax.tree.leaves(t) for t in (s.moments, moments)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def test_rows_stay_with_the_components_that_labels_allow():
    joint = jnp.asarray([[0.0, 0.0, -5.0], [1.0, 1.0, -jnp.inf]])
    possible = jnp.asarray([[True, True, True], [False, True, True]])
    r, log_p = hard(joint, jnp.asarray([2.0, 3.0, 1.0]), possible)
    np.testing.assert_array_equal(r, [[2, 0, 1], [0, 3, 0]])
    np.testing.assert_array_equal(log_p, [0, 1, -5])


def test_a_row_that_two_components_claim_goes_to_the_first():
    r, _ = hard(jnp.asarray([[1.0], [1.0]]))
    np.testing.assert_array_equal(r, [[1], [0]])


def test_results_report_the_mixtures_likelihood_and_history_what_was_raised(iris):
    result = jaxgmm.fit(0, iris, 3, driver=HardEM(), n_init=4, search="all")
    np.testing.assert_allclose(result.log_likelihood, result.mixtures.log_likelihood(iris), rtol=1e-9)
    last = [row[n] for row, n in zip(result.history, result.n_iter, strict=True)]
    best = [result.mixtures[i].joint_log_prob(iris).max(1).mean() for i in range(4)]
    np.testing.assert_allclose(last, best, rtol=1e-9)
    assert (result.log_likelihood / 150 > np.array(last)).all()  # the whole density is more than its largest part
    np.testing.assert_array_equal(result.passes, result.n_iter + 2)  # one at the start, and one for the mixture's


def test_it_ends_where_no_row_moves_any_more(iris):
    start = jaxgmm.fit(0, iris, 3, init="kmeans", max_iter=0).mixture
    ended = jaxgmm.fit(0, iris, 3, init=start, driver=HardEM(), tol=1e-12, reg_covar=0).mixture
    labels = ended.predict(iris)
    for k in range(3):
        own = iris[labels == k]
        np.testing.assert_allclose(ended.weights[k], len(own) / 150, rtol=1e-9)
        np.testing.assert_allclose(ended.means[k], own.mean(0), rtol=1e-9)
        np.testing.assert_allclose(ended.covariances[k], np.cov(own.T, bias=True), rtol=1e-6, atol=1e-9)


def test_overlapping_components_come_out_too_narrow(rng):
    """The bias that the page tells of, and that EM does not have."""
    x = np.concatenate([rng.normal(0, 1, 4000), rng.normal(2.5, 1, 4000)])[:, None]
    start = Mixture.create([0.5, 0.5], [[0.0], [2.5]], [[1.0], [1.0]], covariance_type="diag")
    options = {"covariance_type": "diag", "init": start, "tol": 1e-9, "max_iter": 3000}
    em, cem = (jaxgmm.fit(0, x, 2, driver=driver, **options).mixture for driver in (EM(), HardEM()))
    assert abs(np.diff(em.means[:, 0])[0]) == pytest.approx(2.5, abs=0.15)
    assert abs(np.diff(cem.means[:, 0])[0]) > 2.65
    assert cem.covariances.max() < 0.9 < em.covariances.min()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tempered(EM):
    """EM whose responsibilities are softer or harder than the posterior, by a number that is traced."""

    temperature: float = 1.0

    def assign(self, joint, w, possible):
        return posterior(joint / self.temperature, w, possible)[0], posterior(joint, w, possible)[1]


def test_responsibilities_may_be_of_any_kind_and_their_numbers_go_with_the_pass(iris):
    start = jaxgmm.fit(0, iris, 3, init="kmeans", max_iter=0).mixture
    options = {"init": start, "max_iter": 8, "tol": 0}
    ends = [
        jaxgmm.fit(0, iris, 3, driver=driver, **options).mixture
        for driver in (EM(), Tempered(), HardEM(), Tempered(1e-3))
    ]
    chex.assert_trees_all_close(ends[0], ends[1], rtol=1e-9, atol=1e-12)
    chex.assert_trees_all_close(ends[2], ends[3], rtol=1e-6, atol=1e-9)
    with scope():
        held = rows(iris)
        mixtures = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], start)

        def begun(driver, rows):
            return loop.start(driver, mixtures, rows, controls(4), "shared_feature").state

        here, there = (jax.jit(begun)(Tempered(2.0), place) for place in (held, Elsewhere.of(held)))
        chex.assert_trees_all_equal(here, there)  # `Elsewhere` refuses sums that capture what they need


def test_a_race_is_held_with_it_too(rng):
    centres = rng.normal(size=(6, 2)) * 6
    x = centres[rng.integers(6, size=4000)] + rng.normal(size=(4000, 2))
    result = jaxgmm.fit(0, x, 6, driver=HardEM(), n_init=16, search="race")
    assert len(result.rounds) > 1
    ended = result.status == jaxgmm.Status.CONVERGED
    np.testing.assert_allclose(result.log_likelihood[ended], result.mixtures.log_likelihood(x)[ended], rtol=1e-9)
    full = jaxgmm.fit(0, x, 6, n_init=16, search="race")
    assert result.score > full.score - 0.05
