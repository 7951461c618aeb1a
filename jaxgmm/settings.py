"""How restarts are run: what the user may set, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxgmm import validation
from jaxgmm.drivers import Driver
from jaxgmm.kernel_choice import KERNEL_NAMES
from jaxgmm.loop import Controls
from jaxgmm.mixture import Mixture
from jaxgmm.outcome import BlockInfo, Run
from jaxgmm.problem import Problem
from jaxgmm.restarts import run
from jaxgmm.stopping import CRITERIA
from jaxgmm.tags import Tags


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
    on_block: Callable[[BlockInfo], bool | None] | None

    @classmethod
    def checked(
        cls, *, tol: Any, stopping: Any, max_iter: Any, max_seconds: Any, reg_covar: Any, on_degenerate: Any,
        kernel: Any, on_block: Any,
    ) -> Settings:  # fmt: skip
        """What the user gave.

        Raises:
            ValueError, TypeError: naming the argument, what it got and what it wants.
        """
        settings = cls(
            kernel=validation.choice("kernel", kernel, ("auto", *KERNEL_NAMES)),
            stopping=validation.choice("stopping", stopping, CRITERIA),
            on_degenerate=validation.choice("on_degenerate", on_degenerate, ("reinit", "stop", "keep")),
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
        rows: Any = None, tags: Tags | None = None,
    ) -> Run:  # fmt: skip
        """Drives `starts` to their end, on `rows` in place of the problem's own if given; see `restarts.run`."""
        controls = Controls(
            tol=jnp.asarray(self.tol, problem.dtype),
            max_iter=jnp.asarray(self.max_iter, jnp.int32),
            penalty=problem.penalty,
            floor=problem.floor,
            key=key,
            keep_degenerate=jnp.asarray(self.on_degenerate == "keep"),
            criterion=self.stopping,
        )
        return run(
            driver, starts, problem.rows if rows is None else rows, controls, kernel=self.kernel,
            on_block=self.on_block, log_volume=problem.frame.log_volume(), deadline=deadline, tags=tags,
            surroundings=partial(problem.surroundings, key) if self.on_degenerate == "reinit" else None,
        )  # fmt: skip
