"""The contract of a component family: what `em`, the drivers and the restarts need to know of a component."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self, TypeVar, dataclass_transform

import numpy as np

from jaxgmm.families.components import Components
from jaxgmm.families.constraints import Constraint, constraints, parameter
from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array, Bool, Float, Int, Key

_Class = TypeVar("_Class", bound=type)

Root = Float[Array, "d d"] | Float[Array, " d"]


@trees.register_dataclass
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

    Example:
        >>> @family
        ... class Exponential(Family):
        ...     means: Float[Array, "k d"] = parameter(Positive())
    """
    made: Any = dataclass(frozen=True)(cls)
    for method, wanted in (("from_covariances", made.traits.has_width), ("affine", made.traits.maps != "none")):
        if wanted and not made.says(method):
            raise TypeError(f"{cls.__name__} must have {method}, as its traits say that it can be done")
    trees.register_by_names(made, tuple(constraints(made)))
    return made


class Family(Components, ABC):
    """Parameters of K components of one kind: an immutable pytree of arrays.

    Components have axes `k d`, and may have leading axes, `*r`, for restarts. Rows come as `x` of shape (d, b): rows
    are the minor axis, so that sums over components vectorise. Arrays are JAX's or NumPy's, and what comes out is of
    the kind that went in (see `namespace`). A `root` is a factor R of a covariance R Rᵀ: lower triangular (d, d), or
    (d,) for a diagonal; structures without a matrix take only the latter.

    To add a family, subclass, decorate with `family`, register in `jaxgmm.families.FAMILIES` and run
    `tests/test_families.py`. A family must say what is abstract here. If covariances can be given
    (`Traits.covariance_axes`) it also says `from_covariances`, and if rows can be mapped (`Traits.maps`), `affine`. The
    rest follows from `traits` and from the constraints of its fields, or is an ability it can do without: `pseudo` for
    priors, `about_means` for means that are held, `ridge_trace` for a ridge, and `SharedFeatures` for the fast kernel.
    """

    # ---- what every family says ------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_means(cls, means: Float[Array, "*r k d"], centre: Float[Array, " d"], root: Root) -> Self:
        """Components at `means` when nothing else is known of them: where restarts start.

        Args:
            means: (..., k, d), rows of the data, or means of some of them.
            centre: (d,), the data's mean.
            root: a root of their covariance, (d,) or (d, d).

        Example:
            >>> DiagGaussian.from_means(x[:3], x.mean(axis=0), x.std(axis=0))
        """

    @property
    @abstractmethod
    def covariances(self) -> Float[Array, "..."]:
        """Covariances in scikit-learn's shape for the structure: the axes `Traits.covariance_axes`, or (k, d).

        Example:
            >>> FullGaussian.from_covariances(means, covariances).covariances  # (k, d, d)
        """

    @abstractmethod
    def log_prob(self, x: Float[Array, "d b"]) -> Float[Array, "*r k b"]:
        """log p(x_n | component k) in nats, accurate however tight the component.

        Example:
            >>> components.log_prob(x.T)  # (k, n) for rows x, (n, d)
        """

    @abstractmethod
    def moments(self, x: Float[Array, "d b"], r: Float[Array, "*r k b"]) -> Any:
        """Σ_n r_kn T(x_n), the sums that `expected_log_prob` and `improve` read, about these components.

        Args:
            x: (d, b), rows.
            r: (..., k, b), responsibilities times weights.

        Returns:
            A pytree of arrays. Those of two halves of the rows add up to those of the whole.

        Example:
            >>> components.moments(x.T, r)  # of a Bernoulli family: (k, d), how often each feature was 1
        """

    @abstractmethod
    def expected_log_prob(self, counts: Float[Array, "*r k"], moments: Any, other: Self) -> Float[Array, "*r"]:
        """Q: Σ_k Σ_n r_kn log p(x_n | other_k) in nats, the expected log-likelihood of `other`.

        Args:
            counts: (..., k), Σ_n r_kn.
            moments: of the rows, about these components.
            other: the components that it is asked of.

        Example:
            >>> components.expected_log_prob(counts, moments, components)  # Σ r log p, row by row
        """

    @abstractmethod
    def improve(self, counts: Float[Array, "*r k"], moments: Any, ridge: Root) -> Self:
        """Components with no lower Q than these, less the ridge's price ½ Σ_k N_k `ridge_trace`: the M-step.

        The highest there are (EM), or the highest along one group of parameters after the other (ECM; Meng & Rubin
        1993). The likelihood then rises with every step.

        Args:
            counts: (..., k), Σ_n r_kn.
            moments: of the rows, about these components.
            ridge: a root of what is added to every covariance.

        Example:
            >>> better = components.improve(counts, moments, np.zeros(d))
        """

    @abstractmethod
    def sample(self, key: Key[Array, ""], labels: Int[Array, " n"]) -> Float[Array, "n d"]:
        """One row from the component named by each label, of unbatched components of JAX.

        Example:
            >>> components.sample(jax.random.key(0), jnp.array([0, 0, 2]))  # (3, d)
        """

    # ---- what some families say ------------------------------------------------------------------------------

    @classmethod
    def from_covariances(cls, means: Float[Array, "*r k d"], covariances: Float[Array, "..."] | None) -> Self:
        """Components from the field's usual parameters, checked; NumPy.

        Args:
            means: (..., k, d).
            covariances: in scikit-learn's shape after the same leading axes; None where they follow from the means.

        Raises:
            ArgumentError: of `means` or `covariances`.

        Example:
            >>> SphericalGaussian.from_covariances([[0.0, 0.0], [1.0, 1.0]], [1.0, 0.25])
        """
        if covariances is not None:
            wants = f"be None for covariance_type={cls.traits.name!r}"
            raise ArgumentError("covariances", wants, None, "they follow from the means")
        return cls(**{"means": checked_means(means, cls.traits.means)})

    def affine(self, shift: Float[Array, " d"], root: Root) -> Self:
        """The components of R x + shift, R = `root` with positive diagonal; as they are where rows are never mapped.

        Args:
            shift: (d,).
            root: (d,), or lower triangular (d, d) where `Traits.maps` is "linear".

        Example:
            >>> inches = centimetres.affine(np.zeros(d), np.full(d, 1 / 2.54))
        """
        return self

    def ridge_trace(self, ridge: Root) -> Float[Array, "*r k"]:
        """tr(R Rᵀ Σ_k⁻¹) for R = `ridge`, of which each component pays half a row; 0 where `improve` knows no ridge.

        Example:
            >>> components.ridge_trace(np.full(d, 1e-3))
        """
        return namespace(self.means).zeros_like(self.means[..., 0])

    def pseudo(self, prior: Conjugate) -> tuple[Float[Array, "*r k"], Any]:
        """`prior` as counts and moments about these components: what it adds to those of the rows.

        Then `expected_log_prob` of these alone is the logarithm of the prior's density, up to a constant. Families
        without this have no priors.

        Example:
            >>> counts, moments = components.pseudo(prior)
        """
        raise NotImplementedError(f"{self.traits.name!r} has no prior")

    def about_means(self, moments: Any, which: Bool[Array, "*r k"]) -> Any:
        """`moments` (about these components) as `improve` wants them where the means of `which` are to stay.

        What else is fitted is then fitted about these means. As they are for families that are all means; others
        without this have no means that are held.

        Example:
            >>> components.improve(counts, components.about_means(moments, which), ridge)
        """
        return moments

    @classmethod
    def says(cls, method: str) -> bool:
        """Whether the family has its own way of doing what others may do without."""
        return inspect.getattr_static(cls, method) is not inspect.getattr_static(Family, method)


def checked_means(means: Any, rule: Constraint) -> Any:
    """`means` as a NumPy array of shape (..., k, d), all as `rule` has them."""
    means = np.asarray(means)
    if means.ndim < 2 or 0 in means.shape:
        raise ArgumentError("means", "have shape (..., n_components, n_features)", str(means.shape))
    if not (good := np.asarray(rule.holds(means))).all():
        raise ArgumentError("means", f"lie {rule.words}", f"{means[~good][0]:g}")
    return means
