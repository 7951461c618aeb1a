"""Which search is made from the starts: all of them run to their ends, or a race between them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Key

from jaxgmm.drivers import Driver
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture
from jaxgmm.problem.pose import Problem
from jaxgmm.race.plan import FEWEST, Pace, worthwhile
from jaxgmm.race.race import Race
from jaxgmm.run.checkpoint import Checkpoint
from jaxgmm.run.drive import run
from jaxgmm.run.identity import Tags
from jaxgmm.run.loop import Controls
from jaxgmm.run.options import Settings
from jaxgmm.run.record import Run
from jaxgmm.run.revival import surroundings

# With fewer than this there is nothing to cut.
_FEWEST_STEPS = 50
# On the host: nothing is compiled to bring such numbers to the device.
_number: Any = np.asarray


def search_from(
    settings: Settings, key: Key[Array, ""], problem: Problem, driver: Driver, starts: Mixture, deadline: float,
rows: Any = None, tags: Tags | None = None, checkpoint: Checkpoint | None = None,
) -> Run:  # fmt: skip
    """Drives `starts` to their end, on `rows` in place of the problem's own if given; see `restarts.run`."""
    rows = problem.rows if rows is None else rows
    controls = Controls(
        tol=_number(settings.tol, problem.dtype),
        max_iter=_number(settings.max_iter, np.int32),
        penalty=problem.penalty,
        floor=_number(problem.widths.floor, problem.dtype),
        key=key,
        keep_degenerate=_number(settings.on_degenerate == "keep"),
        criterion=settings.stopping,
    )
    make_surroundings = partial(surroundings, key, problem) if settings.on_degenerate == "reinit" else None
    drive = partial(
        run, driver, kernel=settings.kernel, on_block=settings.on_block, log_volume=problem.frame.log_volume(),
        deadline=deadline, checkpoint=checkpoint,
    )  # fmt: skip
    if not _races(settings, driver, problem, starts, tags):
        return drive(starts, rows, controls, tags=tags, surroundings=make_surroundings)

    def go(mixtures: Mixture, numbers: Any, rows: Any, pace: Pace) -> Run:
        tags = replace(Tags.plain(mixtures), number=_number(numbers, np.int32))
        limited = replace(controls, max_iter=_number(pace.steps, np.int32), tol=_number(pace.tol, problem.dtype))
        lives = make_surroundings if pace.revive else None
        return drive(mixtures, rows, limited, tags=tags, surroundings=lives, trust=pace.trust, leave=pace.leave)

    return Race(go, key, problem, starts, settings.tol, settings.max_iter).run()


def _races(settings: Settings, driver: Driver, problem: Problem, starts: Mixture, tags: Tags | None) -> bool:
    """Whether there is anything to be gained by a race, and nothing it would break."""
    n = len(starts.weights)
    many = n >= FEWEST and tags is None
    pays = worthwhile(n, int(problem.rows.n_rows), starts.n_parameters)
    wanted = pays if settings.search is None else settings.search == "race"
    long = settings.tol > 0 and settings.max_iter >= _FEWEST_STEPS
    # A jump puts a component where another one was, whose label or parameters it does not have.
    alike = problem.rows.known is None and problem.penalty.pinned is None
    return wanted and many and long and alike and not driver.stochastic
