"""What holds parameters back from the likelihood's own maximum: a ridge, a prior, values that are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxgmm.families.base import Conjugate, Root
from jaxgmm.mixture import Mixture


@jax.tree_util.register_dataclass
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
        components = components.with_replaced(self.means, replace(components, means=given.means))
        components = components.with_replaced(self.covariances, replace(given, means=components.means))
        fixed = jnp.where(self.weights, self.given.weights, 0.0)
        free = jnp.where(self.weights, 0.0, mixture.weights)
        free = jnp.where(jnp.sum(free) > 0, free, jnp.where(self.weights, 0.0, 1.0))  # nobody has a claim: evenly
        room = jnp.maximum(1 - jnp.sum(fixed), 0.0)
        weights = fixed + free * (room / jnp.maximum(jnp.sum(free), jnp.finfo(free.dtype).tiny))
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
