"""A place for rows that are read anew in every pass.

A pass is a loop over blocks inside the program that asks for it: each block comes from the host by a callback, and is
summed over as if it were all there is. Drivers, kernels, races and line searches do not notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.typing import Array, Float, Int
from jaxgmm.rows import CellSums, Chunk, Compensated, Rows, Sample
from jaxgmm.rows.base import Operand, of_its_own
from jaxgmm.rows.cell_rows import CellRows
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known
from jaxgmm.rows.places import in_one_array
from jaxgmm.rows.sums import Sums, zeros_of
from jaxgmm.streams.attend import attended
from jaxgmm.streams.reader import fetched, fetched_rows, numbered


@trees.register_dataclass
@dataclass(frozen=True)
class StreamedRows(Rows):
    """Rows of a source, a block at a time.

    Attributes:
        reader: the number of their `Reader`.
        n_blocks: how many blocks there are.
        frames: coordinates of cells, leading axis g, where every block is laid out in cells; None where it is not.
        slots: of a block.
        room: above all row numbers.
        longest: of a chunk in cells; see `CellRows`.
    """

    reader: Int[Array, ""]
    n_blocks: Int[Array, ""]
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    frame: Frame
    known: Known | None = None
    frames: Frame | None = None
    slots: int = field(default=0, metadata={"static": True})
    room: int = field(default=0, metadata={"static": True})
    longest: int = field(default=2048, metadata={"static": True})

    @property
    def n_features(self) -> int:
        return self.frame.probe.shape[0]

    @property
    def n_slots(self) -> int:
        return self.room

    @property
    def is_far(self) -> bool:
        return True

    def row_weights(self) -> Any:
        weights = numbered(self.reader).source.weights
        return None if weights is None else np.asarray(weights, self.dtype)

    def take(self, index: Int[Array, " b"]) -> Sample:
        b = index.shape[0]
        (x, weights), _ = self._asked(fetched_rows, (self._shape(self.n_features, b), self._shape(b)), index)
        return of_its_own(x, weights, self, index)

    def pick(self, index: Any, room: int | None = None) -> Sample:
        return self.attended(lambda: super(StreamedRows, self).pick(index, room))

    @property
    def n_read_now(self) -> int:
        return numbered(self.reader).n_read

    def attended(self, call: Callable[[], Any], told: Callable[[], bool] | None = None) -> Any:
        return attended(numbered(self.reader), call, told)

    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        if self.frames is not None:
            return self._over_blocks(lambda block, _: block.total(function, operand, chunk))

        def shifted(held: tuple[Operand, Array], some: Chunk) -> Sums:
            own, first = held
            index = some.index + first
            return function(own, replace(some, index=index, possible=self.possible(index)))

        return self._over_blocks(lambda block, first: block.total(shifted, (operand, first), chunk))

    def total_by_cell(self, local: CellSums, operand: Any, chunk: int) -> Compensated[Any]:
        if self.frames is None:
            return super().total_by_cell(local, operand, chunk)
        return self._over_blocks(lambda block, _: block.total_by_cell(local, operand, chunk))

    def _over_blocks(self, sums: Callable[[Rows, Int[Array, ""]], Compensated[Any]]) -> Compensated[Any]:
        """Σ over blocks of what `sums` makes of the rows of one, and of the number of the first of them."""

        def of_block(i: Int[Array, ""]) -> tuple[Compensated[Any], Int[Array, ""]]:
            held, good = self._asked(fetched, self._shapes(), i)
            return sums(self._block(held), i * self.slots), good

        def step(carry: Any) -> Any:
            i, _, total = carry
            more, good = of_block(i)
            return i + 1, good, total + more

        nothing = zeros_of(jax.eval_shape(of_block, jnp.zeros((), jnp.int32))[0])
        first = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32), nothing
        # Where a block is not to be had the pass is for nothing, and the host will say so.
        return lax.while_loop(lambda carry: (carry[0] < self.n_blocks) & (carry[1] > 0), step, first)[2]

    def _asked(self, ask: Callable[..., Any], shapes: tuple[Any, ...], which: Any) -> tuple[tuple[Any, ...], Any]:
        """Arrays of these shapes from the host, and whether it has them."""

        def in_bits(shape: Any) -> Any:
            return self._shape(*shape.shape, 2, dtype=np.uint32) if shape.dtype == np.float64 else shape

        wanted = (*map(in_bits, shapes), self._shape(dtype=np.int32))
        *held, good = jax.pure_callback(partial(ask, like=shapes), wanted, self.reader, which, vmap_method="sequential")
        return tuple(
            lax.bitcast_convert_type(part, jnp.float64) if shape.dtype == np.float64 else part
            for part, shape in zip(held, shapes, strict=True)
        ), good

    def _shape(self, *shape: int, dtype: Any = None) -> Any:
        return jax.ShapeDtypeStruct(shape, self.dtype if dtype is None else dtype)

    def _shapes(self) -> tuple[Any, ...]:
        """Those of the arrays of a block; see `laying`."""
        x, weights = self._shape(self.n_features, self.slots), self._shape(self.slots)
        if self.frames is None:
            return x, weights
        g = self.frames.probe.shape[0]
        return x, weights, self._shape(self.slots, dtype=np.int32), self._shape(g + 1, dtype=np.int32)

    def _block(self, held: tuple[Array, ...]) -> Rows:
        if self.frames is None:
            x, weights = held
            return in_one_array(x, weights, self)
        z, weights, number, first = held
        return CellRows(
            z=z, weights=weights, number=number, place=number, first=first, frames=self.frames,
            total_weight=self.total_weight, n_rows=self.n_rows, frame=self.frame, known=self.known,
            longest=self.longest,
        )  # fmt: skip
