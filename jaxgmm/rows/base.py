"""Where rows live, said once: a place for rows can sum a function over all of them.

Everything that is done to data is such a sum (`Rows.total`); all else that a fit asks of its rows follows from it. What
is looked at row by row (seeds, jumps, revivals) is looked at in a sample, which lies in one array (`ArrayRows`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.arguments import random_key
from jaxgmm.inputs.lazily import jax, jnp, lax
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import generator
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.rows.chunks import CellSums, Chunk, chunk_size, window
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known, Labels
from jaxgmm.rows.layout import laid_out
from jaxgmm.rows.rungs import slots_for
from jaxgmm.rows.source import RowSource
from jaxgmm.rows.sums import Compensated, Sums, zeros_of

Operand = TypeVar("Operand")


class Rows(ABC):
    """A place for rows: a pytree that can sum a function over all of them.

    To add one, subclass, register it as a pytree, and write `total`, `n_features`, `n_slots`, `total_weight` and
    `n_rows`; the last two may be fields or properties, as may `frame` and `known` where there is something to say.
    All else is derived. `take` is slow here, by a pass of its own: a place that can reach single rows has a better one.

    Attributes:
        total_weight: Σ w_n, in the dtype of the rows.
        n_rows: how many rows there are.
        frame: coordinates in which the rows have about mean 0 and unit covariance, for kernels that are the better for
            them; by default the rows' own.
        known: what labels say of the rows' components; None where nothing is known.
    """

    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    frame: Frame | None = None
    known: Known | None = None

    @property
    @abstractmethod
    def n_features(self) -> int:
        """d."""

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """Rows with their padding: what a chunk size is chosen against, and above all row numbers."""

    @abstractmethod
    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        """Σ over chunks of `function(operand, rows)`.

        Args:
            function: from a pytree and a `Chunk` to a pytree of sums over the chunk's rows. It must be pure, and have
                from its operand alone whatever is traced: a closure over a traced array could not be handed on to
                where the rows are, be that a device of its own (`jax.shard_map`) or a program per block of a file.
            operand: what `function` needs beside the rows: parameters, keys, arrays of whatever kind.
            chunk: how many rows `function` sees at once, at most.

        Returns:
            The sums over all rows, and what rounding dropped from them.

        Example:
            How far rows lie from a point: `rows.total(lambda point, some: jnp.sum((some.x - point[:, None]) ** 2
            @ some.weights), point, 1024).total`.
        """

    @property
    def on_host(self) -> bool:
        """Whether rows are NumPy's, to be computed with in NumPy: then restarts are a leading axis, without `vmap`."""
        return False

    @property
    def is_far(self) -> bool:
        """Whether reading may take longer than computing: then all restarts share each read."""
        return False

    def agreed(self, value: int) -> int:
        """`value` as the first of the processes has it that compute with these rows together."""
        return value

    @property
    def n_read_now(self) -> int:
        """How many rows long passes have read so far; not under `jit`."""
        return 0

    def attended(self, call: Callable[[], Any], told: Callable[[], bool] | None = None) -> Any:
        """What `call` gives, which computes with these rows; what failed in the reading of them is raised here.

        `told` is asked meanwhile where that takes long, and ends it by True (`errors.Cancelled`).
        """
        return call()

    # ---- what follows from that -----------------------------------------------------------------------------------

    def total_by_cell(self, local: CellSums, operand: Any, chunk: int) -> Compensated[Any]:
        """Σ over cells of what `local` makes of each; see `em.steps.e_step` for a kernel."""

        def sums(held: Any, some: Chunk) -> Any:
            return local.chunk(held, some)

        frame = Frame(jnp.ones((self.n_features, 1), self.dtype)) if self.frame is None else self.frame
        prepared = local.localise(operand, frame)
        return local.gather(prepared, self.total(sums, prepared, chunk))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.total_weight.dtype)

    def possible(self, index: Int[Array, " b"]) -> Bool[Array, "k b"] | None:
        """Which components the rows numbered `index` may come from; None where nothing is known of that."""
        return None if self.known is None else self.known.of(index)

    def row_weights(self) -> Any:
        """(n,), NumPy, the weight of every row; None where all rows have the same. Not under `jit`."""
        return np.asarray(_weights_by_number(self))[: int(self.n_rows)]

    def present(self) -> Any:
        """The numbers of the rows that have weight, ascending, NumPy. Not under `jit`."""
        weights = self.row_weights()
        return np.arange(int(self.n_rows)) if weights is None else np.flatnonzero(weights)

    def take(self, index: Int[Array, " b"]) -> Sample:
        """The rows at `index`, in that order, as rows of their own."""
        wanted = jnp.sort(index)
        x, weights = self.total(_found, wanted, chunk_size(2 * self.n_features, self.n_slots)).total
        place = jnp.searchsorted(wanted, index)
        return of_its_own(x[:, place], weights[place], self, index)

    def pick(self, index: Any, room: int | None = None) -> Sample:
        """As `take`, in `room` slots, or in as many as `rungs` has for so many; not under `jit`.

        Args:
            index: (b,), NumPy.
        """
        filled = np.pad(np.asarray(index, np.int32), (0, (room or slots_for(len(index))) - len(index)))
        return _picked(self, filled, np.int32(len(index)))

    def sample(self, key: Any, n: int, room: int | None = None) -> Sample:
        """`n` rows drawn by weight, each with as much of the total weight as the others; not under `jit`.

        Systematic sampling in random order: a row is drawn as often as its share of `n` says, rounded up or down.

        Args:
            key: a JAX key, its words, or a seed.
            room: slots to put them in, of which hardly more than `n` are read; as many as need be if None.

        Example:
            `rows.sample(jax.random.key(0), 1000).x` has 1000 rows, and some padding without weight, in its columns.
        """
        rng, weights = generator(random_key(key)), self.row_weights()
        n_rows = int(self.n_rows) if weights is None else len(weights)
        if n <= n_rows and (weights is None or np.all(weights == weights[0])):
            drawn = rng.choice(n_rows, n, replace=False, shuffle=False)
        else:
            order = rng.permutation(n_rows)
            ladder = np.cumsum((np.ones(n_rows) if weights is None else weights.astype(np.float64))[order])
            steps = (rng.uniform() + np.arange(n)) * (ladder[-1] / n)
            drawn = order[np.minimum(np.searchsorted(ladder, steps, side="right"), n_rows - 1)]
        rows = self.pick(np.sort(drawn), max(room or slots_for(n), n))
        each = np.zeros(rows.n_slots, self.dtype)
        each[:n] = np.asarray(self.total_weight) / self.dtype.type(n)
        rows = replace(rows, weights=jnp.asarray(each), total_weight=self.total_weight)
        return rows if room is None else rows.to_the_last()

    def to_the_last(self) -> Rows:
        """The same rows; where slots may be many more than rows, hardly more of them are read than there are rows."""
        return self


