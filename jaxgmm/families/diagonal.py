"""Gaussians with diagonal covariances, and with a multiple of the identity: a scale in place of a matrix."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate, Root, checked_means, family
from jaxgmm.families.constraints import Free, Positive, parameter
from jaxgmm.families.gaussian import (
    LOG_2PI,
    Gaussian,
    Moments,
    checked_covariances,
    checked_scale,
    factor_scale,
    filled_like,
    positive,
    rounded_off,
)  # fmt: skip
from jaxgmm.families.namespace import einsum, namespace
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.typing import Array, Float, Int, Key


@dataclass(frozen=True)
class ScaledGaussian(Gaussian):
    """Σ_k diagonal: `scale` holds standard deviations, (k, d), or (k, 1) where one serves all features."""

    means: Float[Array, "*r k d"] = parameter(Free())
    scale: Float[Array, "*r k s"] = parameter(Positive())

    @property
    def root(self) -> Float[Array, "*r k s"]:
        return self.scale

    def with_root(self, root: Float[Array, "*r k s"]) -> Self:
        return type(self)(self.means, root)

    @abstractmethod
    def contract(self, square: Float[Array, "*r k d"]) -> Float[Array, "*r k s"]:
        """Per-feature squares to the structure's: themselves, or their mean."""

    def per_feature(self, values: Float[Array, "*r k s"]) -> Float[Array, "*r k d"]:
        return namespace(values).broadcast_to(values, self.means.shape)

    @property
    def multiplicity(self) -> int:
        """How many features one scale serves."""
        return self.n_features // self.scale.shape[-1]

    def whiten(self, z: Float[Array, "*r k d b"]) -> Float[Array, "*r k d b"]:
        return z / self.scale[..., None]

    def colour(self, y: Float[Array, "*r k d"]) -> Float[Array, "*r k d"]:
        return self.scale * y

    def log_det(self) -> Float[Array, "*r k"]:
        xp = namespace(self.scale)
        return xp.sum(xp.log(self.per_feature(self.scale)), axis=-1)

    def second_moment(self, y: Float[Array, "*r k d b"], r: Float[Array, "*r k b"]) -> Float[Array, "*r k s"]:
        return self.contract(einsum("...kdb,...kb->...kd", y * y, r))

    def quadratic(self, counts: Float[Array, "*r k"], moments: Moments, other: Self) -> Float[Array, "*r"]:
        a = self.scale / other.scale
        b = (self.means - other.means) / other.scale
        xp = namespace(counts, b)
        spread = self.multiplicity * xp.sum(a**2 * moments.second, axis=(-2, -1))
        cross = xp.sum(a * b * moments.first, axis=(-2, -1))
        return spread + 2 * cross + xp.sum(counts * xp.sum(b * b, axis=-1), axis=-1)

    def rescaled(
        self, means: Float[Array, "*r k d"], counts: Float[Array, "*r k"], offset: Float[Array, "*r k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        # The second moment is a mean over the features that a scale serves; so are the rows its prior is worth.
        dof = positive(counts + moments.dof)[..., None]
        second = moments.second / dof
        m = second - counts[..., None] / dof * self.contract(offset**2) + rounded_off(second)
        return type(self)(means, self.scale * factor_scale(m + self.contract((ridge / self.scale) ** 2)))

    def scatter(self, root: Root) -> Float[Array, "*r k s"]:
        return self.contract((root / self.scale) ** 2) / self.multiplicity

    def prior_dof(self, prior: Conjugate) -> Float[Array, "*r k"]:
        return filled_like(self.means[..., 0], (prior.dof + 2) / self.multiplicity)

    def moved(self, other: Self) -> tuple[Float[Array, "*r k d"], Float[Array, "*r k s"]]:
        return abs((other.means - self.means) / self.scale), abs(other.scale / self.scale - 1)

    def smallest_scale(self) -> Float[Array, "*r k s"]:
        return self.scale

    def ridge_trace(self, ridge: Root) -> Float[Array, "*r k"]:
        return namespace(self.scale, ridge).sum((ridge / self.scale) ** 2, axis=-1)

    def moments_from_features(self, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"]) -> Moments:
        d = self.n_features
        counts, raw, square = sums[..., :1], sums[..., 1 : d + 1], sums[..., d + 1 :]
        first = raw - counts * self.means
        cross = self.contract(self.means * (2 * raw - counts * self.means))
        second = (square / self.multiplicity - cross) / self.scale**2
        return Moments(first / self.scale, second, namespace(sums).zeros_like(sums[..., 0]))

    @staticmethod
    @abstractmethod
    def summed(square: Float[Array, "*r k d"]) -> Float[Array, "*r k s"]:
        """Per-feature squares to those of the features: themselves, or their sum."""

    @classmethod
    def seen_from(
        cls, theta: Float[Array, "*r k f"], psi: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        d, xp = shift.shape[-1], namespace(theta, shift)
        constant, slope, square = theta[..., :1], theta[..., 1 : d + 1], theta[..., d + 1 :]
        constant = constant + xp.sum((slope + square * shift) * shift, axis=-1, keepdims=True)
        slope = root * (slope + 2 * square * shift)
        return xp.concatenate([constant, slope, square * root[: square.shape[-1]] ** 2], axis=-1), psi

    @classmethod
    def carried(
        cls, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        d, xp = shift.shape[-1], namespace(sums, shift)
        counts, raw, square = sums[..., :1], root * sums[..., 1 : d + 1], sums[..., d + 1 :]
        square = square * root[: square.shape[-1]] ** 2 + cls.summed((2 * raw + counts * shift) * shift)
        return xp.concatenate([counts, raw + counts * shift, square], axis=-1), common

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(key, (labels.shape[0], self.n_features), self.means.dtype)
        return self.means[labels] + self.scale[labels] * noise

    def compose(self, inner: Self) -> Self:
        return type(self)(self.means + self.colour(inner.means), self.scale * inner.scale)

    def natural(self) -> Float[Array, "*r k f"]:
        precision = self.scale**-2
        normaliser = self.log_det() + 0.5 * self.n_features * LOG_2PI
        xp = namespace(precision)
        constant = -0.5 * xp.sum(self.means**2 * precision, axis=-1) - normaliser
        return xp.concatenate([constant[..., None], self.means * precision, -0.5 * precision], axis=-1)


@family
class DiagGaussian(ScaledGaussian):
    """Σ_k = diag(σ_k²), `scale` = σ, (k, d)."""

    traits: ClassVar[Traits] = Traits(
        "diag", maps="feature", covariance_axes=("k", "d"), gaussian=True, fewer_rows=("tied",)
    )

    @classmethod
    def from_means(cls, means: Float[Array, "*r k d"], centre: Float[Array, " d"], root: Root) -> Self:
        return cls(means, namespace(means, root).broadcast_to(root, means.shape))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        return cls(means, checked_scale(checked_covariances(covariances, means.shape, "(..., k, d)")))

    @property
    def covariances(self) -> Float[Array, "*r k d"]:
        return self.scale**2

    def contract(self, square: Float[Array, "*r k d"]) -> Float[Array, "*r k d"]:
        return square

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return namespace(x).concatenate([tri.with_one(x), x * x])

    @staticmethod
    def summed(square: Float[Array, "*r k d"]) -> Float[Array, "*r k d"]:
        return square

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return type(self)(self.means * root + shift, self.scale * root)


@family
class SphericalGaussian(ScaledGaussian):
    """Σ_k = σ_k² I, `scale` = σ, (k, 1). The second moment is the mean over features, Σ r |y|²/d."""

    traits: ClassVar[Traits] = Traits("spherical", maps="scalar", covariance_axes=("k",), gaussian=True)

    @classmethod
    def from_means(cls, means: Float[Array, "*r k d"], centre: Float[Array, " d"], root: Root) -> Self:
        xp = namespace(means, root)
        return cls(means, xp.broadcast_to(xp.sqrt(xp.mean(root**2)), (*means.shape[:-1], 1)))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        covariances = checked_covariances(covariances, means.shape[:-1], "(..., k)")
        return cls(means, checked_scale(covariances)[..., None])

    @property
    def covariances(self) -> Float[Array, "*r k"]:
        return self.scale[..., 0] ** 2

    def contract(self, square: Float[Array, "*r k d"]) -> Float[Array, "*r k 1"]:
        return namespace(square).mean(square, axis=-1, keepdims=True)

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        xp = namespace(x)
        return xp.concatenate([tri.with_one(x), xp.sum(x * x, axis=0, keepdims=True)])

    @staticmethod
    def summed(square: Float[Array, "*r k d"]) -> Float[Array, "*r k 1"]:
        return namespace(square).sum(square, axis=-1, keepdims=True)

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        # One scalar by contract (`Traits.maps`), so any feature's serves.
        return type(self)(self.means * root + shift, self.scale * root[:1])
