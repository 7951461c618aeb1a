"""Rows in one array on one device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, Key

from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import generator
from jaxgmm.inputs.typing import Array
from jaxgmm.rows.base import ChunkFunction, compensated_add
from jaxgmm.rows.labels import Known
from jaxgmm.rows.rungs import slots_for

# Where XLA takes arrays of the host as they are, without a copy.
_ALIGNED_BYTES = 64


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """An aligned array of zeros."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _ALIGNED_BYTES, np.uint8)
    start = -raw.ctypes.data % _ALIGNED_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ArrayRows:
    """Rows minor and padded with zero weights: x (d, m), weights (m,), m ≥ n; `whitener` as in `rows.base`.

    `known` is what is known of the rows' components. No chunk is read that begins at slot `end` or later, so that rows
    may be many or few in one program; slots there have no weight. None to read all.
    """

    x: Float[Array, "d m"]
    weights: Float[Array, " m"]
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    whitener: Float[Array, "d d"] | None = None
    known: Known | None = None
    end: Int[Array, ""] | None = None

    @classmethod
    def from_array(cls, x: Float[Array, "n d"], sample_weight: Float[Array, " n"] | None = None) -> ArrayRows:
        """Lays out `x` (n, d). Pure: works under `jit`, and takes rows as they come (see `coordinates`)."""
        n = x.shape[0]
        weights = jnp.ones(n, x.dtype) if sample_weight is None else jnp.asarray(sample_weight, x.dtype)
        x = jnp.where(weights[:, None] > 0, x, 0)  # 0 · ∞ is no nothing: see `from_numpy`
        padding = slots_for(n) - n
        return cls(
            jnp.pad(x.T, ((0, 0), (0, padding))),
            jnp.pad(weights, (0, padding)),
            jnp.sum(weights),
            jnp.asarray(n, jnp.int32),
        )

    @classmethod
    def from_numpy(
        cls, x: Any, sample_weight: Any, transform: Callable[[Any], Any], dtype: np.dtype, whitener: Any = None,
        block: int = 1 << 16, labels: Any = None, possible: Any = None,
    ) -> ArrayRows:  # fmt: skip
        """Lays out `transform` of rows (b, d), which gives (d, b) in float64, block by block.

        `labels` (n,) and `possible` as in `rows.known`; None where nothing is known.
        """
        n, d = x.shape
        m = slots_for(n)
        laid = _zeros((d, m), dtype)
        for start in range(0, n, block):
            rows = transform(x[start : start + block])
            laid[:, start : start + rows.shape[1]] = rows
        weights = np.zeros(m, dtype)
        weights[:n] = 1 if sample_weight is None else sample_weight
        laid[:, weights == 0] = 0  # 0 · ∞ is no nothing: a row without weight must not overflow in a product
        total = np.asarray(n if sample_weight is None else np.sum(sample_weight, dtype=np.float64), dtype)
        whitener = None if whitener is None else jnp.asarray(whitener, dtype)
        known = None if labels is None else Known(jnp.asarray(np.resize(labels, m), jnp.int32), jnp.asarray(possible))
        x = jax.device_put(laid, may_alias=True)  # rows may take half of memory: nobody else writes to them
        return cls(x, jnp.asarray(weights), jnp.asarray(total), jnp.asarray(n, jnp.int32), whitener, known)

    @property
    def n_features(self) -> int:
        return self.x.shape[0]

    @property
    def n_slots(self) -> int:
        return self.x.shape[1]

    def take(self, index: Int[Array, " b"]) -> ArrayRows:
        """The rows at `index`, in that order, as rows of their own."""
        weights = self.weights[index]
        known = None if self.known is None else self.known.take(index)
        n = jnp.asarray(index.shape[0], jnp.int32)
        return ArrayRows(self.x[:, index], weights, jnp.sum(weights), n, self.whitener, known)

    def pick(self, index: Any) -> ArrayRows:
        """As `take`, in as many slots as `rungs` has for so many; not under `jit`.

        Args:
            index: (b,), NumPy.
        """
        return _picked(self, _filled(index, slots_for(len(index))), np.int32(len(index)))

    def possible(self, index: Int[Array, " b"]) -> Bool[Array, "k b"] | None:
        """See `rows.base`."""
        return None if self.known is None else self.known.of(index)

    def sample(self, key: Key[Array, ""], n: int, room: int | None = None) -> ArrayRows:
        """`n` rows drawn by weight, each with as much of the total weight as the others; not under `jit`.

        Systematic sampling in random order: a row is drawn as often as its share of `n` says, rounded up or down, so
        that rows of equal weight are drawn once at most.

        Args:
            room: slots to put them in, of which hardly more than `n` are read; as many as need be if None.
        """
        rng, n_rows = generator(jax.random.key_data(key)), int(self.n_rows)
        weights = np.asarray(self.weights)[:n_rows]
        if n <= n_rows and np.all(weights == weights[0]):
            drawn = rng.choice(n_rows, n, replace=False, shuffle=False)
        else:
            order = rng.permutation(n_rows)
            ladder = np.cumsum(weights.astype(np.float64)[order])
            steps = (rng.uniform() + np.arange(n)) * (ladder[-1] / n)
            drawn = order[np.minimum(np.searchsorted(ladder, steps, side="right"), n_rows - 1)]
        rows = _drawn(self, _filled(np.sort(drawn), max(room or slots_for(n), n)), np.int32(n))
        return rows if room is None else rows.to_the_last()

    def to_the_last(self) -> ArrayRows:
        """The same rows, of whose slots hardly more are read than there are rows."""
        return replace(self, end=self.n_rows)

    def total(self, function: ChunkFunction, chunk: int) -> tuple[Any, Any]:
        """Σ over chunks of `function`, as (value, error); see `rows.base`."""
        n_chunks = -(-self.n_slots // chunk)
        zero = jax.tree.map(
            lambda s: jnp.zeros(s.shape, s.dtype),
            jax.eval_shape(function, self.x[:, :chunk], self.weights[:chunk], jnp.arange(chunk)),
        )
        if n_chunks == 1:
            return function(self.x, self.weights, jnp.arange(self.n_slots)), zero

        def step(carry: tuple[Any, Any], number: Int[Array, ""]) -> tuple[tuple[Any, Any], None]:
            # The last chunk is moved back inside the array, and what it repeats is given no weight.
            start = jnp.minimum(number * chunk, self.n_slots - chunk)
            x = lax.dynamic_slice_in_dim(self.x, start, chunk, axis=1)
            w = lax.dynamic_slice_in_dim(self.weights, start, chunk)
            index = start + jnp.arange(chunk)
            fresh = jnp.where(index >= number * chunk, w, 0)
            return compensated_add(carry, function(x, fresh, index)), None

        if self.end is None:
            return lax.scan(step, (zero, zero), jnp.arange(n_chunks))[0]
        return lax.fori_loop(0, -(-self.end // chunk), lambda number, carry: step(carry, number)[0], (zero, zero))


def _filled(index: Any, room: int) -> Any:
    """`index` and, up to `room`, numbers of rows that do not count."""
    return np.pad(np.asarray(index, np.int32), (0, room - len(index)))


@compiled
def _picked(rows: ArrayRows, index: Int[Array, " m"], n: Int[Array, ""]) -> ArrayRows:
    """The rows at the first `n` of `index`."""
    taken = rows.take(index)
    weights = jnp.where(jnp.arange(index.shape[0]) < n, taken.weights, 0)
    return replace(taken, weights=weights, total_weight=jnp.sum(weights), n_rows=n)


@compiled
def _drawn(rows: ArrayRows, index: Int[Array, " m"], n: Int[Array, ""]) -> ArrayRows:
    """The rows at the first `n` of `index`, with equal parts of the whole weight."""
    each = (rows.total_weight / n).astype(rows.weights.dtype)
    weights = jnp.where(jnp.arange(index.shape[0]) < n, each, 0)
    return replace(rows.take(index), weights=weights, total_weight=rows.total_weight, n_rows=n)
