"""Gaussians that share one covariance matrix: what differs between components is linear in x alone."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate, Root, checked_means, family
from jaxgmm.families.constraints import Free, LowerTriangular, parameter
from jaxgmm.families.gaussian import (
    LOG_2PI,
    Gaussian,
    Moments,
    checked_covariances,
    checked_factor,
    filled_like,
    rounded_off,
)  # fmt: skip
from jaxgmm.families.namespace import einsum, namespace
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.typing import Array, Float, Int, Key


@family
class TiedGaussian(Gaussian):
    """Σ_k = L Lᵀ for every k, `scale_tril` = L. The second moment is pooled: Σ_k Σ_n r y yᵀ, (d, d)."""

    means: Float[Array, "*r k d"] = parameter(Free())
    scale_tril: Float[Array, "*r d d"] = parameter(LowerTriangular())

    traits: ClassVar[Traits] = Traits(
        "tied", maps="linear", covariance_axes=("d", "d"), shared=("scale_tril",), gaussian=True
    )

    @property
    def root(self) -> Float[Array, "*r d d"]:
        return self.scale_tril

    def with_root(self, root: Float[Array, "*r d d"]) -> Self:
        return type(self)(self.means, root)

    @classmethod
    def from_means(cls, means: Float[Array, "*r k d"], centre: Float[Array, " d"], root: Root) -> Self:
        shape = (*means.shape[:-2], means.shape[-1], means.shape[-1])
        return cls(means, namespace(means, root).broadcast_to(tri.matrix(root), shape))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        d = means.shape[-1]
        covariances = checked_covariances(covariances, (*means.shape[:-2], d, d), "(..., d, d)")
        return cls(means, checked_factor(covariances))

    @property
    def covariances(self) -> Float[Array, "*r d d"]:
        return tri.covariance(self.scale_tril)

    def whiten(self, z: Float[Array, "*r k d b"]) -> Float[Array, "*r k d b"]:
        return einsum("...de,...keb->...kdb", tri.inverse(self.scale_tril), z)

    def colour(self, y: Float[Array, "*r k d"]) -> Float[Array, "*r k d"]:
        return einsum("...de,...ke->...kd", self.scale_tril, y)

    def log_det(self) -> Float[Array, "*r k"]:
        return self._everywhere(tri.log_det(self.scale_tril))

    def second_moment(self, y: Float[Array, "*r k d b"], r: Float[Array, "*r k b"]) -> Float[Array, "*r d d"]:
        return einsum("...kdb,...keb->...de", y * r[..., None, :], y)

    def quadratic(self, counts: Float[Array, "*r k"], moments: Moments, other: Self) -> Float[Array, "*r"]:
        inverse = tri.inverse(other.scale_tril)
        a = einsum("...de,...ef->...df", inverse, self.scale_tril)
        b = einsum("...de,...ke->...kd", inverse, self.means - other.means)
        spread = einsum("...de,...ef,...df->...", a, moments.second, a)
        cross = einsum("...kd,...de,...ke->...", b, a, moments.first)
        xp = namespace(counts, b)
        return spread + 2 * cross + xp.sum(counts * xp.sum(b * b, axis=-1), axis=-1)

    def rescaled(
        self, means: Float[Array, "*r k d"], counts: Float[Array, "*r k"], offset: Float[Array, "*r k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        xp = namespace(counts, offset)
        between = einsum("...k,...kd,...ke->...de", counts, offset, offset)
        dof = xp.sum(counts + moments.dof, axis=-1)[..., None, None]
        slack = rounded_off(tri.trace(moments.second / dof))[..., None, None]
        m = (moments.second - between) / dof + slack * xp.eye(self.n_features, dtype=offset.dtype)
        return type(self)(means, tri.update(self.scale_tril, m, ridge))

    def scatter(self, root: Root) -> Float[Array, "*r d d"]:
        return tri.gram(tri.whitened(self.scale_tril, root))

    def prior_dof(self, prior: Conjugate) -> Float[Array, "*r k"]:
        # There is one Σ, and one prior of it, in the sum over components.
        return filled_like(self.means[..., 0], (prior.dof + self.n_features + 1) / self.n_components)

    def moved(self, other: Self) -> tuple[Float[Array, "*r k d"], Float[Array, "*r d d"]]:
        inverse = tri.inverse(self.scale_tril)
        means = einsum("...de,...ke->...kd", inverse, other.means - self.means)
        return abs(means), tri.turned(inverse, other.scale_tril)

    def _everywhere(self, value: Float[Array, "*r"]) -> Float[Array, "*r k"]:
        """What is true of the one covariance, for every component."""
        return namespace(value).broadcast_to(value[..., None], self.means.shape[:-1])

    def smallest_scale(self) -> Float[Array, "*r k d"]:
        xp = namespace(self.scale_tril)
        diagonal = xp.diagonal(self.scale_tril, axis1=-2, axis2=-1)
        return xp.broadcast_to(diagonal[..., None, :], self.means.shape)

    def ridge_trace(self, ridge: Root) -> Float[Array, "*r k"]:
        return self._everywhere(tri.squared_norm(tri.whitened(self.scale_tril, ridge)))

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return tri.with_one(x)

    def natural(self) -> Float[Array, "*r k f"]:
        inverse = tri.inverse(self.scale_tril)
        whitened = einsum("...de,...ke->...kd", inverse, self.means)
        slope = einsum("...de,...kd->...ke", inverse, whitened)
        normaliser = self.log_det() + 0.5 * self.n_features * LOG_2PI
        xp = namespace(slope)
        constant = -0.5 * xp.sum(whitened**2, axis=-1) - normaliser
        return xp.concatenate([constant[..., None], slope], axis=-1)

    @staticmethod
    def common_features(x: Float[Array, "d b"]) -> Float[Array, "g b"]:
        return tri.pairs(x)

    def common_natural(self) -> Float[Array, "*r g"]:
        inverse = tri.inverse(self.scale_tril)
        return tri.pair_coefficients(-0.5 * einsum("...di,...dj->...ij", inverse, inverse))

    def moments_from_features(self, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"]) -> Moments:
        counts, raw = sums[..., 0], sums[..., 1:]
        mixed = einsum("...kd,...ke->...de", raw, self.means)
        own = einsum("...k,...kd,...ke->...de", counts, self.means, self.means)
        second = tri.symmetric(common, self.n_features) - mixed - mixed.swapaxes(-1, -2) + own
        inverse = tri.inverse(self.scale_tril)
        first = einsum("...de,...ke->...kd", inverse, raw - counts[..., None] * self.means)
        pooled = tri.congruent(inverse, second)
        return Moments(first, pooled, namespace(counts).zeros_like(counts))

    @classmethod
    def seen_from(
        cls, theta: Float[Array, "*r k f"], psi: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        constant, slope, form = theta[..., 0], theta[..., 1:], tri.form(psi, shift.shape[-1])
        turned = einsum("...de,...ke->...kd", form, shift)
        constant = constant + namespace(slope).sum((slope + turned) * shift, axis=-1)
        slope = tri.apply_transposed(root, slope + 2 * turned)
        form = tri.apply_transposed(root, tri.apply_transposed(root, form).swapaxes(-1, -2))
        theta = namespace(slope).concatenate([constant[..., None], slope], axis=-1)
        return theta, tri.pair_coefficients(form)

    @classmethod
    def carried(
        cls, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        # Every row counts as one in all: its square about each component's own point follows from that about them all.
        counts, raw = sums[..., :1], tri.apply(root, sums[..., 1:])
        square = tri.symmetric(common, shift.shape[-1])
        square = tri.apply(root, tri.apply(root, square).swapaxes(-1, -2))
        mixed = einsum("...kd,...ke->...de", raw + 0.5 * counts * shift, shift)
        square = square + mixed + mixed.swapaxes(-1, -2)
        return namespace(raw).concatenate([counts, raw + counts * shift], axis=-1), tri.upper(square)

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(key, (labels.shape[0], self.n_features), self.means.dtype)
        return self.means[labels] + einsum("de,ne->nd", self.scale_tril, noise)

    def compose(self, inner: Self) -> Self:
        factor = einsum("...de,...ef->...df", self.scale_tril, inner.scale_tril)
        return type(self)(self.means + self.colour(inner.means), factor)

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return type(self)(tri.apply(root, self.means) + shift, tri.apply_left(root, self.scale_tril))
