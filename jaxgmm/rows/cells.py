"""Which rows lie together: cells, and the coordinates of each; NumPy, on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.inputs import trees
from jaxgmm.inputs.cores import n_cores
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.rows.cell_rows import CellRows, longest_chunk
from jaxgmm.rows.frames import Frame, probed
from jaxgmm.rows.labels import Labels
from jaxgmm.rows.layout import aligned_zeros, summed_weight
from jaxgmm.rows.rungs import slots_for
from jaxgmm.rows.source import RowSource

_BLOCK = 1 << 16
# Numbers that are worked on at a time, and columns, from and to: what they need stays in the caches.
_PART_ELEMENTS, _PART = 1 << 20, (64, 1 << 12)
_NEVER = -1e30
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
        theta[~np.isfinite(theta).all(axis=1)] = [_NEVER, *[0] * (theta.shape[1] - 1)]  # no cell for anyone
        return theta.astype(dtype)

    def nearest(self, x: Any) -> Any:
        """(b,), the cells of rows x, (d, b)."""
        theta = self.coefficients(x.dtype)
        size = int(np.clip(_PART_ELEMENTS // (theta.shape[1] + len(self)), *_PART))
        parts = [x[:, start : start + size] for start in range(0, x.shape[1], size)]
        of_part = lambda part: np.argmax(theta @ self.components.features(part), axis=0)  # noqa: E731
        with ThreadPoolExecutor(n_cores()) as executor:
            return np.concatenate(list(executor.map(of_part, parts))).astype(np.int32)

    def frames(self, dtype: np.dtype) -> tuple[Any, Any]:
        """Centres (g, d) and roots (g, d, d) or (g, d) as `dtype` has them."""
        g, d = self.components.means.shape
        root = self.components.root
        matrix = self.components.traits.covariance_kind == "matrix"
        return self.components.means.astype(dtype), np.broadcast_to(root, (g, d, d) if matrix else (g, d)).astype(dtype)


class LaidInCells:
    """Rows as they will lie on the device, cell after cell; NumPy. `put` takes them block by block."""

    def __init__(self, cells: Cells, cell: Any, shape: tuple[int, int], dtype: np.dtype) -> None:
        (n, d), g = shape, len(cells)
        self.cell, self.start = cell, 0
        sizes = -(-np.bincount(cell, minlength=g) // _ALIGNMENT) * _ALIGNMENT
        self.first = np.concatenate([[0], np.cumsum(sizes)])
        self.free = self.first[:-1].copy()  # the next slot of each cell
        self.z = aligned_zeros((d, slots_for(n + g * _ALIGNMENT, read=False)), dtype)
        self.place = np.empty(n, np.int32)
        self.centre, self.root = cells.frames(dtype)
        # The inverse of what the device will have, so that x = R z + centre to the last digit.
        root = self.root.astype(np.float64)
        self.inverse = 1 / root if root.ndim == 2 else np.linalg.inv(root)

    def put(self, x: Any) -> None:
        """The next rows, (d, b) in float64."""
        own = self.cell[self.start : self.start + x.shape[1]]
        order = np.argsort(own, kind="stable")
        bounds = np.searchsorted(own[order], np.arange(len(self.free) + 1))
        for g in np.flatnonzero(np.diff(bounds)):
            rows = order[bounds[g] : bounds[g + 1]]
            moved = x[:, rows] - self.centre[g].astype(np.float64)[:, None]
            slots = slice(self.free[g], self.free[g] + len(rows))
            inverse = self.inverse[g]
            self.z[:, slots] = inverse[:, None] * moved if inverse.ndim == 1 else inverse @ moved
            self.place[self.start + rows] = np.arange(slots.start, slots.stop)
            self.free[g] = slots.stop
        self.start += x.shape[1]

    def beside(self, numbers: Any, weights: Any) -> tuple[Any, Any]:
        """The weights and the numbers of the slots, from those of the rows in the order in which they were put."""
        held, number = np.zeros(self.z.shape[1], self.z.dtype), np.zeros(self.z.shape[1], np.int32)
        place = self.place[: len(numbers)]
        held[place], number[place] = weights, numbers
        self.z[:, held == 0] = 0  # 0 · ∞ is no nothing
        return held, number

    def frames(self) -> Frame:
        """The coordinates of every cell, on the device."""
        filled = zip(self.first[:-1], np.maximum(self.free, self.first[:-1] + 1), strict=True)
        probe: Any = np.stack([probed(self.z[:, start:stop]) for start, stop in filled])
        frames: Any = Frame(probe, None, self.centre, self.root)
        return trees.map(jnp.asarray, frames)


def laid_in_cells(
    source: RowSource, transform: Callable[[Any], Any], dtype: np.dtype, cells: Cells, whitener: Any = None,
    labels: Labels | None = None,
) -> CellRows:  # fmt: skip
    """`transform` of a source's rows (b, d), which gives (d, b) in float64, cell after cell: it is read twice."""
    blocks = lambda: (transform(block.x) for block in source.blocks(_BLOCK))  # noqa: E731
    cell = np.concatenate([cells.nearest(x.astype(dtype)) for x in blocks()])
    laid, some = LaidInCells(cells, cell, source.shape, dtype), []
    for x in blocks():
        laid.put(x)
        some.append(probed(x).astype(dtype))
    n, slots = source.shape[0], laid.z.shape[1]
    weights: Any = np.ones(n, dtype) if source.weights is None else np.asarray(source.weights, dtype)
    seen: Any = np.concatenate(some, axis=1)
    frame = Frame.of_all(seen, None if whitener is None else whitener.astype(dtype))
    return _rows_of(
        laid, np.arange(n), weights,
        total_weight=jnp.asarray(summed_weight(source, dtype)),
        frame=trees.map(jnp.asarray, frame),
        known=None if labels is None else trees.map(jnp.asarray, labels.known(source.labels, slots)),
        longest=longest_chunk(np.diff(laid.first)),
    )  # fmt: skip


