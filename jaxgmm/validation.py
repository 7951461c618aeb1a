"""Checks before anything is compiled: every error names the argument, what it got and what it wants."""

from __future__ import annotations

import dataclasses
import difflib
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm import arrays, forking

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
    raise ValueError(
        f"{name} must be one of {', '.join(map(repr, options))}; got {_shown(value)}{nearest(value, options)}"
    )


def nearest(value: Any, options: Iterable[str]) -> str:
    """The end of a complaint: asks whether the nearest of `options` was meant; nothing where none is near."""
    near = difflib.get_close_matches(str(value).lower(), list(options), n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def integer(name: str, value: Any, minimum: int, maximum: int = _LARGEST) -> int:
    """`value` as an int, from `minimum` to `maximum`.

    Raises:
        TypeError: another type, floats such as 3.0 included.
        ValueError: out of range.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        whole = isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value).is_integer()
        hint = f"; use {int(value)}" if whole else ""
        raise TypeError(f"{name} must be an integer, got {_shown(value)} of type {type(value).__name__}{hint}")
    number = int(value)
    if not minimum <= number <= maximum:
        bound = f"at least {minimum}" if number < minimum else f"at most {maximum}"
        raise ValueError(f"{name} must be {bound}, got {number}")
    return number


def real(name: str, value: Any, minimum: float = 0.0) -> float:
    """`value` as a finite float, at least `minimum`.

    Raises:
        TypeError: not a number.
        ValueError: NaN, infinite or too small.
    """
    if isinstance(value, bool | np.bool_ | str | bytes) or (not np.isscalar(value) and np.ndim(value) != 0):
        raise TypeError(f"{name} must be a number, got {_shown(value)} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a finite number of at least {minimum:g}, got one beyond float64") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {_shown(value)} of type {type(value).__name__}") from None
    if not np.isfinite(number) or number < minimum:
        raise ValueError(f"{name} must be a finite number of at least {minimum:g}, got {number:g}")
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
    wanted = " or ".join(map(repr, words))
    raise ValueError(f"{name} must be a number or {wanted}, got {value!r}{nearest(value, words)}")


def _shown(value: Any) -> str:
    """`value` as it stands in a message: short, and on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def random_key(key: Any) -> jax.Array:
    """A typed key from a key or a seed; seeds of any size stay apart.

    Raises:
        TypeError: `key` is neither an integer nor a JAX key.
        ValueError: a negative seed, or an array of keys.
    """
    forking.check()
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape:
            raise ValueError(f"key must be one key, got an array of keys of shape {key.shape}")
        return key
    if isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32 and key.ndim:
        try:  # a key as older JAX has them, raw
            return random_key(jax.random.wrap_key_data(jnp.asarray(key)))
        except TypeError as error:
            raise ValueError(f"key must be one key, got uint32 of shape {key.shape}: {error}") from None
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        seed = int(key)
        if seed < 0:
            raise ValueError(f"key must be a JAX key or a seed of at least 0, got {seed}")
        typed = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        while seed := seed >> 32:
            typed = jax.random.fold_in(typed, np.uint32(seed & 0xFFFFFFFF))
        return typed
    got = f"{_shown(key)} of type {type(key).__name__}"
    raise TypeError(f"key must be a JAX key (jax.random.key(0)) or an integer seed, got {got}")


def rows(name: str, x: Any, n_features: int | None = None) -> Any:
    """`x` as a two-dimensional NumPy array (or memory map) of finite real numbers.

    Raises:
        TypeError: sparse, or not numeric.
        ValueError: wrong shape, masked, or with NaN or infinity: the first such row and column are named.
    """
    array = arrays.to_numpy(name, x)
    if array.ndim != 2:
        hint = "; np.reshape(x, (-1, 1)) makes it one feature, (1, -1) one row" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, d), got {array.shape}{hint}")
    if 0 in array.shape:
        raise ValueError(f"{name} must have at least one row and one column, got shape {array.shape}")
    if n_features is not None and array.shape[1] != n_features:
        raise ValueError(f"{name} must have {n_features} columns, as the mixture has features; got {array.shape[1]}")
    if array.dtype.kind not in "biu":
        _finite(name, array, x)
    return array


