"""How the rows of a source are laid out block by block, and a place made for them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jnp
from jaxgmm.rows import Block, RowSource
from jaxgmm.rows.frames import PROBES, Frame, spread
from jaxgmm.rows.labels import Labels
from jaxgmm.rows.layout import summed_weight
from jaxgmm.rows.rungs import slots_for
from jaxgmm.streams.reader import Arrays, Reader
from jaxgmm.streams.streamed import StreamedRows

# Numbers in a block, and rows, from and to: so many that what a callback costs does not count, and a few blocks take
# little memory.
_BLOCK_NUMBERS, _BLOCK_ROWS = 1 << 22, (1 << 10, 1 << 19)


def streamed(
    source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, whitener: Any = None,
    labels: Labels | None = None, room: int = 0,
) -> StreamedRows:  # fmt: skip
    """`transform` of a source's rows, (b, d), which gives (d, b): read anew in every pass.

    Args:
        room: how many bytes may be kept, so that later passes need not read them.
    """
    n, d = source.shape
    size = block_rows(n, d)
    laying = _Laying(source, transform, dtype, size)
    some = transform(source.rows_at(spread(n, PROBES))).astype(dtype)
    frame = Frame.of_all(some, None if whitener is None else whitener.astype(dtype))
    known = None if labels is None else trees.map(jnp.asarray, labels.known(source.labels, slots_for(n)))
    total_weight = jnp.asarray(summed_weight(source, dtype))
    # Last, when nothing can fail any more: it stays until the rows are gone.
    reader = Reader(source, laying.block, laying.rows, size, room)
    rows = StreamedRows(
        reader=jnp.asarray(reader.number, jnp.int32),
        n_blocks=jnp.asarray(reader.n_blocks, jnp.int32),
        total_weight=total_weight,
        n_rows=jnp.asarray(n, jnp.int32),
        frame=trees.map(jnp.asarray, frame),
        known=known,
        slots=size,
        room=slots_for(n, read=False),
    )
    weakref.finalize(rows, reader.close)
    return rows


def block_rows(n: int, d: int) -> int:
    """Rows in a block: a power of two."""
    wanted = int(np.clip(_BLOCK_NUMBERS // d, *_BLOCK_ROWS))
    return 1 << min(wanted.bit_length() - 1, max(n - 1, 1).bit_length())


class _Laying:
    """From rows as a source has them to what programs have."""

    def __init__(self, source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, size: int) -> None:
        self.source, self.transform, self.dtype, self.size = source, transform, dtype, size

    def block(self, block: Block) -> Arrays:
        """A block, (d, size), padded with zeros, and its weights, (size,)."""
        x, b = self.transform(block.x), len(block.x)
        laid, held = np.empty((len(x), self.size), self.dtype), np.empty(self.size, self.dtype)
        laid[:, :b], laid[:, b:] = x, 0
        held[:b], held[b:] = 1 if block.weight is None else block.weight, 0
        if block.weight is not None:
            laid[:, held == 0] = 0  # 0 · ∞ is no nothing
        return laid, held

    def rows(self, index: Any) -> Arrays:
        """Single rows (d, b), ascending numbers, and their weights."""
        x = self.transform(self.source.rows_at(index)).astype(self.dtype)
        weights = self.source.weights
        return x, np.ones(len(index), self.dtype) if weights is None else np.asarray(weights, self.dtype)[index]
