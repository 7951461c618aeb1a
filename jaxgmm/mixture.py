"""`Mixture`: weights and components, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxgmm import precision, validation
from jaxgmm.families import FAMILIES, Family
from jaxgmm.rows.blocks import rowwise


def joint_log_prob(mixture: Mixture, x: Float[Array, "d b"]) -> Float[Array, "k b"]:
    """log π_k p(x_n | k) in nats, by the accurate road. Pure; `x` has rows minor."""
    return mixture.components.log_prob(x) + jnp.log(mixture.weights)[:, None]


def posterior(
    joint: Float[Array, "k b"], w: Float[Array, " b"] | float = 1.0
) -> tuple[Float[Array, "k b"], Float[Array, " b"]]:
    """Responsibilities w_n p(k | x_n) and log p(x_n), from log π_k p(x_n | k)."""
    largest = jnp.max(joint, axis=0)
    # Where every component says −∞ the row is impossible, and the subtraction must not make NaN of it.
    shift = jnp.where(largest > -jnp.inf, largest, 0.0)
    shares = jnp.exp(joint - shift)
    total = jnp.sum(shares, axis=0)
    return shares * (w / jnp.maximum(total, jnp.finfo(joint.dtype).tiny)), shift + jnp.log(total)


# What `rowwise` runs on a block: results with rows last.
def _log_density(mixture: Mixture, x: Array) -> Array:
    return posterior(joint_log_prob(mixture, x))[1]


def _responsibilities(mixture: Mixture, x: Array) -> Array:
    return posterior(joint_log_prob(mixture, x))[0]


def _labels(mixture: Mixture, x: Array) -> Array:
    return jnp.argmax(joint_log_prob(mixture, x), axis=0)


@partial(jax.jit, static_argnames="n")
def _sample(mixture: Mixture, key: Array, n: int) -> tuple[Array, Array]:
    label_key, row_key = jax.random.split(key)
    labels = jax.random.categorical(label_key, jnp.log(mixture.weights), shape=(n,))
    return mixture.components.sample(row_key, labels), labels


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mixture:
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
            ValueError: wrong shapes, weights off the simplex, covariances not positive definite.
        """
        family = FAMILIES[validation.choice("covariance_type", covariance_type, FAMILIES)]
        arrays: list[Any] = [None if a is None else np.asarray(a) for a in (weights, means, covariances)]
        dtype = precision.compute_dtype(*arrays, dtype=dtype)
        for name, array in zip(("weights", "means", "covariances"), arrays, strict=True):
            if array is not None and not np.isfinite(array.astype(np.float64)).all():
                raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)].flat[0]}")
        pi: Any
        mu: Any
        pi, mu, sigma = (a if a is None else a.astype(dtype) for a in arrays)
        if pi.ndim < 1 or mu.shape[:-1] != pi.shape:
            raise ValueError(f"weights must have shape (..., k) = {mu.shape[:-1]} as means do, got {pi.shape}")
        if (pi < 0).any() or not np.allclose(pi.sum(-1), 1, atol=1e-3 if dtype == np.float32 else 1e-6):
            raise ValueError(f"weights must be at least 0 and sum to 1, got {pi.tolist()}")
        with precision.scope(dtype):
            return at_rest(cls(pi / pi.sum(-1, keepdims=True), family.from_covariances(mu, sigma)))

    # ---- parameters -------------------------------------------------------------------------------------------

    @property
    def means(self) -> Any:
        """Component means; success rates for a Bernoulli mixture."""
        return self.components.means

    @property
    def covariances(self) -> Any:
        """Covariances in scikit-learn's shape: full (k, d, d), tied (d, d), diag (k, d), spherical (k,)."""
        with precision.scope(self.dtype):
            covariances = self.components.covariances
        return covariances if isinstance(covariances, jax.core.Tracer) else np.asarray(covariances)

    @property
    def covariance_type(self) -> str:
        return self.components.name

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

    def __getitem__(self, index: Any) -> Mixture:
        """One or some of the mixtures along the leading axes."""
        if not self.batch_shape:
            raise TypeError("this is a single mixture, without leading axes to index")
        return jax.tree.map(lambda leaf: np.asarray(leaf)[index], self)

    def __repr__(self) -> str:
        batch = f", batch_shape={self.batch_shape}" if self.batch_shape else ""
        return (
            f"Mixture({self.covariance_type}, n_components={self.n_components}, n_features={self.n_features}, "
            f"{self.dtype}{batch})"
        )

    # ---- rows -------------------------------------------------------------------------------------------------

    def _parts(self, function: Any, x: Any) -> Iterator[tuple[int, int, Any]]:
        """(start, stop, results with rows last) over blocks of checked rows."""
        dtype = precision.compute_dtype(self.weights, x)
        mixture = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), self)
        # y = L⁻¹(x − μ) is the widest thing a row needs
        width = int(np.prod(self.batch_shape)) * self.n_components * self.n_features
        with precision.scope(dtype):
            for start, stop, part in rowwise(function, mixture, x, dtype, width, len(self.batch_shape)):
                yield start, stop, np.asarray(part)[..., : stop - start]

    def _collected(self, function: Any, x: Any) -> Any:
        x = validation.rows("x", x, self.n_features)
        return np.concatenate([part for _, _, part in self._parts(function, x)], axis=-1)

    def score_samples(self, x: Any) -> Any:
        """log p(x_n) in nats, (..., n)."""
        return self._collected(_log_density, x)

    def joint_log_prob(self, x: Any) -> Any:
        """log π_k p(x_n | k) in nats, (..., n, k)."""
        return np.swapaxes(self._collected(joint_log_prob, x), -1, -2)

    def responsibilities(self, x: Any) -> Any:
        """p(k | x_n), each row's shares, summing to 1: (..., n, k)."""
        return np.swapaxes(self._collected(_responsibilities, x), -1, -2)

    def predict(self, x: Any) -> Any:
        """The component with the largest responsibility, (..., n)."""
        return self._collected(_labels, x)

    def log_likelihood(self, x: Any, sample_weight: Any = None) -> Any:
        """Σ_n w_n log p(x_n) in nats, summed in float64: a float, or an array with the leading axes."""
        x = validation.rows("x", x, self.n_features)
        w = validation.weights("sample_weight", sample_weight, len(x))
        total = np.zeros(self.batch_shape)
        for start, stop, part in self._parts(_log_density, x):
            values = part.astype(np.float64)
            if w is not None:
                values = np.where(w[start:stop] > 0, w[start:stop] * values, 0.0)
            total += values.sum(-1)
        return total if self.batch_shape else float(total)

    def score(self, x: Any, sample_weight: Any = None) -> Any:
        """Weighted mean of log p(x_n), in nats per row."""
        return self.log_likelihood(x, sample_weight) / _total_weight(x, sample_weight)

    def bic(self, x: Any, sample_weight: Any = None) -> Any:
        """Bayesian information criterion, −2 log L + p log n (Schwarz 1978): lower is better, as in scikit-learn."""
        penalty = self.n_parameters * np.log(_total_weight(x, sample_weight))
        return -2 * self.log_likelihood(x, sample_weight) + penalty

    def aic(self, x: Any, sample_weight: Any = None) -> Any:
        """Akaike's information criterion, −2 log L + 2 p (Akaike 1974): lower is better."""
        return -2 * self.log_likelihood(x, sample_weight) + 2 * self.n_parameters

    def sample(self, key: Key[Array, ""] | int, n: int) -> tuple[Any, Any]:
        """`n` rows, (n, d), and the components they came from, (n,). For a single mixture.

        Args:
            key: a JAX key or a seed.
            n: how many rows.
        """
        if self.batch_shape:
            raise ValueError(f"sample needs a single mixture, got leading axes {self.batch_shape}; index it first")
        n = validation.integer("n", n, 1)
        with precision.scope(self.dtype):
            rows, labels = _sample(self, validation.random_key(key), n)
        return np.asarray(rows), np.asarray(labels)


def at_rest(mixture: Mixture) -> Mixture:
    """The same mixture, its arrays in NumPy."""
    return jax.tree.map(np.asarray, mixture)


def _total_weight(x: Any, sample_weight: Any) -> float:
    return float(len(x) if sample_weight is None else np.sum(np.asarray(sample_weight), dtype=np.float64))