def _finite(name: str, array: Any, x: Any) -> None:
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK]
        if block.dtype.kind != "f":
            block = block.astype(np.float32)
        good = np.isfinite(block)
        if not good.all():
            row, column = np.argwhere(~good)[0]
            where = arrays.place(x, (start + row, column))
            raise ValueError(
                f"{name} must be finite, got {block[row, column]} at {where}; drop or fill such rows first"
            )


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
        raise ValueError(f"{name} must have shape ({n},), one weight a row; got {array.shape}")
    if array.dtype.kind not in "biuf":
        array = array.astype(np.float32)
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(f"{name} must be finite and at least 0, got {array[where]} at row {where}")
    if not array.any():
        raise ValueError(f"{name} must have at least one positive weight, got only zeros")
    return array


# ---- mixtures that somebody else has built ------------------------------------------------------------------


def mixture_shapes(name: str, family: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses parameters of `family` whose shapes, `weights` among them, do not belong together.

    Raises:
        ValueError: naming the parameter, its shape and the shape that is wanted.
    """
    means = shapes["means"]
    if len(means) < 2 or 0 in means or shapes["weights"] != means[:-1]:
        raise ValueError(
            f"{name} must have means of shape (..., k, d) and weights of shape (..., k), "
            f"got means of shape {means} and weights of shape {shapes['weights']}"
        )
    *batch, k, d = means
    row = jax.ShapeDtypeStruct((d,), np.float32)  # only shapes are asked for
    like = jax.eval_shape(family.from_means, jax.ShapeDtypeStruct((k, d), np.float32), row, row)
    for leaf in set(shapes) - {"weights"}:
        wanted = (*batch, *getattr(like, leaf).shape)
        if shapes[leaf] != wanted:
            raise ValueError(f"{name} has {leaf} of shape {shapes[leaf]}, where {wanted} is wanted")


def sound_mixture(name: str, mixture: Any) -> None:
    """Refuses a mixture that has no density; looks at its arrays in NumPy, so nothing is compiled.

    Raises:
        ValueError: shapes that disagree, NaN, weights off the simplex, factors that are none: naming the parameter,
            the component and the restart.
    """
    fields = [field.name for field in dataclasses.fields(mixture.components)]
    leaves = {leaf: np.asarray(getattr(mixture.components, leaf)) for leaf in fields}
    leaves["weights"] = np.asarray(mixture.weights)
    mixture_shapes(name, type(mixture.components), {leaf: array.shape for leaf, array in leaves.items()})
    leading = leaves["weights"].ndim - 1

    def refuse(leaf: str, bad: Any, complaint: str) -> None:
        if np.any(bad):
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            shared = leaf == "scale_tril" and leaves[leaf].ndim == leading + 2
            parts = [] if shared or len(index) == leading else [f"component {index[leading]}"]
            parts += [f"restart {', '.join(map(str, index[:leading]))}"] if leading else []
            found = leaves[leaf].sum(-1)[index] if len(index) == leading else leaves[leaf][index]
            where = f" in {' of '.join(parts)}" if parts else ""
            raise ValueError(f"{name} {complaint}, got {found:g}{where}")

    for leaf, array in leaves.items():
        refuse(leaf, ~np.isfinite(array), f"must be finite, but holds NaN or infinite parameters: {leaf}")
    weights = leaves["weights"]
    refuse("weights", weights < 0, "must have weights of at least 0")
    refuse("weights", np.abs(weights.sum(-1, dtype=np.float64) - 1) > 1e-3, "must have weights that sum to 1")
    if mixture.components.name == "bernoulli":
        refuse("means", (leaves["means"] < 0) | (leaves["means"] > 1), "must have means in [0, 1]")
    spoiled = "holds covariances that are not positive definite"
    if "scale" in leaves:
        refuse("scale", leaves["scale"] <= 0, f"{spoiled}: scale must be > 0")
    if "scale_tril" in leaves:
        factor = leaves["scale_tril"]
        bad = np.eye(factor.shape[-1], dtype=bool) & (factor <= 0)
        refuse("scale_tril", bad, f"{spoiled}: the diagonal must be > 0")
        refuse(
            "scale_tril", np.triu(factor, 1) != 0, "must have a lower triangular scale_tril, zero above the diagonal"
        )
