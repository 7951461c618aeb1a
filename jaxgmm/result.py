"""What a fit returns, and how it picks the best restart."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgmm.mixture import Mixture
from jaxgmm.status import Status

SOUND = (Status.CONVERGED, Status.MAX_ITER)


class FitError(RuntimeError):
    """No restart ended with a finite log-likelihood."""


@dataclass(frozen=True)
class FitResult:
    """What `fit` found. Arrays are NumPy, over restarts r.

    Attributes:
        mixture: the best restart's mixture.
        mixtures: every restart's, leading axis r.
        best: the best restart's number: the highest log-likelihood among those that ended soundly.
        log_likelihood: (r,), weighted sums over rows, nats, without the ridge.
        n_iter: (r,), steps taken.
        status: (r,), values of `Status`.
        kernel: (r,), the kernel each restart ended on.
        passes: (r,), how many times the rows were read, in whole data sets.
        history: (r, longest + 1), mean log-likelihood per row at the start and after each step; NaN past
            a restart's end.
        total_weight: the rows' number, or the sum of their weights.
        seconds: wall time of the restarts, compilation included.
    """

    mixture: Mixture
    mixtures: Mixture
    best: int
    log_likelihood: Any
    n_iter: Any
    status: Any
    kernel: Any
    passes: Any
    history: Any
    total_weight: float
    seconds: float

    @property
    def score(self) -> float:
        """The best restart's mean log-likelihood, nats per row."""
        return float(self.log_likelihood[self.best] / self.total_weight)

    def counts(self) -> dict[str, int]:
        """How many restarts ended in each status."""
        return {status.name: int(n) for status in Status if (n := np.sum(self.status == status))}

    def __repr__(self) -> str:
        status = Status(int(self.status[self.best]))
        ended = ", ".join(f"{n} {name}" for name, n in self.counts().items())
        return (
            f"FitResult({self.mixture!r}, score={self.score:.6g} nats per row, {status.name} after "
            f"{int(self.n_iter[self.best])} iterations; {len(self.status)} restarts: {ended})"
        )


def best_restart(log_likelihood: Any, status: Any) -> int:
    """The highest log-likelihood among restarts that ended soundly.

    With none sound the best degenerate one is taken, with a warning.

    Raises:
        FitError: every restart is non-finite.
    """
    for wanted in (SOUND, (Status.DEGENERATE,)):
        candidates = np.isin(status, wanted) & np.isfinite(log_likelihood)
        if candidates.any():
            if wanted is not SOUND:
                warnings.warn(f"every restart is degenerate. {Status.DEGENERATE.advice}", RuntimeWarning, stacklevel=4)
            return int(np.argmax(np.where(candidates, log_likelihood, -np.inf)))
    counts = ", ".join(f"{int(np.sum(status == s))} {s.name}" for s in Status if np.any(status == s))
    raise FitError(f"no restart stayed finite: {counts}. {Status.NON_FINITE.advice}")
