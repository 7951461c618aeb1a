"""How restarts are run: what the user may set, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.run.record import BlockInfo
from jaxgmm.run.stopping import CRITERIA

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
            kernel=arguments.choice("kernel", kernel, ("auto", *KERNEL_NAMES)),
            stopping=arguments.choice("stopping", stopping, CRITERIA),
            on_degenerate=arguments.choice("on_degenerate", on_degenerate, ("reinit", "stop", "keep")),
            search=None if search is None else arguments.choice("search", search, SEARCHES),
            tol=arguments.real("tol", tol),
            max_iter=arguments.integer("max_iter", max_iter, 0),
            patience=np.inf if max_seconds is None else arguments.real("max_seconds", max_seconds),
            reg_covar=arguments.real_or_word("reg_covar", reg_covar, ("auto",)),
            on_block=on_block,
        )
        if on_block is not None and not callable(on_block):
            raise ArgumentTypeError("on_block", "be callable", arguments.shown(on_block))
        return settings