class InOneArray(Rows):
    """Rows in one array `x`, (d, m), rows minor."""

    x: Float[Array, "d m"]

    @property
    def n_features(self) -> int:
        return self.x.shape[0]

    @property
    def n_slots(self) -> int:
        return self.x.shape[1]


@trees.register_dataclass
@dataclass(frozen=True)
class ArrayRows(InOneArray):
    """Rows in one array on one device: rows minor and padded with zero weights, x (d, m), weights (m,), m ≥ n.

    No chunk is read that begins at slot `end` or later, so that rows may be many or few in one program; slots there
    have no weight. None to read all.
    """

    x: Float[Array, "d m"]
    weights: Float[Array, " m"]
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    frame: Frame | None = None
    known: Known | None = None
    end: Int[Array, ""] | None = None

    @classmethod
    def from_array(cls, x: Float[Array, "n d"], sample_weight: Float[Array, " n"] | None = None) -> ArrayRows:
        """Lays out `x` (n, d). Pure: works under `jit`, and takes rows as they come (see `problem.coordinates`)."""
        n = x.shape[0]
        weights = jnp.ones(n, x.dtype) if sample_weight is None else jnp.asarray(sample_weight, x.dtype)
        x = jnp.where(weights[:, None] > 0, x, 0)  # 0 · ∞ is no nothing: see `layout.laid_out`
        padding = slots_for(n) - n
        return cls(
            jnp.pad(x.T, ((0, 0), (0, padding))),
            jnp.pad(weights, (0, padding)),
            jnp.sum(weights),
            jnp.asarray(n, jnp.int32),
        )

    @classmethod
    def from_source(
        cls, source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, whitener: Any = None,
        labels: Labels | None = None,
    ) -> ArrayRows:  # fmt: skip
        """Lays out `transform` of a source's rows (b, d), which gives (d, b) in float64, block by block.

        `labels` is what the labels in the source mean; None where nothing is known.
        """
        laid = laid_out(source, transform, dtype, slots_for(source.shape[0]))
        whitener = None if whitener is None else np.asarray(whitener, dtype)
        frame = Frame.of_all(laid.x[:, : source.shape[0]], whitener)
        known = None if labels is None else labels.known(source.labels, len(laid.weights))
        x = jax.device_put(laid.x, may_alias=True)  # rows may take half of memory: nobody else writes to them
        total, n = jnp.asarray(laid.total_weight), jnp.asarray(source.shape[0], jnp.int32)
        frame, known = trees.map(jnp.asarray, (frame, known))
        return cls(x, jnp.asarray(laid.weights), total, n, frame, known)

    def row_weights(self) -> Any:
        return np.asarray(self.weights)[: int(self.n_rows)]

    def take(self, index: Int[Array, " b"]) -> Sample:
        return of_its_own(self.x[:, index], self.weights[index], self, index)

    def to_the_last(self) -> ArrayRows:
        return replace(self, end=self.n_rows)

    def total(self, function: Callable[[Operand, Chunk], Sums], operand: Operand, chunk: int) -> Compensated[Sums]:
        chunk = min(chunk, self.n_slots)
        n_chunks = -(-self.n_slots // chunk)
        first = self._chunk(self.x[:, :chunk], self.weights[:chunk], jnp.arange(chunk))
        zero = zeros_of(jax.eval_shape(function, operand, first))
        if n_chunks == 1:
            return Compensated(function(operand, first), zero)

        def step(carry: Compensated[Sums], number: Int[Array, ""]) -> tuple[Compensated[Sums], None]:
            x, fresh, index = window(self.x, self.weights, number * chunk, chunk)
            return carry.plus(function(operand, self._chunk(x, fresh, index))), None

        nothing = Compensated(zero, zero)
        if self.end is None:
            return lax.scan(step, nothing, jnp.arange(n_chunks))[0]
        return lax.fori_loop(0, -(-self.end // chunk), lambda number, carry: step(carry, number)[0], nothing)

    def _chunk(self, x: Float[Array, "d b"], weights: Float[Array, " b"], index: Int[Array, " b"]) -> Chunk:
        return Chunk(x, weights, index, self.possible(index))


#: rows that were drawn or picked from others: at hand as one array, to be looked at row by row
Sample = ArrayRows


def of_its_own(x: Float[Array, "d b"], weights: Float[Array, " b"], rows: Rows, index: Int[Array, " b"]) -> Sample:
    """Rows with these weights, which are those at `index` of `rows`."""
    known = None if rows.known is None else rows.known.take(index)
    return ArrayRows(x, weights, jnp.sum(weights), jnp.asarray(index.shape[0], jnp.int32), rows.frame, known)


def _found(wanted: Int[Array, " m"], rows: Chunk) -> tuple[Float[Array, "d m"], Float[Array, " m"]]:
    """The rows numbered `wanted`, ascending, and their weights, at the first place that names each; zeros elsewhere."""
    m = wanted.shape[0]
    place = jnp.searchsorted(wanted, rows.index)
    there = (wanted[jnp.minimum(place, m - 1)] == rows.index) & (rows.weights > 0)
    place = jnp.where(there, place, m)  # past the end

    def put(values: Array) -> Array:
        return jnp.zeros((*values.shape[:-1], m), values.dtype).at[..., place].add(values, mode="drop")

    return put(rows.x), put(rows.weights)


@compiled
def _weights_by_number(rows: Rows) -> Float[Array, " m"]:
    """The weight of every slot."""

    def put(_: None, some: Chunk) -> Float[Array, " m"]:
        return jnp.zeros(rows.n_slots, some.weights.dtype).at[some.index].add(some.weights)

    return rows.total(put, None, chunk_size(1, rows.n_slots)).total


@compiled
def _picked(rows: Rows, index: Int[Array, " m"], n: Int[Array, ""]) -> Sample:
    """The rows at the first `n` of `index`."""
    taken = rows.take(index)
    weights = jnp.where(jnp.arange(index.shape[0]) < n, taken.weights, 0)
    return replace(taken, weights=weights, total_weight=jnp.sum(weights), n_rows=n)
