"""The restarts of one data set on one device, and what the host knows of them between blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.drivers import Driver
from jaxgmm.em import KERNELS
from jaxgmm.em.choice import KERNEL_NAMES, limits
from jaxgmm.inputs import trees
from jaxgmm.inputs.errors import Cancelled
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.mixture import Mixture
from jaxgmm.problem.pose import log_priors
from jaxgmm.rows import Rows
from jaxgmm.rows.places import anew_about
from jaxgmm.run import loop
from jaxgmm.run.batching import groups, in_powers, width_for
from jaxgmm.run.checkpoint import Checkpoint, arrays_of, tree_from
from jaxgmm.run.drive import Lanes, Pause, begin, drive
from jaxgmm.run.host_loop import HostLoop
from jaxgmm.run.identity import Tags, total_weight
from jaxgmm.run.loop import Controls
from jaxgmm.run.memory import within_memory
from jaxgmm.run.record import BlockInfo, Ended, History, OnBlock, Restarts
from jaxgmm.run.status import SOUND, Status
from jaxgmm.run.stopping import remaining
from jaxgmm.starts.revival import REVIVALS, Surroundings, revived

# A block is cut short when its steps are long, so that the host hears from it about every second on two cores.
_BLOCK_WORK = 1e11
# Seconds between two reports while one pass is under way.
_REPORTED_EVERY = 1.0


def run_restarts(
    driver: Driver, starts: Mixture, rows: Rows, controls: Controls, *, checkpoint: Checkpoint | None = None,
    **options: Any,
) -> Ended:  # fmt: skip
    """Drives every restart in `starts` (leading axis r) to its end, all in the rows' coordinates.

    What is reported and returned is per unit of the data: mean log-densities less `log_volume`. With a `checkpoint` a
    run that has been there before goes on from where it stood. `options` are those of `DeviceLanes`.
    """
    ended, current = (None, None) if checkpoint is None else checkpoint.next_run()
    if ended is not None:
        return tree_from(ended, Ended(Restarts.at_start(starts), np.empty(0)))
    lanes = DeviceLanes(driver, starts, rows, controls, checkpoint=checkpoint, **options)
    if current is not None:
        lanes.resume(tree_from(current, lanes.pause()))
    drive(lanes)
    found = Ended(lanes.ended(), lanes.history.until(int(np.max(lanes.n_iter)) + 1), lanes.cut_short)
    if checkpoint is not None and lanes.cut_short is None:
        checkpoint.run_ended(arrays_of(found))
    return found


class DeviceLanes(Lanes):
    """The restarts of one data set: on a device, or in NumPy where its rows are.

    Args:
        surroundings: what collapsed components are revived from, made when needed; None lets them lie.
        deadline: the `time.perf_counter()` at which to stop.
        tags: what tells restarts apart beside their starts.
        tolerance: by how many times more than usual a kernel may err.
    """

    def __init__(
        self, driver: Driver, starts: Mixture, rows: Rows, controls: Controls, *, kernel: str = "auto",
        on_block: OnBlock | None = None, log_volume: float = 0.0,
        surroundings: Callable[[], Surroundings] | None = None, deadline: float = np.inf, tags: Tags | None = None,
        checkpoint: Checkpoint | None = None, tolerance: float = 1.0,
    ) -> None:  # fmt: skip
        self.driver, self.rows, self.controls, self.on_block = driver, rows, controls, on_block
        self.log_volume, self.deadline, self.tags = log_volume, deadline, tags or Tags.plain(starts)
        self.make_surroundings, self.checkpoint = surroundings, checkpoint
        self.loop: Any = HostLoop if rows.on_host else loop
        self.surroundings: Surroundings | None = None
        self.n = starts.weights.shape[0]
        self.limits = tolerance * limits(kernel, starts.weights.dtype, driver.searches)
        self.total_weight, self.n_rows = np.asarray(total_weight(rows, self.tags), np.float64), int(rows.n_rows)
        self.max_iter = int(controls.max_iter)
        self.share = driver.share_of_rows(self.n_rows)
        per_row = KERNELS["shared_feature"].elements(starts.components, 1) - starts.n_components
        self.work = 4.0 * self.n_rows * self.share * per_row * starts.n_components
        self.lives = 0 if surroundings is None else REVIVALS
        self.width = self.n if rows.on_host or rows.is_far else width_for(self.n, self.work)
        self.first = self.block = self.evaluations = self.lay_out_at = self.read_before = 0
        self.told_of = 0.0
        self.cut_short: Status | None = None
        self.revivals = np.zeros(self.n, np.int32)
        self.evaluated_at = np.zeros(self.n, np.int64)
        self.exact: Any = None
        self.starts = starts
        begin(self, (self.n,))
        self.exact = self._evaluated() if driver.stochastic else None
        self.history = History(self.current()[:, None])

    def pause(self) -> Pause:
        """Where this run stands."""
        return Pause(
            pool=self.pool,
            kernels=self.kernels,
            revivals=self.revivals,
            evaluated_at=self.evaluated_at,
            exact=self.exact,
            history=self.history.values,
            first=np.asarray(self.first),
            block=np.asarray(self.block),
            evaluations=np.asarray(self.evaluations),
            halvings=np.asarray(self.controls.halvings),
        )

    def resume(self, pause: Pause) -> None:
        """Goes on where another run stood."""
        self.pool, self.kernels, self.revivals = trees.map(np.asarray, pause.pool), pause.kernels, pause.revivals
        self.evaluated_at, self.exact, self.history = pause.evaluated_at, pause.exact, History(pause.history)
        self.first, self.block, self.evaluations = int(pause.first), int(pause.block), int(pause.evaluations)
        self.controls = replace(self.controls, halvings=int(pause.halvings))

    def _on_device(
        self, function: Callable[..., Any], *args: Any, told: Callable[[], bool] | None = None, **options: Any
    ) -> Any:
        """`function`, given the controls too, with smaller chunks if the device has no room for it.

        `told` is asked while rows are read that take long; see `Rows.attended`.
        """

        def call(controls: Controls) -> Any:
            return self.rows.attended(partial(function, *args, controls=controls, **options), told)

        result, self.controls = within_memory(call, self.controls)
        return result

    def start(self, which: Bool[np.ndarray, " r"], name: str) -> None:
        pool = self._on_device(self.loop.start, self.driver, self.starts, self.rows, kernel=name, tags=self.tags)
        self.pool = pool if which.all() else self.loop.either(which, pool, self.pool)

    def _values(
        self,
        high: Float[Array, "*s m"],
        low: Float[Array, "*s m"],
        members: Int[np.ndarray, " m"] | slice = slice(None),
    ) -> Float[np.ndarray, "*s m"]:
        """Mean log-likelihoods of `members` in float64 from a compensated pair."""
        total = np.asarray(high, np.float64) + np.asarray(low, np.float64)
        return total / self.total_weight[members] - self.log_volume

    def current(self) -> Float[np.ndarray, " r"]:
        """Every restart's mean log-likelihood on all rows, as last known."""
        state = self.pool.state
        return self._values(state.log_likelihood, state.log_likelihood_error) if self.exact is None else self.exact

    @property
    def status(self) -> Int[np.ndarray, " r"]:
        return np.asarray(self.pool.status)

    @property
    def n_iter(self) -> Int[np.ndarray, " r"]:
        return np.asarray(self.pool.n_iter)

    @property
    def conditioning(self) -> Float[np.ndarray, " r"]:
        return np.asarray(self.pool.conditioning)

    def step(self, running: Bool[np.ndarray, " r"]) -> None:
        active, before, self.read_before = np.flatnonzero(running), self.n_iter, self.rows.n_read_now
        wanted = int(_BLOCK_WORK / (self.work * len(active))) + 1
        left = self.max_iter - int(np.min(before[active]))
        steps = max(1, min(loop.BLOCK_STEPS, wanted, left))
        for name, members in groups(active, self.kernels, self.width, self.n, self.work):
            limit = np.asarray(self.limits[KERNEL_NAMES.index(name)], self.pool.conditioning.dtype)
            try:
                self.pool, trace = self._on_device(
                    self.loop.block, self.driver, self.pool, members, self.rows, first=np.int32(self.first),
                    steps=np.int32(steps), limit=limit, kernel=name, told=self._told(),
                )  # fmt: skip
            except Cancelled:
                return  # what it has read is lost; all stand where they were before
            except KeyboardInterrupt:
                if self.checkpoint is not None:
                    self.checkpoint.now(lambda: arrays_of(self.pause()))
                raise
            high, low = np.asarray(trace)
            values = self._values(high, low, np.minimum(members, self.n - 1))
            for i, member in enumerate(members[members < self.n]):
                taken = values[~np.isnan(values[:, i]), i]  # one that waited for the other kernel took no steps
                self.history.write(member, before[member] + 1, taken)
        self.first += steps

    def _told(self) -> Callable[[], bool]:
        """What is asked while a pass is under way: whether it is to end there."""
        begun = time.perf_counter()

        def told() -> bool:
            nonlocal begun
            now = time.perf_counter()
            if now >= self.deadline:
                self.cut_short = Status.TIME_LIMIT
            elif self.on_block is not None and now - begun >= _REPORTED_EVERY:
                begun = now
                if self.on_block(self.info()) is True:
                    self.cut_short = Status.STOPPED
            return self.cut_short is not None

        return told

    def renew(self, moved: Bool[np.ndarray, " r"], name: str) -> None:
        members = np.flatnonzero(moved)
        places = in_powers(members, self.n, self.work)
        self.pool = self._on_device(self.loop.renew, self.driver, self.pool, places, self.rows, kernel=name)
        self._remember(members)

    def suit(self, unsuited: Bool[np.ndarray, " r"]) -> bool:
        # Ever more seldom: where it has not helped, it soon will not. A run that may be taken up elsewhere goes on with
        # the rows as they were laid out, lest rounding set it apart.
        if self.block < self.lay_out_at or self.checkpoint is not None:
            return False
        self.lay_out_at = 2 * self.block + 1
        best = int(np.argmax(np.where(unsuited, np.nan_to_num(self.current(), nan=-np.inf), -np.inf)))
        mixture = trees.map(lambda leaf: np.asarray(leaf[best]), self.pool.state.mixture)
        rows = anew_about(self.rows, mixture.components, mixture.weights)
        if rows is None:
            return False
        self.rows = rows
        unknown = np.where(self.status == Status.RUNNING, 0, self.conditioning)
        self.pool = replace(self.pool, conditioning=unknown.astype(self.pool.conditioning.dtype))
        return True

    def _remember(self, members: Int[np.ndarray, " m"]) -> None:
        """Puts the current values of `members` into the history, where they stand."""
        if not self.driver.stochastic:
            n_iter, values = self.n_iter, self.current()
            for member in members:
                self.history.write(member, n_iter[member], values[member : member + 1])

    def revive(self, dead: Bool[np.ndarray, " r"]) -> None:
        if self.surroundings is None:
            assert self.make_surroundings is not None
            self.surroundings = self.make_surroundings()
        members = np.flatnonzero(dead)
        places = in_powers(members, self.n, self.work)
        there = np.minimum(places, self.n - 1)
        pool, lives = self.pool, self.revivals[there]
        group = trees.map(lambda leaf: np.asarray(leaf)[there], (pool.state.mixture, pool.collapsed, pool.tags))
        mixtures, collapsed, tags = group
        fresh = revived(
            self.controls.key, mixtures, collapsed, tags.present, tags.number, lives, self.surroundings
        )  # fmt: skip
        # In its last life a restart may keep a component on a handful of rows: then it is the data that want one there.
        self.pool = self._on_device(
            self.loop.restart, self.driver, pool, places, fresh, lives + 1 >= REVIVALS, self.rows, kernel="centred"
        )
        self.evaluated_at = np.where(dead, -1, self.evaluated_at)
        self._remember(members)

    def _evaluated(self) -> Float[np.ndarray, " r"]:
        """The mean log-likelihood of all rows, which costs every restart a pass."""
        name = KERNEL_NAMES[int(self.kernels.max())]
        values = self._on_device(self.loop.evaluate, self.pool.state.mixture, self.rows, kernel=name)
        self.evaluations += 1
        self.evaluated_at = self.n_iter
        return self._values(*values)

    def _settle_stochastic(self) -> None:
        """For drivers that see samples: whether the log-likelihood of all rows still rises.

        Looked at only once the steps since the last time have read as much as looking does.
        """
        steps = self.n_iter - self.evaluated_at
        running = self.status == Status.RUNNING
        if running.any() and np.max(steps[running]) * self.share < 1:
            return
        before, self.exact = self.exact, self._evaluated()
        # A restart that took no step has gained nothing because it waited: that settles nothing.
        done = running & (np.abs(self.exact - before) < float(self.controls.tol) * steps)
        self._end(done, Status.CONVERGED)

    def _end(self, which: Bool[np.ndarray, " r"], status: Status) -> None:
        if np.any(which):
            ended = np.where(which, status, self.status)
            self.pool = replace(self.pool, status=ended.astype(self.pool.status.dtype))

    def settle(self) -> None:
        if self.driver.stochastic:
            self._settle_stochastic()

    def report(self) -> None:
        self.block, self.read_before = self.block + 1, self.rows.n_read_now
        if self.cut_short is None:
            stopped = self.on_block is not None and self.on_block(self.info()) is True
            late = time.perf_counter() >= self.deadline
            ends = Status.STOPPED if stopped else Status.TIME_LIMIT if late else Status.RUNNING
            ends = Status(self.rows.agreed(int(ends)))
            self.cut_short = None if ends == Status.RUNNING else ends
        if self.cut_short is not None:
            self._end(self.status == Status.RUNNING, self.cut_short)
        elif self.checkpoint is not None:
            self.checkpoint.between_blocks(lambda: arrays_of(self.pause()))

    def info(self) -> BlockInfo:
        """What `on_block` hears."""
        running = self.status == Status.RUNNING
        sound = running | np.isin(self.status, SOUND)
        read = np.sum(self.passes()) * self.n_rows + (self.rows.n_read_now - self.read_before) * np.sum(running)
        self.told_of = max(self.told_of, float(read))
        return BlockInfo(
            block=self.block,
            n_iter=int(np.max(self.n_iter)),
            max_iter=self.max_iter,
            n_restarts=self.n,
            n_active=int(np.sum(running)),
            best=float(np.max(self.current(), where=sound, initial=-np.inf)),
            rows=self.told_of,
        )

    def ended(self) -> Restarts:
        moved = bool(np.any(self.evaluated_at != self.n_iter))
        if moved if self.driver.stochastic else not self.driver.climbs_likelihood:
            self.exact = self._evaluated()
        mixtures = self.pool.state.mixture
        return replace(
            Restarts.at_start(mixtures),
            log_likelihood=self.current() * self.total_weight,
            log_prior=log_priors(mixtures, self.controls.penalty.prior),
            status=np.array(self.status),
            n_iter=np.array(self.n_iter),
            passes=self.passes(),
            kernel=np.array(KERNEL_NAMES)[self.kernels],
            revivals=self.revivals,
            remaining=self._remaining(),
        )

    def _remaining(self) -> Float[np.ndarray, " r"]:
        """What every restart is predicted still to gain, nats; unknown where steps see samples."""
        if self.driver.stochastic:
            return np.full(self.n, np.nan)
        each = remaining(np.asarray(self.pool.progress.trail), self.current() + self.log_volume)
        return each * self.total_weight

    def passes(self) -> Float[np.ndarray, " r"]:
        """How often each restart has read the rows, in whole data sets."""
        return np.asarray(self.pool.state.passes, np.float64) * self.share + self.evaluations
