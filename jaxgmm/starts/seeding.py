"""Rows to start from: a sample that all restarts share, and centres picked from it, batched over restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key

from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import generator
from jaxgmm.inputs.typing import Array
from jaxgmm.rows import Rows, Sample

# Seeds are picked from this many rows, or this many per component, whichever is more.
_SEED_ROWS = 8192
_SEED_ROWS_PER_COMPONENT = 256
# Restarts seeded together, so that distances to candidates stay within some tens of MB.
_SEED_ELEMENTS = 1 << 24


def sample_size(n_components: int) -> int:
    """From how many rows seeds are picked, if there are as many."""
    return max(_SEED_ROWS, _SEED_ROWS_PER_COMPONENT * n_components)


def n_seed_rows(n: int, n_components: int) -> int:
    """How many of `n` rows seeds are picked from."""
    return min(n, sample_size(n_components))


def seed_index(key_data: Any, n: int, n_components: int) -> Any:
    """The numbers of a sample of `n` rows, in order; of all of them when they are few."""
    wanted = n_seed_rows(n, n_components)
    if wanted == n:
        return np.arange(n)
    return np.sort(generator(key_data).choice(n, wanted, replace=False, shuffle=False))


def seed_rows(key: Key[Array, ""], rows: Rows, n_components: int) -> Sample:
    """A sample of the rows that have weight, shared by all restarts; all of them when they are few."""
    present = rows.present()
    chosen = present[seed_index(jax.random.key_data(key), len(present), n_components)]
    return rows if isinstance(rows, Sample) and len(chosen) == int(rows.n_rows) else rows.pick(chosen)


def _random_rows(
    key: Key[Array, ""], rows: Sample, n_components: int, trials: Array, apart: Array | None
) -> Int[Array, " k"]:
    """Rows' numbers: each row with chance proportional to its weight, none twice (Gumbel top-k)."""
    noise = jax.random.gumbel(key, (rows.n_slots,), jnp.float32)
    return jax.lax.top_k(jnp.log(rows.weights).astype(jnp.float32) + noise, n_components)[1]


def _distances(x: Float[Array, "d m"], points: Float[Array, "t d"]) -> Float[Array, "t m"]:
    """Squared distances of all rows from `points`."""
    # Differences, not |x|² − 2 x·c + |c|²: that cancels when clusters are tight.
    return jnp.sum((x[None] - points[:, :, None]) ** 2, axis=1)


def trials_for(n_components: int) -> int:
    """How many draws greedy k-means++ picks each of K seeds from: 2 + ⌊log K⌋."""
    return 2 + int(np.log(n_components))


def _kmeans_plusplus(
    key: Key[Array, ""], rows: Sample, n_components: int, trials: Int[Array, ""],
    apart: Float[Array, "h d"] | None,
) -> Int[Array, " k"]:  # fmt: skip
    """Rows' numbers by greedy k-means++: each seed the best of `trials` draws (Arthur & Vassilvitskii 2007).

    Seeds come one by one: with the same trials those for fewer components are the first of those for more. They keep
    away from one another, and from the points `apart`.
    """
    x, w = rows.x, rows.weights
    most = trials_for(n_components)

    def draw(key: Key[Array, ""], mass: Float[Array, " m"], count: int) -> Int[Array, " t"]:
        # Rows that all coincide leave no distance to draw by; any row will do then.
        mass = jnp.where(jnp.sum(mass) > 0, mass, w)
        ladder = jnp.cumsum(mass)
        height = jax.random.uniform(key, (count,), jnp.float32).astype(x.dtype) * ladder[-1]
        return jnp.minimum(jnp.searchsorted(ladder, height, side="right"), rows.n_rows - 1)

    keys = jax.random.split(key, n_components)
    far = jnp.full_like(w, jnp.inf) if apart is None else jnp.min(_distances(x, apart), axis=0)
    first = draw(keys[0], w if apart is None else w * far, 1)

    def pick(i: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        seeds, nearest = carry
        candidates = draw(keys[i], w * nearest, most)
        closer = jnp.minimum(nearest, _distances(x, x[:, candidates].T))
        best = jnp.argmin(jnp.where(jnp.arange(most) < trials, jnp.sum(w * closer, axis=1), jnp.inf))
        return seeds.at[i].set(candidates[best]), closer[best]

    seeds = jnp.zeros(n_components, first.dtype).at[0].set(first[0])
    return jax.lax.fori_loop(1, n_components, pick, (seeds, jnp.minimum(far, _distances(x, x[:, first].T)[0])))[0]


@partial(compiled, static_argnames=("method", "n_components"))
def _centres(
    keys: Key[Array, " r"], rows: Sample, spread: Float[Array, " d"], method: Callable[..., Any], n_components: int,
    trials: Int[Array, " r"], apart: Float[Array, "h d"] | None,
) -> Float[Array, "r k d"]:  # fmt: skip
    alike = replace(rows, x=rows.x / spread[:, None])  # features count alike in distances, however they correlate
    together = max(1, _SEED_ELEMENTS // (4 * rows.x.size))
    away = None if apart is None else apart / spread

    def one(own: tuple[Array, Array]) -> Array:
        return method(own[0], alike, n_components, own[1], away)

    seeds = jax.lax.map(one, (keys, trials), batch_size=together)
    return rows.x.T[seeds]


_CENTRE_METHODS = {"k-means++": _kmeans_plusplus, "random_from_data": _random_rows, "kmeans": _kmeans_plusplus}


def chosen_centres(
    keys: Key[Array, " r"], seeds: Sample, spread: Float[Array, " d"], method: str, n_components: int,
    trials: Int[Array, " r"], apart: Float[Array, "h d"] | None = None,
) -> Float[Array, "r k d"]:  # fmt: skip
    """Rows of `seeds` for restarts with these `keys` to start from, picked by one of `METHODS`.

    Where distances count, those from the points `apart` do too.
    """
    seeds = replace(seeds, frame=None, known=None)  # which would only set programs apart
    return _centres(keys, seeds, spread, _CENTRE_METHODS[method], n_components, trials, apart)
