"""`Mixture`: weights and components, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.families import FAMILIES, Family
from jaxgmm.families.hosting import on_numpy
from jaxgmm.inputs import arguments, arrays, lazily, precision, trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import wrapped
from jaxgmm.inputs.typing import Array, Float, Key
from jaxgmm.mixture.answers import answer
from jaxgmm.mixture.ordering import Ordered
from jaxgmm.rows.source import RowSource
from jaxgmm.sources.opening import opened

# A lot is the rows drawn with one key: so many, or fewer where their factors would hold more numbers than this.
_DRAWN, _DRAWN_ELEMENTS = 64, 1 << 22
# Lots are drawn together in powers of this, so that few programs serve samples of any size.
_TOGETHER = 8


def _lot_size(n_features: int) -> int:
    return int(np.clip(_DRAWN_ELEMENTS // n_features**2, 1, _DRAWN))


@partial(compiled, static_argnames="n")
def _sample(mixture: Mixture, words: Array, first: Array, n: int) -> tuple[Array, Array]:
    """The `first` lot of rows and `n` − 1 after it; each lot follows from the key's words and its number alone."""
    key = wrapped(words)

    def lot(number: Array) -> tuple[Array, Array]:
        label_key, row_key = jax.random.split(jax.random.fold_in(key, number))
        size = _lot_size(mixture.n_features)
        labels = jax.random.categorical(label_key, jnp.log(mixture.weights), shape=(size,))
        return mixture.components.sample(row_key, labels), labels

    rows, labels = jax.vmap(lot)(first + jnp.arange(n, dtype=jnp.uint32))
    return rows.reshape(-1, rows.shape[-1]), labels.ravel()


