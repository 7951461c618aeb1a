"""Several numbers of components in one batch: filled up to the largest with absent components, and trimmed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgmm.families import Family
from jaxgmm.families.hosting import on_numpy
from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.randomness import restart_keys, seed_key
from jaxgmm.inputs.threefry import Words
from jaxgmm.inputs.typing import Bool, Float
from jaxgmm.mixture import Mixture
from jaxgmm.problem.kmeans import trials_for
from jaxgmm.problem.pose import Problem
from jaxgmm.starts.methods import from_centres, initialize
from jaxgmm.starts.seeding import chosen_centres, sample_size, seed_rows

# A mixture of so many numbers is made sooner than JAX is asked for its shapes.
_SMALL = 1 << 16
_SHARED = ("k-means++", "random_from_data")


def padded_starts(
    key: Words, problem: Problem, n_components: Sequence[int], n_init: int, method: str
) -> tuple[Mixture, Bool[np.ndarray, "r k"]]:
    """The starts that `fit` would give to every K in turn, and which components are present."""
    widest, family = max(n_components), problem.family
    present = np.repeat(np.arange(widest) < np.array(n_components)[:, None], n_init, axis=0)
    if method in _SHARED:
        centres = _centres(key, problem, n_components, n_init, method)
        return from_centres(centres, family, problem.centre, problem.spread, present), present
    place = np.zeros((n_init, widest, problem.rows.n_features))
    blank = from_centres(place, family, problem.centre, problem.spread, present[-n_init:])
    blank = Mixture(np.zeros_like(blank.weights), blank.components)
    parts = [initialize(key, problem, k, n_init, method) for k in n_components]
    filled = [trees.map(_over, part, blank) for part in parts]
    return trees.map(lambda *leaves: np.concatenate(leaves), *filled), present


def _centres(
    key: Words, problem: Problem, n_components: Sequence[int], n_init: int, method: str
) -> Float[np.ndarray, "r k d"]:
    # Seeds for one K are the first of those for another that picks from as many draws and the same sample.
    alike = {k: (sample_size(k), trials_for(k)) for k in n_components}
    keys, spread = restart_keys(key, n_init), np.asarray(problem.spread, np.float64)
    found: dict[tuple[int, int], Any] = {}
    for size, trials in set(alike.values()):
        longest = max(k for k in n_components if alike[k] == (size, trials))
        seeds = seed_rows(seed_key(key), problem, longest)
        centres = chosen_centres(keys, seeds, spread, method, longest, np.full(n_init, trials))
        spare = ((0, 0), (0, max(n_components) - longest), (0, 0))
        found[size, trials] = np.pad(centres, spare, mode="edge")
    return np.concatenate([found[alike[k]] for k in n_components])


def _over(part: Float[np.ndarray, "..."], blank: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`part`, what it lacks in components from `blank`."""
    filled = np.array(blank)
    filled[tuple(slice(n) for n in np.shape(part))] = part
    return filled


def trimmed(mixtures: Mixture, n_components: int) -> Mixture:
    """The first components of a batch of mixtures (leading axis r), NumPy; the others are absent."""

    def first(leaf: Any, like: Any) -> Any:
        return np.asarray(leaf)[(slice(None), *(slice(n) for n in like.shape))]

    like = shapes(type(mixtures.components), n_components, mixtures.n_features)
    return trees.map(first, mixtures, like)


def shapes(family: type[Family], n_components: int, n_features: int) -> Mixture:
    """A mixture of K components, of which nothing but shapes is wanted."""
    if n_components * n_features**2 <= _SMALL and on_numpy(family):
        row = np.ones(n_features, np.float32)
        return Mixture(np.zeros(n_components), family.from_means(np.zeros((n_components, n_features)), row, row))
    traced = jax.ShapeDtypeStruct((n_features,), np.float32)
    means = jax.ShapeDtypeStruct((n_components, n_features), np.float32)
    weights: Any = jax.ShapeDtypeStruct((n_components,), np.float32)
    return Mixture(weights, jax.eval_shape(family.from_means, means, traced, traced))
