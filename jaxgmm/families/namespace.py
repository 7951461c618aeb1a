"""NumPy or jax.numpy, by the arrays at hand: what is written with these runs compiled, or without any compiler."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

#: the precision of products, in which float32 is not cut short
HIGHEST = lax.Precision.HIGHEST

_HOST = (np.ndarray, np.generic, bool, int, float)


def namespace(*arrays: Any) -> ModuleType:
    """NumPy if all of `arrays` are NumPy's (or plain numbers), else jax.numpy.

    Example:
        >>> xp = namespace(x, means)
        >>> xp.exp(x - means)
    """
    return np if all(isinstance(array, _HOST) for array in arrays) else jnp


def einsum(sums: str, *arrays: Any) -> Any:
    """`einsum` in the arrays' own precision: accelerators would else multiply float32 in less."""
    if namespace(*arrays) is np:
        return np.einsum(sums, *arrays, optimize=len(arrays) > 2)
    return jnp.einsum(sums, *arrays, precision=HIGHEST)


def set_at(array: Any, index: Any, values: Any) -> Any:
    """A copy of `array` with `values` at `index`."""
    if namespace(array, values) is not np:
        return jnp.asarray(array).at[index].set(values)
    copy = np.array(array)
    copy[index] = values
    return copy


def expit(x: Any) -> Any:
    """1 / (1 + exp(−x))."""
    if namespace(x) is not np:
        return jax.nn.sigmoid(x)
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1, small) / (1 + small)


def xlogy(x: Any, y: Any) -> Any:
    """x log y, which is 0 where x is 0."""
    if namespace(x, y) is not np:
        return jax.scipy.special.xlogy(x, y)
    return x * np.log(np.where(x == 0, np.ones_like(y), y))


def entr(x: Any) -> Any:
    """−x log x, which is 0 at 0."""
    return jax.scipy.special.entr(x) if namespace(x) is not np else -xlogy(x, x)


#: for entry points: NumPy then says nothing of infinities and NaN, as JAX does not
quiet = np.errstate(all="ignore")
