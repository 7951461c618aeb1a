"""The one host loop: blocks of steps, and what is decided between them.

Between blocks the host reads statuses, revives the collapsed, chooses each restart's kernel anew, and reports. Where
restarts are held and how they step is the affair of their lanes: one data set on a device (`DeviceLanes`), or many data
sets packed into batches (`many.lanes.PackedLanes`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES, choose_kernels, fastest
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.run.loop import Pool
from jaxgmm.run.record import Restarts
from jaxgmm.run.status import Status


class Lanes(ABC):
    """Restarts on their way; arrays over restarts r, or over data sets and restarts (p, r).

    Attributes:
        limits: the conditioning up to which each kernel is trusted; see `em.choice.limits`.
        lives: how often a collapsed restart may be put elsewhere.
        max_iter: the most steps of a restart.
        kernels: the number of each restart's kernel, as `em.choice.KERNEL_NAMES` has them.
        revivals: how often each restart has been put elsewhere.
    """

    limits: Float[np.ndarray, " kernels"]
    lives: int
    max_iter: int
    kernels: Int[np.ndarray, "*p r"]
    revivals: Int[np.ndarray, "*p r"]

    @property
    @abstractmethod
    def status(self) -> Int[np.ndarray, "*p r"]:
        """How each restart fares: values of `Status`."""

    @property
    @abstractmethod
    def n_iter(self) -> Int[np.ndarray, "*p r"]:
        """Steps taken."""

    @property
    @abstractmethod
    def conditioning(self) -> Float[np.ndarray, "*p r"]:
        """κ where each restart stands, or where it refused to go."""

    @abstractmethod
    def start(self, which: Bool[np.ndarray, "*p r"], name: str) -> None:
        """Reads the rows for `which` restarts at their starts, by the kernel of this name; at first for all."""

    @abstractmethod
    def step(self, running: Bool[np.ndarray, "*p r"]) -> None:
        """Steps the `running` restarts for one block, each by its own kernel."""

    @abstractmethod
    def renew(self, moved: Bool[np.ndarray, "*p r"], name: str) -> None:
        """Reads the statistics of `moved` anew, by the kernel of this name."""

    def suit(self, unsuited: Bool[np.ndarray, "*p r"]) -> bool:
        """May lay the rows out anew so that the fastest kernel can be trusted with `unsuited`, and says whether it did.

        Not by default.
        """
        return False

    @abstractmethod
    def revive(self, dead: Bool[np.ndarray, "*p r"]) -> None:
        """Puts the collapsed components of `dead` elsewhere."""

    @abstractmethod
    def ended(self) -> Restarts:
        """How all restarts ended."""

    def settle(self) -> None:
        """Ends restarts for reasons that a block does not see; none by default."""
        return

    def report(self) -> None:
        """Tells how restarts fare, and looks at the clock; nothing by default."""
        return


@trees.register_dataclass
@dataclass(frozen=True)
class Pause:
    """Where the host's side of a run stands between two blocks; arrays over restarts r.

    Attributes:
        pool: the device's side.
        kernels, revivals: of every restart.
        evaluated_at: after how many steps a restart's log-likelihood of all rows was last looked at.
        exact: that log-likelihood, for drivers that see samples.
        history: see `Ended`; with spare room.
        first, block, evaluations: steps, blocks and looks at all rows so far.
        halvings: see `Controls`.
    """

    pool: Pool
    kernels: Int[np.ndarray, " r"]
    revivals: Int[np.ndarray, " r"]
    evaluated_at: Int[np.ndarray, " r"]
    exact: Float[np.ndarray, " r"] | None
    history: Float[np.ndarray, "r t"]
    first: np.ndarray
    block: np.ndarray
    evaluations: np.ndarray
    halvings: np.ndarray


def begin(lanes: Lanes, shape: tuple[int, ...]) -> None:
    """Reads the rows once for all restarts: by the fastest kernel, and again by others where it cannot be trusted.

    Args:
        shape: that of the restarts, r or p, r.
    """
    first = fastest(lanes.limits)
    lanes.kernels = np.full(shape, first)
    waiting = np.ones(shape, bool)
    while waiting.any():
        number = int(np.min(lanes.kernels[waiting]))
        own = waiting & (lanes.kernels == number)
        lanes.start(own, KERNEL_NAMES[number])
        beyond = own & ~(lanes.conditioning <= lanes.limits[number])
        if number == first and beyond.any() and lanes.suit(beyond):
            lanes.start(own, KERNEL_NAMES[number])
        slower = np.maximum(lanes.kernels, choose_kernels(lanes.conditioning, lanes.limits))
        lanes.kernels = np.where(own, slower, lanes.kernels)
        waiting &= lanes.kernels > number


def drive(lanes: Lanes) -> None:
    """Drives all restarts to their ends."""
    _revive(lanes)
    while (running := lanes.status == Status.RUNNING).any():
        lanes.step(running)
        _revive(lanes)
        lanes.settle()
        if (unsuited := (lanes.status == Status.RUNNING) & (lanes.kernels > fastest(lanes.limits))).any():
            lanes.suit(unsuited)
        _choose_kernels(lanes)
        lanes.report()


def _revive(lanes: Lanes) -> None:
    """Sets collapsed restarts going again that have lives left, and steps to use them."""
    dead = (lanes.status == Status.DEGENERATE) & (lanes.revivals < lanes.lives) & (lanes.n_iter < lanes.max_iter)
    if dead.any():
        lanes.revive(dead)
        lanes.revivals += dead


def _choose_kernels(lanes: Lanes) -> None:
    """Chooses each running restart's kernel for the next block; for a more accurate one statistics are read anew."""
    running, before = lanes.status == Status.RUNNING, lanes.kernels
    lanes.kernels = np.where(running, choose_kernels(lanes.conditioning, lanes.limits), before)
    for number in np.unique(lanes.kernels[lanes.kernels > before]):
        lanes.renew((lanes.kernels > before) & (lanes.kernels == number), KERNEL_NAMES[number])