def laid_about(rows: CellRows, components: Any, weights: Any) -> CellRows:
    """The same rows, in as many cells: those of `components`, and of the former cells the largest.

    Args:
        components: those of a mixture of the rows' coordinates, unbatched, NumPy.
        weights: (k,), theirs.
    """
    held, n = trees.map(np.asarray, rows), int(rows.n_rows)
    first, frames, slots = held.first, held.frames, np.sort(held.place[:n])
    sizes, wide = np.diff(first), trees.map(lambda leaf: np.asarray(leaf, np.float64), components)
    sound = np.flatnonzero((weights > 0) & np.isfinite(wide.log_det() + wide.means.sum(axis=1)))[: len(sizes)]
    kept = np.argsort(-sizes, kind="stable")[: len(sizes) - len(sound)]
    own, root = wide.picked(sound), frames.root[kept].astype(np.float64)
    if not components.traits.one_covariance:
        own = own.with_root(np.concatenate([own.root, root[..., : own.root.shape[-1]]]))
    cells = Cells(
        replace(own, means=np.concatenate([own.means, frames.centre[kept].astype(np.float64)])),
        np.concatenate([weights[sound], sizes[kept] / n]),
    )
    bounds = np.searchsorted(slots, first)

    def blocks() -> Iterator[Any]:
        for g in np.flatnonzero(sizes):
            frame = trees.map(lambda leaf: leaf[g].astype(np.float64), frames)  # noqa: B023
            for start in range(bounds[g], bounds[g + 1], _BLOCK):
                some = slots[start : min(start + _BLOCK, bounds[g + 1])]
                yield frame.global_(held.z[:, some].astype(np.float64))

    # In float64: what called for this is narrower than the products of float32 can tell.
    laid = LaidInCells(cells, np.concatenate([cells.nearest(x) for x in blocks()]), (n, len(held.z)), held.z.dtype)
    for x in blocks():
        laid.put(x)
    beside = {"total_weight": rows.total_weight, "frame": rows.frame, "known": rows.known, "longest": rows.longest}
    return _rows_of(laid, held.number[slots], rows.row_weights(), **beside)


def _rows_of(laid: LaidInCells, numbers: Any, weights: Any, **beside: Any) -> CellRows:
    """Rows with these numbers, in the order in which they were put, and weights, by number."""
    place = np.zeros(laid.z.shape[1], np.int32)
    place[numbers] = laid.place
    held, number = laid.beside(numbers, weights[numbers])
    return CellRows(
        z=jax.device_put(laid.z, may_alias=True),
        weights=jnp.asarray(held),
        number=jnp.asarray(number),
        place=jnp.asarray(place),
        first=jnp.asarray(laid.first, jnp.int32),
        frames=laid.frames(),
        n_rows=jnp.asarray(len(numbers), jnp.int32),
        **beside,
    )
