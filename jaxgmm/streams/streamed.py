"""A place for rows that are read anew in every pass.

A pass is a loop over blocks inside the program that asks for it: each block comes from the host by a callback, and is
summed over as if it were all there is. Drivers, kernels, races and line searches do not notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.typing import Array, Float, Int
from jaxgmm.rows import Chunk, Compensated, Rows, Sample
from jaxgmm.rows.base import Operand, of_its_own
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known
from jaxgmm.rows.places import further_on, in_one_array
from jaxgmm.rows.sums import Sums, zeros_of
from jaxgmm.streams.attend import attended
from jaxgmm.streams.reader import fetched, fetched_rows, numbered


@trees.register_dataclass
@dataclass(frozen=True)
class StreamedRows(Rows):
    """Rows of a source, a block at a time, in one frame.

    Cells would have to be laid out anew in every pass, which takes several times as long as computing with a few
    restarts does; products in float64, where one frame calls for them, take up to 1.8 times as long.

    Attributes:
        reader: the number of their `Reader`.
        n_blocks: how many blocks there are.
        slots: of a block.
        room: above all row numbers.
    """

    reader: Int[Array, ""]
    n_blocks: Int[Array, ""]
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    frame: Frame
    known: Known | None = None
    slots: int = field(default=0, metadata={"static": True})
    room: int = field(default=0, metadata={"static": True})

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
        def of_rows(held: tuple[Operand, Array], some: Chunk) -> Sums:
            own, first = held
            return function(own, further_on(some, first, self.known))

        def of_block(i: Int[Array, ""]) -> tuple[Compensated[Sums], Int[Array, ""]]:
            shapes = self._shape(self.n_features, self.slots), self._shape(self.slots)
            (x, weights), good = self._asked(fetched, shapes, i)
            return in_one_array(x, weights, self).total(of_rows, (operand, i * self.slots), chunk), good

        def step(carry: Any) -> Any:
            i, _, total = carry
            more, good = of_block(i)
            return i + 1, good, total + more

        nothing = zeros_of(jax.eval_shape(of_block, jnp.zeros((), jnp.int32))[0])
        first = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32), nothing
        # Where a block is not to be had the pass is for nothing, and the host will say so.
        return lax.while_loop(lambda carry: (carry[0] < self.n_blocks) & (carry[1] > 0), step, first)[2]

    def _shape(self, *shape: int, dtype: Any = None) -> Any:
        return jax.ShapeDtypeStruct(shape, self.dtype if dtype is None else dtype)

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
