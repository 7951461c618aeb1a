"""Answers about rows, block by block, however far the rows are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.families.hosting import on_numpy
from jaxgmm.families.namespace import namespace, quiet
from jaxgmm.inputs import arguments, precision
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture.density import ANSWERS, Weighted, joint_log_prob
from jaxgmm.rows.blocks import rowwise
from jaxgmm.rows.source import RowSource

# Squares of whitened rows stay finite in float64 up to here.
_FAR = 1e150
# Numbers that so few rows need are computed in NumPy before a program would have been found, let alone compiled.
_AT_ONCE = 1 << 20
# Rows far away that are answered together.
_FEW = 1 << 12
# Rows of a source that are looked at together.
_BLOCK = 1 << 16


def answer(name: str, mixture: Any, x: Any) -> Iterator[tuple[int, int, Any]]:
    """(start, stop, answer `name` with rows last) over blocks of `x`, (n, d) or a source; leading axes as in `mixture`.

    Rows so far from all components that their density has no float32 are answered in float64, and beyond what float64
    can square along their own direction: finite always, and ordered.
    """
    if isinstance(x, RowSource):
        begin = 0
        for block in x.blocks(_BLOCK):
            held = arguments.rows("x", block.x, first_row=begin)
            mixture.components.check_rows("x", held, begin)
            for start, stop, part in _answered(name, mixture, held):
                yield begin + start, begin + stop, part
            begin += len(held)
    else:
        mixture.components.check_rows("x", x)
        yield from _answered(name, mixture, x)


def _answered(name: str, mixture: Any, x: Any) -> Iterator[tuple[int, int, Any]]:
    """`answer` for rows in an array, (n, d), that have been looked at."""
    dtype = precision.compute_dtype(mixture.weights, x)
    # y = L⁻¹(x − μ) is the widest thing a row needs
    width = int(np.prod(mixture.batch_shape)) * mixture.n_components * mixture.n_features
    batch_axes = len(mixture.batch_shape)
    if len(x) * width <= _AT_ONCE and _by_numpy(mixture):
        values, far = quiet(_near)(name, mixture.astype(dtype), np.asarray(x, dtype).T)
        yield 0, len(x), _with_far(name, mixture, x, values, far)
        return
    with precision.scope(dtype):
        parts = rowwise(_NEAR[name], mixture.astype(dtype), x, dtype, width, batch_axes)
        for start, stop, (values, far) in parts:
            values, far = (np.asarray(part)[..., : stop - start] for part in (values, far))
            yield start, stop, _with_far(name, mixture, x[start:stop], values, far)


def _by_numpy(mixture: Any) -> bool:
    return on_numpy(mixture.components.__class__)


def _near(name: str, mixture: Weighted, x: Float[Array, "d b"]) -> tuple[Array, Array]:
    """The answer, and for which rows it cannot be given this way."""
    joint = joint_log_prob(mixture, x)
    xp = namespace(joint)
    far = xp.any(~xp.isfinite(joint) & (mixture.weights > 0)[..., None], axis=-2)
    return ANSWERS[name](joint), far


_NEAR = {name: partial(_near, name) for name in ANSWERS}  # one object each, as `jit` goes by identity


def _with_far(name: str, mixture: Any, x: Any, values: Any, far: Any) -> Any:
    """`values` with the answers for those of the rows `x` that are `far`, if any are."""
    rows = np.flatnonzero(far.reshape(-1, far.shape[-1]).any(axis=0))
    return _patched(values, rows, _answer_far(name, mixture, np.asarray(x)[rows])) if len(rows) else values


def _answer_far(name: str, mixture: Any, x: Any) -> Any:
    """The answer in float64 for rows `x`, (m, d), pulled towards the components as far as squares need it."""
    with np.errstate(all="ignore"), precision.scope(np.dtype(np.float64), _by_numpy(mixture)):
        return _pulled(name, mixture.astype(np.float64), np.asarray(x, np.float64))


def _pulled(name: str, wide: Any, x: Any) -> Any:
    narrowest = np.sqrt(np.min(np.linalg.eigvalsh(wide.covariance_matrices())[..., 0]))
    reach = _FAR * np.clip(narrowest, 1e-100, 1.0)
    pull = np.maximum(np.max(np.abs(x), axis=1) / reach, 1.0)
    nearer = x / pull[:, None]
    parts = [np.asarray(_farther(name, wide, nearer[start : start + _FEW].T)) for start in range(0, len(x), _FEW)]
    values = np.concatenate(parts, axis=-1)
    if name not in ("joint_log_prob", "log_density"):
        return values
    return np.maximum(values * pull**2, np.finfo(np.float64).min)


def _farther(name: str, mixture: Any, x: Any) -> Any:
    joint: Any = np.asarray(joint_log_prob(mixture, x))
    lowest = np.finfo(joint.dtype).min
    empty = (mixture.weights == 0)[..., None]
    return ANSWERS[name](np.where(empty, joint, np.maximum(np.nan_to_num(joint, nan=lowest), lowest)))


def _patched(values: Any, rows: Any, found: Any) -> Any:
    """`values` with `found` for `rows`, in a wider dtype if they need it."""
    with np.errstate(over="ignore"):
        narrow = found.astype(values.dtype)
    fits = values.dtype.kind in "iu" or bool(np.isfinite(narrow).all())
    patched = values.copy() if fits else values.astype(np.float64)
    patched[..., rows] = narrow if fits else found
    return patched
