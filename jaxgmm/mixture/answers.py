"""Answers about rows, block by block, however far the rows are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxgmm.inputs import precision
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture.density import ANSWERS, Weighted, joint_log_prob
from jaxgmm.rows.blocks import rowwise

# Squares of whitened rows stay finite in float64 up to here.
_FAR = 1e150


def answer(name: str, mixture: Any, x: Any) -> Iterator[tuple[int, int, Any]]:
    """(start, stop, answer `name` with rows last) over blocks of `x`, (n, d), NumPy; leading axes as the mixture's.

    Rows so far from all components that their density has no float32 are answered in float64, and beyond what float64
    can square along their own direction: finite always, and ordered.
    """
    dtype = precision.compute_dtype(mixture.weights, x)
    # y = L⁻¹(x − μ) is the widest thing a row needs
    width = int(np.prod(mixture.batch_shape)) * mixture.n_components * mixture.n_features
    batch_axes = len(mixture.batch_shape)
    with precision.scope(dtype):
        parts = rowwise(_NEAR[name], mixture.astype(dtype), x, dtype, width, batch_axes)
        for start, stop, (values, far) in parts:
            values = np.asarray(values)[..., : stop - start]
            rows = np.flatnonzero(np.asarray(far)[..., : stop - start].reshape(-1, stop - start).any(axis=0))
            if len(rows):
                values = _patched(values, rows, _answer_far(name, mixture, np.asarray(x[start:stop])[rows]))
            yield start, stop, values


def _near(name: str, mixture: Weighted, x: Float[Array, "d b"]) -> tuple[Array, Array]:
    """The answer, and for which rows it cannot be given this way."""
    joint = joint_log_prob(mixture, x)
    far = jnp.any(~jnp.isfinite(joint) & (mixture.weights > 0)[:, None], axis=0)
    return ANSWERS[name](joint), far


_NEAR = {name: partial(_near, name) for name in ANSWERS}  # one object each, as `jit` goes by identity


def _answer_far(name: str, mixture: Any, x: Any) -> Any:
    """The answer in float64 for rows `x`, (m, d), pulled towards the components as far as squares need it."""
    wide = mixture.astype(np.float64)
    x = np.asarray(x, np.float64)
    with precision.scope(np.dtype(np.float64)):
        narrowest = np.sqrt(np.min(np.linalg.eigvalsh(wide.covariance_matrices())[..., 0]))
        reach = _FAR * np.clip(narrowest, 1e-100, 1.0)
        pull = np.maximum(np.max(np.abs(x), axis=1) / reach, 1.0)
        parts = rowwise(_FARTHER[name], wide, x / pull[:, None], np.dtype(np.float64), 1 << 12, len(wide.batch_shape))
        values = np.concatenate([np.asarray(part)[..., : stop - start] for start, stop, part in parts], axis=-1)
    if name not in ("joint_log_prob", "log_density"):
        return values
    lowest = np.finfo(np.float64).min
    with np.errstate(over="ignore"):
        return np.maximum(values * pull**2, lowest)


def _farther(name: str, mixture: Weighted, x: Float[Array, "d b"]) -> Array:
    joint = joint_log_prob(mixture, x)
    lowest = jnp.finfo(joint.dtype).min
    empty = (mixture.weights == 0)[:, None]
    return ANSWERS[name](jnp.where(empty, joint, jnp.maximum(jnp.nan_to_num(joint, nan=lowest), lowest)))


_FARTHER = {name: partial(_farther, name) for name in ANSWERS}


def _patched(values: Any, rows: Any, found: Any) -> Any:
    """`values` with `found` for `rows`, in a wider dtype if they need it."""
    with np.errstate(over="ignore"):
        narrow = found.astype(values.dtype)
    fits = values.dtype.kind in "iu" or bool(np.isfinite(narrow).all())
    patched = values.copy() if fits else values.astype(np.float64)
    patched[..., rows] = narrow if fits else found
    return patched
