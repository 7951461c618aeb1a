"""EM in the order E-step, M-step: the mixture is one M-step ahead of its log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgmm.drivers.base import EStep, Penalty, State
from jaxgmm.drivers.em import EM
from jaxgmm.em import log_prior, m_step
from jaxgmm.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EMAhead(EM):
    """`EM` counted as scikit-learn counts it: a step is an E-step and the M-step that follows.

    `EM` ends on the mixture whose log-likelihood it has seen. This driver takes the one M-step more that comes for
    nothing, and reports the log-likelihood of the mixture before it. The state after n steps is scikit-learn's after
    n + 1 iterations.
    """

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        return self._at(state.memory, e_step, penalty, state.passes)

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        return self._at(state.mixture, e_step, penalty, state.passes)

    def _at(self, mixture: Mixture, e_step: EStep, penalty: Penalty, passes: Float[Array, ""]) -> State:
        statistics = e_step(mixture)
        prior = jnp.zeros_like(passes) if penalty.prior is None else log_prior(mixture, penalty.prior)
        ahead = m_step(mixture, statistics, *penalty)
        # No pass has seen this mixture yet: that it has no density must be told here.
        sound = jnp.all(jnp.isfinite(ahead.components.log_width()))
        value = jnp.where(sound, statistics.log_likelihood, jnp.nan)
        return State(ahead, value, statistics.log_likelihood_error, prior, passes + 1, memory=mixture)
