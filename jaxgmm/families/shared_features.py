"""The fast road, for families that can take it: log-densities and moments linear in features of the rows.

What a family has of it is optional: without it every pass goes by `Family.log_prob` and `Family.moments`, component by
component, slower and as right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import jax
from jaxtyping import Float

from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.inputs.typing import Array


class SharedFeatures(ABC):
    """log p(x | k) = θ_k · φ(x) + ψ · φ₀(x), φ and φ₀ the same for all components of all restarts.

    Then the E-step is one wide product Θφ, and the moments follow from another, R φᵀ. A family inherits from this
    beside `Family`. Its `kernel="auto"` goes by `conditioning`, which says how far the products can be trusted.

    Example:
        A Bernoulli family has φ(x) = [1, x], θ_k = [Σ log(1 − μ), log μ − log(1 − μ)]:

        >>> class Bernoulli(SharedFeatures, Family):
        ...     @staticmethod
        ...     def features(x):
        ...         return with_one(x)
    """

    means: Float[Array, "*r k d"]

    @staticmethod
    @abstractmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        """φ(x), its first row 1: the part of log p that differs between components is linear in it."""

    @abstractmethod
    def natural(self) -> Float[Array, "*r k f"]:
        """θ, the coefficients of φ for each component."""

    @staticmethod
    def common_features(x: Float[Array, "d b"]) -> Float[Array, "g b"]:
        """φ₀(x), what all components share; it cancels in responsibilities. None by default."""
        return x[:0]

    def common_natural(self) -> Float[Array, "*r g"]:
        """ψ, the coefficients of φ₀."""
        return self.means[..., 0, :0]

    @abstractmethod
    def moments_from_features(self, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"]) -> Any:
        """`Family.moments`, from Σ r φ per component and Σ w φ₀ over all rows."""

    @abstractmethod
    def conditioning(self) -> Float[Array, "*r k"]:
        """κ: what is computed by features loses about ε·κ nats per row to cancellation."""


def shared_features(components: Any) -> SharedFeatures:
    """`components`, if they have shared features.

    Raises:
        TypeError: they have none.
    """
    if not isinstance(components, SharedFeatures):
        wants = f"be 'centred' for components of {components.traits.name!r}, which have no shared features"
        raise ArgumentTypeError("kernel", wants, "'shared_feature'")
    return components


def n_shared_features(components: Any) -> int:
    """How many features f they have; 1 + d, as many as are linear in the rows, for those that have none."""
    if not isinstance(components, SharedFeatures):
        return 1 + components.means.shape[-1]
    probe = jax.ShapeDtypeStruct((components.means.shape[-1], 1), components.means.dtype)
    return jax.eval_shape(components.features, probe).shape[0]
