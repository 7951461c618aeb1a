"""The one host loop: blocks of steps, and what is decided between them.

Between blocks the host reads statuses, revives the collapsed, chooses each restart's kernel anew, and reports. Where
restarts are held and how they step is the affair of their lanes: one data set on a device (`DeviceLanes`), or many data
sets packed into batches (`many.lanes.PackedLanes`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxgmm.em.choice import choose_kernels
from jaxgmm.run.record import Restarts
from jaxgmm.run.status import Status


class Lanes(ABC):
    """Restarts on their way; arrays over restarts r, or over data sets and restarts (p, r).

    Attributes:
        kernel: "shared_feature", "centred" or "auto".
        limit: the conditioning up to which the fast kernel is trusted.
        lives: how often a collapsed restart may be put elsewhere.
        max_iter: the most steps of a restart.
        kernels: the number of each restart's kernel, as `em.choice.KERNEL_NAMES` has them.
        revivals: how often each restart has been put elsewhere.
    """

    kernel: str
    limit: float
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
    def step(self, running: Bool[np.ndarray, "*p r"]) -> None:
        """Steps the `running` restarts for one block, each by its own kernel."""

    @abstractmethod
    def renew(self, moved: Bool[np.ndarray, "*p r"]) -> None:
        """Reads the statistics of `moved` anew by the kernel that holds at any conditioning."""

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

    def chosen_kernels(
        self, conditioning: Float[np.ndarray, "*p r"], current: Int[np.ndarray, "*p r"]
    ) -> Int[np.ndarray, "*p r"]:
        """The number of the kernel that each restart can be trusted to."""
        flat = choose_kernels(self.kernel, conditioning.ravel(), current.ravel(), self.limit)
        return flat.reshape(current.shape)


def drive(lanes: Lanes) -> None:
    """Drives all restarts to their ends."""
    _revive(lanes)
    while (running := lanes.status == Status.RUNNING).any():
        lanes.step(running)
        _revive(lanes)
        lanes.settle()
        _choose_kernels(lanes)
        lanes.report()


def _revive(lanes: Lanes) -> None:
    """Sets collapsed restarts going again that have lives left, and steps to use them."""
    dead = (lanes.status == Status.DEGENERATE) & (lanes.revivals < lanes.lives) & (lanes.n_iter < lanes.max_iter)
    if dead.any():
        lanes.revive(dead)
        lanes.revivals += dead


def _choose_kernels(lanes: Lanes) -> None:
    """Chooses each running restart's kernel for the next block; for the accurate one statistics are read anew."""
    running = lanes.status == Status.RUNNING
    chosen = lanes.chosen_kernels(lanes.conditioning, lanes.kernels)
    moved = running & (chosen > lanes.kernels)
    lanes.kernels = np.where(running, chosen, lanes.kernels)
    if moved.any():
        lanes.renew(moved)
