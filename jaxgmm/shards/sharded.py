"""A place for rows on many devices: each sums over its own, and the sums are added up between them.

All that goes between devices in a pass is one `psum` of sufficient statistics, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.typing import Array, Float, Int
from jaxgmm.rows import CellSums, Chunk, Compensated, Rows, RowSource, Sample
from jaxgmm.rows.base import Operand
from jaxgmm.rows.cell_rows import CellRows, longest_chunk
from jaxgmm.rows.cells import Cells, LaidInCells
from jaxgmm.rows.frames import Frame, spread
from jaxgmm.rows.labels import Known, Labels
from jaxgmm.rows.layout import aligned_zeros, summed_weight
from jaxgmm.rows.places import further_on, in_one_array
from jaxgmm.rows.rungs import slots_for
from jaxgmm.rows.sums import Sums
from jaxgmm.shards import hosts
from jaxgmm.shards.meshes import AXIS

_BLOCK = 1 << 16
# Rows for each cell by which coordinates are judged.
_SEEN = 256


@trees.register_dataclass
@dataclass(frozen=True)
class ShardedRows(Rows):
    """Rows on the devices of a mesh, leading axis s for what each of them holds.

    Attributes:
        x: (s, d, m), rows minor; in the coordinates of cells where there are any.
        weights: (s, m).
        start: (s,), the number of each device's first row.
        number, first: (s, m) and (s, g + 1), of cells as `CellRows` has them, rows numbered from 0 on each device.
        frames: coordinates of cells, leading axis g.
    """

    x: Float[Array, "s d m"]
    weights: Float[Array, "s m"]
    start: Int[Array, " s"]
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    frame: Frame
    known: Known | None = None
    number: Int[Array, "s m"] | None = None
    first: Int[Array, "s g+1"] | None = None
    frames: Frame | None = None
    mesh: Any = field(default=None, metadata={"static": True})
    room: int = field(default=0, metadata={"static": True})
    longest: int = field(default=2048, metadata={"static": True})

    @property
    def n_features(self) -> int:
        return self.x.shape[1]

    @property
    def n_slots(self) -> int:
        return self.room

    def agreed(self, value: int) -> int:
        return hosts.agreed(value)

    def pick(self, index: Any, room: int | None = None) -> Sample:
        # On every device it would be computed with by all of them.
        return trees.map(lambda leaf: jnp.asarray(np.asarray(leaf)), super().pick(index, room))

    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        def numbered(held: tuple[Operand, Array, Known | None], some: Chunk) -> Sums:
            own, start, known = held
            return function(own, further_on(some, start, known))

        def of_device(own: Rows, start: Array, operand: Operand, known: Known | None) -> Compensated[Sums]:
            return own.total(numbered, (operand, start, known), chunk)

        return self._over_devices(of_device, operand)

    def total_by_cell(self, local: CellSums, operand: Any, chunk: int) -> Compensated[Any]:
        if self.frames is None:
            return super().total_by_cell(local, operand, chunk)

        def of_device(own: Rows, start: Array, operand: Any, known: Known | None) -> Compensated[Any]:
            return own.total_by_cell(_Numbered(local), (operand, start, known), chunk)

        return self._over_devices(of_device, operand)

    def _over_devices(self, sums: Callable[..., Compensated[Any]], operand: Any) -> Compensated[Any]:
        """Σ over devices of what `sums` makes of the rows of each."""
        split = (self.x, self.weights, self.start, self.number, self.first)
        whole = (operand, self.total_weight, self.n_rows, self.frame, self.known, self.frames)

        def of_device(split: Any, whole: Any) -> Compensated[Any]:
            x, weights, start, number, first = trees.map(lambda leaf: leaf[0], split)
            operand, total_weight, n_rows, frame, known, frames = whole
            like = replace(self, total_weight=total_weight, n_rows=n_rows, frame=frame, known=None)
            own = in_one_array(x, weights, like)
            if frames is not None:
                own = CellRows(
                    x, weights, number, number, first, frames, total_weight, n_rows, frame, None, self.longest
                )
            found = sums(own, start, operand, known)
            return trees.map(lambda leaf: lax.psum(leaf, AXIS), found)

        each, every = jax.sharding.PartitionSpec(AXIS), jax.sharding.PartitionSpec()
        program = jax.shard_map(of_device, mesh=self.mesh, in_specs=(each, every), out_specs=every, check_vma=False)
        return program(split, whole)


@dataclass(frozen=True)
class _Numbered(CellSums):
    """Sums over rows with their numbers among all; the operand is that of `local`, the first number, and labels."""

    local: CellSums

    def localise(self, operand: Any, frame: Frame) -> Any:
        own, start, known = operand
        return self.local.localise(own, frame), start, known

    def chunk(self, prepared: Any, some: Chunk) -> Any:
        own, start, known = prepared
        return self.local.chunk(own, further_on(some, start, known))

    def gather(self, prepared: Any, sums: Compensated[Any]) -> Compensated[Any]:
        return self.local.gather(prepared[0], sums)


# ---- laying out -----------------------------------------------------------------------------------------------------


def sharded(
    source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, mesh: Any, whitener: Any = None,
    labels: Labels | None = None, cells: Cells | None = None,
) -> ShardedRows:  # fmt: skip
    """`transform` of a source's rows (b, d), which gives (d, b) in float64, in equal shares on the devices of `mesh`.

    Rows that follow each other lie together. The last devices may have fewer, or none.
    """
    n, s = source.shape[0], mesh.size
    each = -(-n // s)
    starts = np.minimum(np.arange(s + 1) * each, n)
    some = transform(source.rows_at(spread(n, _SEEN * (1 if cells is None else len(cells)))))
    frame = Frame.of_all(some.astype(dtype), None if whitener is None else whitener.astype(dtype))
    frames, longest = None, 2048
    if cells is not None:
        laid = LaidInCells(cells, cells.nearest(some.astype(dtype)), some.shape[::-1], dtype)
        laid.put(some)
        frames, longest = laid.frames(), longest_chunk(np.diff(laid.first) * each // some.shape[1])
    everyone, here = enumerate(mesh.devices.reshape(-1)), jax.process_index()
    own = {i: device for i, device in everyone if device.process_index == here}
    shares = _Shares(source, transform, dtype, starts, list(own), each)
    laid_outs = shares.as_they_are() if cells is None else shares.in_cells(cells)
    parts = [[jax.device_put(part[None], device) for part in laid_outs[i]] for i, device in own.items()]
    divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    x, weights, *in_cells = [
        jax.make_array_from_single_device_arrays((s, *own_parts[0].shape[1:]), divided, list(own_parts))
        for own_parts in zip(*parts, strict=True)
    ]
    number, first = in_cells or (None, None)
    beside: dict[str, Any] = {
        "total_weight": np.asarray(summed_weight(source, dtype)),
        "n_rows": np.asarray(n, np.int32),
        "frame": frame,
        "known": None if labels is None else labels.known(source.labels, slots_for(n)),
        "frames": frames,
    }
    return ShardedRows(
        x=x,
        weights=weights,
        start=jax.make_array_from_callback((s,), divided, lambda own: starts[:-1].astype(np.int32)[own]),
        number=number,
        first=first,
        mesh=mesh,
        room=slots_for(n, read=False),
        longest=longest,
        **trees.map(lambda leaf: jax.device_put(leaf, everywhere), beside),
    )


class _Shares:
    """The rows of some devices, NumPy, as they will lie there; the others are other processes' affair.

    Args:
        starts: (s + 1,), the first row of every device, and the number of rows.
        own: the numbers of the devices.
        room: rows that each has room for.
    """

    def __init__(
        self, source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, starts: Any, own: list[int],
        room: int,
    ) -> None:  # fmt: skip
        self.source, self.transform, self.dtype, self.starts, self.own = source, transform, dtype, starts, own
        self.room, self.d = room, source.shape[1]

    def _parts(self) -> Iterator[tuple[int, slice, Any]]:
        """In one read: a device, which of its rows, and those rows (d, b)."""
        start = 0
        for block in self.source.blocks(_BLOCK):
            stop = start + len(block.x)
            for i in self.own:
                first, last = max(start, self.starts[i]), min(stop, self.starts[i + 1])
                if first < last:
                    rows = slice(first - self.starts[i], last - self.starts[i])
                    yield i, rows, self.transform(block.x[first - start : last - start])
            start = stop

    def _weights(self, i: int) -> Any:
        """(n_i,), of the rows of a device."""
        held, n = self.source.weights, self.starts[i + 1] - self.starts[i]
        return np.ones(n) if held is None else np.asarray(held)[self.starts[i] : self.starts[i + 1]]

    def as_they_are(self) -> dict[int, tuple[Any, ...]]:
        """Rows (d, m) and weights (m,)."""
        slots = slots_for(self.room)
        held = {i: (aligned_zeros((self.d, slots), self.dtype), np.zeros(slots, self.dtype)) for i in self.own}
        for i, rows, x in self._parts():
            held[i][0][:, rows] = x
        for i, (x, weights) in held.items():
            weights[: self.starts[i + 1] - self.starts[i]] = self._weights(i)
            x[:, weights == 0] = 0  # 0 · ∞ is no nothing
        return held

    def in_cells(self, cells: Cells) -> dict[int, tuple[Any, ...]]:
        """Rows in the coordinates of their cells, weights, numbers, and where cells begin; in two reads."""
        whose: dict[int, list[Any]] = {i: [np.zeros(0, np.int32)] for i in self.own}
        for i, _, x in self._parts():
            whose[i].append(cells.nearest(x.astype(self.dtype)))
        shape = self.room, self.d
        laid = {i: LaidInCells(cells, np.concatenate(cell), shape, self.dtype) for i, cell in whose.items()}
        for i, _, x in self._parts():
            laid[i].put(x)
        return {i: (one.z, *self._beside(i, one), one.first.astype(np.int32)) for i, one in laid.items()}

    def _beside(self, i: int, laid: LaidInCells) -> tuple[Any, Any]:
        weights = self._weights(i)
        return laid.beside(np.arange(len(weights)), weights)
