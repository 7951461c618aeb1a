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
from jaxtyping import Array, Float, Int, Key

from jaxgmm.rows.base import ChunkFunction, compensated_add

#: rows are padded to a multiple of this, so that every chunk starts on a cache line
_ALIGNMENT = 16
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
    """Rows minor and padded with zero weights: x (d, m), weights (m,), m ≥ n; `whitener` as in `rows.base`."""

    x: Float[Array, "d m"]
    weights: Float[Array, " m"]
    total_weight: Float[Array, ""]
    n_rows: Int[Array, ""]
    whitener: Float[Array, "d d"] | None = None

    @classmethod
    def from_array(cls, x: Float[Array, "n d"], sample_weight: Float[Array, " n"] | None = None) -> ArrayRows:
        """Lays out `x` (n, d). Pure: works under `jit`, and takes rows as they come (see `coordinates`)."""
        n = x.shape[0]
        weights = jnp.ones(n, x.dtype) if sample_weight is None else jnp.asarray(sample_weight, x.dtype)
        x = jnp.where(weights[:, None] > 0, x, 0)  # 0 · ∞ is no nothing: see `from_numpy`
        padding = -n % _ALIGNMENT
        return cls(
            jnp.pad(x.T, ((0, 0), (0, padding))), jnp.pad(weights, (0, padding)), jnp.sum(weights), jnp.asarray(n)
        )

    @classmethod
    def from_numpy(
        cls, x: Any, sample_weight: Any, transform: Callable[[Any], Any], dtype: np.dtype, whitener: Any = None,
        block: int = 1 << 16,
    ) -> ArrayRows:  # fmt: skip
        """Lays out `transform` of rows (b, d), which gives (d, b) in float64, block by block."""
        n, d = x.shape
        m = n + -n % _ALIGNMENT
        laid = _zeros((d, m), dtype)
        for start in range(0, n, block):
            rows = transform(x[start : start + block])
            laid[:, start : start + rows.shape[1]] = rows
        weights = np.zeros(m, dtype)
        weights[:n] = 1 if sample_weight is None else sample_weight
        laid[:, weights == 0] = 0  # 0 · ∞ is no nothing: a row without weight must not overflow in a product
        total = np.asarray(n if sample_weight is None else np.sum(sample_weight, dtype=np.float64), dtype)
        whitener = None if whitener is None else jnp.asarray(whitener, dtype)
        x = jax.device_put(laid, may_alias=True)  # rows may take half of memory: nobody else writes to them
        return cls(x, jnp.asarray(weights), jnp.asarray(total), jnp.asarray(n, jnp.int32), whitener)

    @property
    def n_features(self) -> int:
        return self.x.shape[0]

    @property
    def n_slots(self) -> int:
        return self.x.shape[1]

    def take(self, index: Int[Array, " b"]) -> ArrayRows:
        """The rows at `index`, in that order, as rows of their own."""
        weights = self.weights[index]
        return ArrayRows(self.x[:, index], weights, jnp.sum(weights), jnp.asarray(index.shape[0]), self.whitener)

    def sample(self, key: Key[Array, ""], n: int) -> ArrayRows:
        """`n` rows drawn by weight, each with as much of the total weight as the others; not under `jit`.

        Systematic sampling in random order: a row is drawn as often as its share of `n` says, rounded up or down, so
        that rows of equal weight are drawn once at most.
        """
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
        order = rng.permutation(int(self.n_rows))
        ladder = np.cumsum(np.asarray(self.weights, np.float64)[order])
        steps = (rng.uniform() + np.arange(n)) * (ladder[-1] / n)
        drawn = order[np.minimum(np.searchsorted(ladder, steps, side="right"), len(order) - 1)]
        picked = self.take(jnp.asarray(np.sort(drawn)))
        share = self.total_weight / n
        return replace(picked, weights=jnp.full_like(picked.weights, share), total_weight=self.total_weight)

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

        return lax.scan(step, (zero, zero), jnp.arange(n_chunks))[0]
