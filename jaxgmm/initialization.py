"""Where restarts start: batched over restarts, in the rows' own coordinates.

Every method gives restart i a start that depends on its own key alone, so it is the same start in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxgmm.drivers import Penalty
from jaxgmm.em import m_step, statistics_of
from jaxgmm.families import Family, TiedGaussian
from jaxgmm.mixture import Mixture
from jaxgmm.rows import ArrayRows, chunk_size

LLOYD_ROUNDS = 10

# Seeds are picked from this many rows, or this many per component, whichever is more.
_SEED_ROWS = 8192
_SEED_ROWS_PER_COMPONENT = 256
# Restarts seeded together, so that distances to candidates stay within some tens of MB.
_SEED_ELEMENTS = 1 << 24


def restart_keys(key: Key[Array, ""], n: int) -> Key[Array, " r"]:
    """Restart i's key is fold_in(key, i)."""
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(n))


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
    seed = np.asarray(key_data).ravel()
    return np.sort(np.random.default_rng(seed).choice(n, wanted, replace=False, shuffle=False))


def seed_rows(key: Key[Array, ""], rows: ArrayRows, n_components: int) -> ArrayRows:
    """A sample of the rows that have weight, shared by all restarts; all of them when they are few."""
    present = np.flatnonzero(np.asarray(rows.weights))
    return rows.take(jnp.asarray(present[seed_index(jax.random.key_data(key), len(present), n_components)]))


# ---- centres ------------------------------------------------------------------------------------------------


def _random_rows(key: Key[Array, ""], rows: ArrayRows, n_components: int, trials: Array) -> Int[Array, " k"]:
    """Rows' numbers: each row with chance proportional to its weight, none twice (Gumbel top-k)."""
    noise = jax.random.gumbel(key, (rows.n_slots,), jnp.float32)
    return jax.lax.top_k(jnp.log(rows.weights).astype(jnp.float32) + noise, n_components)[1]


def _distances(x: Float[Array, "d m"], index: Int[Array, " t"]) -> Float[Array, "t m"]:
    """Squared distances of all rows from those at `index`."""
    # Differences, not |x|² − 2 x·c + |c|²: that cancels when clusters are tight.
    return jnp.sum((x[None] - x[:, index].T[:, :, None]) ** 2, axis=1)


def trials_for(n_components: int) -> int:
    """How many draws greedy k-means++ picks each of K seeds from: 2 + ⌊log K⌋."""
    return 2 + int(np.log(n_components))


def _kmeans_plusplus(
    key: Key[Array, ""], rows: ArrayRows, n_components: int, trials: Int[Array, ""]
) -> Int[Array, " k"]:
    """Rows' numbers by greedy k-means++: each seed the best of `trials` draws (Arthur & Vassilvitskii 2007).

    Seeds come one by one: with the same trials those for fewer components are the first of those for more.
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
    first = draw(keys[0], w, 1)

    def pick(i: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        seeds, nearest = carry
        candidates = draw(keys[i], w * nearest, most)
        closer = jnp.minimum(nearest, _distances(x, candidates))
        best = jnp.argmin(jnp.where(jnp.arange(most) < trials, jnp.sum(w * closer, axis=1), jnp.inf))
        return seeds.at[i].set(candidates[best]), closer[best]

    seeds = jnp.zeros(n_components, first.dtype).at[0].set(first[0])
    return jax.lax.fori_loop(1, n_components, pick, (seeds, _distances(x, first)[0]))[0]


@partial(jax.jit, static_argnames=("method", "n_components"))
def _centres(
    keys: Key[Array, " r"], rows: ArrayRows, spread: Float[Array, " d"], method: Callable[..., Any], n_components: int,
    trials: Int[Array, " r"],
) -> Float[Array, "r k d"]:  # fmt: skip
    alike = replace(rows, x=rows.x / spread[:, None])  # features count alike in distances, however they correlate
    together = max(1, _SEED_ELEMENTS // (4 * rows.x.size))
    seeds = jax.lax.map(lambda own: method(own[0], alike, n_components, own[1]), (keys, trials), batch_size=together)
    return rows.x.T[seeds]


@partial(jax.jit, static_argnames="family")
def from_centres(
    centres: Float[Array, "r k d"], family: type[Family], centre: Array, spread: Float[Array, " d"],
    present: Bool[Array, "r k"],
) -> Mixture:  # fmt: skip
    """Uniform weights of what is present, and the data's own per-feature variances about every centre."""
    components = jax.vmap(lambda means: family.from_means(means, centre, spread))(centres)
    weights = present / jnp.sum(present, axis=1, keepdims=True, dtype=centres.dtype)
    return Mixture(weights.astype(centres.dtype), components)


# ---- responsibilities ---------------------------------------------------------------------------------------


def _fitted(
    rows: ArrayRows, responsibilities: Callable[..., Any], family: type[Family], n_components: int,
    penalty: Penalty, chunk: int,
) -> Mixture:  # fmt: skip
    """One M-step from given responsibilities, by two passes: means first, then second moments about those means."""
    zeros = jnp.zeros((n_components, rows.n_features), rows.x.dtype)
    spread = jnp.ones(rows.n_features, rows.x.dtype)
    components = family.from_means(zeros, zeros[0], spread)
    for _ in range(2):
        reference = Mixture(jnp.full(n_components, 1 / n_components, rows.x.dtype), components)
        fitted = m_step(reference, statistics_of(reference, rows, responsibilities, chunk), *penalty)
        components = family.from_means(fitted.means, fitted.means[0], spread)
    return fitted


