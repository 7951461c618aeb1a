"""The contract of a component family: what `em`, the drivers and the restarts need to know of a component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key

from jaxgmm.families import distances
from jaxgmm.families.constraints import Constraint, constraints, parameter
from jaxgmm.families.traits import Traits
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array
from jaxgmm.inputs.wording import Wording

_Class = TypeVar("_Class", bound=type)

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


@dataclass_transform(frozen_default=True, field_specifiers=(parameter,))
def family(cls: _Class) -> _Class:
    """A class of components as a frozen dataclass and a pytree of its fields.

    `jax.tree_util.register_dataclass` would not do: JAX 0.10 holds the trees of two dataclasses for equal where their
    fields have the same names, and may run the program of one on the other.

    Example:
        >>> @family
        ... class Exponential(Family):
        ...     means: Float[Array, "k d"] = parameter(Positive())
    """
    made: Any = dataclass(frozen=True)(cls)
    names = tuple(constraints(made))
    keys = tuple(map(jax.tree_util.GetAttrKey, names))

    def values(components: Any) -> tuple[Any, ...]:
        return tuple(getattr(components, name) for name in names)

    jax.tree_util.register_pytree_with_keys(
        made,
        lambda components: (tuple(zip(keys, values(components), strict=True)), None),
        lambda _, leaves: made(*leaves),
        lambda components: (values(components), None),
    )
    return made


class Family(ABC):
    """Parameters of K components of one kind: an immutable pytree of arrays.

    Methods see one mixture's components, axes `k d`; leading axes are added with `jax.vmap`. Rows come as
    `x` of shape (d, b): rows are the minor axis, so that sums over components vectorise. A `root` is a factor R of a
    covariance R Rᵀ: lower triangular (d, d), or (d,) for a diagonal; structures without a matrix take only the latter.

    Facts of the family as a whole stand in `traits`; fields are declared with `constraints.parameter`. What follows
    from these is written here once: free parameters, their number, checks of rows and of parameters.

    To add a family, subclass, decorate with `family`, register in `jaxgmm.families.FAMILIES` and run
    `tests/test_families.py`.
    """

    traits: ClassVar[Traits]

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
    def from_covariances(cls, means: Float[Array, "*r k d"], covariances: Float[Array, "..."] | None) -> Self:
        """Components from the field's usual parameters, checked. Runs outside `jit`; leading axes batch.

        Families whose covariances can be given have one of their own.

        Raises:
            ValueError: naming `means` or `covariances`, what it got and what it wants.
        """
        if covariances is not None:
            wants = f"be None for covariance_type={cls.traits.name!r}"
            raise ArgumentError("covariances", wants, None, "they follow from the means")
        return cls(**{"means": jnp.asarray(checked_means(means, cls.traits.means))})

    @property
    @abstractmethod
    def covariances(self) -> Float[Array, "..."]:
        """Covariances in scikit-learn's shape for the structure."""

    def matrices(self) -> np.ndarray:
        """Covariances as matrices, (*r, k, d, d), float64, of components at rest."""
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self)
        return self.traits.matrices(wide.covariances, *self.means.shape[-2:])

    @classmethod
    def check_rows(cls, name: str, x: Any, first_row: int = 0) -> None:
        """Complains of rows, the argument `name`, the first of them `first_row`, that no component could have made.

        Raises:
            ValueError: naming the first.
        """
        support = cls.traits.support
        if support.everything:
            return
        wrong = support.outside(x)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            wants = Wording(f"hold {support.words} for {{covariance_type:{cls.traits.name!r}}}")
            raise ArgumentError(name, wants, f"{x[row, column]} at row {first_row + row}, column {column}")

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
        """These components, those named by `which` taken from `fresh`; what all share only where all are."""
        return self._each(
            lambda a, b: jnp.where(which.reshape(-1, *[1] * (a.ndim - 1)), b, a),
            lambda a, b: jnp.where(jnp.all(which), b, a),
            fresh,
        )

    def picked(self, index: Int[Array, " s"]) -> Self:
        """The components at `index`, as components of their own."""
        return self._each(lambda leaf: leaf[index], lambda leaf: leaf)

    def rearranged(self, index: Int[np.ndarray, "*r s"]) -> Self:
        """The components at `index`, of components at rest, whose leading axes `index` has; in NumPy, to the bit."""
        return self._each(lambda leaf: _along_components(leaf, index), lambda leaf: leaf)

    def placed(self, slots: Int[Array, " s"], others: Self) -> Self:
        """These components with `others` in the places `slots`."""
        return self._each(lambda leaf, other: leaf.at[slots].set(other), lambda leaf, _: leaf, others)

    def _each(self, own: Callable[..., Any], shared: Callable[..., Any], *others: Self) -> Self:
        """Every field by `own`, those that all components have in common by `shared`."""
        return type(self)(**{
            name: (shared if name in self.traits.shared else own)(*(getattr(a, name) for a in (self, *others)))
            for name in constraints(type(self))
        })  # fmt: skip

    def distances(self, other: Family, metric: str) -> np.ndarray:
        """How far each of these k components lies from each of `other`'s m, (k, m), float64; at rest, one mixture each.

        By means and covariances, as of Gaussians: see `distances.gaussian`.

        Raises:
            ValueError: they are densities of different kinds, or have no such `metric`.
        """
        if type(self) is not type(other) and not (self.traits.gaussian and other.traits.gaussian):
            raise ArgumentError("other", f"be {self.traits.name!r} as this mixture is", repr(other.traits.name))
        return distances.gaussian(metric, self.means, self.matrices(), other.means, other.matrices())

    # ---- the rest -------------------------------------------------------------------------------------------

    @abstractmethod
    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        """One row from the component named by each label."""

    def unconstrain(self) -> dict[str, Array]:
        """Free real parameters, by the name of their field; `constrain` undoes it."""
        return {name: rule.to_free(getattr(self, name)) for name, rule in constraints(type(self)).items()}

    @classmethod
    def constrain(cls, free: dict[str, Array]) -> Self:
        """Components from free parameters: every value gives valid components."""
        return cls(**{name: rule.from_free(free[name]) for name, rule in constraints(cls).items()})

    def compose(self, inner: Self) -> Self:
        """`inner` seen from these components: `constrain` of zeros gives the inner that changes nothing.

        A free parameter then means the same for a wide component as for a narrow one, in any coordinates.
        """
        return self.constrain(jax.tree.map(jnp.add, self.unconstrain(), inner.unconstrain()))

    @abstractmethod
    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        """The components of R x + shift, R = `root` with positive diagonal. Leading axes batch; NumPy stays NumPy."""

    @property
    def n_parameters(self) -> int:
        """Free parameters of all K components, weights apart."""
        leading = len(self.means.shape) - 2
        rules = constraints(type(self)).items()
        return sum(rule.n_free(getattr(self, name).shape[leading:]) for name, rule in rules)


def _along_components(leaf: Any, index: Int[np.ndarray, "*r s"]) -> Any:
    """Entries of `leaf`, (*r, k, ...), at `index` along its axis of components; NumPy."""
    inner = (1,) * (np.ndim(leaf) - index.ndim)
    return np.take_along_axis(np.asarray(leaf), index.reshape(*index.shape, *inner), axis=index.ndim - 1)


def checked_means(means: Any, rule: Constraint) -> Any:
    """`means` as a NumPy array of shape (..., k, d), all as `rule` has them."""
    means = np.asarray(means)
    if means.ndim < 2 or 0 in means.shape:
        raise ArgumentError("means", "have shape (..., n_components, n_features)", str(means.shape))
    if not (good := np.asarray(rule.holds(means))).all():
        raise ArgumentError("means", f"lie {rule.words}", f"{means[~good][0]:g}")
    return means
