"""What a fitted mixture answers, by scikit-learn's conventions: NumPy in, NumPy out."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np

# By its class, as programs put ours in the place of `sklearn.mixture.GaussianMixture`.
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxgmm.families import FAMILIES
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.mixture import Mixture, files
from jaxgmm.sklearn import onnx
from jaxgmm.sklearn.hooks import DENSITY, PrivateMethods
from jaxgmm.sklearn.parameters import mixture_of, precisions_cholesky_of, precisions_of


class MixtureAnswers(PrivateMethods):
    """Methods of an estimator that holds `weights_`, `means_`, `covariances_` and `precisions_cholesky_`.

    Answers follow from these arrays. Assign others, and answers follow from those, as with scikit-learn.
    """

    weights_: Any
    means_: Any
    covariances_: Any
    precisions_: Any
    precisions_cholesky_: Any
    lower_bounds_: Any
    covariance_type: str
    random_state: Any

    # ---- the mixture ----------------------------------------------------------------------------------------

    @property
    def mixture_(self) -> Mixture:
        """The fitted `jaxgmm.Mixture`."""
        held = self.__dict__.get("_mixture")
        if held is not None:
            mixture, root = held
            mine = (self.weights_, self.means_, self.precisions_cholesky_)
            if all(map(np.array_equal, mine, (mixture.weights, mixture.means, root))):
                return mixture
        mixture = mixture_of(self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type)
        self._mixture = (mixture, np.array(self.precisions_cholesky_))
        return mixture

    def _take(self, mixture: Mixture) -> None:
        """Sets the fitted attributes from `mixture`."""
        self.weights_, self.means_ = np.array(mixture.weights), np.array(mixture.means)
        self.covariances_ = np.array(mixture.covariances)
        self.precisions_cholesky_ = precisions_cholesky_of(mixture)
        self.precisions_ = precisions_of(self.precisions_cholesky_, mixture.covariance_type)
        self._mixture = (mixture, self.precisions_cholesky_.copy())

    def _rows(self, X: Any) -> tuple[Mixture, Any]:
        check_is_fitted(self)
        self._refuse_overrides(DENSITY)
        return self.mixture_, validate_data(self, X, reset=False)

    # ---- rows -----------------------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> Any:
        """log p(x_n) in nats, (n,)."""
        mixture, x = self._rows(X)
        return mixture.score_samples(x)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Weighted mean of log p(x_n), in nats per row. `y` is ignored."""
        if sample_weight is None:
            return float(np.mean(self.score_samples(X)))
        mixture, x = self._rows(X)
        return float(mixture.score(x, sample_weight))

    def predict(self, X: Any) -> Any:
        """The component with the largest responsibility, (n,)."""
        mixture, x = self._rows(X)
        return mixture.predict(x).astype(np.int64)

    def predict_proba(self, X: Any) -> Any:
        """Responsibilities p(k | x_n), (n, k)."""
        mixture, x = self._rows(X)
        return mixture.responsibilities(x)

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion, −2 log L + p log n (Schwarz 1978): lower is better."""
        deviance, n = self._deviance(X, sample_weight)
        return deviance + self._n_parameters() * float(np.log(n))

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's information criterion, −2 log L + 2 p (Akaike 1974): lower is better."""
        return self._deviance(X, sample_weight)[0] + 2 * self._n_parameters()

    def _n_parameters(self) -> int:
        """Free parameters, as `bic` and `aic` count them."""
        return self.mixture_.n_parameters

    def _deviance(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        """−2 log L, and how many rows that is of."""
        mixture, x = self._rows(X)
        n = len(x) if sample_weight is None else np.sum(np.asarray(sample_weight), dtype=np.float64)
        return -2 * mixture.log_likelihood(x, sample_weight), float(n)

    def sample(self, n_samples: int = 1) -> tuple[Any, Any]:
        """`n_samples` rows in float64, (n, d), and their components, (n,), sorted by component.

        Drawn from `random_state` as scikit-learn draws them: equal parameters and seeds give equal rows.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        rng = check_random_state(self.random_state)
        shares = np.asarray(self.weights_, np.float64)
        total = shares.sum()
        # NumPy refuses shares that sum to more than 1 by rounding. A division of others would change what is drawn.
        counts = rng.multinomial(n_samples, shares / total if total > 1 else shares)
        k, d = self.means_.shape
        traits = FAMILIES[self.covariance_type].traits
        covariances = np.broadcast_to(self.covariances_, (k, d, d)) if traits.one_covariance else self.covariances_
        parts = []
        for mean, covariance, count in zip(self.means_, covariances, counts, strict=True):
            if traits.covariance_kind == "matrix":
                parts.append(rng.multivariate_normal(mean, covariance, int(count)))
            else:
                parts.append(mean + rng.standard_normal(size=(count, d)) * np.sqrt(covariance))
        return np.concatenate(parts).astype(np.float64, copy=False), np.repeat(np.arange(k), counts)

    # ---- without a fit --------------------------------------------------------------------------------------

    @classmethod
    def from_mixture(cls, mixture: Mixture, **parameters: Any) -> Self:
        """A fitted estimator around a Gaussian `mixture`; `parameters` are those of the constructor.

        Raises:
            ValueError: a batch of mixtures, or one that is not Gaussian.
        """
        if mixture.batch_shape or not mixture.components.traits.gaussian:
            raise ArgumentError("mixture", "be a single Gaussian mixture", repr(mixture))
        options: Any = {"n_components": mixture.n_components, "covariance_type": mixture.covariance_type}
        self = cls(**options | parameters)
        self._take(mixture)
        self._unfitted_attributes(mixture.n_features)
        return self

    @classmethod
    def from_parameters(
        cls, weights: Any, means: Any, covariances: Any, *, covariance_type: str = "full", **parameters: Any
    ) -> Self:
        """An estimator that scores, predicts and samples without having been fitted.

        Args:
            weights: (k,), on the simplex.
            means: (k, d).
            covariances: full (k, d, d), tied (d, d), diag (k, d), spherical (k,).
            covariance_type: "full", "tied", "diag" or "spherical".
            parameters: further parameters of the constructor.

        Raises:
            ValueError, TypeError: as `Mixture.create`.
        """
        dtype = parameters.get("dtype")
        mixture = Mixture.create(weights, means, covariances, covariance_type=covariance_type, dtype=dtype)
        return cls.from_mixture(mixture, **parameters)

    def _unfitted_attributes(self, n_features: int) -> None:
        self.n_features_in_ = n_features
        self.converged_, self.n_iter_ = False, 0
        self.lower_bound_, self.lower_bounds_ = -np.inf, []

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the mixture to `path`, as `jaxgmm.save` does; pickle keeps the estimator's parameters, too."""
        check_is_fitted(self)
        files.save(path, self.mixture_)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """An estimator around the mixture in the file at `path`; see `jaxgmm.load`."""
        return cls.from_mixture(files.load(path), **parameters)

    def onnx_parser(self) -> Any:
        """For `skl2onnx.to_onnx`, which asks for it."""
        check_is_fitted(self)
        self._refuse_overrides(DENSITY)
        return onnx.parser_of(self)

    # ---- scikit-learn's own ---------------------------------------------------------------------------------

    def to_sklearn(self) -> Theirs:
        """scikit-learn's estimator with these parameters and, once fitted, these attributes."""
        mine = self.get_params(deep=False)  # type: ignore[attr-defined]
        shared = Theirs().get_params()
        given = {name: mine[name] for name in shared if not (name == "reg_covar" and mine[name] == "auto")}
        return _with_attributes(Theirs(**given), self)

    @classmethod
    def from_sklearn(cls, estimator: Theirs, **parameters: Any) -> Self:
        """This estimator with the parameters and, if it is fitted, the attributes of scikit-learn's.

        Raises:
            TypeError: `estimator` is another kind of thing.
        """
        if not isinstance(estimator, Theirs):
            raise ArgumentTypeError("estimator", "be scikit-learn's GaussianMixture", type(estimator).__name__)
        return _with_attributes(cls(**estimator.get_params(deep=False) | parameters), estimator)


_ATTRIBUTES = (
    *("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "converged_", "n_iter_"),
    *("lower_bound_", "lower_bounds_", "n_features_in_", "feature_names_in_"),
)


def _with_attributes(target: Any, source: Any) -> Any:
    for name in _ATTRIBUTES:
        if hasattr(source, name):
            value = getattr(source, name)
            setattr(target, name, value.copy() if hasattr(value, "copy") else value)
    return target
