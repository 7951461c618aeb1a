"""A fit as it is posed to the device: rows in coordinates of their own, and what holds parameters back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgmm.em import log_prior
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.families.base import Conjugate
from jaxgmm.inputs.programs import compiled
from jaxgmm.mixture import Mixture
from jaxgmm.problem.checks import check_data
from jaxgmm.problem.coordinates import Coordinates, coordinates, widths_of
from jaxgmm.problem.fixed import CheckedFixed
from jaxgmm.problem.labels import Labels
from jaxgmm.problem.prior import Prior, conjugate, ridge_beside
from jaxgmm.problem.resolution import Widths
from jaxgmm.problem.summary import summarise
from jaxgmm.rows import ArrayRows


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
    rows: ArrayRows
    penalty: Penalty
    widths: Widths
    centre: Float[Array, " d"]
    spread: Float[Array, " d"]


def pose(
    x: Any, sample_weight: Any, family: type[Family], n_components: int, reg_covar: float | Literal["auto"],
    prior: Prior | None, dtype: np.dtype, labels: Labels | None = None, fixed: CheckedFixed | None = None,
) -> Problem:  # fmt: skip
    """Checked rows `x` (n, d), all with weight, as a problem. Call inside `precision.scope(dtype)`.

    `labels` and `fixed` are what is known of the rows' components, and what parameters are held.

    Raises:
        ValueError: the rows cannot be fitted as they are; see `checks.check_data`.
    """
    summary = summarise(x, sample_weight)
    reg_covar, watched = ridge_beside(prior, reg_covar)
    check_data(x, sample_weight, summary, family, n_components, watched, dtype)
    frame = coordinates(family, x, sample_weight, summary)
    ridge = frame.ridge(reg_covar, dtype)
    known = None if prior is None else conjugate(prior, family, frame, n_components, dtype)
    pinned = None if fixed is None else fixed.pinned(frame, dtype)
    label, possible = (None, None) if labels is None else labels
    return Problem(
        family=family,
        n_components=n_components,
        dtype=dtype,
        frame=frame,
        rows=ArrayRows.from_numpy(x, sample_weight, frame.rows, dtype, frame.whitener, labels=label, possible=possible),
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
