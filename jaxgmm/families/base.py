"""The contract of a component family: what `em`, the drivers and the restarts need to know of a component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key

from jaxgmm.families import distances
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array

Rescaling = Literal["linear", "feature", "scalar", "none"]

Root = Float[Array, "d d"] | Float[Array, " d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Conjugate:
    """The conjugate prior of a mixture's parameters, in the coordinates of its rows.

    Attributes:
        concentration: of the Dirichlet on the weights; 1 is flat.
        centre: (d,), where means are drawn to.
        strength: how many rows that is worth.
        scatter: a root of the scatter that every covariance is given.
        dof: degrees of freedom of that scatter.
    """

    concentration: Float[Array, ""]
    centre: Float[Array, " d"]
    strength: Float[Array, ""]
    scatter: Root
    dof: Float[Array, ""]


class Family(ABC):
    """Parameters of K components of one kind: an immutable pytree of arrays.

    Methods see one mixture's components, axes `k d`; leading axes are added with `jax.vmap`. Rows come as
    `x` of shape (d, b): rows are the minor axis, so that sums over components vectorise. A `root` is a factor R of a
    covariance R Rᵀ: lower triangular (d, d), or (d,) for a diagonal; structures without a matrix take only the latter.

    To add a family, subclass, register in `jaxgmm.families.FAMILIES` and run `tests/test_families.py`.
    """

    name: ClassVar[str]
    #: how rows may be mapped without leaving the family: by any matrix, per feature, by one scalar, or not at all
    rescaling: ClassVar[Rescaling]
    #: whether all components have one covariance between them
    pooled: ClassVar[bool] = False

    means: Float[Array, "k d"]

    @property
    def n_components(self) -> int:
        return self.means.shape[-2]

    @property
    def n_features(self) -> int:
        return self.means.shape[-1]

    # ---- construction ------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_means(cls, means: Float[Array, "k d"], centre: Float[Array, " d"], root: Root) -> Self:
        """Components at `means` when nothing else is known but the data's `centre`, and `root` of their spread."""

    @classmethod
    @abstractmethod
    def from_covariances(cls, means: Float[Array, "*r k d"], covariances: Float[Array, "..."] | None) -> Self:
        """Components from the field's usual parameters, checked. Runs outside `jit`; leading axes batch.

        Raises:
            ArgumentError: of `means` or `covariances`.
        """

    @property
    @abstractmethod
    def covariances(self) -> Float[Array, "..."]:
        """Covariances in scikit-learn's shape for the structure."""

    @abstractmethod
    def matrices(self) -> np.ndarray:
        """Covariances as matrices, (*r, k, d, d), float64, of components at rest."""

    @staticmethod
    def check_rows(name: str, x: Any, first_row: int = 0) -> None:
        """Complains of rows, the argument `name`, the first of them `first_row`, that no component could have made.

        Raises:
            ArgumentError: of `name`, with the first.
        """
        return

    # ---- the direct road: one density, one set of moments ------------------------------------------------

    @abstractmethod
    def log_prob(self, x: Float[Array, "d b"]) -> Float[Array, "k b"]:
        """log p(x_n | component k), accurate however tight the component."""

    @abstractmethod
    def moments(self, x: Float[Array, "d b"], r: Float[Array, "k b"]) -> Any:
        """Σ_n r_kn T(x_n), the sums that `expected_log_prob` and `maximize` read, about these components."""

    # ---- the shared-feature road: everything linear in φ(x) ------------------------------------------------

    @staticmethod
    @abstractmethod
    def features(x: Float[Array, "d b"]) -> Float[Array, "f b"]:
        """φ(x), its first row 1: the part of log p that differs between components is linear in it."""

    @abstractmethod
    def natural(self) -> Float[Array, "k f"]:
        """θ with log p(x | k) = θ_k · φ(x) + ψ · φ₀(x)."""

    @staticmethod
    def common_features(x: Float[Array, "d b"]) -> Float[Array, "g b"]:
        """φ₀(x), what all components share; it cancels in responsibilities. None by default."""
        return x[:0]

    def common_natural(self) -> Float[Array, " g"]:
        """ψ, the coefficients of φ₀."""
        return self.means[0, :0]

    @abstractmethod
    def moments_from_features(self, sums: Float[Array, "k f"], common: Float[Array, " g"]) -> Any:
        """`moments`, from Σ r φ per component and Σ w φ₀ over all rows."""

    @abstractmethod
    def conditioning(self) -> Float[Array, " k"]:
        """κ: the shared-feature road loses about ε·κ nats per row to cancellation."""

    # ---- Q and its maximum ---------------------------------------------------------------------------------

    @abstractmethod
    def expected_log_prob(self, counts: Float[Array, " k"], moments: Any, other: Self, ridge: Root) -> Float[Array, ""]:
        """Σ_k Σ_n r_kn log p(x_n | other_k), less ½ Σ_k N_k tr(R Rᵀ Σ_k⁻¹) for R = `ridge`, from moments about self."""

    @abstractmethod
    def maximize(self, counts: Float[Array, " k"], moments: Any, ridge: Root) -> Self:
        """The `other` that maximises `expected_log_prob`: the M-step."""

    def about_means(self, moments: Any, which: Bool[Array, " k"]) -> Any:
        """`moments` (about these components) as `maximize` wants them where the means of `which` are to stay.

        What else is fitted is then fitted about these means. As they are for families that are all means.
        """
        return moments

    @abstractmethod
    def ridge_trace(self, ridge: Root) -> Float[Array, " k"]:
        """tr(R Rᵀ Σ_k⁻¹) for R = `ridge`: its price for each component."""

    @abstractmethod
    def pseudo(self, prior: Conjugate) -> tuple[Float[Array, " k"], Any]:
        """`prior` as counts and moments about these components: what it adds to those of the rows.

        Then `expected_log_prob` of these alone is the logarithm of the prior's density, up to a constant.
        """

    # ---- soundness ------------------------------------------------------------------------------------------

    @abstractmethod
    def collapsed(self) -> Bool[Array, " k"]:
        """Which components have collapsed below what the dtype can resolve."""

    @property
    @abstractmethod
    def rows_to_span(self) -> int:
        """How many rows a component needs for parameters that are not degenerate; 0 where it needs none of its own."""

    @abstractmethod
    def log_width(self) -> Float[Array, " k"]:
        """The logarithm of each component's standard deviation, the mean over directions."""

    @abstractmethod
    def move(self, other: Self) -> Float[Array, ""]:
        """The largest change from here to `other`: means in standard deviations, factors relative to themselves."""

    def with_replaced(self, which: Bool[Array, " k"], fresh: Self) -> Self:
        """These components, those named by `which` taken from `fresh`."""
        return jax.tree.map(lambda a, b: jnp.where(which.reshape(-1, *[1] * (a.ndim - 1)), b, a), self, fresh)

    def picked(self, index: Int[Array, " s"]) -> Self:
        """The components at `index`, as components of their own."""
        return jax.tree.map(lambda leaf: leaf[index], self)

    def rearranged(self, index: Int[np.ndarray, "*r s"]) -> Self:
        """The components at `index`, of components at rest, whose leading axes `index` has; in NumPy, to the bit."""
        return jax.tree.map(lambda leaf: along_components(leaf, index), self)

    def placed(self, slots: Int[Array, " s"], others: Self) -> Self:
        """These components with `others` in the places `slots`."""
        return jax.tree.map(lambda leaf, other: leaf.at[slots].set(other), self, others)

    def distances(self, other: Family, metric: str) -> np.ndarray:
        """How far each of these k components lies from each of `other`'s m, (k, m), float64; at rest, one mixture each.

        By means and covariances, as of Gaussians: see `distances.gaussian`.

        Raises:
            ValueError: they are densities of different kinds, or have no such `metric`.
        """
        if type(self) is not type(other) and "none" in (self.rescaling, other.rescaling):
            raise ArgumentError("other", f"be {self.name!r} as this mixture is", repr(other.name))
        return distances.gaussian(metric, self.means, self.matrices(), other.means, other.matrices())

    # ---- the rest -------------------------------------------------------------------------------------------

    @abstractmethod
    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        """One row from the component named by each label."""

    @abstractmethod
    def unconstrain(self) -> Any:
        """A pytree of free real parameters; `constrain` undoes it."""

    @classmethod
    @abstractmethod
    def constrain(cls, free: Any) -> Self:
        """Components from free parameters: every value gives valid components."""

    @abstractmethod
    def compose(self, inner: Self) -> Self:
        """`inner` seen from these components: `constrain` of zeros gives the inner that changes nothing.

        A free parameter then means the same for a wide component as for a narrow one, in any coordinates.
        """

    @abstractmethod
    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        """The components of R x + shift, R = `root` with positive diagonal. Leading axes batch; NumPy stays NumPy."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Free parameters of all K components, weights apart."""


def along_components(leaf: Any, index: Int[np.ndarray, "*r s"]) -> Any:
    """Entries of `leaf`, (*r, k, ...), at `index` along its axis of components; NumPy."""
    inner = (1,) * (np.ndim(leaf) - index.ndim)
    return np.take_along_axis(np.asarray(leaf), index.reshape(*index.shape, *inner), axis=index.ndim - 1)
