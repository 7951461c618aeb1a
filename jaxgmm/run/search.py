"""What is made of many starts, said once: a search is one method that runs a task.

Every search is made of ordinary runs (`Task.run`): of all starts to their ends, or of some of them on some rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from jaxgmm.drivers import Driver
from jaxgmm.inputs.threefry import Words
from jaxgmm.inputs.typing import Int
from jaxgmm.mixture import Mixture
from jaxgmm.problem.pose import Problem
from jaxgmm.rows import Rows
from jaxgmm.run.checkpoint import Checkpoint
from jaxgmm.run.identity import Tags
from jaxgmm.run.lanes import run_restarts
from jaxgmm.run.loop import Controls
from jaxgmm.run.options import Settings, on_host
from jaxgmm.run.record import Ended
from jaxgmm.starts.revival import surroundings


@dataclass(frozen=True)
class Pace:
    """How restarts run where they do not run to their ends.

    Attributes:
        steps: how many at most.
        tol: when they have converged.
        revive: whether collapsed components are put elsewhere.
        tolerance: by how many times more than usual a kernel may err.
    """

    steps: int
    tol: float
    revive: bool = False
    tolerance: float = 1.0


@dataclass(frozen=True)
class Task:
    """Restarts to be run, with all that running them needs.

    Attributes:
        key: the words of the key that drivers, revivals and searches draw from.
        problem: the rows, and what they are fitted with.
        driver: how parameters move.
        starts: leading axis r, in the coordinates of the problem.
        settings: what the user has set.
        deadline: the `time.perf_counter()` at which to stop.
        rows: what is read in place of the problem's own rows, if anything.
        tags: what tells restarts apart beside their starts.
        checkpoint: where runs are kept, so that a killed process can go on.
    """

    key: Words
    problem: Problem
    driver: Driver
    starts: Mixture
    settings: Settings
    deadline: float = np.inf
    rows: Rows | None = None
    tags: Tags | None = None
    checkpoint: Checkpoint | None = None

    def run(self) -> Ended:
        """Runs every start to its end, or as far as the settings say."""
        rows = self.problem.rows if self.rows is None else self.rows
        return self._drive(self.starts, rows, self._controls(), self.tags, self.settings.on_degenerate == "reinit")

    def run_some(self, mixtures: Mixture, numbers: Int[np.ndarray, " m"], rows: Rows, pace: Pace) -> Ended:
        """Runs `mixtures`, whose keys are folded with `numbers`, on `rows` for as long as `pace` says."""
        controls, dtype = self._controls(), self.problem.dtype
        limited = replace(controls, max_iter=on_host(pace.steps, np.int32), tol=on_host(pace.tol, dtype))
        tags = replace(Tags.plain(mixtures), number=on_host(numbers, np.int32))
        revive = pace.revive and self.settings.on_degenerate == "reinit"
        return self._drive(mixtures, rows, limited, tags, revive, pace.tolerance)

    def _controls(self) -> Controls:
        problem = self.problem
        return self.settings.controls(self.key, problem.penalty, problem.widths.floor, problem.dtype)

    def _drive(
        self, mixtures: Mixture, rows: Rows, controls: Controls, tags: Tags | None, revive: bool, tolerance: float = 1.0
    ) -> Ended:
        return run_restarts(
            self.driver, mixtures, rows, controls, tags=tags, kernel=self.settings.kernel,
            on_block=self.settings.on_block, log_volume=self.problem.frame.log_volume(), deadline=self.deadline,
            surroundings=partial(surroundings, self.key, self.problem) if revive else None,
            checkpoint=self.checkpoint, tolerance=tolerance,
        )  # fmt: skip


class Search(ABC):
    """What is made of the starts of a task."""

    @abstractmethod
    def run(self, task: Task) -> Ended:
        """How the restarts ended, one for each start, in their order."""


@dataclass(frozen=True)
class All(Search):
    """Every start runs to its end."""

    def run(self, task: Task) -> Ended:
        return task.run()
