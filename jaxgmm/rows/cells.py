"""Which rows lie together: cells, and the coordinates of each; NumPy, on the host."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.rows.cell_rows import CellRows
from jaxgmm.rows.frames import Frame, probed
from jaxgmm.rows.labels import Known, Labels
from jaxgmm.rows.layout import aligned_zeros
from jaxgmm.rows.rungs import slots_for
from jaxgmm.rows.source import RowSource

_BLOCK = 1 << 16
# Columns that are worked on at a time: what they need stays in the caches.
_PART = 1 << 12
# Cells begin at multiples of so many slots.
_ALIGNMENT = 16


@dataclass(frozen=True)
class Cells:
    """Cells, as components that rows belong to whole.

    Attributes:
        components: of a family with shared features, float64; leading axis g for what differs between cells.
        shares: (g,), of the rows.
    """

    components: Any
    shares: Any

    def __len__(self) -> int:
        return len(self.shares)

    def coefficients(self, dtype: Any) -> Any:
        """(g, f), by which features say how near a row is to a cell."""
        components: SharedFeatures = self.components
        theta = np.array(components.natural())
        theta[:, 0] += np.log(np.maximum(self.shares, np.finfo(np.float64).tiny))
        return theta.astype(dtype)

    def nearest(self, x: Any) -> Any:
        """(b,), the cells of rows x, (d, b)."""
        theta = self.coefficients(x.dtype)
        parts = [x[:, start : start + _PART] for start in range(0, x.shape[1], _PART)]
        of_part = lambda part: np.argmax(theta @ self.components.features(part), axis=0)  # noqa: E731
        with ThreadPoolExecutor(os.cpu_count()) as executor:
            return np.concatenate(list(executor.map(of_part, parts))).astype(np.int32)

    def frames(self, dtype: np.dtype) -> tuple[Any, Any]:
        """Centres (g, d) and roots (g, d, d) or (g, d) as `dtype` has them."""
        g, d = self.components.means.shape
        root = self.components.root
        matrix = self.components.traits.covariance_kind == "matrix"
        return self.components.means.astype(dtype), np.broadcast_to(root, (g, d, d) if matrix else (g, d)).astype(dtype)


def laid_in_cells(
    source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, cells: Cells, whitener: Any = None,
    labels: Labels | None = None,
) -> CellRows:  # fmt: skip
    """`transform` of a source's rows (b, d), which gives (d, b) in float64, cell after cell: it is read twice."""
    (n, d), g = source.shape, len(cells)
    cell = np.concatenate([cells.nearest(transform(block.x).astype(dtype)) for block in source.blocks(_BLOCK)])
    sizes = np.bincount(cell, minlength=g)
    first = np.concatenate([[0], np.cumsum(-(-sizes // _ALIGNMENT) * _ALIGNMENT)])
    slots = slots_for(n + g * _ALIGNMENT)
    z, place, free = aligned_zeros((d, slots), dtype), np.empty(n, np.int32), first[:-1].copy()
    centre, root = cells.frames(dtype)
    inverse = 1 / root.astype(np.float64) if root.ndim == 2 else np.linalg.inv(root.astype(np.float64))
    reach, sampled, start = np.zeros((g, d)), [], 0
    for block in source.blocks(_BLOCK):
        x = transform(block.x)
        own = cell[start : start + x.shape[1]]
        order = np.argsort(own, kind="stable")
        bounds = np.searchsorted(own[order], np.arange(g + 1))
        for number in np.flatnonzero(np.diff(bounds)):
            rows = order[bounds[number] : bounds[number + 1]]
            moved = x[:, rows] - centre[number].astype(np.float64)[:, None]
            here = slice(free[number], free[number] + len(rows))
            own_inverse = inverse[number]
            z[:, here] = own_inverse[:, None] * moved if own_inverse.ndim == 1 else own_inverse @ moved
            reach[number] = np.maximum(reach[number], np.abs(moved).max(axis=1))
            place[start + rows] = np.arange(here.start, here.stop)
            free[number] = here.stop
        sampled.append(probed(x))
        start += x.shape[1]
    weights, number = np.zeros(slots, dtype), np.zeros(slots, np.int32)
    weights[place] = 1 if source.weights is None else source.weights
    number[place] = np.arange(n)
    z[:, weights == 0] = 0
    frames = Frame(
        probe=np.stack([probed(_or_none(z[:, a:b])) for a, b in zip(first[:-1], free, strict=True)]),
        centre=centre,
        root=root,
        reach=reach.astype(dtype),
    )
    some = np.concatenate(sampled, axis=1).astype(dtype)
    known = None
    if labels is not None:
        own = np.resize(labels.places(source.labels), slots)
        known = Known(jnp.asarray(own, jnp.int32), jnp.asarray(labels.possible))
    total = n if source.weights is None else np.sum(source.weights, dtype=np.float64)
    return CellRows(
        z=jax.device_put(z, may_alias=True),
        weights=jnp.asarray(weights),
        number=jnp.asarray(number),
        place=jnp.asarray(place),
        first=jnp.asarray(first, jnp.int32),
        frames=jax.tree.map(jnp.asarray, frames),
        total_weight=jnp.asarray(total, dtype),
        n_rows=jnp.asarray(n, jnp.int32),
        frame=jax.tree.map(jnp.asarray, Frame.of_all(some, whitener if whitener is None else whitener.astype(dtype))),
        known=known,
    )


def _or_none(z: Any) -> Any:
    """Rows of a cell; one at its centre where it has none."""
    return z if z.shape[1] else np.zeros((z.shape[0], 1), z.dtype)
