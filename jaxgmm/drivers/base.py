"""How parameters move, said once: a driver is `init` and `step`.

A driver is a pytree (its numbers are traced, so changing them does not recompile) and sees the data only through
`e_step`. `init` and `step` treat one restart; `jaxgmm.loop` maps them over all restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
from jaxtyping import Float, Int, Key

from jaxgmm.em.pinned import Pinned
from jaxgmm.em.statistics import SufficientStatistics
from jaxgmm.families.base import Conjugate, Root
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows

EStep = Callable[[Mixture], SufficientStatistics]


class Penalty(NamedTuple):
    """What holds parameters back from the likelihood's own maximum.

    Attributes:
        ridge: a root of what is added to every covariance.
        prior: of the parameters, or None.
        pinned: the parameters that do not move at all, or None.
    """

    ridge: Root
    prior: Conjugate | None = None
    pinned: Pinned | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """One restart between two steps.

    Attributes:
        mixture: where it stands.
        log_likelihood: of the rows under `mixture`, nats; for mini-batches an estimate.
        log_likelihood_error: what rounding dropped from it.
        log_prior: of `mixture`, nats, up to a constant; 0 without a prior.
        passes: how many times `e_step` has been asked for; see `Driver.share_of_rows`.
        memory: what only the driver understands.
    """

    mixture: Mixture
    log_likelihood: Float[Array, ""]
    log_likelihood_error: Float[Array, ""]
    log_prior: Float[Array, ""]
    passes: Float[Array, ""]
    memory: Any


class Driver(Protocol):
    """How parameters move."""

    def rows(self, rows: Rows, key: Key[Array, ""], iteration: Int[Array, ""]) -> Rows:
        """The rows that step number `iteration` reads."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether steps see a sample of the rows, so that one step's gain says nothing about convergence."""
        ...

    def share_of_rows(self, n_rows: int) -> float:
        """What part of all rows one pass reads."""
        ...

    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        """The state at a start."""
        ...

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        """The same state with all that it has from the rows read anew, by a better `e_step`."""
        ...

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        """The state after one step."""
        ...
