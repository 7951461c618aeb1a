"""What all Gaussian families share; a structure of Σ = L Lᵀ adds only what L looks like.

Everything is said in whitened coordinates y = L⁻¹(x − μ_k): moments are Σ r y and (a contraction of) Σ r y yᵀ, and
the M-step multiplies L by a factor near the identity. No covariance is ever formed and factored again, which is
what keeps tight components alive in float32.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, Self

import numpy as np

from jaxgmm.families.base import Conjugate, Family, Root
from jaxgmm.families.namespace import einsum, namespace
from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array, Bool, Float

LOG_2PI = float(np.log(2 * np.pi))
# Steps of rounding that second moments may be off by.
_ROUNDED_OFF = 2


class Moments(NamedTuple):
    """Σ r y (k, d) and the structure's contraction of Σ r y yᵀ, y whitened by the reference components.

    `dof` is what log-determinants count beyond N_k: nothing for rows, but a prior's scatter is worth more rows in them
    than in the means.
    """

    first: Float[Array, "*r k d"]
    second: Float[Array, "..."]
    dof: Float[Array, "*r k"]


class Gaussian(SharedFeatures, Family):
    """Base of the Gaussian structures. Subclasses hold `means` and their factor `scale_tril`/`scale`."""

    @property
    @abstractmethod
    def root(self) -> Float[Array, "..."]:
        """The factor that the structure holds: L, or standard deviations (k, d) or (k, 1)."""

    @abstractmethod
    def with_root(self, root: Float[Array, "..."]) -> Self:
        """The same means with another factor."""

    @abstractmethod
    def whiten(self, z: Float[Array, "*r k d b"]) -> Float[Array, "*r k d b"]:
        """L_k⁻¹ z_k."""

    @abstractmethod
    def colour(self, y: Float[Array, "*r k d"]) -> Float[Array, "*r k d"]:
        """L_k y_k."""

    @abstractmethod
    def log_det(self) -> Float[Array, "*r k"]:
        """log det L_k, half the log-determinant of Σ_k."""

    @abstractmethod
    def second_moment(self, y: Float[Array, "*r k d b"], r: Float[Array, "*r k b"]) -> Float[Array, "..."]:
        """The structure's contraction of Σ_n r_kn y_kn y_knᵀ."""

    @abstractmethod
    def quadratic(self, counts: Float[Array, "*r k"], moments: Moments, other: Self) -> Float[Array, "*r"]:
        """Σ_k Σ_n r_kn |y'|² with y' whitened by `other`, from moments about self."""

    @abstractmethod
    def rescaled(
        self, means: Float[Array, "*r k d"], counts: Float[Array, "*r k"], offset: Float[Array, "*r k d"],
        moments: Moments, ridge: Root,
    ) -> Self:  # fmt: skip
        """Components at `means` with factor L·chol(M): M the mean of (y − offset)(y − offset)ᵀ, plus the ridge."""

    @abstractmethod
    def scatter(self, root: Root) -> Float[Array, "..."]:
        """L⁻¹ R Rᵀ L⁻ᵀ for R = `root`, contracted as second moments are."""

    @abstractmethod
    def prior_dof(self, prior: Conjugate) -> Float[Array, "*r k"]:
        """The exponent of det Σ_k^(−1/2) in the prior of Σ_k alone, in rows."""

    @abstractmethod
    def smallest_scale(self) -> Float[Array, "..."]:
        """The factor's diagonal, (k, d) or (k, 1)."""

    @abstractmethod
    def moved(self, other: Self) -> tuple[Float[Array, "*r k d"], Float[Array, "..."]]:
        """Moves to `other`: of means in standard deviations, and of factors relative to themselves."""

    def log_prob(self, x: Float[Array, "d b"]) -> Float[Array, "*r k b"]:
        y = self.whiten(x - self.means[..., None])
        normaliser = self.log_det() + 0.5 * self.n_features * LOG_2PI
        return -0.5 * namespace(y).sum(y * y, axis=-2) - normaliser[..., None]

    def moments(self, x: Float[Array, "d b"], r: Float[Array, "*r k b"]) -> Moments:
        y = self.whiten(x - self.means[..., None])
        first = einsum("...kdb,...kb->...kd", y, r)
        return Moments(first, self.second_moment(y, r), namespace(y).zeros_like(self.means[..., 0]))

    def expected_log_prob(self, counts: Float[Array, "*r k"], moments: Moments, other: Self) -> Float[Array, "*r"]:
        xp = namespace(counts)
        constant = 0.5 * self.n_features * LOG_2PI * xp.sum(counts, axis=-1)
        volume = xp.sum((counts + moments.dof) * other.log_det(), axis=-1)
        return -0.5 * self.quadratic(counts, moments, other) - volume - constant

    def improve(self, counts: Float[Array, "*r k"], moments: Moments, ridge: Root) -> Self:
        offset = moments.first / positive(counts)[..., None]
        return self.rescaled(self.means + self.colour(offset), counts, offset, moments, ridge)

    def about_means(self, moments: Moments, which: Bool[Array, "*r k"]) -> Moments:
        first = namespace(moments.first, which).where(which[..., None], 0.0, moments.first)
        return moments._replace(first=first)

    def pseudo(self, prior: Conjugate) -> tuple[Float[Array, "*r k"], Moments]:
        counts = filled_like(self.means[..., 0], prior.strength)
        y = self.whiten((prior.centre - self.means)[..., None])
        second = self.second_moment(y, counts[..., None]) + self.scatter(prior.scatter)
        # The prior of a mean given Σ_k has one det Σ_k^(−1/2) of its own, however many rows it is worth.
        dof = self.prior_dof(prior) + 1 - counts
        return counts, Moments(counts[..., None] * y[..., 0], second, dof)

    def collapsed(self) -> Bool[Array, "*r k"]:
        # A width below the rounding of the mean beside it carries no information about the data.
        xp = namespace(self.means)
        floor = 4 * xp.finfo(self.means.dtype).eps * xp.maximum(1.0, abs(self.means))
        return ~xp.all(self.smallest_scale() > floor, axis=-1)

    def log_width(self) -> Float[Array, "*r k"]:
        return self.log_det() / self.n_features

    def move(self, other: Self) -> Float[Array, "*r"]:
        xp, leading = namespace(self.means, other.means), self.means.ndim - 2
        means, factors = (xp.max(part, axis=tuple(range(leading, part.ndim))) for part in self.moved(other))
        return xp.maximum(means, factors)


