"""The E-step and the M-step, and what passes between them."""

from jaxgmm.em.kernels import KERNELS
from jaxgmm.em.passes import EStep
from jaxgmm.em.penalty import Penalty, Pinned
from jaxgmm.em.statistics import SufficientStatistics
from jaxgmm.em.steps import (
    e_step,
    expected_log_likelihood,
    log_prior,
    m_step,
    pass_chunk,
    statistics_of,
)

__all__ = [
    "KERNELS",
    "SufficientStatistics",
    "e_step",
    "expected_log_likelihood",
    "log_prior",
    "m_step",
]
__all__ += ["EStep", "Penalty", "Pinned", "pass_chunk", "statistics_of"]
