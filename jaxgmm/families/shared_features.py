"""The fast road, for families that can take it: log-densities and moments linear in features of the rows.

What a family has of it is optional: without it every pass goes by `Family.log_prob` and `Family.moments`, component by
component, slower and as right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from jaxgmm.families.base import Root
from jaxgmm.families.namespace import einsum, namespace
from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.inputs.typing import Array, Float


class SharedFeatures(ABC):
    """log p(x | k) = θ_k · φ(x) + ψ · φ₀(x), φ and φ₀ the same for all components of all restarts.

    Then the E-step is one wide product Θφ, and the moments follow from another, R φᵀ. A family inherits from this
    beside `Family`. Where its rows can be mapped (`Traits.maps`) it says `seen_from` and `carried`, too: rows may then
    lie in coordinates of their own, cell by cell, in which the products lose nothing.

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

    @classmethod
    def seen_from(
        cls, theta: Float[Array, "*r k f"], psi: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        """The coefficients of φ(z) and φ₀(z) that make the same log-densities, where x = R z + shift_k.

        Args:
            theta, psi: coefficients of φ(x) and φ₀(x).
            shift: for every component one.
            root: R, as `Family.affine` has it; the same for all components.
        """
        raise NotImplementedError(f"rows of {cls.__name__} are not mapped")

    @classmethod
    def carried(
        cls, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        """Σ r φ(x) and Σ w φ₀(x) from sums of φ(z) and φ₀(z), where x = R z + shift_k: the adjoint of `seen_from`."""
        raise NotImplementedError(f"rows of {cls.__name__} are not mapped")


def shared_features(components: Any) -> SharedFeatures:
    """`components`, if they have shared features.

    Raises:
        TypeError: they have none.
    """
    if not isinstance(components, SharedFeatures):
        wants = f"be 'centred' for components of {components.traits.name!r}, which have no shared features"
        raise ArgumentTypeError("kernel", wants, "'shared_feature'")
    return components


def cancelling(
    components: Any, theta: Float[Array, "*r k f"], psi: Float[Array, "*r g"], x: Float[Array, "d p"]
) -> Float[Array, "*r k"]:
    """κ: how large the terms are, on average over the rows `x`, that add up to the log-densities of components.

    Args:
        components: whose features they are.
        theta, psi: the coefficients, for rows in the coordinates of `x`.
    """
    features, common = (
        namespace(part).mean(abs(part), axis=1).astype(theta.dtype)
        for part in (components.features(x), components.common_features(x))
    )
    return einsum("...kf,f->...k", abs(theta), features) + einsum("...g,g->...", abs(psi), common)[..., None]


def n_shared_features(components: Any) -> int:
    """How many features f they have; 1 + d, as many as are linear in the rows, for those that have none."""
    if not isinstance(components, SharedFeatures):
        return 1 + components.means.shape[-1]
    return components.features(np.zeros((components.means.shape[-1], 1))).shape[0]
