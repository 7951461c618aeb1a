"""The first start of a fit: scikit-learn's own, so that equal seeds give equal models.

The other restarts start by jaxgmm's methods, on the device and all at once.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from jaxgmm.families import FAMILIES
from jaxgmm.mixture import Mixture
from jaxgmm.problem.checks import distinct_rows
from jaxgmm.rows import ArraySource


def first_start(
    method: str, x: Any, sample_weight: Any, k: int, covariance_type: str, reg_covar: Any, rng: np.random.RandomState
) -> Any:
    """What scikit-learn starts from by `method`, drawing from `rng` as it does; for `jaxgmm.fit`'s `init`.

    Args:
        x: rows, (n, d).
        sample_weight: (n,), all positive, or None.
        reg_covar: scikit-learn's first covariances where starts are single rows; without it there are none.

    Returns:
        Labels (n,), responsibilities (n, k), or a `Mixture`; `method` itself where scikit-learn would have no start.
    """
    weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weights is not None and np.ptp(weights) == 0:
        weights = None
    if method == "kmeans":
        # The fit itself warns where too few rows differ.
        with _without_warning() if distinct_rows(ArraySource(x), k) < k else contextlib.nullcontext():
            return KMeans(k, n_init=1, random_state=rng).fit(x, sample_weight=weights).labels_
    if method == "random":
        shares = rng.uniform(size=(len(x), k)).astype(x.dtype)
        return shares / shares.sum(axis=1, keepdims=True)
    if reg_covar == "auto" or reg_covar == 0:
        return method
    if method == "random_from_data":
        index = rng.choice(len(x), size=k, replace=False, p=None if weights is None else weights / weights.sum())
    else:
        index = kmeans_plusplus(x, k, random_state=rng, sample_weight=weights)[1]
    return _about_rows(x, index, covariance_type, reg_covar)


@contextlib.contextmanager
def _without_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _about_rows(x: Any, index: Any, covariance_type: str, reg_covar: float) -> Mixture:
    """The M-step where one row belongs to each component, and the others to none."""
    (k, d), means = (len(index), x.shape[1]), x[index]
    traits = FAMILIES[covariance_type].traits
    if traits.one_covariance:
        # scikit-learn's short cut takes the second moments of all rows, whoever they belong to.
        wide, centres = np.asarray(x, np.float64), np.asarray(means, np.float64)
        ridge = (wide.T @ wide - centres.T @ centres) / k + reg_covar * np.eye(d)
    else:
        ridge = reg_covar * traits.unit_covariances(k, d)
    return Mixture.create(np.full(k, 1 / k), means, ridge, covariance_type=covariance_type, dtype=x.dtype)
