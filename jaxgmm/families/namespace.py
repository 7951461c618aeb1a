"""NumPy or jax.numpy, by the arrays at hand: what is written with these runs compiled, or without any compiler."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from jaxgmm.inputs.lazily import jax, jnp

#: the precision of products, in which float32 is not cut short
HIGHEST = "highest"
#: that of the wide ones, with features
PRODUCTS: Any = HIGHEST

# Numbers from which on a product by BLAS gains more than finding it costs.
_LARGE = 1 << 12
_HOST = (np.ndarray, np.generic, bool, int, float)


def namespace(*arrays: Any) -> ModuleType:
    """NumPy if all of `arrays` are NumPy's (or plain numbers), else jax.numpy.

    Example:
        >>> xp = namespace(x, means)
        >>> xp.exp(x - means)
    """
    for array in arrays:
        if type(array) is not np.ndarray and not isinstance(array, _HOST):
            return jnp
    return np


def einsum(sums: str, *arrays: Any) -> Any:
    """`einsum` in the arrays' own precision: accelerators would else multiply float32 in less."""
    if namespace(*arrays) is np:
        if len(arrays) == 2 and arrays[0].size + arrays[1].size > _LARGE and (how := _as_product(sums)):
            return _multiplied(how, *arrays)
        return np.einsum(sums, *arrays, optimize=len(arrays) > 2)
    return jnp.einsum(sums, *arrays, precision=HIGHEST)


@cache
def _as_product(sums: str) -> tuple[tuple[str, str], ...] | None:
    """How two arrays are brought to A B, as batches of matrices: (labels, labels) of A, B and what comes of them.

    None where they are not one.
    """
    operands, out = sums.replace("...", "").split("->")
    a, b = operands.split(",")
    shared = [label for label in a if label in b and label in out]
    parts = [
        [label for label in a if label not in b and label in out],
        [label for label in a if label in b and label not in out],
        [label for label in b if label not in a and label in out],
    ]
    lost = [label for label in a + b if label not in out and not (label in a and label in b)]
    if lost or any(len(part) > 1 for part in parts) or len(parts[1]) != 1:
        return None
    rows, common, columns = ("".join(part) for part in parts)
    batch = "".join(shared)
    return (
        (a, f"{batch}{rows or '_'}{common}"),
        (b, f"{batch}{common}{columns or '_'}"),
        (out, f"{batch}{rows or '_'}{columns or '_'}"),
    )


def _multiplied(how: tuple[tuple[str, str], ...], a: Any, b: Any) -> Any:
    (of_a, to_a), (of_b, to_b), (out, made) = how
    product = np.matmul(_arranged(a, of_a, to_a), _arranged(b, of_b, to_b))
    for label in reversed(made):
        if label == "_":
            product = product.squeeze(made.rindex(label) - len(made))
            made = made[: made.rindex(label)] + made[made.rindex(label) + 1 :]
    return (
        product if made == out else np.moveaxis(product, [made.index(x) - len(made) for x in out], range(-len(out), 0))
    )


def _arranged(array: Any, labels: str, wanted: str) -> Any:
    """`array`, its last axes called `labels`, with axes `wanted` in their place; "_" is a new one."""
    kept = wanted.replace("_", "")
    if kept != labels:
        array = np.moveaxis(array, [labels.index(x) - len(labels) for x in kept], range(-len(kept), 0))
    return np.expand_dims(array, wanted.index("_") - len(wanted)) if "_" in wanted else array


def combined(coefficients: Any, features: Any) -> Any:
    """Σ_f a_kf φ_fb, (..., k, b): one wide product, whatever the leading axes."""
    if namespace(coefficients, features) is not np:
        return jnp.einsum("...kf,fb->...kb", coefficients, features, precision=PRODUCTS)
    wide = coefficients.reshape(-1, coefficients.shape[-1]) @ features
    return wide.reshape(*coefficients.shape[:-1], features.shape[-1])


def summed(r: Any, features: Any) -> Any:
    """Σ_b r_kb φ_fb, (..., k, f): the other one."""
    if namespace(r, features) is not np:
        return jnp.einsum("...kb,fb->...kf", r, features, precision=PRODUCTS)
    wide = r.reshape(-1, r.shape[-1]) @ features.T
    return wide.reshape(*r.shape[:-1], features.shape[0])


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
