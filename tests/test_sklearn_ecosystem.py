"""The estimator among scikit-learn's tools, and what it has beyond scikit-learn's own."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn import mixture as theirs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxgmm
from jaxgmm import GaussianMixture


@pytest.fixture(scope="module")
def fitted(iris) -> GaussianMixture:
    return GaussianMixture(3, random_state=0).fit(iris)


def assert_same_answers(got, want, x) -> None:
    np.testing.assert_allclose(got.score_samples(x), want.score_samples(x), rtol=1e-9)
    np.testing.assert_array_equal(got.predict(x), want.predict(x))
    np.testing.assert_allclose(got.sample(5)[0], want.sample(5)[0], rtol=1e-9)


def test_importing_jaxgmm_does_not_import_scikit_learn():
    code = "import sys, jaxgmm; assert 'sklearn' not in sys.modules; jaxgmm.GaussianMixture; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_copies_answer_alike(fitted, iris, tmp_path):
    for copy in (pickle.loads(pickle.dumps(fitted)), clone(fitted).fit(iris)):
        assert_same_answers(copy, fitted, iris)
    joblib.dump(fitted, tmp_path / "model.joblib")
    assert_same_answers(joblib.load(tmp_path / "model.joblib"), fitted, iris)
    with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
        clone(fitted).predict(iris)
    assert not hasattr(clone(fitted), "mixture_")


def test_every_parameter_survives_clone():
    driver = jaxgmm.Gradient("lbfgs")
    model = GaussianMixture(2, prior=jaxgmm.Prior(), driver=driver, kernel="centred", max_seconds=3, dtype="float32")
    assert clone(model).get_params().keys() == model.get_params().keys()
    assert clone(model).kernel == "centred"


def test_grid_search_pipeline_and_cross_validation(iris):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(
            GaussianMixture(3, random_state=0, max_iter=5), {"covariance_type": ["diag"], "tol": [1e-3, 1e-4]}, cv=2
        )
        assert search.fit(iris).best_estimator_.predict(iris).shape == (150,)
        wanted = cross_val_score(
            theirs.GaussianMixture(3, random_state=0, max_iter=5, covariance_type="diag"), iris, cv=2
        )
        got = cross_val_score(GaussianMixture(3, random_state=0, max_iter=5, covariance_type="diag"), iris, cv=2)
    np.testing.assert_allclose(got, wanted, rtol=1e-8)
    pipe = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0)).fit(iris)
    assert np.isfinite(pipe.score(iris))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_give_their_names(frame, fitted, iris):
    rows = frame(iris, **{"columns" if frame is pd.DataFrame else "schema": ["a", "b", "c", "d"]})
    model = GaussianMixture(3, random_state=0).fit(rows)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(model.predict(rows), fitted.predict(iris))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(rows[["b", "a", "c", "d"]])


def test_sample_weight_is_routed(iris):
    w = np.ones(150)
    with sklearn.config_context(enable_metadata_routing=True):
        model = (
            GaussianMixture(3, random_state=0).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model).fit(iris, sample_weight=w)
        assert pipe[-1].restarts_.total_weight == 150
        search = GridSearchCV(model, {"tol": [1e-3]}, cv=2).fit(iris, sample_weight=w)
        assert search.best_score_ == pytest.approx(cross_val_score(model, iris, cv=2).mean(), rel=1e-8)


# ---- weights ------------------------------------------------------------------------------------------------


def test_a_weight_is_so_many_rows_in_fit_and_in_scores(iris):
    start = GaussianMixture(3, random_state=0, max_iter=1, tol=10).fit(iris)
    w = np.random.default_rng(0).integers(0, 3, 150)
    repeated = np.repeat(iris, w, axis=0)
    options = {
        "weights_init": start.weights_,
        "means_init": start.means_,
        "precisions_init": start.precisions_,
        "tol": 1e-6,
    }
    weighted = GaussianMixture(3, **options).fit(iris, sample_weight=w)
    plain = GaussianMixture(3, **options).fit(repeated)
    assert weighted.n_iter_ == plain.n_iter_
    np.testing.assert_allclose(weighted.means_, plain.means_, rtol=1e-8)
    np.testing.assert_allclose(weighted.covariances_, plain.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(weighted.lower_bounds_, plain.lower_bounds_, rtol=1e-9)
    for name in ("score", "bic", "aic"):
        method = getattr(plain, name)
        assert method(iris, sample_weight=w) == pytest.approx(method(repeated), rel=1e-9)


def test_equal_weights_change_nothing_and_rows_without_weight_are_not_there(iris):
    plain = GaussianMixture(3, random_state=0).fit(iris)
    np.testing.assert_allclose(
        GaussianMixture(3, random_state=0).fit(iris, sample_weight=np.full(150, 2.0)).means_, plain.means_, rtol=1e-8
    )
    wild = np.vstack([iris, np.full((2, 4), 1e6)])
    w = np.append(np.ones(150), [0, 0])
    model = GaussianMixture(3, random_state=0)
    assert model.fit_predict(wild, sample_weight=w).shape == (152,)
    np.testing.assert_allclose(model.means_, plain.means_, rtol=1e-8)
    for bad, message in ((-np.ones(150), "at least 0"), (np.ones(149), "shape"), (np.zeros(150), "positive")):
        with pytest.raises(ValueError, match=message):
            GaussianMixture(3).fit(iris, sample_weight=bad)


# ---- beyond scikit-learn ------------------------------------------------------------------------------------


def test_restarts_are_all_there_and_the_best_is_taken(iris):
    model = GaussianMixture(3, n_init=6, random_state=0).fit(iris)
    result = model.restarts_
    assert len(result.status) == 6
    assert model.lower_bound_ == pytest.approx(result.log_likelihood[result.best] / 150)
    np.testing.assert_array_equal(model.means_, result.mixture.means)
    np.testing.assert_array_equal(model.mixture_.means, model.means_)
    np.testing.assert_array_equal(model.predict(iris), GaussianMixture(3, n_init=6, random_state=0).fit_predict(iris))


@pytest.mark.slow
def test_the_cores_options_reach_the_core(iris):
    kernel = GaussianMixture(3, kernel="centred", reg_covar="auto", random_state=0).fit(iris)
    assert set(kernel.restarts_.kernel) == {"centred"}
    assert GaussianMixture(3, prior="default", random_state=0).fit(iris).restarts_.log_prior[0] != 0
    with pytest.warns(ConvergenceWarning):
        hasty = GaussianMixture(3, max_seconds=0, tol=0, max_iter=5000, random_state=0).fit(iris)
    assert hasty.restarts_.counts() == {"TIME_LIMIT": 1}
    climbed = GaussianMixture(3, driver=jaxgmm.EM(), tol=1e-9, max_iter=500, random_state=0).fit(iris)
    assert climbed.lower_bound_ == pytest.approx(climbed.score(iris), rel=1e-12)  # nothing is ahead of it
    with pytest.raises(TypeError, match="driver"):
        GaussianMixture(3, driver="adam").fit(iris)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_mixture_from_parameters_answers_without_a_fit(kind, iris, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        wanted = theirs.GaussianMixture(3, covariance_type=kind, random_state=0, max_iter=2).fit(iris)
    options = {"covariance_type": kind, "random_state": 0}
    model = GaussianMixture.from_parameters(wanted.weights_, wanted.means_, wanted.covariances_, **options)
    np.testing.assert_allclose(model.precisions_cholesky_, wanted.precisions_cholesky_, rtol=1e-7, atol=1e-9)
    model.save(tmp_path / "model.safetensors")
    loaded = GaussianMixture.load(tmp_path / "model.safetensors", random_state=0)
    for one in (
        model,
        loaded,
        GaussianMixture.from_sklearn(wanted),
        GaussianMixture.from_sklearn(wanted).to_sklearn(),
        model.to_sklearn(),
    ):
        assert_same_answers(one, wanted, iris)
    assert GaussianMixture.from_sklearn(wanted).n_iter_ == wanted.n_iter_


def test_parameters_assigned_by_hand_are_what_answers_come_from(fitted, iris):
    model = pickle.loads(pickle.dumps(fitted))
    order = [2, 0, 1]
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        setattr(model, name, getattr(model, name)[order])
    np.testing.assert_allclose(model.predict_proba(iris), fitted.predict_proba(iris)[:, order], atol=1e-9)
    model.means_[0] += 100  # in place
    assert model.predict(iris).min() == 1


def test_what_cannot_be_an_estimator_is_refused(iris):
    with pytest.raises(ValueError, match="single Gaussian mixture"):
        GaussianMixture.from_mixture(jaxgmm.fit(0, iris, 3, n_init=2, max_iter=0).mixtures)
    with pytest.raises(TypeError, match="scikit-learn's GaussianMixture"):
        GaussianMixture.from_sklearn(StandardScaler())


def test_verbose_says_how_it_goes(iris, capsys):
    GaussianMixture(3, verbose=1, verbose_interval=1, random_state=0).fit(iris)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Initialization 0"
    assert lines[1].startswith("  Iteration ")
    assert lines[-1] == "Initialization converged."
    GaussianMixture(3, n_init=2, verbose=2, random_state=0).fit(iris)
    out = capsys.readouterr().out
    assert "Initializations 0 to 1" in out
    assert "lower bound" in out
