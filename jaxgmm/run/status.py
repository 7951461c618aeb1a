"""How a restart ended, and what to do about it."""

from __future__ import annotations

from enum import IntEnum

from jaxgmm.inputs.wording import Wording


class Status(IntEnum):
    """State of a restart. `advice` says what to do about it; `SOUND` lists the ends that leave a usable mixture."""

    RUNNING = 0
    CONVERGED = 1
    MAX_ITER = 2
    DEGENERATE = 3
    NON_FINITE = 4
    ROUNDING = 5
    TIME_LIMIT = 6
    STOPPED = 7
    OUTRUN = 8
    MERGED = 9

    @property
    def advice(self) -> Wording:
        """One sentence."""
        return _ADVICE[self]


_ADVICE = {
    Status.RUNNING: Wording("The restart has not ended."),
    Status.CONVERGED: Wording("The last iteration changed less than {tol}."),
    Status.MAX_ITER: Wording("{max_iter} was reached first: raise {max_iter}, or loosen {tol}."),
    Status.DEGENERATE: Wording(
        "A component lost its rows or collapsed onto a few of them; the mixture before that was kept: "
        "raise {reg_covar}, lower {n_components}, or start more restarts."
    ),
    Status.NON_FINITE: Wording(
        "The log-likelihood became NaN or infinite; the mixture before that was kept: "
        "rescale the data, use float64, or lower the learning rate."
    ),
    Status.ROUNDING: Wording(
        "The log-likelihood only rises and falls with rounding: it is at its maximum as far as this dtype can tell; "
        "use float64 for a smaller {tol}."
    ),
    Status.TIME_LIMIT: Wording("{max_seconds} was reached first: raise it, or loosen {tol}."),
    Status.STOPPED: Wording("{on_block} asked to stop."),
    Status.OUTRUN: Wording(
        "Other restarts were ahead when it was left behind: {search:'all'} runs every one to its end."
    ),
    Status.MERGED: Wording("It was on its way to the same optimum as a restart ahead of it."),
}

SOUND = (Status.CONVERGED, Status.ROUNDING, Status.MAX_ITER, Status.TIME_LIMIT, Status.STOPPED)