@trees.register_dataclass
@dataclass(frozen=True)
class Mixture(Ordered):
    """A mixture p(x) = Σ_k π_k p(x | component k): an immutable pytree. Leading axes are restarts.

    Make one with `Mixture.create`, or take it from a `FitResult`. Methods take rows of shape (n, d), work through
    them in blocks, and put the mixture's leading axes before the rows' axis. A float64 mixture, or float64 rows,
    compute in float64 whatever `jax_enable_x64` says. At rest a mixture holds NumPy arrays, and methods return them:
    JAX arrays of float64 are not safe to touch while x64 is off. Under `jit` use the pure functions
    `joint_log_prob` and `posterior` of this module, and those of `jaxgmm.em`.

    Attributes:
        weights: π, (..., k), on the simplex.
        components: parameters of the components, one of `jaxgmm.families`.
    """

    weights: Float[Array, "*r k"]
    components: Family

    @classmethod
    def create(
        cls, weights: Any, means: Any, covariances: Any = None, *, covariance_type: str = "full", dtype: Any = None
    ) -> Mixture:
        """A mixture from the field's parameters.

        Args:
            weights: (..., k), non-negative, summing to 1.
            means: (..., k, d); success rates for "bernoulli".
            covariances: scikit-learn's shapes after the leading axes: full (k, d, d), tied (d, d), diag (k, d),
                spherical (k,); None for "bernoulli".
            covariance_type: "full", "tied", "diag", "spherical" or "bernoulli".
            dtype: float32 or float64; that of the inputs by default.

        Raises:
            TypeError: not real numbers.
            ValueError: wrong shapes, NaN, weights off the simplex, covariances not positive definite.
        """
        family = FAMILIES[arguments.choice("covariance_type", covariance_type, FAMILIES)]
        pi, mu = arrays.finite("weights", weights), arrays.finite("means", means)
        sigma = None if covariances is None else arrays.finite("covariances", covariances)
        dtype = precision.compute_dtype(pi, mu, sigma, dtype=dtype)
        pi, mu = arrays.finite("weights", pi, dtype), arrays.finite("means", mu, dtype)
        sigma = None if sigma is None else arrays.finite("covariances", sigma, dtype)
        if pi.ndim < 1 or mu.shape[:-1] != pi.shape:
            raise ArgumentError("weights", f"have shape (..., k) = {mu.shape[:-1]} as means do", str(pi.shape))
        if (pi < 0).any() or not np.allclose(pi.sum(-1), 1, atol=1e-3 if dtype == np.float32 else 1e-6):
            raise ArgumentError("weights", "be at least 0 and sum to 1", arguments.shown(pi.tolist()))
        return at_rest(cls(pi / pi.sum(-1, keepdims=True), family.from_covariances(mu, sigma)))

    # ---- parameters -------------------------------------------------------------------------------------------

    @property
    def means(self) -> Any:
        """Component means; success rates for a Bernoulli mixture."""
        return self.components.means

    @property
    def covariances(self) -> Any:
        """Covariances in scikit-learn's shape: full (k, d, d), tied (d, d), diag (k, d), spherical (k,).

        In the mixture's dtype, or float64 where float32 cannot hold them: squares leave its range at 1e±19.
        """
        if lazily.is_traced(self.weights):
            return self.components.covariances
        with precision.scope(np.dtype(np.float64), on_numpy(type(self.components))):
            wide = np.asarray(self.astype(np.float64).components.covariances)
        size, limits = np.abs(wide), np.finfo(self.dtype)
        fits = np.all((size <= limits.max) & ((size >= limits.tiny) | (size == 0)))
        return wide.astype(self.dtype) if fits else wide

    def covariance_matrices(self) -> Any:
        """Covariances as matrices, (..., k, d, d), whatever their structure; in float64."""
        return self.components.matrices()

    @property
    def covariance_type(self) -> str:
        return self.components.traits.name

    @property
    def n_components(self) -> int:
        return self.weights.shape[-1]

    @property
    def n_features(self) -> int:
        return self.components.n_features

    @property
    def n_parameters(self) -> int:
        """Free parameters of one mixture: those of the components, and k − 1 weights."""
        return self.components.n_parameters + self.n_components - 1

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Leading axes: () for one mixture, (r,) for restarts."""
        return self.weights.shape[:-1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.weights.dtype)

    def astype(self, dtype: Any) -> Mixture:
        """The same mixture with parameters in `dtype`."""
        return trees.map(lambda leaf: np.asarray(leaf, dtype), self)

    def __getitem__(self, index: Any) -> Mixture:
        """One or some of the mixtures along the leading axes."""
        if not self.batch_shape:
            raise TypeError("this is a single mixture, without leading axes to index")
        return trees.map(lambda leaf: np.asarray(leaf)[index], self)

    def __repr__(self) -> str:
        batch = f", batch_shape={self.batch_shape}" if self.batch_shape else ""
        return (
            f"Mixture({self.covariance_type}, n_components={self.n_components}, n_features={self.n_features}, "
            f"{self.dtype}{batch})"
        )

    # ---- rows -------------------------------------------------------------------------------------------------

    def _rows(self, x: Any) -> Any:
        x, _, _ = opened(x)
        if not isinstance(x, RowSource):
            return arguments.rows("x", x, self.n_features)
        if x.shape[1] != self.n_features:
            wants = f"have {self.n_features} columns, as the mixture has features"
            raise ArgumentError("x", wants, str(x.shape[1]))
        return x

    def _collected(self, name: str, x: Any) -> Any:
        return np.concatenate([part for _, _, part in answer(name, self, self._rows(x))], axis=-1)

    def score_samples(self, x: Any) -> Any:
        """log p(x_n) in nats, (..., n). Finite however far the row: in float64 where float32 cannot say how far."""
        return self._collected("log_density", x)

    def joint_log_prob(self, x: Any) -> Any:
        """log π_k p(x_n | k) in nats, (..., n, k)."""
        return np.swapaxes(self._collected("joint_log_prob", x), -1, -2)

    def responsibilities(self, x: Any) -> Any:
        """p(k | x_n), each row's shares, summing to 1: (..., n, k)."""
        return np.swapaxes(self._collected("responsibilities", x), -1, -2)

    def predict(self, x: Any) -> Any:
        """The component with the largest responsibility, (..., n)."""
        return self._collected("labels", x)

    def log_likelihood(self, x: Any, sample_weight: Any = None) -> Any:
        """Σ_n w_n log p(x_n) in nats, summed in float64: a float, or an array with the leading axes."""
        return self._summed("log_density", x, sample_weight)

    def _summed(self, name: str, x: Any, sample_weight: Any) -> Any:
        x = self._rows(x)
        w = _weights(x, sample_weight)
        total = np.zeros(self.batch_shape)
        for start, stop, part in answer(name, self, x):
            values = part.astype(np.float64)
            if w is not None:
                values = np.where(w[start:stop] > 0, w[start:stop] * values, 0.0)
            total += values.sum(-1)
        return total if self.batch_shape else float(total)

    def score(self, x: Any, sample_weight: Any = None) -> Any:
        """Weighted mean of log p(x_n), in nats per row."""
        x = self._rows(x)
        return self.log_likelihood(x, sample_weight) / _total_weight(x, sample_weight)

    def bic(self, x: Any, sample_weight: Any = None) -> Any:
        """Bayesian information criterion, −2 log L + p log n (Schwarz 1978): lower is better, as in scikit-learn."""
        x = self._rows(x)
        return self.criteria(self.log_likelihood(x, sample_weight), _total_weight(x, sample_weight))["bic"]

    def aic(self, x: Any, sample_weight: Any = None) -> Any:
        """Akaike's information criterion, −2 log L + 2 p (Akaike 1974): lower is better."""
        return self.criteria(self.log_likelihood(x, sample_weight), 1.0)["aic"]

    def icl(self, x: Any, sample_weight: Any = None) -> Any:
        """Integrated completed likelihood, BIC + 2 · `entropy` (Biernacki, Celeux & Govaert 2000): lower is better."""
        return self.bic(x, sample_weight) + 2 * self.entropy(x, sample_weight)

    def entropy(self, x: Any, sample_weight: Any = None) -> Any:
        """−Σ_n w_n Σ_k r_nk log r_nk in nats: how undecided responsibilities are; 0 where components do not overlap."""
        return self._summed("entropy", x, sample_weight)

    def criteria(self, log_likelihood: Any, n: float) -> dict[str, Any]:
        """`bic` and `aic` from a log-likelihood at hand, of `n` rows."""
        deviance = -2 * log_likelihood
        return {"bic": deviance + self.n_parameters * np.log(n), "aic": deviance + 2 * self.n_parameters}

    def sample(self, key: Key[Array, ""] | int, n: int) -> tuple[Any, Any]:
        """`n` rows, (n, d), and the components they came from, (n,). For a single mixture.

        Args:
            key: a JAX key or a seed; the same key gives the same rows first, however many there are.
            n: how many rows.
        """
        rows, labels = zip(*self.sample_blocks(key, n), strict=True)
        return np.concatenate(rows), np.concatenate(labels)

    def sample_blocks(self, key: Key[Array, ""] | int, n: int) -> Iterator[tuple[Any, Any]]:
        """The same rows and components, a block at a time."""
        if self.batch_shape:
            raise ArgumentError(
                "mixture", "be a single mixture", f"leading axes {self.batch_shape}", "index it before it is sampled"
            )
        n = arguments.integer("n", n, 1)
        words = arguments.random_key(key)
        size = _lot_size(self.n_features)
        most = max(1, _DRAWN_ELEMENTS // (size * self.n_features**2))
        first, lots = 0, -(-n // size)
        while first < lots:
            together = 1
            while together * _TOGETHER <= min(most, lots - first):
                together *= _TOGETHER
            with precision.scope(self.dtype):
                rows, labels = map(np.asarray, _sample(self, words, np.uint32(first), together))
            left = n - first * size
            yield rows[:left], labels[:left]
            first += together


def at_rest(mixture: Mixture) -> Mixture:
    """The same mixture, its arrays in NumPy."""
    return trees.map(np.asarray, mixture)


def _weights(x: Any, sample_weight: Any) -> Any:
    """(n,), how often each row counts; None where each counts once. A source may say it itself."""
    if sample_weight is None and isinstance(x, RowSource):
        return x.weights
    return arguments.weights("sample_weight", sample_weight, np.shape(x)[0])


def _total_weight(x: Any, sample_weight: Any) -> float:
    weights = _weights(x, sample_weight)
    return float(np.shape(x)[0] if weights is None else np.sum(weights, dtype=np.float64))
