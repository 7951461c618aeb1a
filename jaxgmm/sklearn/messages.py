"""What the estimator says: warnings and errors that programs look for, and what `verbose` prints."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from jaxgmm.fit.result import FitResult
from jaxgmm.run.record import BlockInfo
from jaxgmm.run.status import Status

# Word for word as scikit-learn has them: filters and tests match these.
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase max_iter, tol, "
    "or check for degenerate data."
)
ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, "
    "or scale the input data."
)


class Narrator:
    """Prints how a fit goes, as far as `verbose` asks for it."""

    def __init__(self, verbose: int, interval: int, n_starts: int, ahead: bool) -> None:
        self.verbose, self.interval, self.ahead = int(verbose), interval, ahead
        self.begun = self.last = time.perf_counter()
        self.told, self.before = 0, -np.inf
        if self.verbose:
            print("Initialization 0" if n_starts == 1 else f"Initializations 0 to {n_starts - 1}")

    @property
    def on_block(self) -> Any:
        return self._block if self.verbose else None

    def _block(self, info: BlockInfo) -> None:
        n_iter = info.n_iter + self.ahead
        if n_iter // self.interval <= self.told // self.interval:
            return
        line = f"  Iteration {n_iter}"
        if self.verbose > 1:
            now, change = time.perf_counter(), info.best - self.before
            line += f"\t time lapse {now - self.last:.5f}s\t ll change {change:.5f}"
            self.last, self.before = now, info.best
        self.told = n_iter
        print(line)

    def conclude(self, result: FitResult) -> None:
        if not self.verbose:
            return
        done = np.isin(result.status, (Status.CONVERGED, Status.ROUNDING))
        if len(done) == 1:
            line = f"Initialization {'converged' if done[0] else 'did not converge'}."
        else:
            line = f"{int(done.sum())} of {len(done)} initializations converged."
        if self.verbose > 1:
            line += f" time lapse {time.perf_counter() - self.begun:.5f}s\t lower bound {result.score:.5f}."
        print(line)
