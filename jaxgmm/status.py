"""How a restart ended, and what to do about it."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """State of a restart. `advice` says what to do about it."""

    RUNNING = 0
    CONVERGED = 1
    MAX_ITER = 2
    DEGENERATE = 3
    NON_FINITE = 4

    @property
    def advice(self) -> str:
        """One sentence."""
        return _ADVICE[self]


_ADVICE = {
    Status.RUNNING: "The restart has not ended.",
    Status.CONVERGED: "The mean log-likelihood changed by less than tol in the last iteration.",
    Status.MAX_ITER: "max_iter was reached first: raise max_iter, or loosen tol.",
    Status.DEGENERATE: (
        "A component lost its rows or collapsed onto a few of them; the last sound mixture was kept: "
        "raise reg_covar, lower n_components, or start more restarts."
    ),
    Status.NON_FINITE: (
        "The log-likelihood became NaN or infinite; the last sound mixture was kept: "
        "rescale the data, use float64, or lower the learning rate."
    ),
}
