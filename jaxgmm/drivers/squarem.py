"""SQUAREM: two steps of another driver show where they lead, and a third goes there at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from jaxgmm.drivers.base import Driver, FixedPoint, State
from jaxgmm.drivers.em import EM
from jaxgmm.drivers.parameters import Free, constrained, unconstrained
from jaxgmm.em import EStep, Penalty, SufficientStatistics, log_prior
from jaxgmm.inputs import arguments, trees
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.lazily import jnp
from jaxgmm.inputs.typing import Array, Bool, Float, Int, Key
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows

# The bound on α grows by this when a step that it cut short was a good one (`mstep` of Varadhan's own program).
_GROWTH = 4.0


class _Memory(NamedTuple):
    statistics: SufficientStatistics
    longest: Float[Array, ""]


@trees.register_dataclass
@dataclass(frozen=True)
class Squarem(Driver):
    """SQUAREM, scheme S3 (Varadhan & Roland 2008, Scandinavian Journal of Statistics 35), of a map F such as EM's.

    From θ, in free parameters (`parameters.unconstrained`), it goes to

        θ − 2αr + α²v,  r = F(θ) − θ,  v = F(F(θ)) − F(θ) − r,  α = −‖r‖ / ‖v‖

    which is F(F(θ)) for α = −1, and further where α is less. Two passes a step: of F(θ), and of where it goes.
    The log-posterior never falls, as with EM: a step that leaves it lower than F(θ) ends at F(θ), and the next α is
    halfway to −1. α may be −1 at first, and four times as far below 0 after each good step that this bound has cut
    short.

    Where EM is slow, as where components overlap, it takes a fraction of EM's passes; where EM takes twenty, it saves
    little. It may climb another hill than EM from the same start. Its free parameters are not relative to anything, so
    unlike EM's its path depends on the units of the rows, by the little that rescaling leaves.

    Attributes:
        driver: whose steps to take: `EM`, `HardEM`, or any other `FixedPoint`.

    Example:
        >>> jaxgmm.fit(0, x, 3, driver=jaxgmm.Squarem())
        >>> jaxgmm.fit(0, x, 3, driver=jaxgmm.Squarem(jaxgmm.EM()), tol=1e-9)

    Raises:
        TypeError: `driver` is no `FixedPoint`.
        ValueError: its steps see samples of the rows.
    """

    driver: FixedPoint = field(default_factory=EM)

    def __post_init__(self) -> None:
        if not isinstance(self.driver, FixedPoint):
            wants = "be a driver whose step is a map of the mixture alone, such as EM()"
            raise ArgumentTypeError("driver", wants, arguments.shown(self.driver))
        if self.driver.stochastic:
            wants = "read all rows at every step"
            raise ArgumentError("driver", wants, arguments.shown(self.driver), "differences of samples lead nowhere")

    def assign(
        self, joint: Float[Array, "k b"], w: Float[Array, " b"], possible: Bool[Array, "k b"] | None
    ) -> tuple[Float[Array, "k b"], Float[Array, " b"]]:
        return self.driver.assign(joint, w, possible)

    @property
    def climbs_likelihood(self) -> bool:
        return self.driver.climbs_likelihood

    def rows(self, rows: Rows, key: Key[Array, ""], iteration: Int[Array, ""]) -> Rows:
        return self.driver.rows(rows, key, iteration)

    def share_of_rows(self, n_rows: int) -> float:
        return self.driver.share_of_rows(n_rows)

    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        statistics = e_step(mixture)
        memory = _Memory(statistics, jnp.ones((), mixture.weights.dtype))
        return State.at(mixture, statistics, penalty, memory=memory)

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        fresh = super().renewed(state, e_step, penalty)
        return replace(fresh, memory=fresh.memory._replace(longest=state.memory.longest))

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        memory: _Memory = state.memory
        first = self.driver.update(state.mixture, memory.statistics, penalty)
        of_first = e_step(first)
        second = self.driver.update(first, of_first, penalty)
        there, length = _extrapolated(state.mixture, first, second, memory.longest)
        if penalty.pinned is not None:
            there = penalty.pinned.within(there)
        of_there = e_step(there)

        # Two plain steps need no proof. What is not finite leads nowhere.
        sure = (length == 1) & jnp.isfinite(of_there.log_likelihood)
        good = sure | (_gain(first, of_first, there, of_there, penalty) >= 0)
        longer = jnp.where(length == memory.longest, _GROWTH * length, memory.longest)
        longest = jnp.where(good, longer, (1 + length) / 2)
        mixture, statistics = trees.map(partial(jnp.where, good), (there, of_there), (first, of_first))
        kept = _Memory(statistics, longest)
        return State.at(mixture, statistics, penalty, state.passes, read=(of_first, of_there), memory=kept)


def _extrapolated(
    start: Mixture, first: Mixture, second: Mixture, longest: Float[Array, ""]
) -> tuple[Mixture, Float[Array, ""]]:
    """Where two steps from `start` lead, and −α: `second` and 1 where there is nothing to be gained.

    Args:
        first, second: after one step and after two.
        longest: the most that −α may be.
    """
    origin, one, two = map(unconstrained, (start, first, second))
    r = trees.map(jnp.subtract, one, origin)
    v = trees.map(lambda a, b, c: (c - b) - (b - a), origin, one, two)
    ratio = _norm(r) / _norm(v)
    length = jnp.where(ratio > 1, jnp.minimum(ratio, longest), 1.0)
    far = trees.map(lambda a, r, v: a + 2 * length * r + length**2 * v, origin, r, v)
    # A component without weight or width has no free parameters to go by.
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in trees.leaves(far)]))
    length = jnp.where(finite, length, 1.0)
    return trees.map(partial(jnp.where, length > 1), constrained(far, second), second), length


def _norm(free: Free) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in trees.leaves(free)])))


def _gain(
    old: Mixture, before: SufficientStatistics, new: Mixture, after: SufficientStatistics, penalty: Penalty
) -> Float[Array, ""]:
    """What a step from `old` to `new` raises EM's objective by, nats: with the prior, and less the ridge's price.

    That price is taken at the counts a step sets out from, as in the M-step.
    """
    value = after.log_likelihood - before.log_likelihood
    value += after.log_likelihood_error - before.log_likelihood_error
    dearer = new.components.ridge_trace(penalty.ridge) - old.components.ridge_trace(penalty.ridge)
    value -= 0.5 * jnp.sum(before.counts * dearer)
    if penalty.prior is None:
        return value
    return value + (log_prior(new, penalty.prior) - log_prior(old, penalty.prior))
