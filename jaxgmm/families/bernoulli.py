"""Independent binary features: the family that keeps the contract honest about not being Gaussian."""

from __future__ import annotations

from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key

from jaxgmm.families import distances
from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate, Family, Root, family
from jaxgmm.families.constraints import UnitInterval, parameter
from jaxgmm.families.gaussian import HIGHEST, positive
from jaxgmm.families.traits import BINARY, Traits
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array


@family
class Bernoulli(Family):
    """p(x | k) = Π_d μ_kd^x_d (1 − μ_kd)^(1 − x_d) for x_d in {0, 1}. (Bishop 2006, §9.3.3)

    The ridge is λ pseudo-observations of each value per row of the component, which keeps μ inside (0, 1).
    """

    means: Float[Array, "k d"] = parameter(UnitInterval())

    traits: ClassVar[Traits] = Traits("bernoulli", support=BINARY, means=UnitInterval(), means_called="success rates")

    @classmethod
    def from_means(cls, means: Float[Array, "k d"], centre: Float[Array, " d"], root: Root) -> Self:
        # A seed row says 0 or 1; halfway towards the data's own rates it excludes nothing yet.
        return cls(jnp.clip(0.5 * (means + centre), 0.01, 0.99))

    @property
    def covariances(self) -> Float[Array, "*r k d"]:
        return self.means * (1 - self.means)

    def _log_odds(self) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        return UnitInterval.logs(self.means)

    def log_prob(self, x: Float[Array, "d b"]) -> Float[Array, "k b"]:
        on, off = self._log_odds()
        dot = lambda a, b: jnp.einsum("kd,db->kb", a, b, precision=HIGHEST)  # noqa: E731
        return dot(on, x) + dot(off, 1 - x)

    def moments(self, x: Float[Array, "d b"], r: Float[Array, "k b"]) -> Float[Array, "k d"]:
        """Σ_n r_kn x_n."""
        return jnp.einsum("kb,db->kd", r, x, precision=HIGHEST)

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return tri.with_one(x)

    def natural(self) -> Float[Array, "k f"]:
        on, off = self._log_odds()
        return jnp.concatenate([jnp.sum(off, axis=1, keepdims=True), on - off], axis=1)

    def moments_from_features(self, sums: Float[Array, "k f"], common: Float[Array, " g"]) -> Float[Array, "k d"]:
        return sums[:, 1:]

    def conditioning(self) -> Float[Array, " k"]:
        # log p is linear in x to begin with: what is added up is no larger than the terms of the sum itself.
        on, off = self._log_odds()
        return jnp.sum(jnp.abs(on) + jnp.abs(off), axis=1)

    def expected_log_prob(
        self, counts: Float[Array, " k"], moments: Float[Array, "k d"], other: Self, ridge: Root
    ) -> Float[Array, ""]:
        on, off = other._log_odds()
        data = jnp.sum(moments * on + (counts[:, None] - moments) * off)
        return data - 0.5 * jnp.sum(counts * other.ridge_trace(ridge))

    def maximize(self, counts: Float[Array, " k"], moments: Float[Array, "k d"], ridge: Root) -> Self:
        return type(self)((moments / positive(counts)[:, None] + ridge**2) / (1 + 2 * ridge**2))

    def ridge_trace(self, ridge: Root) -> Float[Array, " k"]:
        on, off = self._log_odds()
        return -2 * jnp.sum(ridge**2 * (on + off), axis=1)

    def pseudo(self, prior: Conjugate) -> tuple[Float[Array, " k"], Float[Array, "k d"]]:
        # Beta(1 + s c, 1 + s (1 − c)): s rows at the rates c.
        counts = jnp.full_like(self.means[:, 0], prior.strength)
        return counts, counts[:, None] * prior.centre

    def collapsed(self) -> Bool[Array, " k"]:
        return ~jnp.all((self.means >= 0) & (self.means <= 1), axis=1)

    @property
    def rows_to_span(self) -> int:
        return 0

    def distances(self, other: Family, metric: str) -> np.ndarray:
        if not isinstance(other, Bernoulli):
            raise ArgumentError("other", "be 'bernoulli' as this mixture is", repr(other.traits.name))
        if metric != "bhattacharyya":
            raise ArgumentError("metric", "be 'bhattacharyya' for Bernoulli mixtures", repr(metric))
        return distances.bernoulli(self.means, other.means)

    def log_width(self) -> Float[Array, " k"]:
        return jnp.zeros_like(self.means[:, 0])  # a density over zeros and ones has no width to lose

    def move(self, other: Self) -> Float[Array, ""]:
        return jnp.max(jnp.abs(other.means - self.means))

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        rates = self.means[labels]
        return (jax.random.uniform(key, rates.shape, rates.dtype) < rates).astype(rates.dtype)

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return self  # rows of a Bernoulli mixture are never rescaled
