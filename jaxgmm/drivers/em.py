"""Expectation-maximisation: θ ← argmax Q."""

from __future__ import annotations

from dataclasses import dataclass

from jaxgmm.drivers.base import FixedPoint
from jaxgmm.em import Penalty, SufficientStatistics, m_step
from jaxgmm.inputs import trees
from jaxgmm.mixture import Mixture


@trees.register_dataclass
@dataclass(frozen=True)
class EM(FixedPoint):
    """Expectation-maximisation (Dempster, Laird & Rubin 1977): one pass a step, and the log-posterior never falls.

    That is the log-likelihood where there is no prior. A ridge is not a prior: it may cost likelihood.
    """

    def update(self, mixture: Mixture, statistics: SufficientStatistics, penalty: Penalty) -> Mixture:
        return m_step(mixture, statistics, *penalty)

    @property
    def on_host(self) -> bool:
        return type(self) is EM  # what others make of a step may need JAX
