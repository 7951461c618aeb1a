"""How parameters move, said once: a driver is `init` and `step`, and for many drivers one map says both.

A driver is a pytree (its numbers are traced, so changing them does not recompile) and sees the data only through
`e_step`. `init` and `step` treat one restart; `run.loop` maps them over all restarts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from jaxgmm.em import EStep, Penalty, SufficientStatistics, log_prior
from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Bool, Float, Int, Key
from jaxgmm.mixture import Mixture, posterior
from jaxgmm.rows import Rows


@trees.register_dataclass
@dataclass(frozen=True)
class State:
    """One restart between two steps.

    Attributes:
        mixture: where it stands.
        log_likelihood: of the rows under `mixture`, nats; for mini-batches an estimate. With other responsibilities
            than EM's, the objective that they make of it (see `Driver.climbs_likelihood`).
        log_likelihood_error: what rounding dropped from it.
        log_prior: of `mixture`, nats, up to a constant; 0 without a prior.
        passes: how many times `e_step` has been asked for; see `Driver.share_of_rows`.
        conditioning: the largest κ that the last step asked `e_step` about. A step beyond what its kernel can be
            trusted with is refused, and repeated with one that can.
        memory: what only the driver understands.
    """

    mixture: Mixture
    log_likelihood: Float[Array, "*r"]
    log_likelihood_error: Float[Array, "*r"]
    log_prior: Float[Array, "*r"]
    passes: Float[Array, "*r"]
    conditioning: Float[Array, "*r"]
    memory: Any

    @classmethod
    def at(
        cls, mixture: Mixture, statistics: SufficientStatistics, penalty: Penalty,
        passes: Float[Array, "*r"] | float = 0.0, *, read: Sequence[SufficientStatistics] = (), memory: Any = None,
    ) -> State:  # fmt: skip
        """The state at a mixture whose statistics are known: counts passes, and keeps the worst conditioning.

        Args:
            mixture: where the step ends.
            statistics: those of `mixture`.
            penalty: whose prior is looked at.
            passes: those before this step.
            read: all statistics that the step asked for, if there are others beside `statistics`.
            memory: what the next step needs; `statistics` by default.

        Example:
            >>> State.at(mixture, e_step(mixture), penalty, state.passes)
        """
        read = read or (statistics,)
        prior, xp = penalty.prior, namespace(mixture.weights, statistics.log_likelihood)
        return cls(
            mixture=mixture,
            log_likelihood=statistics.log_likelihood,
            log_likelihood_error=statistics.log_likelihood_error,
            log_prior=xp.zeros_like(statistics.log_likelihood) if prior is None else log_prior(mixture, prior),
            passes=xp.full_like(statistics.log_likelihood, len(read)) + passes,
            conditioning=reduce(xp.maximum, [each.conditioning for each in read]),
            memory=statistics if memory is None else memory,
        )


class Driver(ABC):
    """How parameters move. Only `init` and `step` must be written; the rest says what most drivers would.

    Subclasses are pytrees: a frozen dataclass, registered with `jax.tree_util.register_dataclass`. `FixedPoint` is for
    drivers whose step is a map of the mixture.
    """

    @abstractmethod
    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        """The state at a start.

        Args:
            mixture: the start, one mixture in the coordinates of the rows.
            e_step: from a mixture to its statistics, a pass over the rows each.
            penalty: what else the parameters are to heed.
        """

    @abstractmethod
    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        """The state after one step from `state`; the other arguments are those of `init`."""

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        """The same state with all that it has from the rows read anew, by a better `e_step`."""
        fresh = self.init(state.mixture, e_step, penalty)
        return replace(fresh, passes=state.passes + fresh.passes)

    def assign(
        self, joint: Float[Array, "*r k b"], w: Float[Array, "*#r b"], possible: Bool[Array, "k b"] | None
    ) -> tuple[Float[Array, "*r k b"], Float[Array, "*r b"]]:
        """How much of each row goes to each component; see `em.responsibilities`. Softly by default, as in EM."""
        return posterior(joint, w, possible)

    @property
    def climbs_likelihood(self) -> bool:
        """Whether `State.log_likelihood` is the log-likelihood; else the rows are read once more at the end for it."""
        return True

    def rows(self, rows: Rows, key: Key[Array, ""], iteration: Int[Array, ""]) -> Rows:
        """The rows that step number `iteration` reads; all of them by default."""
        return rows

    @property
    def on_host(self) -> bool:
        """Whether `init` and `step` take NumPy's arrays too, of restarts along a leading axis, and give the same back.

        Small fits then need no compiler.
        """
        return False

    @property
    def searches(self) -> bool:
        """Whether a step asks `e_step` about mixtures whose conditioning `State.conditioning` does not tell."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether steps see a sample of the rows, so that one step's gain says nothing about convergence."""
        return False

    def share_of_rows(self, n_rows: int) -> float:
        """What part of all rows one pass reads."""
        return 1.0


class FixedPoint(Driver):
    """A driver whose step is a map: from a mixture and its statistics to the next mixture, one pass a step.

    It has converged where the map leaves everything as it is. `Squarem` makes any of them faster.
    """

    @abstractmethod
    def update(self, mixture: Mixture, statistics: SufficientStatistics, penalty: Penalty) -> Mixture:
        """The next mixture.

        Args:
            mixture: where the restart stands.
            statistics: those of `mixture`.
            penalty: what else the parameters are to heed.
        """

    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        return State.at(mixture, e_step(mixture), penalty)

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        mixture = self.update(state.mixture, state.memory, penalty)
        return State.at(mixture, e_step(mixture), penalty, state.passes)
