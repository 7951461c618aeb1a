"""Weights and components together: what can be asked of a mixture, and how it is kept in a file."""

from jaxgmm.mixture.density import joint_log_prob, posterior
from jaxgmm.mixture.mixture import Mixture, at_rest

__all__ = ["Mixture", "at_rest", "joint_log_prob", "posterior"]
