"""The outlier detector: scikit-learn's conventions, and thresholds that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxgmm import GaussianMixture, GaussianMixtureOutlierDetector


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@parametrize_with_checks([GaussianMixtureOutlierDetector()])
def test_all_checks(estimator, check):
    check(estimator)


def test_the_share_asked_for_is_called_outliers(iris):
    detector = GaussianMixtureOutlierDetector(GaussianMixture(3, random_state=0), contamination=0.1)
    labels = detector.fit_predict(iris)
    assert set(labels) == {-1, 1}
    assert np.sum(labels == -1) == 15
    scores = detector.score_samples(iris)
    np.testing.assert_array_equal(labels == -1, scores < np.sort(scores)[15])
    np.testing.assert_allclose(detector.decision_function(iris), scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(iris), labels)


def test_the_mixtures_own_quantile_is_that_of_a_gaussian():
    x = np.random.default_rng(0).normal(size=(500, 2))
    x[:50] += 40  # a tenth is far off, but the threshold goes by what the mixture makes
    one = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2)], random_state=0)
    detector = GaussianMixtureOutlierDetector(
        GaussianMixture(2, random_state=0), contamination=0.01, quantile="mixture", n_samples=50_000
    ).fit(x)
    # each component is a Gaussian: one in a hundred of its rows lies beyond the 0.99 quantile of chi-squared
    sound = detector.mixture_.sample(20_000)[0]
    assert np.mean(detector.predict(sound) == -1) == pytest.approx(0.01, abs=0.004)
    log_p = -np.log(2 * np.pi) - 0.5 * chi2(2).ppf(0.99)
    drawn = one.sample(100_000)[0]
    assert np.quantile(one.score_samples(drawn), 0.01) == pytest.approx(log_p, abs=0.05)


def test_a_threshold_is_taken_as_it_is(iris):
    detector = GaussianMixtureOutlierDetector(GaussianMixture(3, random_state=0), threshold=-4).fit(iris)
    assert detector.offset_ == -4
    np.testing.assert_array_equal(detector.predict(iris) == -1, detector.score_samples(iris) < -4)


def test_a_weight_is_so_many_rows(iris):
    w = np.random.default_rng(0).integers(0, 3, 150)
    weighted = GaussianMixtureOutlierDetector(contamination=0.1).fit(iris, sample_weight=w)
    repeated = GaussianMixtureOutlierDetector(contamination=0.1).fit(np.repeat(iris, w, axis=0))
    assert weighted.offset_ == pytest.approx(repeated.offset_, rel=1e-9)


@pytest.mark.parametrize("contamination", [0, 0.6, -1])
def test_a_share_that_is_none_is_refused(contamination, iris):
    with pytest.raises(ValueError, match="contamination"):
        GaussianMixtureOutlierDetector(contamination=contamination).fit(iris)
