"""Gaussians, each with its own covariance matrix."""

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
    positive,
    rounded_off,
)  # fmt: skip
from jaxgmm.families.namespace import einsum, namespace, set_at
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.typing import Array, Float, Int, Key


@family
class FullGaussian(Gaussian):
    """Σ_k = L_k L_kᵀ, `scale_tril` = L."""

    means: Float[Array, "*r k d"] = parameter(Free())
    scale_tril: Float[Array, "*r k d d"] = parameter(LowerTriangular())

    traits: ClassVar[Traits] = Traits(
        "full", maps="linear", covariance_axes=("k", "d", "d"), gaussian=True, fewer_rows=("diag", "tied")
    )

    @property
    def root(self) -> Float[Array, "*r k d d"]:
        return self.scale_tril

    def with_root(self, root: Float[Array, "*r k d d"]) -> Self:
        return type(self)(self.means, root)

    @classmethod
    def from_means(cls, means: Float[Array, "*r k d"], centre: Float[Array, " d"], root: Root) -> Self:
        shape = (*means.shape, means.shape[-1])
        return cls(means, namespace(means, root).broadcast_to(tri.matrix(root), shape))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        covariances = checked_covariances(covariances, (*means.shape, means.shape[-1]), "(..., k, d, d)")
        return cls(means, checked_factor(covariances))

    @property
    def covariances(self) -> Float[Array, "*r k d d"]:
        return tri.covariance(self.scale_tril)

    def whiten(self, z: Float[Array, "*r k d b"]) -> Float[Array, "*r k d b"]:
        return einsum("...kde,...keb->...kdb", tri.inverse(self.scale_tril), z)

    def colour(self, y: Float[Array, "*r k d"]) -> Float[Array, "*r k d"]:
        return einsum("...kde,...ke->...kd", self.scale_tril, y)

    def log_det(self) -> Float[Array, "*r k"]:
        return tri.log_det(self.scale_tril)

    def second_moment(self, y: Float[Array, "*r k d b"], r: Float[Array, "*r k b"]) -> Float[Array, "*r k d d"]:
        return einsum("...kdb,...keb->...kde", y * r[..., None, :], y)

    def quadratic(self, counts: Float[Array, "*r k"], moments: Moments, other: Self) -> Float[Array, "*r"]:
        inverse = tri.inverse(other.scale_tril)
        a = einsum("...kde,...kef->...kdf", inverse, self.scale_tril)
        b = einsum("...kde,...ke->...kd", inverse, self.means - other.means)
        spread = einsum("...kde,...kef,...kdf->...", a, moments.second, a)
        cross = einsum("...kd,...kde,...ke->...", b, a, moments.first)
        xp = namespace(counts, b)
        return spread + 2 * cross + xp.sum(counts * xp.sum(b * b, axis=-1), axis=-1)

    def rescaled(
        self, means: Float[Array, "*r k d"], counts: Float[Array, "*r k"], offset: Float[Array, "*r k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        dof = positive(counts + moments.dof)
        share = (counts / dof)[..., None, None]
        second = moments.second / dof[..., None, None]
        m = second - share * offset[..., :, None] * offset[..., None, :]
        eye = namespace(m).eye(self.n_features, dtype=m.dtype)
        m = m + rounded_off(tri.trace(second))[..., None, None] * eye
        return type(self)(means, tri.update(self.scale_tril, m, ridge))

    def smallest_scale(self) -> Float[Array, "*r k d"]:
        return namespace(self.scale_tril).diagonal(self.scale_tril, axis1=-2, axis2=-1)

    def scatter(self, root: Root) -> Float[Array, "*r k d d"]:
        return tri.gram(tri.whitened(self.scale_tril, root))

    def prior_dof(self, prior: Conjugate) -> Float[Array, "*r k"]:
        return filled_like(self.means[..., 0], prior.dof + self.n_features + 1)

    def moved(self, other: Self) -> tuple[Float[Array, "*r k d"], Float[Array, "*r k d d"]]:
        inverse = tri.inverse(self.scale_tril)
        means = einsum("...kde,...ke->...kd", inverse, other.means - self.means)
        return abs(means), tri.turned(inverse, other.scale_tril)

    def ridge_trace(self, ridge: Root) -> Float[Array, "*r k"]:
        return tri.squared_norm(tri.whitened(self.scale_tril, ridge))

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return tri.pairs(tri.with_one(x))

    def natural(self) -> Float[Array, "*r k f"]:
        whitener = tri.augmented_whitener(self.means, tri.inverse(self.scale_tril))
        form = -0.5 * einsum("...kdi,...kdj->...kij", whitener[..., 1:, :], whitener[..., 1:, :])
        constant = form[..., 0, 0] + (-self.log_det() - 0.5 * self.n_features * LOG_2PI)
        return tri.pair_coefficients(set_at(form, (..., 0, 0), constant))

    def moments_from_features(self, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"]) -> Moments:
        whitener = tri.augmented_whitener(self.means, tri.inverse(self.scale_tril))
        raw = tri.symmetric(sums, self.n_features + 1)
        about = tri.congruent(whitener, raw)
        return Moments(about[..., 1:, 0], about[..., 1:, 1:], namespace(sums).zeros_like(sums[..., 0]))

    @classmethod
    def seen_from(
        cls, theta: Float[Array, "*r k f"], psi: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        d = shift.shape[-1]
        constant, slope, form = theta[..., 0], theta[..., 1 : d + 1], tri.form(theta[..., d + 1 :], d)
        turned = einsum("...kde,...ke->...kd", form, shift)
        constant = constant + namespace(slope).sum((slope + turned) * shift, axis=-1)
        slope = tri.apply_transposed(root, slope + 2 * turned)
        form = tri.apply_transposed(root, tri.apply_transposed(root, form).swapaxes(-1, -2))
        return namespace(form).concatenate([constant[..., None], slope, tri.pair_coefficients(form)], axis=-1), psi

    @classmethod
    def carried(
        cls, sums: Float[Array, "*r k f"], common: Float[Array, "*r g"], shift: Float[Array, "*r k d"], root: Root
    ) -> tuple[Float[Array, "*r k f"], Float[Array, "*r g"]]:
        d = shift.shape[-1]
        counts, raw = sums[..., :1], tri.apply(root, sums[..., 1 : d + 1])
        square = tri.apply(root, tri.apply(root, tri.symmetric(sums[..., d + 1 :], d)).swapaxes(-1, -2))
        half = raw + 0.5 * counts * shift
        square = square + half[..., :, None] * shift[..., None, :] + shift[..., :, None] * half[..., None, :]
        return namespace(raw).concatenate([counts, raw + counts * shift, tri.upper(square)], axis=-1), common

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(key, (labels.shape[0], self.n_features), self.means.dtype)
        return self.means[labels] + einsum("nde,ne->nd", self.scale_tril[labels], noise)

    def compose(self, inner: Self) -> Self:
        factor = einsum("...kde,...kef->...kdf", self.scale_tril, inner.scale_tril)
        return type(self)(self.means + self.colour(inner.means), factor)

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return type(self)(tri.apply(root, self.means) + shift, tri.apply_left(root, self.scale_tril))
