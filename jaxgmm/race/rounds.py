"""What is told of a race, and how one ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.run.record import Ended


@dataclass(frozen=True, eq=False)
class Round:
    """One round of a race. Arrays over its runners.

    Attributes:
        kind: "heat", "trial", "escape", "semifinal", "final" or "winner".
        rows: how many rows it read.
        restart: whose runners they are; in a trial all have jumped, in an escape all but the first of each restart.
        log_likelihood: where they ended, mean over the rows read, nats per row; with a prior, log-posterior.
        heading: where they are heading; what heats rank by. −inf for what is degenerate or spurious.
        through: which runners went on.
        merged: the restart on whose way to the same optimum one was; −1 for the others.
        passes: what a runner read, in whole data sets.
    """

    kind: str
    rows: int
    restart: Int[np.ndarray, " m"]
    log_likelihood: Float[np.ndarray, " m"]
    heading: Float[np.ndarray, " m"]
    through: Bool[np.ndarray, " m"]
    merged: Int[np.ndarray, " m"]
    passes: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class RaceEnded(Ended):
    """How a race ended: every start's restart, and the story of the race.

    Log-likelihoods of restarts that have left are of the rows that they saw last.
    """

    rounds: tuple[Round, ...] = ()
