"""Outliers by a mixture's density, with the conventions of scikit-learn's detectors."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxgmm.inputs import arguments
from jaxgmm.mixture.thresholds import QUANTILES, density_threshold
from jaxgmm.sklearn.estimator import GaussianMixture


class GaussianMixtureOutlierDetector(OutlierMixin, BaseEstimator):
    """Calls rows outliers where a Gaussian mixture's density is low.

    Args:
        mixture: the estimator that is fitted, on a copy; `GaussianMixture()` by default.
        contamination: the share of rows that are outliers, in (0, 0.5].
        quantile: of what `offset_` is the quantile. "rows": of the rows that were fitted, so that just that share of
            them is called outliers. "mixture": of rows drawn from the fitted mixture, so that about that share of
            *sound* rows is.
        threshold: `offset_` itself, a log-density in nats, in place of a quantile.
        n_samples: how many rows are drawn for "mixture", with the seed of `mixture`.

    Attributes:
        mixture_: the fitted estimator.
        offset_: the log-density below which a row is an outlier.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _parameter_constraints: ClassVar[dict] = {
        "mixture": [HasMethods(["fit", "score_samples", "sample"]), None],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "quantile": [StrOptions(set(QUANTILES))],
        "threshold": [Real, None],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, mixture=None, *, contamination=0.05, quantile="rows", threshold=None, n_samples=10_000
    ) -> None:  # fmt: skip
        self.mixture = mixture
        self.contamination = contamination
        self.quantile = quantile
        self.threshold = threshold
        self.n_samples = n_samples

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fits the mixture and sets `offset_`. `y` is ignored; `sample_weight`, (n,), is how often each row counts."""
        x = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.mixture_ = clone(GaussianMixture() if self.mixture is None else self.mixture).fit(x, **weighted)
        if self.threshold is not None:
            self.offset_ = float(self.threshold)
        elif self.quantile == "mixture":
            drawn = self.mixture_.sample(self.n_samples)[0].astype(x.dtype)
            self.offset_ = density_threshold(self.mixture_.score_samples(drawn), self.contamination, None)
        else:
            weights = arguments.weights("sample_weight", sample_weight, len(x))
            self.offset_ = density_threshold(self.mixture_.score_samples(x), self.contamination, weights)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """`fit`, and `predict` of the same rows: (n,), −1 for outliers and 1 for the others."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def score_samples(self, X: Any) -> Any:
        """log p(x_n) in nats, (n,): the lower, the more of an outlier."""
        check_is_fitted(self)
        return self.mixture_.score_samples(validate_data(self, X, reset=False))

    def decision_function(self, X: Any) -> Any:
        """`score_samples` less `offset_`, (n,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Any:
        """−1 for outliers, 1 for the others, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
