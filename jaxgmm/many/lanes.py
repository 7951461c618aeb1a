"""Many data sets at once, the host's side: which restarts of which data sets share a batch, block by block.

Data sets are stepped in batches of one size, several batches at once: XLA on CPU does not spread small operations
over cores, but independent programs run side by side. Between blocks finished restarts leave. A data set with most of
its restarts running is stepped with all of them, since they share the products with its rows; the last ones left over
are stepped one by one, each with its own copy of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES, limits
from jaxgmm.inputs import precision, trees
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.many import mapped
from jaxgmm.many.mapped import Posed
from jaxgmm.many.packing import Buffers, Layout
from jaxgmm.mixture import Mixture
from jaxgmm.run import memory
from jaxgmm.run.batching import n_threads
from jaxgmm.run.drive import Lanes, begin, drive
from jaxgmm.run.loop import Controls
from jaxgmm.run.record import Restarts
from jaxgmm.run.stopping import remaining
from jaxgmm.starts.revival import REVIVALS, revived

# Steps between two looks at who has finished.
_STEPS = 8
# Restarts in a batch at most. Measured on CPU: with fewer, what a batch costs whatever its size counts; with more,
# places that have fallen empty do.
_LANES = 128
# Numbers that the batches of one thread may work in.
_BATCH_ELEMENTS = 1 << 24
_CHUNK_ROWS = 2048


class Batch(NamedTuple):
    """Restarts stepped together.

    Attributes:
        sets: (b,), numbers of data sets.
        places: (b, s), the restarts of each that are at hand.
        chosen: (b, s), which of them are meant.
    """

    sets: Int[np.ndarray, " b"]
    places: Int[np.ndarray, "b s"]
    chosen: Bool[np.ndarray, "b s"]

    @property
    def members(self) -> Int[np.ndarray, "b s"]:
        """As `loop` counts them: places, or the number past the last for those not meant."""
        width = self.places.shape[1]
        return np.where(self.chosen, np.arange(width), width).astype(np.int32)

    @property
    def meant(self) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Data set and restart of each that is meant."""
        sets = np.broadcast_to(self.sets[:, None], self.places.shape)
        return sets[self.chosen], self.places[self.chosen]


