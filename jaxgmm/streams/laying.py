"""How the rows of a source are laid out block by block, and a place for them made."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jnp
from jaxgmm.rows import Block, RowSource
from jaxgmm.rows.cell_rows import longest_chunk
from jaxgmm.rows.cells import Cells, LaidInCells
from jaxgmm.rows.frames import PROBES, Frame
from jaxgmm.rows.labels import Labels
from jaxgmm.rows.layout import summed_weight
from jaxgmm.rows.rungs import slots_for
from jaxgmm.streams.reader import Arrays, Reader
from jaxgmm.streams.streamed import StreamedRows

# Numbers in a block, and rows, from and to: so many that what a callback costs does not count, and a few blocks take
# little memory.
_BLOCK_NUMBERS, _BLOCK_ROWS = 1 << 22, (1 << 10, 1 << 19)
# Rows by which cells and coordinates are judged, for each of them.
_SEEN = 256


def streamed(
    source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, whitener: Any = None,
    labels: Labels | None = None, cells: Cells | None = None, room: int = 0,
) -> StreamedRows:  # fmt: skip
    """`transform` of a source's rows, (b, d), which gives (d, b) in float64: read anew in every pass.

    Args:
        room: how many bytes may be kept, so that later passes need not read them.
    """
    n, d = source.shape
    size = block_rows(n, d)
    laying = _Laying(source, transform, dtype, size, cells)
    reader = Reader(source, laying, laying.rows, size, room)
    some = transform(source.rows_at(_spread(n, _SEEN * (1 if cells is None else len(cells)))))
    frames, longest = None, 2048
    if cells is not None:
        laid = LaidInCells(cells, cells.nearest(some.astype(dtype)), some.shape[::-1], dtype)
        laid.put(some)
        frames, longest = laid.frames(), longest_chunk(np.diff(laid.first) * size // some.shape[1])
    frame = Frame.of_all(some.astype(dtype), None if whitener is None else whitener.astype(dtype))
    known = None if labels is None else trees.map(jnp.asarray, labels.known(source.labels, slots_for(n)))
    rows = StreamedRows(
        reader=jnp.asarray(reader.number, jnp.int32),
        n_blocks=jnp.asarray(reader.n_blocks, jnp.int32),
        total_weight=jnp.asarray(summed_weight(source, dtype)),
        n_rows=jnp.asarray(n, jnp.int32),
        frame=trees.map(jnp.asarray, frame),
        known=known,
        frames=frames,
        slots=laying.slots,
        room=slots_for(n, read=False),
        longest=longest,
    )
    weakref.finalize(rows, reader.close)
    return rows


def block_rows(n: int, d: int) -> int:
    """Rows in a block: a power of two."""
    wanted = int(np.clip(_BLOCK_NUMBERS // d, *_BLOCK_ROWS))
    return 1 << min(wanted.bit_length() - 1, max(n - 1, 1).bit_length())


def _spread(n: int, wanted: int) -> Any:
    """The numbers of so many rows from everywhere, PROBES at least."""
    return np.unique(np.arange(max(wanted, PROBES)) * n // max(wanted, PROBES))


class _Laying:
    """From a block to what a program has of it; in cells, or as rows come."""

    def __init__(
        self, source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, size: int, cells: Cells | None
    ) -> None:
        self.source, self.transform, self.dtype, self.cells, self.size = source, transform, dtype, cells, size
        self.slots = size if cells is None else LaidInCells.slots(size, cells)

    def __call__(self, block: Block, first: int) -> Arrays:
        x, b = self.transform(block.x), len(block.x)
        weights = np.ones(b, self.dtype) if block.weight is None else np.asarray(block.weight, self.dtype)
        if self.cells is None:
            laid, held = np.zeros((len(x), self.slots), self.dtype), np.zeros(self.slots, self.dtype)
            laid[:, :b], held[:b] = x, weights
            laid[:, held == 0] = 0  # 0 · ∞ is no nothing
            return laid, held
        shape = self.size, len(x)
        in_cells = LaidInCells(self.cells, self.cells.nearest(x.astype(self.dtype)), shape, self.dtype)
        in_cells.put(x)
        held, number = np.zeros(self.slots, self.dtype), np.zeros(self.slots, np.int32)
        place = in_cells.place[:b]
        held[place], number[place] = weights, np.arange(first, first + b)
        in_cells.z[:, held == 0] = 0
        return in_cells.z, held, number, in_cells.first.astype(np.int32)

    def rows(self, index: Any) -> Arrays:
        """Single rows (d, b), ascending numbers, and their weights."""
        x = self.transform(self.source.rows_at(index)).astype(self.dtype)
        weights = self.source.weights
        return x, np.ones(len(index), self.dtype) if weights is None else np.asarray(weights, self.dtype)[index]
