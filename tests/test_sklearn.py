"""The estimator against scikit-learn's: the same steps, the same counts, the same numbers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import load_rows
from create import GAUSSIANS
from sklearn import mixture as theirs
from sklearn.exceptions import ConvergenceWarning

import jaxgmm
from jaxgmm import GaussianMixture

METHODS = ("kmeans", "k-means++", "random", "random_from_data")


def given(kind: str, x: np.ndarray, k: int = 3) -> dict:
    """Starting parameters that scikit-learn and we can both take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = theirs.GaussianMixture(k, covariance_type=kind, max_iter=2, init_params="random", random_state=1).fit(x)
    return {
        "n_components": k, "covariance_type": kind, "weights_init": start.weights_, "means_init": start.means_,
        "precisions_init": start.precisions_,
    }  # fmt: skip


def both(x: np.ndarray, **parameters) -> tuple[GaussianMixture, theirs.GaussianMixture]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", jaxgmm.FitWarning)
        return GaussianMixture(**parameters).fit(x), theirs.GaussianMixture(**parameters).fit(x)


def assert_equal(ours, wanted, x: np.ndarray, rtol: float = 1e-8) -> None:
    assert (ours.n_iter_, ours.converged_) == (wanted.n_iter_, wanted.converged_)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        got, want = getattr(ours, name), getattr(wanted, name)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * np.abs(want).max(), err_msg=name)
    assert ours.lower_bound_ == pytest.approx(wanted.lower_bound_, rel=rtol)
    assert ours.lower_bounds_[-1] == ours.lower_bound_
    assert len(ours.lower_bounds_) == len(wanted.lower_bounds_)
    np.testing.assert_allclose(ours.score_samples(x), wanted.score_samples(x), rtol=rtol)
    np.testing.assert_allclose(ours.predict_proba(x), wanted.predict_proba(x), atol=rtol)
    np.testing.assert_array_equal(ours.predict(x), wanted.predict(x))
    for name in ("score", "bic", "aic"):
        assert getattr(ours, name)(x) == pytest.approx(getattr(wanted, name)(x), rel=rtol)
    for got, want in zip(ours.sample(40), wanted.sample(40), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=max(rtol, 1e-6), atol=max(rtol, 1e-6))


@pytest.mark.parametrize("kind", GAUSSIANS)
@pytest.mark.parametrize(
    "stop", [{"tol": 1e-3}, {"tol": 1e-7, "max_iter": 500}, {"tol": 0, "max_iter": 3}, {"max_iter": 1}]
)
def test_from_the_same_parameters_the_same_answer(kind, stop, iris):
    parameters = given(kind, iris) | stop | {"random_state": 0}
    ours, wanted = both(iris, **parameters)
    assert_equal(ours, wanted, iris)
    np.testing.assert_allclose(ours.lower_bounds_, wanted.lower_bounds_, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GAUSSIANS)
@pytest.mark.parametrize("rows", ["wine", "faithful"])
@pytest.mark.parametrize("reg_covar", [0, 1e-6, 1e-2])
def test_from_the_same_parameters_the_same_answer_elsewhere(rows, kind, reg_covar):
    x = load_rows(rows)
    ours, wanted = both(x, **given(kind, x), tol=1e-6, max_iter=300, reg_covar=reg_covar, random_state=0)
    assert_equal(ours, wanted, x)


@pytest.mark.parametrize("kind", GAUSSIANS)
@pytest.mark.parametrize("method", ["kmeans", "random"])
def test_equal_seeds_give_equal_models(method, kind, iris):
    ours, wanted = both(iris, n_components=3, covariance_type=kind, init_params=method, random_state=3)
    assert_equal(ours, wanted, iris)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "tied"])
@pytest.mark.parametrize("method", ["k-means++", "random_from_data"])
def test_equal_seeds_give_equal_models_from_single_rows(method, kind, iris):
    ours, wanted = both(iris, n_components=3, covariance_type=kind, init_params=method, random_state=3)
    assert_equal(ours, wanted, iris)


@pytest.mark.parametrize("part", ["weights_init", "means_init", "precisions_init"])
def test_starts_given_in_part_are_completed_as_scikit_learn_does(part, iris):
    everything = given("full", iris)
    parameters = {name: everything[name] for name in ("n_components", "covariance_type", part)}
    ours, wanted = both(iris, **parameters, random_state=0)
    assert_equal(ours, wanted, iris)


def test_a_random_state_is_drawn_from_as_scikit_learn_draws(iris):
    ours, wanted = (
        Kind(3, random_state=np.random.RandomState(5)).fit(iris) for Kind in (GaussianMixture, theirs.GaussianMixture)
    )
    np.testing.assert_allclose(ours.sample(20)[0], wanted.sample(20)[0], rtol=1e-8)


