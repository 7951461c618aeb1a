"""A fit as it is posed to the device: rows in coordinates of their own, and what holds parameters back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from jaxgmm.em import log_prior
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.families.base import Conjugate
from jaxgmm.families.namespace import quiet
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture import Mixture
from jaxgmm.problem.cells import cells_for
from jaxgmm.problem.checks import check_data
from jaxgmm.problem.coordinates import Coordinates, coordinates, widths_of
from jaxgmm.problem.fixed import CheckedFixed
from jaxgmm.problem.prior import Prior, conjugate, ridge_beside
from jaxgmm.problem.resolution import Widths
from jaxgmm.problem.summary import SweepOfOne, summarise
from jaxgmm.rows import Rows, RowSource
from jaxgmm.rows.host_rows import HostRows
from jaxgmm.rows.labels import Labels
from jaxgmm.rows.places import placed
from jaxgmm.shards import sharded
from jaxgmm.streams import streamed
from jaxgmm.streams.room import room_for


@dataclass(frozen=True)
class Problem:
    """Rows and penalties, in the coordinates of `frame`.

    Attributes:
        source: the rows as users have them, all with weight.
        labels: what its labels mean; None where nothing is known.
        family, n_components: of the mixtures.
        dtype: what is computed in.
        frame: the coordinates.
        rows: the data in them.
        penalty: the ridge and the prior.
        widths: what components are held against.
        centre, spread: of the data; see `coordinates.Coordinates`.
    """

    source: RowSource
    labels: Labels | None
    family: type[Family]
    n_components: int
    dtype: np.dtype
    frame: Coordinates
    rows: Rows
    penalty: Penalty
    widths: Widths
    centre: Float[Array, " d"]
    spread: Float[Array, " d"]

    def picked(self, index: Any) -> HostRows:
        """The rows with these numbers, (b,) and ascending, to be looked at one by one: on the host, in float64."""
        source, labels = self.source, self.labels
        x = self.frame.rows(source.rows_at(index)).astype(self.dtype).astype(np.float64)
        weights = None if source.weights is None else np.asarray(source.weights, np.float64)[index]
        known = None if labels is None else labels.known(source.labels[index], len(index))
        return HostRows.of(x, weights, None, known)


def pose(
    source: RowSource, family: type[Family], n_components: int, reg_covar: float | Literal["auto"],
    prior: Prior | None, dtype: np.dtype, labels: Labels | None = None, fixed: CheckedFixed | None = None,
    on_host: bool = False, cache: str | int = "auto", mesh: Any = None,
) -> Problem:  # fmt: skip
    """Checked rows, all with weight, as a problem. Call inside `precision.scope(dtype)`, but for the host.

    Args:
        dtype: of what comes of it. On the host all is computed in float64.
        labels: what the source's labels mean, None if it is as if there were none.
        fixed: which parameters are held.
        on_host: whether rows are to be computed with in NumPy.
        cache: how much of the rows is to stay where passes read them; see `streams.room`.
        mesh: the devices that they are to lie on; None for one.

    Raises:
        ValueError: the rows cannot be fitted as they are; see `checks.check_data`.
    """
    means = SweepOfOne(source)
    summary = summarise(means)
    reg_covar, watched = ridge_beside(prior, reg_covar)
    check_data(source, summary, family, n_components, watched, dtype)
    frame = coordinates(family, means, summary)
    ridge = frame.ridge(reg_covar, dtype)
    widths = widths_of(family, frame, summary, ridge)
    rows: Rows
    if on_host:
        dtype = np.dtype(np.float64)
        rows = HostRows.from_source(source, frame.rows, frame.whitener, labels)
    else:
        room = None if mesh is not None else room_for(source, dtype, cache)
        if mesh is not None:
            cells = cells_for(source, family, frame, n_components, ridge, dtype)
            rows = sharded(source, frame.rows, dtype, mesh, frame.whitener, labels, cells)
        elif room is None:
            cells = cells_for(source, family, frame, n_components, ridge, dtype)
            rows = placed(source, frame.rows, dtype, frame.whitener, labels, cells)
        else:
            rows = streamed(source, partial(frame.rows, dtype=dtype), dtype, frame.whitener, labels, room)
    known = None if prior is None else conjugate(prior, family, frame, n_components, dtype)
    pinned = None if fixed is None else fixed.pinned(frame, dtype)
    return Problem(
        source=source,
        labels=labels,
        family=family,
        n_components=n_components,
        dtype=dtype,
        frame=frame,
        rows=rows,
        penalty=Penalty(np.asarray(ridge, dtype), known, pinned),
        widths=widths,
        centre=np.asarray(frame.centre, dtype),
        spread=np.asarray(frame.spread, dtype),
    )


def log_priors(mixtures: Mixture, prior: Conjugate | None) -> Any:
    """log p(θ) of each mixture, up to a constant, NumPy float64: zeros without a prior."""
    if prior is None:
        return np.zeros(len(mixtures.weights))
    wide, known = trees.map(lambda leaf: np.asarray(leaf, np.float64), (mixtures, prior))
    return quiet(log_prior)(wide, known)
