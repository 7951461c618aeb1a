"""How restarts are run: what the user may set, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Array, Key

from jaxgmm import validation
from jaxgmm.checkpoint import Checkpoint
from jaxgmm.drivers import Driver
from jaxgmm.kernel_choice import KERNEL_NAMES
from jaxgmm.loop import Controls
from jaxgmm.mixture import Mixture
from jaxgmm.outcome import BlockInfo, Run
from jaxgmm.problem import Problem
from jaxgmm.race import Race
from jaxgmm.restarts import run
from jaxgmm.stopping import CRITERIA
from jaxgmm.tags import Tags
from jaxgmm.tournament import FEWEST, Pace, worthwhile

# With fewer than this there is nothing to cut.
_FEWEST_STEPS = 50
# On the host: nothing is compiled to bring such numbers to the device.
_number: Any = np.asarray
#: how many starts become one
SEARCHES = ("race", "all")


@dataclass(frozen=True)
class Settings:
    """See `jaxgmm.fit` for what they mean. `patience` is `max_seconds`, infinite for None."""

    tol: float
    stopping: str
    max_iter: int
    patience: float
    reg_covar: float | Literal["auto"]
    on_degenerate: str
    kernel: str
    search: str | None
    on_block: Callable[[BlockInfo], bool | None] | None

    @classmethod
    def checked(
        cls, *, tol: Any, stopping: Any, max_iter: Any, max_seconds: Any, reg_covar: Any, on_degenerate: Any,
        kernel: Any, on_block: Any, search: Any = "all",
    ) -> Settings:  # fmt: skip
        """What the user gave.

        Raises:
            ValueError, TypeError: naming the argument, what it got and what it wants.
        """
        settings = cls(
            kernel=validation.choice("kernel", kernel, ("auto", *KERNEL_NAMES)),
            stopping=validation.choice("stopping", stopping, CRITERIA),
            on_degenerate=validation.choice("on_degenerate", on_degenerate, ("reinit", "stop", "keep")),
            search=None if search is None else validation.choice("search", search, SEARCHES),
            tol=validation.real("tol", tol),
            max_iter=validation.integer("max_iter", max_iter, 0),
            patience=np.inf if max_seconds is None else validation.real("max_seconds", max_seconds),
            reg_covar=validation.real_or_word("reg_covar", reg_covar, ("auto",)),
            on_block=on_block,
        )
        if on_block is not None and not callable(on_block):
            raise TypeError(f"on_block must be callable, got {on_block!r}")
        return settings

    def run(
        self, key: Key[Array, ""], problem: Problem, driver: Driver, starts: Mixture, deadline: float,
        rows: Any = None, tags: Tags | None = None, checkpoint: Checkpoint | None = None,
    ) -> Run:  # fmt: skip
        """Drives `starts` to their end, on `rows` in place of the problem's own if given; see `restarts.run`."""
        rows = problem.rows if rows is None else rows
        controls = Controls(
            tol=_number(self.tol, problem.dtype),
            max_iter=_number(self.max_iter, np.int32),
            penalty=problem.penalty,
            floor=_number(problem.widths.floor, problem.dtype),
            key=key,
            keep_degenerate=_number(self.on_degenerate == "keep"),
            criterion=self.stopping,
        )
        surroundings = partial(problem.surroundings, key) if self.on_degenerate == "reinit" else None
        drive = partial(
            run, driver, kernel=self.kernel, on_block=self.on_block, log_volume=problem.frame.log_volume(),
            deadline=deadline, checkpoint=checkpoint,
        )  # fmt: skip
        if not self._races(driver, problem, starts, tags):
            return drive(starts, rows, controls, tags=tags, surroundings=surroundings)

        def go(mixtures: Mixture, numbers: Any, rows: Any, pace: Pace) -> Run:
            tags = replace(Tags.plain(mixtures), number=_number(numbers, np.int32))
            limited = replace(controls, max_iter=_number(pace.steps, np.int32), tol=_number(pace.tol, problem.dtype))
            lives = surroundings if pace.revive else None
            return drive(mixtures, rows, limited, tags=tags, surroundings=lives, trust=pace.trust, leave=pace.leave)

        return Race(go, key, problem, starts, self.tol, self.max_iter).run()

    def _races(self, driver: Driver, problem: Problem, starts: Mixture, tags: Tags | None) -> bool:
        """Whether there is anything to be gained by a race, and nothing it would break."""
        n = len(starts.weights)
        many = n >= FEWEST and tags is None
        pays = worthwhile(n, int(problem.rows.n_rows), starts.n_parameters)
        wanted = pays if self.search is None else self.search == "race"
        long = self.tol > 0 and self.max_iter >= _FEWEST_STEPS
        # A jump puts a component where another one was, whose label or parameters it does not have.
        alike = problem.rows.known is None and problem.penalty.pinned is None
        return wanted and many and long and alike and not driver.stochastic
