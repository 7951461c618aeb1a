"""JAX's random bits on the host: a key gives the same draws whoever makes them, and nothing is compiled for that.

Threefry-2x32 with 20 rounds (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3), with counters as
`jax.random` numbers them. Keys are pairs of 32-bit words, along the last axis; leading axes are keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgmm.inputs.typing import Float, Int, UInt

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
if TYPE_CHECKING:
    Words = Any
else:
    #: a key, or many
    Words = UInt[np.ndarray, "*r 2"]


def _hashed(words: Words, high: Any, low: Any) -> tuple[Any, Any]:
    """The two words that a pair of counters comes to, shapes broadcast."""
    words = np.asarray(words, np.uint32)
    keys = words[..., 0], words[..., 1], words[..., 0] ^ words[..., 1] ^ _PARITY
    with np.errstate(over="ignore"):
        x, y = np.add(high, keys[0], dtype=np.uint32), np.add(low, keys[1], dtype=np.uint32)
        for i in range(5):
            for r in _ROTATIONS[i % 2]:
                x = x + y
                y = x ^ ((y << np.uint32(r)) | (y >> np.uint32(32 - r)))
            x = x + keys[(i + 1) % 3]
            y = y + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x, y


def folded(words: Words, number: Int[np.ndarray, "..."] | int) -> Words:
    """`jax.random.fold_in`, shapes broadcast; with 0, 1, … it is `jax.random.split`."""
    number = np.asarray(number).astype(np.uint32)
    return np.stack(_hashed(words, np.zeros_like(number), number), axis=-1)


def uniform(words: Words, n: int, dtype: Any = np.float32, *, above_zero: bool = False) -> Float[np.ndarray, "*r n"]:
    """`jax.random.uniform` of `n` numbers for every key: in [0, 1), or from the least normal number on."""
    words, low = np.asarray(words)[..., None, :], np.arange(n, dtype=np.uint32)
    x, y = _hashed(words, np.zeros_like(low), low)
    if np.dtype(dtype) == np.float32:
        drawn = (((x ^ y) >> np.uint32(9)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)
    else:
        both = (x.astype(np.uint64) << np.uint64(32)) | y
        drawn = ((both >> np.uint64(12)) | np.uint64(0x3FF0000000000000)).view(np.float64) - 1.0
    return np.maximum(drawn, np.finfo(dtype).tiny) if above_zero else drawn


def gumbel(words: Words, n: int, dtype: Any = np.float32) -> Float[np.ndarray, "*r n"]:
    """`jax.random.gumbel` of `n` numbers for every key, up to the rounding of logarithms."""
    return -np.log(-np.log(uniform(words, n, dtype, above_zero=True)))
