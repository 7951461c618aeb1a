"""Gaussians with diagonal covariances, and with a multiple of the identity: a scale in place of a matrix."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate, Root, checked_means, family
from jaxgmm.families.constraints import Free, Positive, parameter
from jaxgmm.families.gaussian import (
    HIGHEST,
    LOG_2PI,
    Gaussian,
    Moments,
    checked_covariances,
    checked_scale,
    factor_scale,
    positive,
    rounded_off,
)  # fmt: skip
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.typing import Array


@dataclass(frozen=True)
class ScaledGaussian(Gaussian):
    """Σ_k diagonal: `scale` holds standard deviations, (k, d), or (k, 1) where one serves all features."""

    means: Float[Array, "k d"] = parameter(Free())
    scale: Float[Array, "k s"] = parameter(Positive())

    @property
    def root(self) -> Float[Array, "k s"]:
        return self.scale

    def with_root(self, root: Float[Array, "k s"]) -> Self:
        return type(self)(self.means, root)

    @abstractmethod
    def contract(self, square: Float[Array, "k d"]) -> Float[Array, "k s"]:
        """Per-feature squares to the structure's: themselves, or their mean."""

    def per_feature(self, values: Float[Array, "k s"]) -> Float[Array, "k d"]:
        return jnp.broadcast_to(values, self.means.shape)

    @property
    def multiplicity(self) -> int:
        """How many features one scale serves."""
        return self.n_features // self.scale.shape[-1]

    def whiten(self, z: Float[Array, "k d b"]) -> Float[Array, "k d b"]:
        return z / self.scale[:, :, None]

    def colour(self, y: Float[Array, "k d"]) -> Float[Array, "k d"]:
        return self.scale * y

    def log_det(self) -> Float[Array, " k"]:
        return jnp.sum(jnp.log(self.per_feature(self.scale)), axis=1)

    def second_moment(self, y: Float[Array, "k d b"], r: Float[Array, "k b"]) -> Float[Array, "k s"]:
        return self.contract(jnp.einsum("kdb,kb->kd", y * y, r, precision=HIGHEST))

    def quadratic(self, counts: Float[Array, " k"], moments: Moments, other: Self) -> Float[Array, ""]:
        a = self.scale / other.scale
        b = (self.means - other.means) / other.scale
        spread = self.multiplicity * jnp.sum(a**2 * moments.second)
        cross = jnp.sum(a * b * moments.first)
        return spread + 2 * cross + jnp.sum(counts * jnp.sum(b * b, axis=1))

    def rescaled(
        self, means: Float[Array, "k d"], counts: Float[Array, " k"], offset: Float[Array, "k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        # The second moment is a mean over the features that a scale serves; so are the rows its prior is worth.
        dof = positive(counts + moments.dof)[:, None]
        second = moments.second / dof
        m = second - counts[:, None] / dof * self.contract(offset**2) + rounded_off(second)
        return type(self)(means, self.scale * factor_scale(m + self.contract((ridge / self.scale) ** 2)))

    def scatter(self, root: Root) -> Float[Array, "k s"]:
        return self.contract((root / self.scale) ** 2) / self.multiplicity

    def prior_dof(self, prior: Conjugate) -> Float[Array, " k"]:
        return jnp.full_like(self.means[:, 0], (prior.dof + 2) / self.multiplicity)

    @property
    def rows_to_span(self) -> int:
        return 2

    def move(self, other: Self) -> Float[Array, ""]:
        moved = jnp.max(jnp.abs((other.means - self.means) / self.scale))
        return jnp.maximum(moved, jnp.max(jnp.abs(other.scale / self.scale - 1)))

    def smallest_scale(self) -> Float[Array, "k s"]:
        return self.scale

    def spread(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        return self.multiplicity * jnp.sum(self.scale**2, axis=1), jnp.max(self.scale**-2, axis=1)

    def ridge_trace(self, ridge: Root) -> Float[Array, " k"]:
        return jnp.sum((ridge / self.scale) ** 2, axis=1)

    def moments_from_features(self, sums: Float[Array, "k f"], common: Float[Array, " g"]) -> Moments:
        d = self.n_features
        counts, raw, square = sums[:, :1], sums[:, 1 : d + 1], sums[:, d + 1 :]
        first = raw - counts * self.means
        cross = self.contract(self.means * (2 * raw - counts * self.means))
        second = (square / self.multiplicity - cross) / self.scale**2
        return Moments(first / self.scale, second, jnp.zeros_like(sums[:, 0]))

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(key, (labels.shape[0], self.n_features), self.means.dtype)
        return self.means[labels] + self.scale[labels] * noise

    def compose(self, inner: Self) -> Self:
        return type(self)(self.means + self.colour(inner.means), self.scale * inner.scale)

    def natural(self) -> Float[Array, "k f"]:
        precision = self.scale**-2
        normaliser = self.log_det() + 0.5 * self.n_features * LOG_2PI
        constant = -0.5 * jnp.sum(self.means**2 * precision, axis=1) - normaliser
        return jnp.concatenate([constant[:, None], self.means * precision, -0.5 * precision], axis=1)


@family
class DiagGaussian(ScaledGaussian):
    """Σ_k = diag(σ_k²), `scale` = σ, (k, d)."""

    traits: ClassVar[Traits] = Traits(
        "diag", maps="feature", covariance_axes=("k", "d"), gaussian=True, fewer_rows=("tied",)
    )

    @classmethod
    def from_means(cls, means: Float[Array, "k d"], centre: Float[Array, " d"], root: Root) -> Self:
        return cls(means, jnp.broadcast_to(root, means.shape))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        return cls(
            jnp.asarray(means),
            jnp.asarray(checked_scale(checked_covariances(covariances, means.shape, "(..., k, d)"))),
        )

    @property
    def covariances(self) -> Float[Array, "*r k d"]:
        return self.scale**2

    def contract(self, square: Float[Array, "k d"]) -> Float[Array, "k d"]:
        return square

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return jnp.concatenate([tri.with_one(x), x * x])

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return type(self)(self.means * root + shift, self.scale * root)


@family
class SphericalGaussian(ScaledGaussian):
    """Σ_k = σ_k² I, `scale` = σ, (k, 1). The second moment is the mean over features, Σ r |y|²/d."""

    traits: ClassVar[Traits] = Traits("spherical", maps="scalar", covariance_axes=("k",), gaussian=True)

    @classmethod
    def from_means(cls, means: Float[Array, "k d"], centre: Float[Array, " d"], root: Root) -> Self:
        return cls(means, jnp.broadcast_to(jnp.sqrt(jnp.mean(root**2)), (means.shape[0], 1)))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        covariances = checked_covariances(covariances, means.shape[:-1], "(..., k)")
        return cls(jnp.asarray(means), jnp.asarray(checked_scale(covariances))[..., None])

    @property
    def covariances(self) -> Float[Array, "*r k"]:
        return self.scale[..., 0] ** 2

    def contract(self, square: Float[Array, "k d"]) -> Float[Array, "k 1"]:
        return jnp.mean(square, axis=1, keepdims=True)

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return jnp.concatenate([tri.with_one(x), jnp.sum(x * x, axis=0, keepdims=True)])

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        # One scalar by contract (`Traits.maps`), so any feature's serves.
        return type(self)(self.means * root + shift, self.scale * root[:1])
