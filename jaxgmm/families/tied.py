"""Gaussians that share one covariance matrix: what differs between components is linear in x alone."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from jaxgmm.families import linalg as tri
from jaxgmm.families.base import Conjugate, Root, checked_means, family
from jaxgmm.families.constraints import Free, LowerTriangular, parameter
from jaxgmm.families.gaussian import (
    HIGHEST,
    LOG_2PI,
    Gaussian,
    Moments,
    checked_covariances,
    checked_factor,
    rounded_off,
)  # fmt: skip
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.typing import Array


@family
class TiedGaussian(Gaussian):
    """Σ_k = L Lᵀ for every k, `scale_tril` = L. The second moment is pooled: Σ_k Σ_n r y yᵀ, (d, d)."""

    means: Float[Array, "k d"] = parameter(Free())
    scale_tril: Float[Array, "d d"] = parameter(LowerTriangular())

    traits: ClassVar[Traits] = Traits(
        "tied", maps="linear", covariance_axes=("d", "d"), shared=("scale_tril",), gaussian=True
    )

    @property
    def root(self) -> Float[Array, "d d"]:
        return self.scale_tril

    def with_root(self, root: Float[Array, "d d"]) -> Self:
        return type(self)(self.means, root)

    @classmethod
    def from_means(cls, means: Float[Array, "k d"], centre: Float[Array, " d"], root: Root) -> Self:
        return cls(means, tri.matrix(root))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        d = means.shape[-1]
        covariances = checked_covariances(covariances, (*means.shape[:-2], d, d), "(..., d, d)")
        return cls(jnp.asarray(means), jnp.asarray(checked_factor(covariances)))

    @property
    def covariances(self) -> Float[Array, "*r d d"]:
        return tri.covariance(self.scale_tril)

    def whiten(self, z: Float[Array, "k d b"]) -> Float[Array, "k d b"]:
        return jnp.einsum("de,keb->kdb", tri.inverse(self.scale_tril), z, precision=HIGHEST)

    def colour(self, y: Float[Array, "k d"]) -> Float[Array, "k d"]:
        return jnp.einsum("de,ke->kd", self.scale_tril, y, precision=HIGHEST)

    def log_det(self) -> Float[Array, " k"]:
        return jnp.broadcast_to(tri.log_det(self.scale_tril), (self.n_components,))

    def second_moment(self, y: Float[Array, "k d b"], r: Float[Array, "k b"]) -> Float[Array, "d d"]:
        return jnp.einsum("kdb,keb->de", y * r[:, None, :], y, precision=HIGHEST)

    def quadratic(self, counts: Float[Array, " k"], moments: Moments, other: Self) -> Float[Array, ""]:
        inverse = tri.inverse(other.scale_tril)
        a = jnp.einsum("de,ef->df", inverse, self.scale_tril, precision=HIGHEST)
        b = jnp.einsum("de,ke->kd", inverse, self.means - other.means, precision=HIGHEST)
        spread = jnp.einsum("de,ef,df->", a, moments.second, a, precision=HIGHEST)
        cross = jnp.einsum("kd,de,ke->", b, a, moments.first, precision=HIGHEST)
        return spread + 2 * cross + jnp.sum(counts * jnp.sum(b * b, axis=1))

    def rescaled(
        self, means: Float[Array, "k d"], counts: Float[Array, " k"], offset: Float[Array, "k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        between = jnp.einsum("k,kd,ke->de", counts, offset, offset, precision=HIGHEST)
        dof = jnp.sum(counts + moments.dof)
        slack = rounded_off(tri.trace(moments.second / dof))
        m = (moments.second - between) / dof + slack * jnp.eye(self.n_features, dtype=offset.dtype)
        return type(self)(means, tri.update(self.scale_tril, m, ridge))

    def scatter(self, root: Root) -> Float[Array, "d d"]:
        return tri.gram(tri.whitened(self.scale_tril, root))

    def prior_dof(self, prior: Conjugate) -> Float[Array, " k"]:
        # There is one Σ, and one prior of it, in the sum over components.
        return jnp.full_like(self.means[:, 0], (prior.dof + self.n_features + 1) / self.n_components)

    @property
    def rows_to_span(self) -> int:
        return 0

    def move(self, other: Self) -> Float[Array, ""]:
        return tri.largest_move(self.scale_tril, self.means, other.scale_tril, other.means)

    def smallest_scale(self) -> Float[Array, "k d"]:
        return jnp.broadcast_to(jnp.diagonal(self.scale_tril), self.means.shape)

    def spread(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return tri.squared_norm(self.scale_tril), tri.largest_eigenvalue(tri.inverse(self.scale_tril))

    def ridge_trace(self, ridge: Root) -> Float[Array, " k"]:
        trace = tri.squared_norm(tri.whitened(self.scale_tril, ridge))
        return jnp.broadcast_to(trace, (self.n_components,))

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return tri.with_one(x)

    def natural(self) -> Float[Array, "k f"]:
        inverse = tri.inverse(self.scale_tril)
        whitened = jnp.einsum("de,ke->kd", inverse, self.means, precision=HIGHEST)
        slope = jnp.einsum("de,kd->ke", inverse, whitened, precision=HIGHEST)
        normaliser = self.log_det() + 0.5 * self.n_features * LOG_2PI
        constant = -0.5 * jnp.sum(whitened**2, axis=1) - normaliser
        return jnp.concatenate([constant[:, None], slope], axis=1)

    @staticmethod
    def common_features(x: Float[Array, "d b"]) -> Float[Array, "g b"]:
        return tri.pairs(x)

    def common_natural(self) -> Float[Array, " g"]:
        inverse = tri.inverse(self.scale_tril)
        return tri.pair_coefficients(-0.5 * jnp.einsum("di,dj->ij", inverse, inverse, precision=HIGHEST))

    def moments_from_features(self, sums: Float[Array, "k f"], common: Float[Array, " g"]) -> Moments:
        counts, raw = sums[:, 0], sums[:, 1:]
        mixed = jnp.einsum("kd,ke->de", raw, self.means, precision=HIGHEST)
        own = jnp.einsum("k,kd,ke->de", counts, self.means, self.means, precision=HIGHEST)
        second = tri.symmetric(common, self.n_features) - mixed - mixed.T + own
        inverse = tri.inverse(self.scale_tril)
        first = jnp.einsum("de,ke->kd", inverse, raw - counts[:, None] * self.means, precision=HIGHEST)
        pooled = tri.congruent(inverse, second)
        return Moments(first, pooled, jnp.zeros_like(counts))

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(key, (labels.shape[0], self.n_features), self.means.dtype)
        return self.means[labels] + jnp.einsum("de,ne->nd", self.scale_tril, noise, precision=HIGHEST)

    def compose(self, inner: Self) -> Self:
        factor = jnp.einsum("de,ef->df", self.scale_tril, inner.scale_tril, precision=HIGHEST)
        return type(self)(self.means + self.colour(inner.means), factor)

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return type(self)(tri.apply(root, self.means) + shift, tri.apply_left(root, self.scale_tril))