@pytest.mark.parametrize("max_iter", [1, 4])
def test_warm_starts_go_on_where_scikit_learns_do(max_iter, iris):
    parameters = given("full", iris) | {"warm_start": True, "max_iter": max_iter, "random_state": 0, "tol": 1e-2}
    ours, wanted = GaussianMixture(**parameters), theirs.GaussianMixture(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(20):
            assert_equal(ours.fit(iris), wanted.fit(iris), iris)
            if wanted.converged_:
                break
    assert ours.converged_


def test_max_iter_zero_returns_the_start(iris):
    parameters = {"n_components": 3, "max_iter": 0, "random_state": 0}
    ours, wanted = both(iris, **parameters)
    assert ours.n_iter_ == wanted.n_iter_ == 0
    assert ours.lower_bounds_ == wanted.lower_bounds_ == []
    assert ours.lower_bound_ == wanted.lower_bound_ == -np.inf
    np.testing.assert_allclose(ours.means_, wanted.means_)
    np.testing.assert_allclose(ours.covariances_, wanted.covariances_, rtol=1e-8, atol=1e-12)


def test_float32_stays_float32(iris):
    x = iris.astype(np.float32)
    ours, wanted = both(x, **given("full", x), tol=1e-3, random_state=0)
    assert_equal(ours, wanted, x, rtol=2e-3)
    assert ours.score_samples(x).dtype == ours.predict_proba(x).dtype == np.float32
    assert ours.predict(x).dtype == np.int64
    assert GaussianMixture(3, dtype="float32", random_state=0).fit(iris).means_.dtype == np.float32


def overlapping() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(600, 3)) + 2.5 * rng.normal(size=(6, 3))[rng.integers(0, 6, 600)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "diag"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", ["faithful", "overlapping"])
def test_the_best_of_several_starts_is_at_least_as_good(rows, method, kind):
    """Where no spike on a handful of rows is to be had, which scikit-learn would prefer."""
    x = overlapping() if rows == "overlapping" else load_rows(rows)
    parameters = {
        "n_components": 6 if rows == "overlapping" else 3, "covariance_type": kind, "init_params": method, "tol": 1e-5,
        "max_iter": 500, "n_init": 6, "reg_covar": 1e-2,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = [both(x, **parameters, random_state=seed) for seed in range(6)]
    gained = np.array([ours.score(x) - wanted.score(x) for ours, wanted in pairs])
    assert gained.mean() >= -2 * gained.std() / np.sqrt(len(gained)) - 1e-4, gained


def test_errors_and_warnings_are_scikit_learns(iris):
    with pytest.warns(ConvergenceWarning, match="did not converge") as caught:
        GaussianMixture(3, max_iter=1, random_state=0).fit(iris)
    assert caught[0].filename == __file__
    for parameters, message in (
        ({"n_components": 0}, "The 'n_components' parameter of GaussianMixture must be an int in the range"),
        ({"covariance_type": "round"}, "The 'covariance_type' parameter"),
        ({"init_params": "kmean"}, "The 'init_params' parameter"),
        ({"n_components": 151}, "Expected n_samples >= n_components but got n_components = 151, n_samples = 150"),
        ({"n_components": 2, "weights_init": [0.5, 0.6]}, "should be normalized"),
        ({"n_components": 2, "means_init": np.ones((2, 3))}, r"should have the shape of \(2, 4\), but got \(2, 3\)"),
        ({"n_components": 1, "precisions_init": -np.ones((1, 4, 4))}, "symmetric, positive-definite"),
    ):
        for Kind in (GaussianMixture, theirs.GaussianMixture):
            with pytest.raises(ValueError, match=message):
                Kind(**parameters).fit(iris)


def test_no_parameter_is_missing_and_no_default_differs():
    mine, wanted = GaussianMixture().get_params(), theirs.GaussianMixture().get_params()
    assert {name: mine[name] for name in wanted} == wanted


def test_a_component_on_a_single_row_without_ridge_keeps_its_width():
    x = np.random.RandomState(0).uniform(size=(30, 3))
    start = {"weights_init": [1 / 30, 29 / 30], "means_init": [x[0], x.mean(0)], "precisions_init": [1e6, 10.0]}
    model = GaussianMixture(2, covariance_type="spherical", reg_covar=0, on_degenerate="keep", **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxgmm.FitWarning)
        model.fit(x)
    assert np.isfinite(model.score(x))
    assert (model.covariances_ > 0).all()


def test_a_race_is_held_on_demand():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 8, (5, 2))
    x = (centres[rng.integers(0, 5, 1500)] + rng.normal(size=(1500, 2))).astype(np.float32)
    raced = GaussianMixture(5, n_init=12, search="race", tol=1e-5, random_state=0).fit(x)
    assert raced.restarts_.rounds
    assert raced.converged_
    assert raced.lower_bound_ == pytest.approx(raced.score(x), abs=1e-4)
    assert raced.score(x) > theirs.GaussianMixture(5, n_init=12, tol=1e-5, random_state=0).fit(x).score(x) - 1e-3
    assert not GaussianMixture(5, n_init=12, random_state=0).fit(x).restarts_.rounds
