"""Expectation-maximisation: θ ← argmax Q."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxgmm.drivers.base import EStep, State
from jaxgmm.em import m_step
from jaxgmm.families.base import Root
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EM:
    """Expectation-maximisation (Dempster, Laird & Rubin 1977): one pass a step, and the log-likelihood never falls."""

    name: ClassVar[str] = "em"

    @property
    def stochastic(self) -> bool:
        return False

    def share_of_rows(self, n_rows: int) -> float:
        return 1.0

    def rows(self, rows: Rows, key: Key[Array, ""], iteration: Int[Array, ""]) -> Rows:
        return rows

    def init(self, mixture: Mixture, e_step: EStep, ridge: Root) -> State:
        return self._at(mixture, e_step, jnp.zeros((), mixture.weights.dtype))

    def step(self, state: State, e_step: EStep, ridge: Root) -> State:
        return self._at(m_step(state.mixture, state.memory, ridge), e_step, state.passes)

    def _at(self, mixture: Mixture, e_step: EStep, passes: Float[Array, ""]) -> State:
        statistics = e_step(mixture)
        return State(mixture, statistics.log_likelihood, statistics.log_likelihood_error, passes + 1, memory=statistics)
