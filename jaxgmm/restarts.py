"""Many starts at once, the host's side: decisions between blocks of steps.

Between blocks the host reads log-likelihoods and statuses, drops the finished restarts from the batch, chooses each
restart's kernel anew, and reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm import loop
from jaxgmm.drivers import Driver
from jaxgmm.em import KERNELS
from jaxgmm.loop import Controls, Pool
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows
from jaxgmm.status import Status

KERNEL_NAMES = tuple(KERNELS)

# A block is cut short when its steps are long, so that the host hears from it about every second on two cores.
_BLOCK_WORK = 1e11
# Smaller batches compile anew: only worth it when a step is this much work.
_COMPACTION_WORK = 1e9
# The shared-feature kernel errs by about ε·κ nats per row; it is left above this, and returned to well below.
_TOLERATED_LOSS = 1e-3
_RETURN_BELOW = 0.25


@dataclass(frozen=True)
class BlockInfo:
    """What `on_block` hears after every block.

    Attributes:
        block: how many blocks are done.
        n_iter: steps taken by the restarts still running.
        max_iter: their limit.
        n_restarts, n_active: restarts in all, and still running.
        best: the highest mean log-likelihood so far among sound restarts, nats per row.
        rows: restart-rows read so far: the sum over restarts of the rows they read.
    """

    block: int
    n_iter: int
    max_iter: int
    n_restarts: int
    n_active: int
    best: float
    rows: float


@dataclass
class Run:
    """Where the restarts ended; arrays over r, log-likelihoods in float64."""

    mixtures: Mixture
    log_likelihood: Any
    status: Any
    n_iter: Any
    passes: Any
    kernel: Any
    history: Any
    blocks: list[BlockInfo] = field(default_factory=list)


def size_class(active: int, current: int, work_per_restart: float) -> int:
    """Places for `active` restarts in a batch of `current`: half or fewer when that saves more than it compiles."""
    size = current
    while active <= size // 2 and work_per_restart * size >= _COMPACTION_WORK:
        size = -(-size // 2)
    return size


def trusted_conditioning(dtype: Any) -> float:
    """The κ up to which the shared-feature kernel is trusted in `dtype`."""
    return _TOLERATED_LOSS / float(np.finfo(dtype).eps)


def choose_kernels(kernel: str, conditioning: Any, current: Any, limit: float) -> Any:
    """The kernel for every restart, as indices into `KERNEL_NAMES`; "auto" goes by κ, with hysteresis."""
    if kernel != "auto":
        return np.full(len(conditioning), KERNEL_NAMES.index(kernel))
    shared, centred = KERNEL_NAMES.index("shared_feature"), KERNEL_NAMES.index("centred")
    bound = np.where(current == centred, _RETURN_BELOW * limit, limit)
    return np.where(np.asarray(conditioning, np.float64) > bound, centred, shared)


def run(
    driver: Driver, starts: Mixture, rows: Rows, controls: Controls, *, kernel: str = "auto",
    on_block: Callable[[BlockInfo], None] | None = None, log_volume: float = 0.0,
) -> Run:  # fmt: skip
    """Drives every restart in `starts` (leading axis r) to its end, all in the rows' coordinates.

    What is reported and returned is per unit of the data: mean log-densities less `log_volume`.
    """
    return _Loop(driver, starts, rows, controls, kernel, on_block, log_volume).run()


class _Loop:
    """The host's side of a run."""

    def __init__(
        self, driver: Driver, starts: Mixture, rows: Rows, controls: Controls, kernel: str, on_block: Any,
        log_volume: float,
    ) -> None:  # fmt: skip
        self.log_volume = log_volume
        self.driver, self.rows, self.controls, self.kernel, self.on_block = driver, rows, controls, kernel, on_block
        self.n = starts.weights.shape[0]
        self.limit = trusted_conditioning(np.dtype(starts.weights.dtype))
        self.total_weight = float(rows.total_weight)
        self.max_iter = int(controls.max_iter)
        per_row = KERNELS["shared_feature"].elements(starts.components, 1) - starts.n_components
        self.work = 4.0 * rows.n_slots * per_row * starts.n_components
        self.kernels = choose_kernels(kernel, loop.conditioning_of(starts), np.full(self.n, -1), self.limit)
        self.pool = self._started(starts)
        self.sizes = {name: self.n for name in KERNEL_NAMES}
        self.values = [self._values(self.pool.state.log_likelihood, self.pool.state.log_likelihood_error)[None]]
        self.status = np.array(self.pool.status)
        self.first = 0
        self.settled_at = np.zeros(self.n)
        self.blocks: list[BlockInfo] = []

    def _started(self, starts: Mixture) -> Pool:
        """The pool after the first pass, every restart by its own kernel."""
        pools = [
            loop.start(self.driver, starts, self.rows, self.controls, kernel=KERNEL_NAMES[number])
            for number in np.unique(self.kernels)
        ]
        if len(pools) == 1:
            return pools[0]
        second = jnp.asarray(self.kernels == np.max(self.kernels))
        return jax.tree.map(lambda a, b: jnp.where(second.reshape(-1, *[1] * (a.ndim - 1)), b, a), *pools)

    def _values(self, high: Any, low: Any) -> Any:
        """Mean log-likelihoods in float64 from a compensated pair."""
        return (np.asarray(high, np.float64) + np.asarray(low, np.float64)) / self.total_weight - self.log_volume

    def _groups(self, active: Any) -> Iterator[tuple[str, Any]]:
        """Kernel and members of each batch to run, padded to a size class."""
        for number, name in enumerate(KERNEL_NAMES):
            members = active[self.kernels[active] == number]
            if len(members):
                grown = max(self.sizes[name], len(members))
                self.sizes[name] = size_class(len(members), grown, self.work)
                padding = np.full(self.sizes[name] - len(members), self.n)
                yield name, np.concatenate([members, padding]).astype(np.int32)

    def _one_block(self, active: Any) -> Any:
        """Steps every running restart once round; returns mean log-likelihoods (s, r)."""
        wanted = int(_BLOCK_WORK / (self.work * len(active))) + 1
        left = self.max_iter - int(np.min(np.asarray(self.pool.n_iter)[active]))
        steps = max(1, min(loop.BLOCK_STEPS, wanted, left))
        traces = np.full((steps, self.n), np.nan)
        dtype = self.pool.conditioning.dtype
        watched = self.kernel == "auto"
        limit = {name: np.asarray(np.inf, dtype) for name in KERNEL_NAMES}
        limit["shared_feature"] = np.asarray(self.limit if watched else np.inf, dtype)
        for name, members in self._groups(active):
            self.pool, trace = loop.block(
                self.driver, self.pool, members, self.rows, self.controls, np.int32(self.first), np.int32(steps),
                limit[name], kernel=name,
            )  # fmt: skip
            high, low = np.asarray(trace)
            real = members < self.n
            traces[:, members[real]] = self._values(high, low)[:steps][:, real]
        self.first += steps
        return traces

    def _settle_stochastic(self, last: Any) -> Any:
        """For drivers that see samples: the log-likelihood of all rows, and whether it still rises."""
        name = KERNEL_NAMES[int(self.kernels.max())]
        exact = self._values(*loop.evaluate(self.pool.state.mixture, self.rows, kernel=name))
        steps = np.asarray(self.pool.n_iter) - self.settled_at
        # A restart that waits for the other kernel has gained nothing because it took no step: that settles nothing.
        settled = (np.abs(exact - last) < float(self.controls.tol) * steps) & (self.status == Status.RUNNING)
        self.settled_at = np.asarray(self.pool.n_iter)
        if settled.any():
            self.status = np.where(settled, Status.CONVERGED, self.status)
            self.pool = replace(self.pool, status=jnp.asarray(self.status))
        return exact

    def run(self) -> Run:
        exact = self.values[0][0]
        while len(active := np.flatnonzero(self.status == Status.RUNNING)):
            self.values.append(self._one_block(active))
            self.status = np.array(self.pool.status)
            if self.driver.stochastic:
                exact = self._settle_stochastic(exact)
            self.kernels = choose_kernels(self.kernel, self.pool.conditioning, self.kernels, self.limit)
            self._report()
        state = self.pool.state
        last = self._values(state.log_likelihood, state.log_likelihood_error)
        return Run(
            mixtures=state.mixture,
            log_likelihood=(exact if self.driver.stochastic else last) * self.total_weight,
            status=self.status,
            n_iter=np.asarray(self.pool.n_iter),
            passes=self._passes(),
            kernel=np.array(KERNEL_NAMES)[self.kernels],
            history=self._history(),
            blocks=self.blocks,
        )

    def _passes(self) -> Any:
        """How often each restart has read the rows, in whole data sets."""
        share = self.driver.share_of_rows(int(self.rows.n_rows))
        return np.asarray(self.pool.state.passes, np.float64) * share

    def _history(self) -> Any:
        """Values in the order of each restart's own steps, (r, longest + 1): restarts that waited leave no gaps."""
        values = np.concatenate(self.values).T
        order = np.argsort(np.isnan(values), axis=1, kind="stable")
        return np.take_along_axis(values, order, axis=1)[:, : int(np.max(self.pool.n_iter)) + 1]

    def _report(self) -> None:
        state = self.pool.state
        means = self._values(state.log_likelihood, state.log_likelihood_error)
        sound = np.isin(self.status, (Status.RUNNING, Status.CONVERGED, Status.MAX_ITER))
        info = BlockInfo(
            block=len(self.blocks) + 1,
            n_iter=int(np.max(self.pool.n_iter)),
            max_iter=self.max_iter,
            n_restarts=self.n,
            n_active=int(np.sum(self.status == Status.RUNNING)),
            best=float(np.max(means, where=sound, initial=-np.inf)),
            rows=float(np.sum(self._passes()) * int(self.rows.n_rows)),
        )
        self.blocks.append(info)
        if self.on_block is not None:
            self.on_block(info)
