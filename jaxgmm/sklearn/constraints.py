"""What values the estimator's parameters may have, as scikit-learn checks them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.fit.engine import ENGINES
from jaxgmm.fit.search import SEARCHES
from jaxgmm.problem.fixed import Fixed
from jaxgmm.problem.prior import Prior
from jaxgmm.run.stopping import CRITERIA
from jaxgmm.sklearn.parameters import COVARIANCE_TYPES
from jaxgmm.starts.methods import METHODS

#: what scikit-learn checks parameters against before a fit
CONSTRAINTS: dict[str, Any] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
    "tol": [Interval(Real, 0.0, None, closed="left")],
    "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "init_params": [StrOptions(set(METHODS))],
    "weights_init": ["array-like", None],
    "means_init": ["array-like", None],
    "precisions_init": ["array-like", None],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "verbose_interval": [Interval(Integral, 1, None, closed="left")],
    "prior": [StrOptions({"default"}), Prior, None],
    "stopping": [StrOptions(set(CRITERIA))],
    "max_seconds": [Interval(Real, 0.0, None, closed="left"), None],
    "on_degenerate": [StrOptions({"reinit", "stop", "keep"})],
    "kernel": [StrOptions({"auto", *KERNEL_NAMES})],
    "engine": [StrOptions(set(ENGINES))],
    "search": [StrOptions(set(SEARCHES))],
    "progress": ["boolean"],
    "dtype": "no_validation",
    "driver": "no_validation",
    "fixed": [Fixed, None],
    "semi_supervised": ["boolean"],
    "component_labels": ["array-like", None],
}
