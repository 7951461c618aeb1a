"""Where the restarts of many data sets start: as those of one, for all of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.families import Family
from jaxgmm.inputs import trees
from jaxgmm.inputs.randomness import restart_keys
from jaxgmm.many import mapped
from jaxgmm.many.mapped import Posed
from jaxgmm.mixture import Mixture
from jaxgmm.problem.kmeans import lloyd, trials_for
from jaxgmm.starts.methods import LLOYD_ROUNDS, from_centres
from jaxgmm.starts.seeding import chosen_rows


def drawn(posed: Posed, family: type[Family], n_components: int, n_init: int, method: str) -> Mixture:
    """Starts by a method's name, leading axes p, r.

    Args:
        posed: the data sets, NumPy.
    """
    keys = restart_keys(posed.key, n_init)
    if method == "random":
        return mapped.fitted_each("drawn", posed, keys, family, n_components)
    dtype, d = posed.rows.x.dtype, posed.rows.x.shape[1]
    x, w = posed.rows.x.astype(np.float64), posed.rows.weights.astype(np.float64)
    if posed.seeds is not None:
        x = np.take_along_axis(x, np.repeat(posed.seeds[:, None], d, axis=1), axis=-1)
        w = np.take_along_axis(w, posed.seeds, axis=-1)
    spread, trials = posed.spread.astype(np.float64), np.full(n_init, trials_for(n_components))
    index = chosen_rows(keys, x, w, spread, method, n_components, trials)
    points = np.swapaxes(x, 1, 2)
    centres = points[np.arange(len(x))[:, None, None], index]
    if method == "kmeans":
        scale = spread[..., None]
        nearest = lloyd(centres / spread[:, None, None], x / scale, w, LLOYD_ROUNDS)[1]
        return mapped.fitted_each("given", posed, nearest.astype(np.int32), family, n_components)
    each: list[Any] = [
        from_centres(own, family, centre, spread.astype(dtype))
        for own, centre, spread in zip(centres, posed.centre, posed.spread, strict=True)
    ]
    return trees.map(lambda *leaves: np.stack(leaves), *each)
