"""Estimators for scikit-learn: names, conventions and warnings, nothing numerical."""

from jaxgmm.sklearn.estimator import GaussianMixture

__all__ = ["GaussianMixture"]
