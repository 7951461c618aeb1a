"""How restarts are run: what users may set, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgmm.em import Penalty
from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.inputs.threefry import Words
from jaxgmm.run.loop import Controls
from jaxgmm.run.record import OnBlock
from jaxgmm.run.stopping import CRITERIA


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
    on_block: OnBlock | None

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
            kernel=arguments.choice("kernel", kernel, ("auto", *KERNEL_NAMES)),
            stopping=arguments.choice("stopping", stopping, CRITERIA),
            on_degenerate=arguments.choice("on_degenerate", on_degenerate, ("reinit", "stop", "keep")),
            tol=arguments.real("tol", tol),
            max_iter=arguments.integer("max_iter", max_iter, 0),
            patience=np.inf if max_seconds is None else arguments.real("max_seconds", max_seconds),
            reg_covar=arguments.real_or_word("reg_covar", reg_covar, ("auto",)),
            on_block=on_block,
        )
        if on_block is not None and not callable(on_block):
            raise ArgumentTypeError("on_block", "be callable", arguments.shown(on_block))
        return settings

    def controls(self, key: Words, penalty: Penalty, floor: np.ndarray, dtype: np.dtype) -> Controls:
        """What steers the loop, in the coordinates of `penalty` and `floor`; see `Controls`."""
        return Controls(
            tol=on_host(self.tol, dtype),
            max_iter=on_host(self.max_iter, np.int32),
            penalty=penalty,
            floor=on_host(floor, dtype),
            key=key,
            keep_degenerate=on_host(self.on_degenerate == "keep"),
            criterion=self.stopping,
        )


def on_host(value: Any, dtype: Any = None) -> Any:
    """A number for a compiled program, as NumPy has it: nothing is compiled to bring it to the device."""
    return np.asarray(value, dtype)
