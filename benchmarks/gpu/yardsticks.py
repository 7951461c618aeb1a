"""What a device can do at best with a step's own sizes: a product, and a copy of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from common import Spread, seconds

#: a figure is the median of so many repeats at least, and of more while they take less than so many seconds
_REPEATS, _SECONDS, _MOST = 3, 1.0, 30


def timed(call: Callable[[], Any]) -> Spread:
    """Seconds of a call; the first does not count."""
    jax.block_until_ready(call())
    taken: list[float] = []
    while len(taken) < _REPEATS or (sum(taken) < _SECONDS and len(taken) < _MOST):
        taken.append(seconds(lambda: jax.block_until_ready(call())))
    return Spread.of(taken)


def product_rate(left: int, inner: int, right: int, precision: Any) -> float:
    """Operations a second of a float32 product, (left, inner) × (inner, right)."""
    a = jax.random.normal(jax.random.key(1), (left, inner), jnp.float32)
    b = jax.random.normal(jax.random.key(2), (inner, right), jnp.float32)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    return 2.0 * left * inner * right / timed(lambda: product(a, b)).median


def copy_rate(x: Any, least: int) -> float:
    """Bytes a second, read and written, of a copy of rows, laid side by side until they are `least` bytes."""
    x = jnp.tile(x, (1, max(1, -(-least // x.nbytes))))
    copy = jax.jit(jnp.copy)
    return 2.0 * x.nbytes / timed(lambda: copy(x)).median
