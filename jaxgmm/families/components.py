"""What follows from a family's traits, from the constraints of its fields and from its covariances, written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import Any, ClassVar, Self

import numpy as np

from jaxgmm.families import distances
from jaxgmm.families.constraints import constraints
from jaxgmm.families.namespace import namespace, set_at
from jaxgmm.families.traits import Traits
from jaxgmm.inputs import trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.inputs.wording import Wording


class Components:
    """The parameters of K components, whatever their densities: what `Family` need not ask of each family.

    A family may say any of this better or faster in its own way.
    """

    traits: ClassVar[Traits]

    means: Float[Array, "*r k d"]
    covariances: Any

    @property
    def n_components(self) -> int:
        return self.means.shape[-2]

    @property
    def n_features(self) -> int:
        return self.means.shape[-1]

    def matrices(self) -> np.ndarray:
        """Covariances as matrices, (*r, k, d, d), float64, of components at rest."""
        wide = trees.map(lambda leaf: np.asarray(leaf, np.float64), self)
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

    def collapsed(self) -> Bool[Array, "*r k"]:
        """Which components have collapsed: below what the dtype can resolve, or to what their fields may not be."""
        xp = namespace(self.means)
        found = xp.zeros(self.means.shape[:-1], bool)
        for name, rule in constraints(type(self)).items():
            broken = ~rule.holds(getattr(self, name))
            own = self.means.ndim - 2 if name in self.traits.shared else self.means.ndim - 1
            each = xp.any(broken, axis=tuple(range(own, broken.ndim)))
            found = found | (each[..., None] if name in self.traits.shared else each)
        return found

    @property
    def rows_to_span(self) -> int:
        """How many rows a component needs for parameters that are not degenerate; 0 where it needs none of its own."""
        if not self.traits.has_width or self.traits.one_covariance:
            return 0
        return self.n_features + 1 if self.traits.covariance_kind == "matrix" else 2

    def log_width(self) -> Float[Array, "*r k"]:
        """The logarithm of each component's standard deviation, the mean over directions; 0 for discrete rows."""
        xp, covariances = namespace(self.means), self.covariances
        if self.traits.support.discrete:  # probabilities have no width to lose
            return xp.zeros_like(self.means[..., 0])
        kind = self.traits.covariance_kind
        if kind == "matrix":
            each = xp.linalg.slogdet(covariances)[1] / (2 * self.n_features)
        else:
            each = xp.log(covariances) / 2
            each = each if kind == "number" else xp.mean(each, axis=-1)
        return xp.broadcast_to(each[..., None] if self.traits.one_covariance else each, self.means.shape[:-1])

    def move(self, other: Self) -> Float[Array, "*r"]:
        """The largest change of a parameter from here to `other`, as its constraint measures it.

        Families whose means have a width to be measured by take it for the unit.
        """
        xp, rules = namespace(self.means, other.means), constraints(type(self))
        sizes = [rule.change(getattr(self, name), getattr(other, name)) for name, rule in rules.items()]
        leading = self.means.ndim - 2
        return reduce(xp.maximum, (xp.max(size, axis=tuple(range(leading, size.ndim))) for size in sizes))

    def with_replaced(self, which: Bool[Array, "*r k"], fresh: Self) -> Self:
        """These components, those named by `which` taken from `fresh`; what all share only where all are."""
        xp = namespace(self.means, which, fresh.means)
        if xp is np and not which.any():
            return self

        def chosen(which: Any, outer: int, a: Any, b: Any) -> Any:
            return xp.where(which.reshape(which.shape + (1,) * (a.ndim - outer)), b, a)

        outer = self.means.ndim - 1
        everyone = xp.all(which, axis=-1)
        return self._each(partial(chosen, which, outer), partial(chosen, everyone, outer - 1), fresh)

    def picked(self, index: Int[Array, " s"]) -> Self:
        """The components at `index`, as components of their own; unbatched."""
        return self._each(lambda leaf: leaf[index], lambda leaf: leaf)

    def rearranged(self, index: Int[np.ndarray, "*r s"]) -> Self:
        """The components at `index`, of components at rest, whose leading axes `index` has; in NumPy, to the bit."""
        return self._each(lambda leaf: _along_components(leaf, index), lambda leaf: leaf)

    def placed(self, slots: Int[Array, " s"], others: Self) -> Self:
        """These components with `others` in the places `slots`; unbatched."""
        return self._each(lambda leaf, other: set_at(leaf, slots, other), lambda leaf, _: leaf, others)

    def _each(self, own: Callable[..., Any], shared: Callable[..., Any], *others: Self) -> Self:
        """Every field by `own`, those that all components have in common by `shared`."""
        return type(self)(**{
            name: (shared if name in self.traits.shared else own)(*(getattr(a, name) for a in (self, *others)))
            for name in constraints(type(self))
        })  # fmt: skip

    def distances(self, other: Components, metric: str) -> np.ndarray:
        """How far each of these k components lies from each of `other`'s m, (k, m), float64; at rest, one mixture each.

        By means and covariances, as of Gaussians: see `distances.gaussian`.

        Raises:
            ValueError: they are densities of different kinds, or have no such `metric`.
        """
        if type(self) is not type(other) and not (self.traits.gaussian and other.traits.gaussian):
            raise ArgumentError("other", f"be {self.traits.name!r} as this mixture is", repr(other.traits.name))
        return distances.gaussian(metric, self.means, self.matrices(), other.means, other.matrices())

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
        return self.constrain(trees.map(add, self.unconstrain(), inner.unconstrain()))

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
