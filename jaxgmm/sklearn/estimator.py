"""`GaussianMixture`: scikit-learn's estimator on top of `jaxgmm.fit`."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from jaxgmm.drivers.ahead import EMAhead
from jaxgmm.drivers.em import EM
from jaxgmm.fit.fit import fit
from jaxgmm.fit.result import FitError, FitResult
from jaxgmm.inputs import arguments, forking, precision, telling
from jaxgmm.run.status import Status
from jaxgmm.sklearn.answers import MixtureAnswers
from jaxgmm.sklearn.constraints import CONSTRAINTS
from jaxgmm.sklearn.hooks import DENSITY, STEPS
from jaxgmm.sklearn.messages import ILL_DEFINED, NOT_CONVERGED, Narrator
from jaxgmm.sklearn.parameters import checked_starts, start_of, started_from
from jaxgmm.sklearn.starts import first_start

#: parameters that `fit` takes under the same name
_PASSED_ON: tuple[str, ...] = ("covariance_type", "reg_covar", "prior", "stopping", "max_seconds", "on_degenerate")
_PASSED_ON += ("kernel", "engine", "search", "progress", "dtype", "fixed")


@Theirs.register  # it has every method of theirs, so `isinstance` may say that it is one
class GaussianMixture(MixtureAnswers, DensityMixin, BaseEstimator):
    """A Gaussian mixture with the parameters, attributes and methods of `sklearn.mixture.GaussianMixture`.

    From the same starting parameters it takes the same steps, ends after the same number of them, and returns the
    same numbers. All `n_init` restarts run in one batch. What else differs stands in docs/sklearn.md.

    Args:
        n_components, covariance_type, tol, max_iter, n_init, random_state, warm_start: as in scikit-learn.
        reg_covar: added to each covariance's diagonal, in squared units of the data; or "auto", as in `jaxgmm.fit`.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init, means_init, precisions_init: starting parameters in scikit-learn's shapes; what is None comes
            from `init_params`.
        verbose: 1 prints starts and iterations, 2 also log-likelihoods and seconds.
        verbose_interval: iterations between two lines, at least.
        prior, max_seconds, on_degenerate, kernel, engine, dtype, driver: as in `jaxgmm.fit`.
        stopping: as in `jaxgmm.fit`; "change", the default, is scikit-learn's rule.
        search: "all" runs every restart to its end, as scikit-learn does; "race" as in `jaxgmm.fit`.
        progress: show a bar on stderr.
        semi_supervised: whether `y` says which component each row belongs to, −1 where unknown. scikit-learn ignores
            `y`, and its tools pass class labels along, so it is ignored unless asked for.
        component_labels: (k,), the label of each component, if `y` has classes of several; as in `jaxgmm.fit`.
        fixed: a `jaxgmm.Fixed`, parameters that stay as given.

    Attributes:
        weights_, means_, covariances_, precisions_, precisions_cholesky_: the mixture, in the dtype of the rows.
        mixture_: the same as a `jaxgmm.Mixture`.
        converged_: whether the best restart converged.
        n_iter_: its iterations.
        lower_bound_: mean log-likelihood, nats per row, at its last E-step; the M-step after that has no say in it.
        lower_bounds_: those of all its iterations.
        restarts_: the `FitResult`, with every restart.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS

    def __init__(
        self, n_components=1, *, covariance_type="full", tol=1e-3, reg_covar=1e-6, max_iter=100, n_init=1,
        init_params="kmeans", weights_init=None, means_init=None, precisions_init=None, random_state=None,
        warm_start=False, verbose=0, verbose_interval=10, prior=None, stopping="change", max_seconds=None,
        on_degenerate="keep", kernel="auto", engine="auto", search="all", progress=False, dtype=None, driver=None,
        fixed=None, semi_supervised=False, component_labels=None,
    ) -> None:  # fmt: skip
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.prior = prior
        self.stopping = stopping
        self.max_seconds = max_seconds
        self.on_degenerate = on_degenerate
        self.kernel = kernel
        self.engine = engine
        self.search = search
        self.progress = progress
        self.dtype = dtype
        self.driver = driver
        self.fixed = fixed
        self.semi_supervised = semi_supervised
        self.component_labels = component_labels

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fits `n_init` restarts to rows `X`, (n, d), and keeps the best.

        Args:
            X: rows; float32 rows compute in float32, all others in float64.
            y: (n,), labels if `semi_supervised`; else ignored.
            sample_weight: (n,), how often each row counts; a row with weight 0 is as if left out.

        Raises:
            ValueError, TypeError: as scikit-learn for parameters and rows; no restart stayed finite.
        """
        self._fit(X, y, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """`fit`, and the rows' labels: (n,), those of `predict`."""
        x = self._fit(X, y, sample_weight)
        return self.mixture_.predict(x).astype(np.int64)

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Any:
        forking.check()  # starts are found with scikit-learn, whose own threads a fork may leave behind, too
        self._refuse_overrides(DENSITY + STEPS)
        x = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        if len(x) < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {len(x)}"
            )
        labels = self._labels(y, len(x))
        kept, sample_weight, labels = _with_weight(x, sample_weight, labels)
        if len(kept) < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {len(kept)}"
            )
        driver = self.driver
        if driver is None:
            counted = self.max_iter > 0 and self.search == "all"  # a race has steps that scikit-learn does not know
            driver = EMAhead(hold=self.on_degenerate == "keep") if counted else EM()
        ahead = isinstance(driver, EMAhead)
        options = {name: getattr(self, name) for name in _PASSED_ON} | {
            "n_components": self.n_components, "sample_weight": sample_weight, "tol": self.tol, "driver": driver,
            "max_iter": self.max_iter - ahead, "labels": labels,
            "component_labels": None if labels is None else self.component_labels,
        }  # fmt: skip
        try:
            result = self._run(kept, options, ahead)
        except FitError as error:
            raise ValueError(ILL_DEFINED) from error
        self._conclude(result, ahead)
        return x

    def _labels(self, y: Any, n: int) -> Any:
        """`y` as labels of rows, where it is to be taken for that."""
        if not self.semi_supervised or y is None:
            return None
        labels = column_or_1d(y)
        check_consistent_length(np.empty(n), labels)
        return labels

    def _run(self, x: Any, options: dict[str, Any], ahead: bool) -> FitResult:
        """The fit of rows that all have weight."""
        warm = self.warm_start and hasattr(self, "converged_")
        rng = check_random_state(self.random_state)
        options |= {"init": self.mixture_, "key": _seed(rng)} if warm else self._start(rng, x, options)
        narrator = Narrator(self.verbose, self.verbose_interval, options.get("n_init") or 1, ahead)
        options |= {"on_block": narrator.on_block, "x": x}
        with telling.silence() if self.max_iter == 0 else contextlib.nullcontext():  # starts are no answers yet
            result = fit(**options)
        if warm and ahead and abs(_bounds(result, ahead)[0] - self.lower_bound_) < self.tol:
            # The first gain is over the last fit's bound, which the loop has not seen.
            with telling.silence():  # the fit above has warned of this start
                result = fit(**options | {"max_iter": 0})
            settled = np.full_like(result.status, Status.CONVERGED)
            result = replace(result, restarts=replace(result.restarts, status=settled))
        narrator.conclude(result)
        return result

    def _start(self, rng: np.random.RandomState, x: Any, options: dict[str, Any]) -> dict[str, Any]:
        """What `fit` is to start from: `init`, `n_init` and `key`."""
        kind, k = self.covariance_type, self.n_components
        parts = checked_starts(self.weights_init, self.means_init, self.precisions_init, kind, k, x.shape[1])
        if all(part is not None for part in parts):
            return {"init": start_of(*parts, kind, precision.compute_dtype(x, dtype=self.dtype)), "key": _seed(rng)}
        if options["labels"] is not None or self.fixed is not None:
            first: Any = self.init_params  # scikit-learn's starts would not heed labels and fixed parameters
        else:
            first = first_start(self.init_params, x, options["sample_weight"], k, kind, self.reg_covar, rng)
        one = self.n_init == 1 or isinstance(first, str)
        drawn = {"init": first if one else (first, self.init_params), "n_init": self.n_init, "key": _seed(rng)}
        if all(part is None for part in parts):
            return drawn
        with telling.silence():  # the fit itself has the same to say
            starts = fit(x=x, **options | drawn | {"max_iter": 0, "driver": EM()}).mixtures
        return drawn | {"init": started_from(starts, *parts), "n_init": len(starts.weights)}

    def _conclude(self, result: FitResult, ahead: bool) -> None:
        """Sets the fitted attributes, and warns if need be."""
        self._take(result.mixture)
        bounds = _bounds(result, ahead)
        self.restarts_ = result
        self.converged_ = bool(result.status[result.best] in (Status.CONVERGED, Status.ROUNDING))
        self.n_iter_ = int(result.n_iter[result.best]) + ahead
        self.lower_bounds_ = bounds
        self.lower_bound_ = bounds[-1] if bounds else -np.inf
        if not self.converged_ and self.max_iter > 0:
            telling.warn(NOT_CONVERGED, ConvergenceWarning)


def _seed(rng: np.random.RandomState) -> int:
    """A seed from the state of `rng`, which stays as it is, so that others draw what they draw with scikit-learn."""
    return int(copy.deepcopy(rng).randint(np.iinfo(np.int32).max))


def _with_weight(x: Any, sample_weight: Any, labels: Any) -> tuple[Any, Any, Any]:
    """The rows that have weight, and the weights and labels they have."""
    if sample_weight is None:
        return x, None, labels
    weights = np.full(len(x), sample_weight) if np.isscalar(sample_weight) else sample_weight
    weights = arguments.weights("sample_weight", weights, len(x))
    kept = weights > 0
    return (x, weights, labels) if kept.all() else (x[kept], weights[kept], None if labels is None else labels[kept])


def _bounds(result: FitResult, ahead: bool) -> list[float]:
    """The best restart's mean log-likelihoods, one for each iteration as scikit-learn counts them."""
    end = int(result.n_iter[result.best]) + 1
    return result.history[result.best, 0 if ahead else 1 : end].tolist()
