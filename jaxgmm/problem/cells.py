"""Cells for the rows of a fit: where they lie together, found on a sample by hard clustering with the fit's own family.

Components of one cell each, as `HardEM` would fit them: k-means first, then whole rows to the likeliest component. What
follows the shapes of clusters keeps a narrow one out of a wide one's cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.em.choice import limits
from jaxgmm.families import Family
from jaxgmm.families import linalg as tri
from jaxgmm.families.shared_features import SharedFeatures, cancelling
from jaxgmm.inputs.threefry import folded
from jaxgmm.problem.coordinates import Coordinates
from jaxgmm.problem.kmeans import lloyd, plus_plus
from jaxgmm.rows import RowSource
from jaxgmm.rows.cells import Cells

# A few cells more than components: k-means gives some clusters two, and must not give two clusters one.
_CELLS_PER_COMPONENT = 1.5
# With fewer rows in a cell its own coefficients cost more than all its rows.
_ROWS_IN_A_CELL = 1024
# Of the sample, for each cell: so many rows, and so many for each feature.
_SAMPLED, _SAMPLED_PER_FEATURE = 128, 8
_SAMPLE_ELEMENTS = 1 << 23
# Correlations of a cell are taken for less by the share of features to rows, to this power.
_DOUBT = 6
_FLAT = 8 * float(np.finfo(np.float32).eps)
_LLOYD_STEPS, _HARD_STEPS = 6, 3
# One frame for all rows is good enough where components as narrow as the cells use up so much of what is tolerated.
_COMFORTABLE = 0.25
_SEED = 0


def cells_for(
    source: RowSource, family: type[Family], frame: Coordinates, n_components: int, ridge: Any, dtype: np.dtype
) -> Cells | None:
    """Cells for rows in the coordinates of `frame`; None where one frame for all is as good.

    Args:
        ridge: (d,), its root in those coordinates: no cell is narrower.
    """
    n = source.shape[0]
    g = n_cells(n_components)
    mapped = issubclass(family, SharedFeatures) and family.traits.maps != "none"
    if n_components == 1 or not mapped or n < _ROWS_IN_A_CELL * g:
        return None
    x = _sample(source, frame, family, g)
    with np.errstate(all="ignore"):
        cells = clustered(x, family, g, frame.spread, ridge)
        return None if _one_frame_will_do(cells, x, frame, dtype) else cells


def n_cells(n_components: int) -> int:
    """How many cells rows are laid out in."""
    return int(np.ceil(_CELLS_PER_COMPONENT * n_components))


def _sample(source: RowSource, frame: Coordinates, family: type[Family], g: int) -> Any:
    n, d = source.shape
    kind: Any = family
    features = sum(len(part(np.zeros((d, 1)))) for part in (kind.features, kind.common_features))
    wanted = min(n, g * max(_SAMPLED, _SAMPLED_PER_FEATURE * d), max(_SAMPLE_ELEMENTS // max(features, g), 8 * g))
    index = np.sort(np.random.default_rng(_SEED).choice(n, wanted, replace=False, shuffle=False))
    return frame.rows(source.rows_at(index))


def clustered(x: Any, family: type[Family], g: int, spread: Any, ridge: Any) -> Cells:
    """`g` components of the rows x, (d, m), each of the rows that are likeliest its own.

    Args:
        spread, ridge: (d,), the rows' standard deviations, and a root of what no cell is narrower than.
    """
    cell = _kmeans(x / spread[:, None], g)
    cells = _fitted(x, cell, family, g, spread, ridge)
    for _ in range(_HARD_STEPS):
        again = cells.nearest(x)
        if np.array_equal(again, cell):
            break
        cell = again
        cells = _fitted(x, cell, family, g, spread, ridge)
    return cells


def _kmeans(x: Any, g: int) -> Any:
    """The cells of x, (d, m), by k-means from k-means++."""
    words, everyone = folded(np.zeros(2, np.uint32), _SEED)[None, None], np.ones((1, x.shape[1]))
    seeds = plus_plus(words, x[None], everyone, g, np.ones(1, int))[0]
    return lloyd(x.T[seeds][None], x[None], everyone, _LLOYD_STEPS)[1][0, 0]


def _fitted(x: Any, cell: Any, family: type[Family], g: int, spread: Any, ridge: Any) -> Cells:
    """The components of rows that are divided so."""
    origin: Any = np.zeros((g, len(x)))
    start: Any = family.from_means(origin, origin[0], spread)
    phi = start.features(x)
    whose = (cell == np.arange(g)[:, None]).astype(x.dtype)
    counts = whose.sum(axis=1)
    moments = start.moments_from_features(whose @ phi.T, start.common_features(x).sum(axis=1))
    # Rows that coincide have no width: a cell of them has the least that float32 would tell from none.
    components = start.improve(counts, moments, np.maximum(ridge, _FLAT * spread))
    traits = family.traits
    if traits.covariance_kind == "matrix" and not traits.one_covariance:
        # As few rows as features make some direction look flat; eight times as many hardly do.
        doubt = np.minimum(len(x) / np.maximum(counts, 1), 1)[:, None, None] ** _DOUBT
        covariances = components.covariances * np.where(np.eye(len(x), dtype=bool), 1, 1 - doubt)
        components = components.with_root(tri.cholesky(covariances))
    lost = (counts == 0) | ~np.isfinite(components.log_det())
    return Cells(components.with_replaced(lost, start), np.where(lost, 0, counts) / counts.sum())


def _one_frame_will_do(cells: Cells, x: Any, frame: Coordinates, dtype: np.dtype) -> bool:
    """Whether components as narrow as the cells are conditioned well in one frame for all rows."""
    whitener, components = frame.whitener, cells.components
    if whitener is not None:
        components, x = components.affine(np.zeros(len(x)), whitener), whitener @ x
    kappa = cancelling(components, components.natural(), components.common_natural(), x)
    return bool(np.max(kappa[cells.shares > 0]) <= _COMFORTABLE * limits("auto", dtype)[0])
