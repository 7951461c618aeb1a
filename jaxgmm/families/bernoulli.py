"""Independent binary features: the family that keeps the contract honest about not being Gaussian."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from jaxgmm.families import distances
from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate, Family, Root, family
from jaxgmm.families.components import Components
from jaxgmm.families.constraints import UnitInterval, parameter
from jaxgmm.families.gaussian import filled_like, positive
from jaxgmm.families.namespace import einsum, namespace
from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.families.traits import BINARY, Traits
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.typing import Array, Float, Int, Key


@family
class Bernoulli(SharedFeatures, Family):
    """p(x | k) = Π_d μ_kd^x_d (1 − μ_kd)^(1 − x_d) for x_d in {0, 1}. (Bishop 2006, §9.3.3)

    The ridge is λ pseudo-observations of each value per row of the component, which keeps μ inside (0, 1).
    """

    means: Float[Array, "*r k d"] = parameter(UnitInterval())

    traits: ClassVar[Traits] = Traits("bernoulli", support=BINARY, means=UnitInterval(), means_called="success rates")

    @classmethod
    def from_means(cls, means: Float[Array, "*r k d"], centre: Float[Array, " d"], root: Root) -> Self:
        # A seed row says 0 or 1; halfway towards the data's own rates it excludes nothing yet.
        return cls(namespace(means, centre).clip(0.5 * (means + centre), 0.01, 0.99))

    @property
    def covariances(self) -> Float[Array, "*r k d"]:
        return self.means * (1 - self.means)

    def _log_odds(self) -> tuple[Float[Array, "*r k d"], Float[Array, "*r k d"]]:
        return UnitInterval.logs(self.means)

    def log_prob(self, x: Float[Array, "d b"]) -> Float[Array, "*r k b"]:
        on, off = self._log_odds()
        return einsum("...kd,...db->...kb", on, x) + einsum("...kd,...db->...kb", off, 1 - x)

    def moments(self, x: Float[Array, "d b"], r: Float[Array, "*r k b"]) -> Float[Array, "*r k d"]:
        """Σ_n r_kn x_n."""
        return einsum("...kb,...db->...kd", r, x)

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return tri.with_one(x)

    def natural(self) -> Float[Array, "*r k f"]:
        on, off = self._log_odds()
        xp = namespace(on)
        return xp.concatenate([xp.sum(off, axis=-1, keepdims=True), on - off], axis=-1)

    def moments_from_features(
        self, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"]
    ) -> Float[Array, "*r k d"]:
        return sums[..., 1:]

    def expected_log_prob(
        self, counts: Float[Array, "*r k"], moments: Float[Array, "*r k d"], other: Self
    ) -> Float[Array, "*r"]:
        on, off = other._log_odds()
        return namespace(counts, on).sum(moments * on + (counts[..., None] - moments) * off, axis=(-2, -1))

    def improve(self, counts: Float[Array, "*r k"], moments: Float[Array, "*r k d"], ridge: Root) -> Self:
        return type(self)((moments / positive(counts)[..., None] + ridge**2) / (1 + 2 * ridge**2))

    def ridge_trace(self, ridge: Root) -> Float[Array, "*r k"]:
        on, off = self._log_odds()
        return -2 * namespace(on, ridge).sum(ridge**2 * (on + off), axis=-1)

    def pseudo(self, prior: Conjugate) -> tuple[Float[Array, "*r k"], Float[Array, "*r k d"]]:
        # Beta(1 + s c, 1 + s (1 − c)): s rows at the rates c.
        counts = filled_like(self.means[..., 0], prior.strength)
        return counts, counts[..., None] * prior.centre

    def distances(self, other: Components, metric: str) -> np.ndarray:
        if not isinstance(other, Bernoulli):
            raise ArgumentError("other", "be 'bernoulli' as this mixture is", repr(other.traits.name))
        if metric != "bhattacharyya":
            raise ArgumentError("metric", "be 'bhattacharyya' for Bernoulli mixtures", repr(metric))
        return distances.bernoulli(self.means, other.means)

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        rates = self.means[labels]
        return (jax.random.uniform(key, rates.shape, rates.dtype) < rates).astype(rates.dtype)
