"""Gaussians, each with its own covariance matrix."""

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
    positive,
    rounded_off,
)  # fmt: skip
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.typing import Array


@family
class FullGaussian(Gaussian):
    """Σ_k = L_k L_kᵀ, `scale_tril` = L."""

    means: Float[Array, "k d"] = parameter(Free())
    scale_tril: Float[Array, "k d d"] = parameter(LowerTriangular())

    traits: ClassVar[Traits] = Traits(
        "full", maps="linear", covariance_axes=("k", "d", "d"), gaussian=True, fewer_rows=("diag", "tied")
    )

    @property
    def root(self) -> Float[Array, "k d d"]:
        return self.scale_tril

    def with_root(self, root: Float[Array, "k d d"]) -> Self:
        return type(self)(self.means, root)

    @classmethod
    def from_means(cls, means: Float[Array, "k d"], centre: Float[Array, " d"], root: Root) -> Self:
        k, d = means.shape
        return cls(means, jnp.broadcast_to(tri.matrix(root), (k, d, d)))

    @classmethod
    def from_covariances(cls, means: Any, covariances: Any) -> Self:
        means = checked_means(means, Free())
        covariances = checked_covariances(covariances, (*means.shape, means.shape[-1]), "(..., k, d, d)")
        return cls(jnp.asarray(means), jnp.asarray(checked_factor(covariances)))

    @property
    def covariances(self) -> Float[Array, "*r k d d"]:
        return tri.covariance(self.scale_tril)

    def whiten(self, z: Float[Array, "k d b"]) -> Float[Array, "k d b"]:
        return jnp.einsum("kde,keb->kdb", tri.inverse(self.scale_tril), z, precision=HIGHEST)

    def colour(self, y: Float[Array, "k d"]) -> Float[Array, "k d"]:
        return jnp.einsum("kde,ke->kd", self.scale_tril, y, precision=HIGHEST)

    def log_det(self) -> Float[Array, " k"]:
        return tri.log_det(self.scale_tril)

    def second_moment(self, y: Float[Array, "k d b"], r: Float[Array, "k b"]) -> Float[Array, "k d d"]:
        return jnp.einsum("kdb,keb->kde", y * r[:, None, :], y, precision=HIGHEST)

    def quadratic(self, counts: Float[Array, " k"], moments: Moments, other: Self) -> Float[Array, ""]:
        inverse = tri.inverse(other.scale_tril)
        a = jnp.einsum("kde,kef->kdf", inverse, self.scale_tril, precision=HIGHEST)
        b = jnp.einsum("kde,ke->kd", inverse, self.means - other.means, precision=HIGHEST)
        spread = jnp.einsum("kde,kef,kdf->", a, moments.second, a, precision=HIGHEST)
        cross = jnp.einsum("kd,kde,ke->", b, a, moments.first, precision=HIGHEST)
        return spread + 2 * cross + jnp.sum(counts * jnp.sum(b * b, axis=1))

    def rescaled(
        self, means: Float[Array, "k d"], counts: Float[Array, " k"], offset: Float[Array, "k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        dof = positive(counts + moments.dof)
        share = (counts / dof)[:, None, None]
        second = moments.second / dof[:, None, None]
        m = second - share * offset[:, :, None] * offset[:, None, :]
        m = m + rounded_off(tri.trace(second))[:, None, None] * jnp.eye(self.n_features, dtype=m.dtype)
        return type(self)(means, tri.update(self.scale_tril, m, ridge))

    def smallest_scale(self) -> Float[Array, "k d"]:
        return jnp.diagonal(self.scale_tril, axis1=-2, axis2=-1)

    def spread(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        return tri.squared_norm(self.scale_tril), tri.largest_eigenvalue(tri.inverse(self.scale_tril))

    def scatter(self, root: Root) -> Float[Array, "k d d"]:
        return tri.gram(tri.whitened(self.scale_tril, root))

    def prior_dof(self, prior: Conjugate) -> Float[Array, " k"]:
        return jnp.full_like(self.means[:, 0], prior.dof + self.n_features + 1)

    @property
    def rows_to_span(self) -> int:
        return self.n_features + 1

    def move(self, other: Self) -> Float[Array, ""]:
        return tri.largest_move(self.scale_tril, self.means, other.scale_tril, other.means)

    def ridge_trace(self, ridge: Root) -> Float[Array, " k"]:
        return tri.squared_norm(tri.whitened(self.scale_tril, ridge))

    @staticmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        return tri.pairs(tri.with_one(x))

    def natural(self) -> Float[Array, "k f"]:
        whitener = tri.augmented_whitener(self.means, tri.inverse(self.scale_tril))
        form = -0.5 * jnp.einsum("kdi,kdj->kij", whitener[:, 1:], whitener[:, 1:], precision=HIGHEST)
        form = form.at[:, 0, 0].add(-self.log_det() - 0.5 * self.n_features * LOG_2PI)
        return tri.pair_coefficients(form)

    def moments_from_features(self, sums: Float[Array, "k f"], common: Float[Array, " g"]) -> Moments:
        whitener = tri.augmented_whitener(self.means, tri.inverse(self.scale_tril))
        raw = tri.symmetric(sums, self.n_features + 1)
        about = tri.congruent(whitener, raw)
        return Moments(about[:, 1:, 0], about[:, 1:, 1:], jnp.zeros_like(sums[:, 0]))

    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(key, (labels.shape[0], self.n_features), self.means.dtype)
        return self.means[labels] + jnp.einsum("nde,ne->nd", self.scale_tril[labels], noise, precision=HIGHEST)

    def compose(self, inner: Self) -> Self:
        factor = jnp.einsum("kde,kef->kdf", self.scale_tril, inner.scale_tril, precision=HIGHEST)
        return type(self)(self.means + self.colour(inner.means), factor)

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        return type(self)(tri.apply(root, self.means) + shift, tri.apply_left(root, self.scale_tril))