@partial(jax.jit, static_argnames=("family", "n_components"))
def _from_responsibilities(
    given: Array, rows: ArrayRows, family: type[Family], n_components: int, penalty: Penalty
) -> Mixture:
    """From labels (r, n) or responsibilities (r, n, k)."""
    chunk = chunk_size(given.shape[0] * n_components * rows.n_features, rows.n_slots)

    def one(given: Array) -> Mixture:
        last = given.shape[0] - 1

        def lookup(x: Array, index: Array) -> Array:
            own = given[jnp.minimum(index, last)]
            return own.T if own.ndim == 2 else jax.nn.one_hot(own, n_components, axis=0, dtype=x.dtype)

        return _fitted(rows, lookup, family, n_components, penalty, chunk)

    return jax.vmap(one)(given)


@partial(jax.jit, static_argnames=("family", "n_components"))
def _from_random_responsibilities(
    keys: Key[Array, " r"], rows: ArrayRows, family: type[Family], n_components: int, penalty: Penalty
) -> Mixture:
    chunk = chunk_size(keys.shape[0] * n_components * rows.n_features, rows.n_slots)

    def one(key: Key[Array, ""]) -> Mixture:
        def shares(x: Array, index: Array) -> Array:
            # By row number, so that neither chunks nor padding change what a row draws.
            draws = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (n_components,), x.dtype))(index)
            return (draws / jnp.sum(draws, axis=1, keepdims=True)).T

        return _fitted(rows, shares, family, n_components, penalty, chunk)

    return jax.vmap(one)(keys)


@partial(jax.jit, static_argnames="family")
def _from_kmeans(
    centres: Float[Array, "r k d"], rows: ArrayRows, family: type[Family], penalty: Penalty, spread: Float[Array, " d"]
) -> Mixture:
    """Lloyd's rounds from `centres`, then one M-step from the nearest centres: hard EM with one fixed spread."""
    r, k, d = centres.shape
    chunk = chunk_size(2 * r * k * d, rows.n_slots)
    no_ridge = jnp.zeros(d, centres.dtype)

    def one(centres: Float[Array, "k d"]) -> Mixture:
        def spheres(means: Float[Array, "k d"]) -> Mixture:
            return Mixture(jnp.full(k, 1 / k, means.dtype), TiedGaussian.from_means(means, means[0], spread))

        def nearest(mixture: Mixture, x: Array, index: Array) -> Array:
            return jax.nn.one_hot(jnp.argmax(mixture.components.log_prob(x), axis=0), k, axis=0, dtype=x.dtype)

        def lloyd(_: Any, means: Float[Array, "k d"]) -> Float[Array, "k d"]:
            mixture = spheres(means)
            statistics = statistics_of(mixture, rows, partial(nearest, mixture), chunk)
            return m_step(mixture, statistics, no_ridge).means

        means = jax.lax.fori_loop(0, LLOYD_ROUNDS, lloyd, centres)
        return _fitted(rows, partial(nearest, spheres(means)), family, k, penalty, chunk)

    return jax.vmap(one)(centres)


# ---- by name ------------------------------------------------------------------------------------------------

_CENTRE_METHODS = {"k-means++": _kmeans_plusplus, "random_from_data": _random_rows, "kmeans": _kmeans_plusplus}
METHODS = ("k-means++", "kmeans", "random_from_data", "random")


def initialize(
    key: Key[Array, ""], rows: ArrayRows, family: type[Family], n_components: int, n_init: int, method: str,
    penalty: Penalty, centre: Float[Array, " d"], spread: Float[Array, " d"],
) -> Mixture:  # fmt: skip
    """`n_init` starts by one of `METHODS`, in the rows' coordinates; leading axis r."""
    seeds = rows if method == "random" else seed_rows(seed_key(key), rows, n_components)
    return draw(key, rows, seeds, family, n_components, n_init, method, penalty, centre, spread)


def seed_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """What the shared sample is drawn from: keys of restarts are fold_in(key, 0, 1, …), and this is the last number."""
    return jax.random.fold_in(key, np.uint32(0xFFFFFFFF))


def draw(
    key: Key[Array, ""], rows: ArrayRows, seeds: ArrayRows, family: type[Family], n_components: int, n_init: int,
    method: str, penalty: Penalty, centre: Float[Array, " d"], spread: Float[Array, " d"],
) -> Mixture:  # fmt: skip
    """`initialize` with the rows to pick seeds from at hand. Pure."""
    keys = restart_keys(key, n_init)
    if method == "random":
        return _from_random_responsibilities(keys, rows, family, n_components, penalty)
    trials = jnp.full(n_init, trials_for(n_components))
    centres = chosen_centres(keys, seeds, spread, method, n_components, trials)
    if method == "kmeans":
        return _from_kmeans(centres, rows, family, penalty, spread)
    return from_centres(centres, family, centre, spread, jnp.ones(centres.shape[:2], bool))


def chosen_centres(
    keys: Key[Array, " r"], seeds: ArrayRows, spread: Float[Array, " d"], method: str, n_components: int,
    trials: Int[Array, " r"],
) -> Float[Array, "r k d"]:  # fmt: skip
    """Rows of `seeds` for restarts with these `keys` to start from, picked by one of `METHODS`."""
    seeds = replace(seeds, whitener=None)  # which would only set families' programs apart
    return _centres(keys, seeds, spread, _CENTRE_METHODS[method], n_components, trials)


def from_assignments(
    given: Array, rows: ArrayRows, family: type[Family], n_components: int, penalty: Penalty
) -> Mixture:
    """Starts from labels (r, n) of integers, or responsibilities (r, n, k)."""
    return _from_responsibilities(given, rows, family, n_components, penalty)
