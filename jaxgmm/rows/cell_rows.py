"""Rows laid out cell after cell, each cell in coordinates of its own.

What is written about a nearby centre in a fitting scale loses nothing to cancellation: the products of the fast kernel
are then right however tight the components are, in the dtype of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jaxgmm.families.namespace import einsum
from jaxgmm.inputs import precision, trees
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.typing import Array, Float, Int
from jaxgmm.rows.base import CellSums, Chunk, Operand, Rows, Sample, of_its_own
from jaxgmm.rows.chunks import window
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known
from jaxgmm.rows.sums import Compensated, Sums, zeros_of

# What a chunk costs whatever its length, in rows. Measured on CPU; on accelerators it is what launching kernels takes.
_OVERHEAD = {"cpu": 400}
_OVERHEAD_ELSEWHERE = 4096
# Numbers that may be gathered to take single rows; more are found by a pass.
_GATHERED = 1 << 24
_LENGTHS = tuple(1 << bits for bits in range(8, 16))


@trees.register_dataclass
@dataclass(frozen=True)
class CellRows(Rows):
    """Rows on one device as z, (d, m), those of cell g in the slots from first[g] up to first[g + 1].

    Attributes:
        z: rows minor, each in the coordinates of its cell; slots between the last row of a cell and the next cell have
            no weight.
        weights: (m,).
        number: (m,), the numbers of the rows.
        place: (m,), the slots of the rows by number, and whatever after the last.
        first: (g + 1,).
        frames: the coordinates of every cell, leading axis g.
        frame: one for all rows, in which samples are seen.
        longest: rows in a chunk, at most: the last chunk of a cell is computed in vain where it reaches past its end.
    """

    z: Float[Array, "d m"]
    weights: Float[Array, " m"]
    number: Int[Array, " m"]
    place: Int[Array, " m"]
    first: Int[Array, " g+1"]
    frames: Frame
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    frame: Frame | None = None
    known: Known | None = None
    longest: int = field(default=2048, metadata={"static": True})

    @property
    def n_features(self) -> int:
        return self.z.shape[0]

    @property
    def n_slots(self) -> int:
        return self.z.shape[1]

    @property
    def n_cells(self) -> int:
        return self.first.shape[0] - 1

    def row_weights(self) -> Any:
        return np.asarray(self.weights)[np.asarray(self.place)[: int(self.n_rows)]]

    def take(self, index: Int[Array, " b"]) -> Sample:
        assert self.frames.centre is not None
        assert self.frames.root is not None
        if index.shape[0] * self.frames.root.size // self.n_cells > _GATHERED:
            return super().take(index)
        slots = self.place[index]
        cell = jnp.searchsorted(self.first, slots, side="right") - 1
        wide = precision.widest(self.dtype)
        z, root = self.z[:, slots].astype(wide), self.frames.root[cell].astype(wide)
        moved = root.T * z if root.ndim == 2 else einsum("bde,eb->db", root, z)
        x = moved + self.frames.centre[cell].T.astype(wide)
        return of_its_own(x.astype(self.dtype), self.weights[slots], self, index)

    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        return self.total_by_cell(_AsTheyCame(function), operand, chunk)

    def total_by_cell(self, local: CellSums, operand: Any, chunk: int) -> Compensated[Any]:
        chunk = min(chunk, self.n_slots, self.longest)

        def of_cell(cell: Int[Array, ""]) -> Compensated[Any]:
            frame = trees.map(lambda leaf: leaf[cell], self.frames)
            prepared = local.localise(operand, frame)
            sums = self._summed(local, prepared, self.first[cell], self.first[cell + 1], chunk)
            return local.gather(prepared, sums)

        nothing = zeros_of(jax.eval_shape(of_cell, jnp.zeros((), jnp.int32)))
        return lax.fori_loop(0, self.n_cells, lambda cell, carry: _joined(carry, of_cell(cell)), nothing)

    def _summed(
        self, local: CellSums, prepared: Any, start: Int[Array, ""], stop: Int[Array, ""], chunk: int
    ) -> Compensated[Any]:
        """The sums over the slots from `start` up to `stop`."""

        def some(number: Int[Array, ""]) -> Any:
            z, fresh, slots = window(self.z, self.weights, start + number * chunk, chunk)
            index = lax.dynamic_slice_in_dim(self.number, slots[0], chunk)
            own = jnp.where(slots < stop, fresh, 0)
            return local.chunk(prepared, Chunk(z, own, index, self.possible(index)))

        zero = zeros_of(jax.eval_shape(some, jnp.zeros((), jnp.int32)))
        steps = -(-(stop - start) // chunk)
        return lax.fori_loop(0, steps, lambda i, carry: carry.plus(some(i)), Compensated(zero, zero))


@dataclass(frozen=True)
class _AsTheyCame(CellSums):
    """Sums of a function of rows in the coordinates they came in."""

    function: Callable[[Any, Chunk], Any]

    def localise(self, operand: Any, frame: Frame) -> Any:
        return operand, frame

    def chunk(self, prepared: Any, some: Chunk) -> Any:
        operand, frame = prepared
        # What the slots of the next cell would be in the coordinates of this one is not worth a number.
        x = jnp.where(some.weights > 0, frame.global_(some.x), 0)
        return self.function(operand, replace(some, x=x))

    def gather(self, prepared: Any, sums: Compensated[Any]) -> Compensated[Any]:
        return sums


def longest_chunk(sizes: Int[np.ndarray, " g"]) -> int:
    """Rows in a chunk with which cells of these sizes take least time."""
    overhead = _OVERHEAD.get(jax.default_backend(), _OVERHEAD_ELSEWHERE)
    return min(_LENGTHS, key=lambda length: float(np.sum(-(-sizes // length)) * (length + overhead)))


def _joined(carry: Compensated[Any], more: Compensated[Any]) -> Compensated[Any]:
    """Both together. Cells are few: only single numbers are worth what compensation costs a cell."""
    exact, plain = carry + more, trees.map(jnp.add, carry, more)
    return trees.map(lambda a, b: a if a.ndim == 0 else b, exact, plain)
