"""Several numbers of components in one batch: filled up to the largest with absent components, and trimmed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Key

from jaxgmm.families import Family
from jaxgmm.inputs.randomness import restart_keys, seed_key
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture
from jaxgmm.problem.pose import Problem
from jaxgmm.starts.methods import from_centres, initialize
from jaxgmm.starts.seeding import chosen_centres, sample_size, seed_rows, trials_for

_SHARED = ("k-means++", "random_from_data")


def padded_starts(
    key: Key[Array, ""], problem: Problem, n_components: Sequence[int], n_init: int, method: str
) -> tuple[Mixture, Bool[Array, "r k"]]:
    """The starts that `fit` would give to every K in turn, and which components are present.

    "k-means++" and "random_from_data" are compiled once for all K, other methods once for each.
    """
    widest, family = max(n_components), problem.family
    present = jnp.asarray(np.repeat(np.arange(widest) < np.array(n_components)[:, None], n_init, axis=0))
    if method in _SHARED:
        centres = _centres(key, problem, n_components, n_init, method)
        return from_centres(centres, family, problem.centre, problem.spread, present), present
    place = jnp.zeros((n_init, widest, problem.rows.n_features), problem.dtype)
    blank = from_centres(place, family, problem.centre, problem.spread, present[-n_init:])
    blank = Mixture(jnp.zeros_like(blank.weights), blank.components)
    parts = [
        initialize(key, problem.rows, family, k, n_init, method, problem.penalty, problem.centre, problem.spread)
        for k in n_components
    ]
    filled = [jax.tree.map(_over, part, blank) for part in parts]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *filled), present


def _centres(
    key: Key[Array, ""], problem: Problem, n_components: Sequence[int], n_init: int, method: str
) -> Float[Array, "r k d"]:
    # Seeds for one K are the first of those for another that picks from as many draws and the same sample.
    alike = {k: (sample_size(k), trials_for(k)) for k in n_components}
    found: dict[tuple[int, int], Array] = {}
    for size in {size for size, _ in alike.values()}:
        longest = max(k for k in n_components if alike[k][0] == size)
        among = sorted({trials for own, trials in alike.values() if own == size})
        keys = jnp.concatenate([restart_keys(key, n_init)] * len(among))
        repeated = jnp.repeat(jnp.array(among), n_init)
        seeds = seed_rows(seed_key(key), problem.rows, longest)
        centres = chosen_centres(keys, seeds, problem.spread, method, longest, repeated)
        centres = jnp.pad(centres, ((0, 0), (0, max(n_components) - longest), (0, 0)), mode="edge")
        found |= {(size, trials): centres[i * n_init : (i + 1) * n_init] for i, trials in enumerate(among)}
    return jnp.concatenate([found[alike[k]] for k in n_components])


def _over(part: Float[Array, "..."], blank: Float[Array, "..."]) -> Float[Array, "..."]:
    """`part`, what it lacks in components from `blank`."""
    return blank.at[tuple(slice(n) for n in part.shape)].set(part)


def trimmed(mixtures: Mixture, n_components: int) -> Mixture:
    """The first components of a batch of mixtures (leading axis r), NumPy; the others are absent."""

    def first(leaf: Any, like: Any) -> Any:
        return np.asarray(leaf)[(slice(None), *(slice(n) for n in like.shape))]

    like = shapes(type(mixtures.components), n_components, mixtures.n_features)
    return jax.tree.map(first, mixtures, like)


def shapes(family: type[Family], n_components: int, n_features: int) -> Mixture:
    """A mixture of K components, of which there is nothing but shapes."""
    row = jax.ShapeDtypeStruct((n_features,), np.float32)
    means = jax.ShapeDtypeStruct((n_components, n_features), np.float32)
    weights: Any = jax.ShapeDtypeStruct((n_components,), np.float32)
    return Mixture(weights, jax.eval_shape(family.from_means, means, row, row))
