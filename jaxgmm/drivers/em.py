"""Expectation-maximisation: θ ← argmax Q."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from jaxgmm.drivers.base import EStep, Penalty, State
from jaxgmm.em import log_prior, m_step
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EM:
    """Expectation-maximisation (Dempster, Laird & Rubin 1977): one pass a step, and the log-posterior never falls.

    That is the log-likelihood where there is no prior. A ridge is not a prior: it may cost likelihood.
    """

    @property
    def stochastic(self) -> bool:
        return False

    def share_of_rows(self, n_rows: int) -> float:
        return 1.0

    def rows(self, rows: Rows, key: Key[Array, ""], iteration: Int[Array, ""]) -> Rows:
        return rows

    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        return self._at(mixture, e_step, penalty, jnp.zeros((), mixture.weights.dtype))

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        return self._at(state.mixture, e_step, penalty, state.passes)

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        return self._at(m_step(state.mixture, state.memory, *penalty), e_step, penalty, state.passes)

    def _at(self, mixture: Mixture, e_step: EStep, penalty: Penalty, passes: Float[Array, ""]) -> State:
        statistics = e_step(mixture)
        prior = jnp.zeros_like(passes) if penalty.prior is None else log_prior(mixture, penalty.prior)
        value, error = statistics.log_likelihood, statistics.log_likelihood_error
        return State(mixture, value, error, prior, passes + 1, memory=statistics)
