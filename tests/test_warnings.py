"""A fit warns once of one thing, at the line that asked for it."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxgmm
from jaxgmm import GaussianMixture


def heard(call) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


def rows(name: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    ordinary = rng.normal(size=(40, 3))
    return {
        "ordinary": ordinary,
        "rounded": np.round(ordinary, 1),
        "tied": np.repeat(ordinary[:4], 10, axis=0),
        "few": np.repeat(ordinary[:2], 20, axis=0),
        "equal": np.ones((40, 3)),
        "constant column": ordinary * [1, 0, 1],
        "far": (ordinary + 1e6).astype(np.float32),
    }[name]


@pytest.mark.parametrize("name", ["ordinary", "rounded", "tied", "few", "equal", "constant column", "far"])
@pytest.mark.parametrize("way", ["kmeans", "random", "given in part", "warm", "short"])
def test_a_fit_says_nothing_twice(name, way):
    x = rows(name)
    options = {
        "kmeans": {},
        "random": {"init_params": "random", "n_init": 2},
        "given in part": {"means_init": np.asarray(x[:4], float)},
        "warm": {"warm_start": True},
        "short": {"max_iter": 1, "tol": 0},
    }[way]
    model = GaussianMixture(4, random_state=0, **options)
    for _ in range(2 if way == "warm" else 1):
        caught = heard(lambda: model.fit(x))
        said = Counter(warning.category for warning in caught)
        assert not said or max(said.values()) == 1, caught
        assert {warning.filename for warning in caught} <= {__file__}
        assert {warning.category for warning in caught} <= {
            ConvergenceWarning, jaxgmm.DataWarning, jaxgmm.FitWarning
        }, caught  # fmt: skip


def test_rows_too_few_of_which_differ_are_named_once():
    caught = heard(lambda: GaussianMixture(4, random_state=0).fit(rows("few")))
    assert sum("distinct" in str(warning.message) for warning in caught) == 1


def test_warnings_point_at_the_line_that_asked(iris):
    short = GaussianMixture(3, max_iter=1, random_state=0)
    for call in (
        lambda: short.fit(iris),
        lambda: short.fit_predict(iris),
        lambda: make_pipeline(StandardScaler(), short).fit(iris),
        lambda: GridSearchCV(short, {"tol": [1e-3]}, cv=2).fit(iris),
        lambda: jaxgmm.GaussianMixtureOutlierDetector(short).fit(iris),
    ):
        caught = [warning for warning in heard(call) if warning.category is ConvergenceWarning]
        assert caught
        assert {warning.filename for warning in caught} == {__file__}


def test_many_data_sets_are_warned_of_where_they_were_fitted():
    x = np.stack([rows("few"), rows("equal")])
    caught = heard(lambda: jaxgmm.fit_many(0, x, 3))
    assert {warning.filename for warning in caught} == {__file__}
    assert max(Counter(warning.category for warning in caught).values()) == 1


def test_a_text_is_shown_once_for_a_line():
    """By Python's default filter. Fits of estimators are shown each: scikit-learn's checks of rows make Python forget."""
    x = rows("constant column")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            jaxgmm.fit(0, x, 2, max_iter=2)
        jaxgmm.fit(0, x, 2, max_iter=2)
    assert [warning.category for warning in caught] == 2 * [jaxgmm.DataWarning]
