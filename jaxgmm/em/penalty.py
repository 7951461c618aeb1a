"""What holds parameters back from the likelihood's own maximum: a ridge, a prior, values that are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from jaxgmm.families.base import Conjugate, Root
from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Bool
from jaxgmm.mixture import Mixture


@trees.register_dataclass
@dataclass(frozen=True)
class Pinned:
    """Which parameters of which components are held, and at what values; in the coordinates of the rows.

    Attributes:
        given: the values; anything sound where none is held.
        weights, means, covariances: (k,), which are held. A covariance that all components share is held for all or
            for none.
    """

    given: Mixture
    weights: Bool[Array, " k"]
    means: Bool[Array, " k"]
    covariances: Bool[Array, " k"]

    @property
    def shapes(self) -> Bool[Array, " k"]:
        """The components of which only the weight is free, if anything."""
        return self.means & self.covariances

    def within(self, mixture: Mixture) -> Mixture:
        """`mixture` with what is held in its place; free weights share what is left as they did."""
        components: Any = mixture.components
        given: Any = self.given.components
        xp = namespace(mixture.weights, self.given.weights, self.weights)
        means, covariances = (xp.broadcast_to(w, mixture.weights.shape) for w in (self.means, self.covariances))
        components = components.with_replaced(means, replace(components, means=given.means))
        components = components.with_replaced(covariances, replace(given, means=components.means))
        total = partial(xp.sum, axis=-1, keepdims=True)
        fixed = xp.where(self.weights, self.given.weights, 0.0)
        free = xp.where(self.weights, 0.0, mixture.weights)
        free = xp.where(
            total(free) > 0, free, xp.where(self.weights, 0.0, xp.ones_like(free))
        )  # nobody has a claim: evenly
        room = xp.maximum(1 - total(fixed), 0.0)
        weights = fixed + free * (room / xp.maximum(total(free), xp.finfo(free.dtype).tiny))
        return Mixture(weights, components)


class Penalty(NamedTuple):
    """What an M-step heeds beside the rows, in their coordinates.

    Attributes:
        ridge: a root of what is added to every covariance.
        prior: of the parameters, or None.
        pinned: the parameters that do not move at all, or None.
    """

    ridge: Root
    prior: Conjugate | None = None
    pinned: Pinned | None = None
