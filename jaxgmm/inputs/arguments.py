"""Checks before anything is compiled: every one raises an `ArgumentError`."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxgmm.inputs import arrays, forking, lazily
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.randomness import two_words, words_of
from jaxgmm.inputs.threefry import Words, folded

_BLOCK = 1 << 18
#: counters on the device are 32 bits wide
_LARGEST = 2**31 - 1


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """`value` if it is one of `options`.

    Raises:
        ValueError: with the nearest option, if any.
    """
    options = list(options)
    if isinstance(value, str) and value in options:
        return value
    wants = f"be one of {', '.join(map(repr, options))}"
    raise ArgumentError(name, wants, shown(value), did_you_mean(value, options))


def did_you_mean(value: Any, options: Iterable[str]) -> str:
    """Asks whether the nearest of `options` was meant; empty where none is near."""
    near = difflib.get_close_matches(str(value).lower(), list(options), n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else ""


def integer(name: str, value: Any, minimum: int, maximum: int = _LARGEST) -> int:
    """`value` as an int, from `minimum` to `maximum`.

    Raises:
        TypeError: another type, floats such as 3.0 included.
        ValueError: out of range.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        whole = isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value).is_integer()
        raise ArgumentTypeError(name, "be an integer", shown_with_type(value), f"use {int(value)}" if whole else "")
    number = int(value)
    if not minimum <= number <= maximum:
        bound = f"at least {minimum}" if number < minimum else f"at most {maximum}"
        raise ArgumentError(name, f"be {bound}", str(number))
    return number


def real(name: str, value: Any, minimum: float = 0.0) -> float:
    """`value` as a finite float, at least `minimum`.

    Raises:
        TypeError: not a number.
        ValueError: NaN, infinite or too small.
    """
    if isinstance(value, bool | np.bool_ | str | bytes) or (not np.isscalar(value) and np.ndim(value) != 0):
        raise ArgumentTypeError(name, "be a number", shown_with_type(value))
    wants = f"be a finite number of at least {minimum:g}"
    try:
        number = float(value)
    except OverflowError:
        raise ArgumentError(name, wants, "one beyond float64") from None
    except (TypeError, ValueError):
        raise ArgumentTypeError(name, "be a number", shown_with_type(value)) from None
    if not np.isfinite(number) or number < minimum:
        raise ArgumentError(name, wants, f"{number:g}")
    return number


def real_or_word(name: str, value: Any, words: Iterable[str], minimum: float = 0.0) -> Any:
    """`value` as a finite float, at least `minimum`, unless it is one of `words`.

    Raises:
        TypeError, ValueError: as `real` does for numbers, and `choice` for words.
    """
    if not isinstance(value, str):
        return real(name, value, minimum)
    words = list(words)
    if value in words:
        return value
    wants = f"be a number or {' or '.join(map(repr, words))}"
    raise ArgumentError(name, wants, shown(value), did_you_mean(value, words))


def shown(value: Any) -> str:
    """`value` as it stands in a message: short, and on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def shown_with_type(value: Any) -> str:
    """The same, and of which type it is."""
    return f"{shown(value)} of type {type(value).__name__}"


def random_key(key: Any) -> Words:
    """The words of a key or a seed; seeds of any size stay apart.

    Raises:
        TypeError: `key` is neither an integer nor a JAX key.
        ValueError: a negative seed, or an array of keys.
    """
    if lazily.is_array(key) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        forking.check()
        if key.shape:
            raise ArgumentError("key", "be one key", f"an array of keys of shape {key.shape}")
        return words_of(key)
    if (lazily.is_array(key) or isinstance(key, np.ndarray)) and key.dtype == np.uint32 and key.ndim:
        if key.shape not in ((2,), (4,)):  # a key as older JAX has them, raw
            many = key.ndim > 1 and key.shape[-1:] in ((2,), (4,))
            got = f"an array of keys of shape {key.shape[:-1]}" if many else f"uint32 of shape {key.shape}"
            raise ArgumentError("key", "be one key", got)
        return two_words(np.asarray(key))
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        seed = int(key)
        if seed < 0:
            raise ArgumentError("key", "be a JAX key or a seed of at least 0", str(seed))
        words = np.array([0, seed & 0xFFFFFFFF], np.uint32)
        while seed := seed >> 32:
            words = folded(words, seed & 0xFFFFFFFF)
        return words
    raise ArgumentTypeError("key", "be a JAX key (jax.random.key(0)) or an integer seed", shown_with_type(key))


def rows(name: str, x: Any, n_features: int | None = None, first_row: int = 0) -> Any:
    """`x` as a two-dimensional NumPy array (or memory map) of finite real numbers; its rows count from `first_row`.

    Raises:
        TypeError: sparse, or not numeric.
        ValueError: wrong shape, masked, or with NaN or infinity: the first such row and column are named.
    """
    array = arrays.to_numpy(name, x)
    if array.ndim != 2:
        hint = "np.reshape(x, (-1, 1)) makes it one feature, (1, -1) one row" if array.ndim == 1 else ""
        raise ArgumentError(name, "have shape (n, d)", str(array.shape), hint)
    if 0 in array.shape:
        raise ArgumentError(name, "have at least one row and one column", f"shape {array.shape}")
    if n_features is not None and array.shape[1] != n_features:
        wants = f"have {n_features} columns, as the mixture has features"
        raise ArgumentError(name, wants, str(array.shape[1]))
    if array.dtype.kind not in "biu":
        _finite(name, array, x, first_row)
    return array


def _finite(name: str, array: Any, x: Any, first_row: int) -> None:
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK]
        if block.dtype.kind != "f":
            block = block.astype(np.float32)
        good = np.isfinite(block)
        if not good.all():
            row, column = np.argwhere(~good)[0]
            where = arrays.place(x, (first_row + start + row, column))
            raise ArgumentError(name, "be finite", f"{block[row, column]} at {where}", arrays.DROP_ROWS)


def weights(name: str, sample_weight: Any, n: int) -> Any:
    """`sample_weight` as n finite, non-negative numbers, not all zero; None stays None.

    Raises:
        TypeError: not real numbers.
        ValueError: another shape, or negative, NaN, infinite: the first such row is named; or all zero.
    """
    if sample_weight is None:
        return None
    array = arrays.to_numpy(name, sample_weight)
    if array.shape != (n,):
        raise ArgumentError(name, f"have shape ({n},), one weight a row", str(array.shape))
    if array.dtype.kind not in "biuf":
        array = array.astype(np.float32)
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise ArgumentError(name, "be finite and at least 0", f"{array[where]} at row {where}")
    if not array.any():
        raise ArgumentError(name, "have at least one positive weight", "only zeros")
    return array
