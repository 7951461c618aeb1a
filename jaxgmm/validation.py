"""Checks before anything is compiled: every error names the argument, what it got and what it wants."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 1 << 18


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """`value` if it is one of `options`.

    Raises:
        ValueError: with the nearest option, if any.
    """
    options = list(options)
    if isinstance(value, str) and value in options:
        return value
    near = difflib.get_close_matches(str(value), options, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}{hint}")


def integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an int, at least `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def real(name: str, value: Any, minimum: float = 0.0) -> float:
    """`value` as a finite float, at least `minimum`."""
    if isinstance(value, bool | np.bool_ | str) or (not np.isscalar(value) and np.ndim(value) != 0):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}") from None
    if not np.isfinite(number) or number < minimum:
        raise ValueError(f"{name} must be a finite number of at least {minimum:g}, got {number:g}")
    return number


def random_key(key: Any) -> jax.Array:
    """A typed key from a key or a seed; seeds of any size stay apart.

    Raises:
        TypeError: `key` is neither an integer nor a JAX key.
    """
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape:
            raise ValueError(f"key must be one key, got an array of keys of shape {key.shape}")
        return key
    if isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32 and key.shape == (2,):
        return jax.random.wrap_key_data(jnp.asarray(key))
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        seed = int(key)
        if seed < 0:
            raise ValueError(f"key must be a JAX key or a seed of at least 0, got {seed}")
        typed = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        while seed := seed >> 32:
            typed = jax.random.fold_in(typed, np.uint32(seed & 0xFFFFFFFF))
        return typed
    raise TypeError(f"key must be a JAX key (jax.random.key(0)) or an integer seed, got {type(key).__name__}")


def rows(name: str, x: Any, n_features: int | None = None) -> Any:
    """`x` as a two-dimensional NumPy array (or memory map) of finite real numbers.

    Raises:
        TypeError: sparse, or not numeric.
        ValueError: wrong shape, masked, or with NaN or infinity: the first such row and column are named.
    """
    if hasattr(x, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(x).__name__}; use {name}.toarray()")
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(f"{name} must not be a masked array: the mask would be ignored; fill or drop those rows")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array, shape (n, d): {error}") from None
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} must be numeric, got objects: {error}") from None
    # bfloat16 and its kin are foreign to NumPy's kinds; they are floats all the same
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2:
        hint = f"; use {name}.reshape(-1, 1) for one feature" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, d), got {array.shape}{hint}")
    if 0 in array.shape:
        raise ValueError(f"{name} must have at least one row and one column, got shape {array.shape}")
    if n_features is not None and array.shape[1] != n_features:
        raise ValueError(f"{name} must have {n_features} columns, as the mixture has features; got {array.shape[1]}")
    if array.dtype.kind not in "biu":
        _finite(name, array)
    return array


def _finite(name: str, array: Any) -> None:
    for start in range(0, len(array), _BLOCK):
        block = np.asarray(array[start : start + _BLOCK], dtype=None)
        if block.dtype.kind != "f":
            block = block.astype(np.float32)
        good = np.isfinite(block)
        if not good.all():
            row, column = np.argwhere(~good)[0]
            raise ValueError(
                f"{name} must be finite, got {block[row, column]} at row {start + row}, column {column}; "
                "drop or fill such rows first"
            )


def weights(name: str, sample_weight: Any, n: int) -> Any:
    """`sample_weight` as n finite, non-negative numbers, not all zero; None stays None."""
    if sample_weight is None:
        return None
    array = np.asarray(sample_weight)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one weight a row; got {array.shape}")
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(f"{name} must be finite and at least 0, got {array[where]} at row {where}")
    if not array.any():
        raise ValueError(f"{name} must have at least one positive weight, got only zeros")
    return array
