"""A fit as it is posed to the device: rows in coordinates of their own, and what holds parameters back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxgmm.em import log_prior
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.families.base import Conjugate
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture
from jaxgmm.problem.cells import cells_for
from jaxgmm.problem.checks import check_data
from jaxgmm.problem.coordinates import Coordinates, coordinates, widths_of
from jaxgmm.problem.fixed import CheckedFixed
from jaxgmm.problem.prior import Prior, conjugate, ridge_beside
from jaxgmm.problem.resolution import Widths
from jaxgmm.problem.summary import SweepOfOne, summarise
from jaxgmm.rows import Rows, RowSource
from jaxgmm.rows.labels import Labels
from jaxgmm.rows.places import placed


@dataclass(frozen=True)
class Problem:
    """Rows and penalties, in the coordinates of `frame`.

    Attributes:
        family, n_components, dtype: of the mixtures.
        frame: the coordinates.
        rows: the data in them.
        penalty: the ridge and the prior.
        widths: what components are held against.
        centre, spread: of the data; see `coordinates.Coordinates`.
    """

    family: type[Family]
    n_components: int
    dtype: np.dtype
    frame: Coordinates
    rows: Rows
    penalty: Penalty
    widths: Widths
    centre: Float[Array, " d"]
    spread: Float[Array, " d"]


def pose(
    source: RowSource, family: type[Family], n_components: int, reg_covar: float | Literal["auto"],
    prior: Prior | None, dtype: np.dtype, labels: Labels | None = None, fixed: CheckedFixed | None = None,
) -> Problem:  # fmt: skip
    """Checked rows, all with weight, as a problem. Call inside `precision.scope(dtype)`.

    `labels` is what the source's labels mean, None if it is as if there were none; `fixed`, which parameters are held.

    Raises:
        ValueError: the rows cannot be fitted as they are; see `checks.check_data`.
    """
    means = SweepOfOne(source)
    summary = summarise(means)
    reg_covar, watched = ridge_beside(prior, reg_covar)
    check_data(source, summary, family, n_components, watched, dtype)
    frame = coordinates(family, means, summary)
    ridge = frame.ridge(reg_covar, dtype)
    known = None if prior is None else conjugate(prior, family, frame, n_components, dtype)
    pinned = None if fixed is None else fixed.pinned(frame, dtype)
    cells = cells_for(source, family, frame, n_components, ridge, dtype)
    return Problem(
        family=family,
        n_components=n_components,
        dtype=dtype,
        frame=frame,
        rows=placed(source, frame.rows, dtype, frame.whitener, labels, cells),
        penalty=Penalty(jnp.asarray(ridge, dtype), known, pinned),
        widths=widths_of(family, frame, summary, ridge),
        centre=jnp.asarray(frame.centre, dtype),
        spread=jnp.asarray(frame.spread, dtype),
    )


def log_priors(mixtures: Mixture, prior: Conjugate | None) -> Any:
    """log p(θ) of each mixture, up to a constant, NumPy float64: zeros without a prior."""
    if prior is None:
        return np.zeros(len(mixtures.weights))
    return np.asarray(_log_priors(mixtures, prior), np.float64)


_log_priors = compiled(jax.vmap(log_prior, (0, None)))