def rounded_off(second: Float[Array, "..."]) -> Float[Array, "..."]:
    """What rounding may have taken from whitened second moments of this size.

    A component that turns far narrower in one step, or moves far, would else be left without any width, and not with
    what the ridge gives it. Where it stands still it is the dtype's own rounding.
    """
    return _ROUNDED_OFF * np.finfo(second.dtype).eps * second


def positive(counts: Float[Array, "..."]) -> Float[Array, "..."]:
    """Counts that can be divided by: an empty component's sums are zero, and zero it shall be."""
    return namespace(counts).maximum(counts, np.finfo(counts.dtype).tiny)


def factor_scale(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """√ of a variance that rounding may have pushed below zero; NaN there would hide the collapse it signals."""
    xp = namespace(square)
    return xp.sqrt(xp.maximum(square, 0.0))


def filled_like(like: Float[Array, "..."], value: Float[Array, ""] | float) -> Float[Array, "..."]:
    """`value` in the shape and dtype of `like`."""
    return namespace(like, value).full_like(like, value)


def checked_covariances(covariances: Any, shape: tuple[int, ...], axes: str) -> Any:
    """`covariances` as a NumPy array of the shape the structure wants."""
    if covariances is None:
        raise ArgumentError("covariances", f"be given, with shape {axes}", "None")
    covariances = np.asarray(covariances)
    if covariances.shape != shape:
        raise ArgumentError("covariances", f"have shape {axes} = {shape}", str(covariances.shape))
    return covariances


def checked_factor(covariances: Any) -> Any:
    """Lower Cholesky factors of `covariances`, or an error that says which matrix is not positive definite."""
    asymmetry = np.abs(covariances - np.swapaxes(covariances, -1, -2)).max(initial=0.0)
    size = np.abs(covariances).max(initial=0.0)
    # float32's rounding, whatever the dtype: matrices made in float32 are often handed on as float64.
    if not asymmetry <= 100 * np.finfo(np.float32).eps * size:
        raise ArgumentError("covariances", "be symmetric", f"a difference of {asymmetry:g} across the diagonal")
    # float64, so that what the caller's dtype can hold is not lost to the factorisation
    try:
        return np.linalg.cholesky(covariances.astype(np.float64)).astype(covariances.dtype)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(covariances.astype(np.float64))[..., 0]
        where = np.unravel_index(np.argmin(lowest), lowest.shape)
        index = f"[{', '.join(map(str, where))}]" if where else ""
        got = f"smallest eigenvalue {lowest[where]:g}"
        raise ArgumentError(f"covariances{index}", "be positive definite", got) from None


def checked_scale(variances: Any) -> Any:
    """Standard deviations of `variances`, or an error that says which is not positive."""
    if not np.all(variances > 0):
        where = tuple(int(i) for i in np.argwhere(~(variances > 0))[0])
        raise ArgumentError("covariances", "be positive", f"{variances[where]:g} at {where}")
    return np.sqrt(variances)
