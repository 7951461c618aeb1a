"""Labels and fixed parameters through the estimator."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxgmm import Fixed, GaussianMixture

X, Y = load_iris(return_X_y=True)


def partly(share=0.2):
    return np.where(np.random.default_rng(0).uniform(size=len(Y)) < share, Y, -1)


def test_labels_are_heard_only_when_asked_for():
    plain = GaussianMixture(3, random_state=0).fit(X)
    np.testing.assert_array_equal(GaussianMixture(3, random_state=0).fit(X, Y).means_, plain.means_)
    taught = GaussianMixture(3, random_state=0, semi_supervised=True).fit(X, partly())
    assert accuracy_score(Y, taught.predict(X)) > 0.95
    assert len(cross_val_score(GaussianMixture(3, random_state=0), X, Y, cv=3)) == 3


def test_all_labels_give_the_supervised_estimate():
    model = GaussianMixture(3, semi_supervised=True, reg_covar=0).fit(X, Y)
    np.testing.assert_allclose(model.means_, [X[k == Y].mean(0) for k in range(3)], rtol=1e-10)
    np.testing.assert_allclose(model.covariances_, [np.cov(X[k == Y].T, bias=True) for k in range(3)], rtol=1e-8)
    assert model.converged_


def test_classes_may_have_several_components_and_rows_weights():
    weights = np.where(np.arange(len(X)) % 5 == 0, 0.0, 1.0)
    model = GaussianMixture(4, semi_supervised=True, component_labels=[0, 1, 2, 2], random_state=0)
    labels = model.fit_predict(X, partly(0.5), sample_weight=weights)
    assert accuracy_score(Y, np.array([0, 1, 2, 2])[labels]) > 0.93


def test_a_pipeline_hands_labels_on():
    model = make_pipeline(StandardScaler(), GaussianMixture(3, semi_supervised=True, random_state=0))
    assert accuracy_score(Y, model.fit(X, partly()).predict(X)) > 0.95


def test_fixed_parameters_stay_and_survive_a_clone():
    free = np.full(4, np.nan)
    model = clone(GaussianMixture(3, fixed=Fixed(means=[X[Y == 0].mean(0), free, free]), n_init=8, random_state=0))
    np.testing.assert_allclose(model.fit(X).means_[0], X[Y == 0].mean(0), rtol=1e-12)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        GaussianMixture(3, semi_supervised=True).fit(X, Y[:-1])
    with pytest.raises(ValueError, match="labels must be 0 … 1"):
        GaussianMixture(2, semi_supervised=True).fit(X, Y)
    with pytest.raises(ValueError, match="'fixed' parameter"):
        GaussianMixture(2, fixed=[1]).fit(X)
