"""Rows to start from: a sample that all restarts share, and centres picked from it, for many restarts at once; NumPy.

The same rows are picked for the same key, whoever runs the restarts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.inputs.randomness import generator
from jaxgmm.inputs.threefry import Words, gumbel
from jaxgmm.inputs.typing import Float, Int
from jaxgmm.problem.kmeans import plus_plus
from jaxgmm.problem.pose import Problem
from jaxgmm.rows.host_rows import HostRows

# Seeds are picked from this many rows, or this many per component, whichever is more.
_SEED_ROWS = 8192
_SEED_ROWS_PER_COMPONENT = 256


def sample_size(n_components: int) -> int:
    """From how many rows seeds are picked, if there are as many."""
    return max(_SEED_ROWS, _SEED_ROWS_PER_COMPONENT * n_components)


def n_seed_rows(n: int, n_components: int) -> int:
    """How many of `n` rows seeds are picked from."""
    return min(n, sample_size(n_components))


def seed_index(words: Any, n: int, n_components: int) -> Any:
    """The numbers of a sample of `n` rows, in order; of all of them when they are few."""
    wanted = n_seed_rows(n, n_components)
    if wanted == n:
        return np.arange(n)
    return np.sort(generator(words).choice(n, wanted, replace=False, shuffle=False))


def seed_rows(words: Words, problem: Problem, n_components: int) -> HostRows:
    """A sample of the rows of a problem, shared by all restarts; all of them when they are few."""
    return problem.picked(seed_index(words, problem.source.shape[0], n_components))


def chosen_rows(
    words: Words, x: Float[np.ndarray, "q d m"], w: Float[np.ndarray, "q m"], spread: Float[np.ndarray, "q d"],
    method: str, n_components: int, trials: Int[np.ndarray, " r"], apart: Float[np.ndarray, "h d"] | None = None,
) -> Int[np.ndarray, "q r k"]:  # fmt: skip
    """The numbers of rows for restarts to start from, picked by "k-means++" or "random_from_data".

    Args:
        words: (q, r, 2), a key for every restart of every data set.
        x, w: (q, d, m) and (q, m), rows and their weights, 0 where there is none.
        spread: (q, d), by which features count alike in distances, however they correlate.
        trials: (r,), of how many draws each seed is the best.
        apart: points that seeds keep away from, where distances count.
    """
    if method == "random_from_data":
        # Each row with chance proportional to its weight, none twice (Gumbel top-k).
        with np.errstate(divide="ignore"):
            chance = np.log(w)[:, None] + gumbel(words, w.shape[-1])
        top = np.argpartition(-chance, n_components - 1, axis=-1)[..., :n_components]
        order = np.argsort(-np.take_along_axis(chance, top, axis=-1), axis=-1)
        return np.take_along_axis(top, order, axis=-1)
    scale = spread[..., None]
    away = None if apart is None else apart / spread
    return plus_plus(words, x / scale, w, n_components, trials, away)


def chosen_centres(
    words: Words, seeds: HostRows, spread: Float[np.ndarray, " d"], method: str, n_components: int,
    trials: Int[np.ndarray, " r"], apart: Float[np.ndarray, "h d"] | None = None,
) -> Float[np.ndarray, "r k d"]:  # fmt: skip
    """Rows of `seeds` for restarts with these keys, (r, 2), to start from; see `chosen_rows`."""
    index = chosen_rows(
        words[None], seeds.x[None], seeds.weights[None], spread[None], method, n_components, trials, apart
    )  # fmt: skip
    return seeds.x.T[index[0]]
