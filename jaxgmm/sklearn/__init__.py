"""Estimators for scikit-learn: names, conventions and warnings, nothing numerical."""

from jaxgmm.sklearn.estimator import GaussianMixture
from jaxgmm.sklearn.outliers import GaussianMixtureOutlierDetector

__all__ = ["GaussianMixture", "GaussianMixtureOutlierDetector"]
