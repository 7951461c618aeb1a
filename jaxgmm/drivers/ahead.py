"""EM in the order E-step, M-step: the mixture is one M-step ahead of its log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jaxgmm.drivers.base import Driver, State
from jaxgmm.em import EStep, Penalty, m_step
from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.mixture import Mixture


@trees.register_dataclass
@dataclass(frozen=True)
class EMAhead(Driver):
    """`EM` counted as scikit-learn counts it: a step is an E-step and the M-step that follows.

    `EM` ends on the mixture whose log-likelihood it has seen. This driver takes the one M-step more that comes for
    nothing, and reports the log-likelihood of the mixture before it. The state after n steps is scikit-learn's after
    n + 1 iterations.

    A component that the M-step leaves without any width keeps the width it had. (Without a ridge scikit-learn goes on
    with what rounding makes of it, or raises.)

    Attributes:
        hold: whether such a component goes on; else it loses its weight, and counts as collapsed.
    """

    hold: bool = field(default=False, metadata={"static": True})

    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        return self._at(mixture, e_step, penalty, 0.0)

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        return self._at(state.memory, e_step, penalty, state.passes)

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        return self._at(state.mixture, e_step, penalty, state.passes)

    def _at(self, mixture: Mixture, e_step: EStep, penalty: Penalty, passes: Any) -> State:
        statistics, xp = e_step(mixture), namespace(mixture.weights)
        ahead = m_step(mixture, statistics, *penalty)
        # No pass has seen the next mixture yet: what has lost its width there must not be stepped into.
        lost = ~xp.isfinite(ahead.components.log_width())
        weights = ahead.weights if self.hold else xp.where(lost, 0.0, ahead.weights)
        ahead = Mixture(weights, ahead.components.with_replaced(lost, mixture.components))
        return replace(State.at(mixture, statistics, penalty, passes, memory=mixture), mixture=ahead)

    @property
    def on_host(self) -> bool:
        return True