class PackedLanes(Lanes):
    """All restarts of many data sets, packed into batches that are stepped on threads.

    Args:
        posed: all data sets, arrays in NumPy.
        make_starts: from some of them, and their numbers, to their starts, leading axes p, r.
        shape: (r, k), restarts of each and components.
        lives: how often a collapsed restart may be put elsewhere.
    """

    def __init__(
        self, posed: Posed, make_starts: Callable[[Posed, Int[np.ndarray, " b"]], Mixture], controls: Controls,
        shape: tuple[int, int], dtype: np.dtype, kernel: str, lives: int,
    ) -> None:  # fmt: skip
        self.posed, self.make_starts, self.controls = posed, make_starts, controls
        self.lives, self.max_iter = lives, int(controls.max_iter)
        self.r, k = shape
        self.dtype, self.limits = dtype, limits(kernel, dtype)
        p, d, slots = posed.rows.x.shape
        self.revivals = np.zeros((p, self.r), np.int32)
        self.layout: Any = None  # a `Layout`, and `Buffers`, once the first batch has begun
        self.buffers: Any = None
        room = _BATCH_ELEMENTS // (min(slots, _CHUNK_ROWS) * k * (d + 4))
        share = -(-p * self.r // n_threads())  # each thread's, lest some have nothing to do
        most = max(1, min(room, 2 * share))
        self.lanes = max(self.r, min(_LANES, 1 << most.bit_length() - 1))

    def run(self) -> Restarts:
        """How all restarts ended, axes p, r; log-likelihoods and mixtures in the rows' coordinates.

        Raises:
            MemoryError: the device has no room for a batch.
        """
        with ThreadPoolExecutor(n_threads()) as self.executor, memory.explained():
            begin(self, self.revivals.shape)
            drive(self)
        return self.ended()

    def ended(self) -> Restarts:
        state, total = self.pool.state, np.asarray(self.posed.rows.total_weight, np.float64)[:, None]
        log_likelihood = state.log_likelihood.astype(np.float64) + state.log_likelihood_error
        return replace(
            Restarts.at_start(trees.map(np.array, state.mixture)),  # of views, which would keep the buffers
            log_likelihood=log_likelihood,
            status=np.array(self.status),
            n_iter=np.array(self.n_iter),
            passes=state.passes.astype(np.float64),
            kernel=np.array(KERNEL_NAMES)[self.kernels],
            revivals=self.revivals,
            remaining=remaining(self.pool.progress.trail, log_likelihood / total) * total,
        )

    @property
    def pool(self) -> Any:  # a `Pool` whose arrays are NumPy's
        """Views of all restarts, leading axes p, r."""
        return self.layout.unpack(self.buffers)

    @property
    def status(self) -> Int[np.ndarray, "p r"]:
        return self.pool.status

    @property
    def n_iter(self) -> Int[np.ndarray, "p r"]:
        return self.pool.n_iter

    @property
    def conditioning(self) -> Float[np.ndarray, "p r"]:
        return self.pool.conditioning

    # ---- batches --------------------------------------------------------------------------------------------

    def _each(self, function: Callable[[Batch], None], batches: Iterable[Batch]) -> None:
        """`function` of every batch, several at once: they share no place in the pool."""

        def scoped(batch: Batch) -> None:
            with precision.scope(self.dtype):
                function(batch)

        list(self.executor.map(scoped, batches))

    def _whole(self, chosen: Bool[np.ndarray, "p r"]) -> Iterator[Batch]:
        """Data sets with all their restarts at hand, of which those `chosen`, (p, r), are meant."""
        everyone = np.arange(self.r)
        for sets, real in sized(np.flatnonzero(chosen.any(axis=1)), max(1, self.lanes // self.r)):
            yield Batch(sets, np.broadcast_to(everyone, (len(sets), self.r)), chosen[sets] & real[:, None])

    def _mixed(self, active: Bool[np.ndarray, "p r"]) -> Iterator[Batch]:
        """Data sets with most of their restarts active as a whole; the rest restart by restart."""
        most = active.sum(axis=1) > self.r // 2
        yield from self._whole(active & most[:, None])
        sets, places = np.nonzero(active & ~most[:, None])
        for chosen, real in sized(np.arange(len(sets)), self.lanes):
            yield Batch(sets[chosen], places[chosen][:, None], real[:, None])

    def _get(self, batch: Batch) -> tuple[Posed, Buffers]:
        where = batch.sets[:, None], batch.places
        return entries(self.posed, batch.sets), entries(self.buffers, where)

    def _put(self, batch: Batch, new: Buffers) -> None:
        where = batch.meant
        for old, buffer in zip(self.buffers, new, strict=True):
            old[where] = np.asarray(buffer)[batch.chosen]

    # ---- what is done with a batch ----------------------------------------------------------------------------

    def start(self, which: Bool[np.ndarray, "p r"], name: str) -> None:
        def first(batch: Batch) -> None:
            posed = entries(self.posed, batch.sets)
            begun = mapped.start_each(posed, self.make_starts(posed, batch.sets), self.controls, name)
            layout = self.layout or Layout.of(begun, 2)
            new = layout.pack(trees.map(np.asarray, begun))
            if self.layout is None:
                self.layout, p = layout, len(self.revivals)
                self.buffers = tuple(np.empty((p, *buffer.shape[1:]), buffer.dtype) for buffer in new)
            self._put(batch, new)

        def again(batch: Batch) -> None:
            posed, pool = self._get(batch)
            begun = mapped.start_each(posed, self.layout.unpack(pool).state.mixture, self.controls, name)
            self._put(batch, self.layout.pack(trees.map(np.asarray, begun)))

        batches, begin = self._whole(which), again
        if self.layout is None:
            begin = first
            self._each(begin, [next(batches)])  # alone: it makes the pool
        self._each(begin, batches)

    def step(self, running: Bool[np.ndarray, "p r"]) -> None:
        for number, name in enumerate(KERNEL_NAMES):
            self._each(partial(self._stepped, name), self._mixed(running & (self.kernels == number)))

    def _stepped(self, kernel: str, batch: Batch) -> None:
        limit = np.asarray(self.limits[KERNEL_NAMES.index(kernel)], self.dtype)
        posed, pool = self._get(batch)
        steps = np.int32(_STEPS)
        self._put(
            batch, mapped.block_each(posed, pool, batch.members, self.controls, steps, limit, kernel, self.layout)
        )

    def renew(self, moved: Bool[np.ndarray, "p r"], name: str) -> None:
        def again(batch: Batch) -> None:
            posed, pool = self._get(batch)
            self._put(batch, mapped.renew_each(posed, pool, batch.members, self.controls, name, self.layout))

        self._each(again, self._whole(moved))

    def revive(self, dead: Bool[np.ndarray, "p r"]) -> None:
        def elsewhere(batch: Batch) -> None:
            posed, pool = self._get(batch)
            lives = self.revivals[batch.sets[:, None], batch.places]
            mixtures = trees.map(np.array, self.layout.unpack(pool).state.mixture)
            tags, collapsed = self.layout.unpack(pool).tags, self.layout.unpack(pool).collapsed
            for i in np.flatnonzero(batch.chosen.any(axis=1)):
                own = batch.chosen[i]
                fresh = revived(
                    posed.key[i], entries(mixtures, (i, own)), collapsed[i, own], tags.present[i, own],
                    tags.number[i, own], lives[i, own], posed.surroundings(int(i)),
                )  # fmt: skip
                for old, new in zip(trees.leaves(mixtures), trees.leaves(fresh), strict=True):
                    old[i, own] = new
            new = mapped.restart_each(
                posed, pool, batch.members, mixtures, lives + 1 >= REVIVALS, self.controls, KERNEL_NAMES[-1],
                self.layout,
            )  # fmt: skip
            self._put(batch, new)

        self._each(elsewhere, self._whole(dead))


def entries(tree: Any, index: Any) -> Any:
    """The entries at `index` of every array of `tree`."""
    return trees.map(lambda leaf: leaf[index], tree)


def sized(
    numbers: Int[np.ndarray, " m"], size: int
) -> Iterator[tuple[Int[np.ndarray, " size"], Bool[np.ndarray, " size"]]]:
    """`numbers` in parts of `size`, the last one padded by its last entry; and which are real."""
    for first in range(0, len(numbers), size):
        part = numbers[first : first + size]
        yield np.pad(part, (0, size - len(part)), mode="edge"), np.arange(size) < len(part)
