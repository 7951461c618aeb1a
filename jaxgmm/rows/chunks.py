"""What a pass sees at a time: some rows, how many of them, and which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.sums import Compensated

# Numbers that a chunk touches, and rows, from and to. On CPU, measured: fastest when they stay near the caches, yet
# every product is wide enough; within a chunk sums are not compensated, and above 2048 rows little speed is left to
# gain. Elsewhere chunks must be so long that launching kernels does not count: estimates from programs compiled for
# H100 (8 to 32 thousand rows) and TPU v5e (16 thousand), never yet measured. In NumPy every operation goes to and from
# memory, and costs a call.
_CHUNKS = {
    "cpu": (1 << 20, 128, 2048),
    "host": (1 << 18, 128, 1 << 14),
    "gpu": (1 << 26, 2048, 1 << 15),
    "tpu": (1 << 26, 2048, 1 << 14),
}


@trees.register_dataclass
@dataclass(frozen=True)
class Chunk:
    """Some rows, as a pass sees them.

    Attributes:
        x: (d, b), rows minor.
        weights: (b,), or (r, b) where restarts see different rows. A row with weight 0 must add nothing to any sum:
            that is how chunks are padded.
        index: (b,), the rows' numbers.
        possible: (k, b), which components each row may come from; None where nothing is known of that.
    """

    x: Float[Array, "d b"]
    weights: Float[Array, "*r b"]
    index: Int[Array, " b"]
    possible: Bool[Array, "k b"] | None = None


class CellSums(ABC):
    """A sum over rows that come in coordinates of their own, cell by cell; each method pure, like what `total` takes.

    A place without cells has one frame for all rows.
    """

    @abstractmethod
    def localise(self, operand: Any, frame: Frame) -> Any:
        """What `chunk` needs for rows in `frame`."""

    @abstractmethod
    def chunk(self, prepared: Any, some: Chunk) -> Any:
        """A pytree of sums over some rows of a cell."""

    @abstractmethod
    def gather(self, prepared: Any, sums: Compensated[Any]) -> Compensated[Any]:
        """A cell's sums as they may be added to those of other cells."""


def chunk_size(elements_per_row: int, n_slots: int, on_host: bool = False) -> int:
    """Rows per chunk for a function that holds `elements_per_row` numbers for each: it follows from the shapes."""
    elements, low, high = _CHUNKS["host"] if on_host else _CHUNKS.get(jax.default_backend(), _CHUNKS["gpu"])
    wanted = elements // max(elements_per_row, 1)
    chunk = low
    while chunk * 3 // 2 <= wanted and chunk < high:
        chunk *= 2
    return min(chunk, n_slots)


def window(
    x: Float[Array, "d m"], weights: Float[Array, " m"], begin: Int[Array, ""], size: int
) -> tuple[Float[Array, "d b"], Float[Array, " b"], Int[Array, " b"]]:
    """The rows in so many slots from `begin` on, their weights, and the slots.

    Where they reach past the end they are moved back inside the array, and what lies before `begin` is given no weight.
    """
    start = jnp.minimum(begin, x.shape[1] - size)
    slots = start + jnp.arange(size, dtype=jnp.int32)
    w = lax.dynamic_slice_in_dim(weights, start, size)
    return lax.dynamic_slice_in_dim(x, start, size, axis=1), jnp.where(slots >= begin, w, 0), slots
