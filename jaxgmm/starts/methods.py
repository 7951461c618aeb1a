"""Where restarts start: batched over restarts, in the rows' own coordinates.

Every method gives restart i a start that depends on its own key alone, so it is the same start in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Key

from jaxgmm.em import m_step, statistics_of
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family, TiedGaussian
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import restart_keys, seed_key
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Chunk, Rows, Sample, chunk_size
from jaxgmm.starts.guided import guided_centres, guided_sample
from jaxgmm.starts.seeding import chosen_centres, seed_rows, trials_for

LLOYD_ROUNDS = 10


@partial(compiled, static_argnames="family")
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
    rows: Rows, responsibilities: Callable[[Any, Chunk], Array], operand: Any, family: type[Family],
    n_components: int, penalty: Penalty, chunk: int,
) -> Mixture:  # fmt: skip
    """One M-step from given responsibilities, by two passes: means first, then second moments about those means."""
    zeros = jnp.zeros((n_components, rows.n_features), rows.dtype)
    spread = jnp.ones(rows.n_features, rows.dtype)
    components = family.from_means(zeros, zeros[0], spread)
    for _ in range(2):
        reference = Mixture(jnp.full(n_components, 1 / n_components, rows.dtype), components)
        statistics = statistics_of(reference, rows, responsibilities, operand, chunk)
        fitted = m_step(reference, statistics, penalty.ridge, penalty.prior)
        components = family.from_means(fitted.means, fitted.means[0], spread)
    return fitted


@partial(compiled, static_argnames=("family", "n_components"))
def _from_responsibilities(
    given: Array, rows: Rows, family: type[Family], n_components: int, penalty: Penalty
) -> Mixture:
    """From labels (r, m) or responsibilities (r, m, k) of every slot."""
    chunk = chunk_size(given.shape[0] * n_components * rows.n_features, rows.n_slots)

    def one(given: Array) -> Mixture:
        def lookup(given: Array, some: Chunk) -> Array:
            own = given[some.index]
            return own.T if own.ndim == 2 else jax.nn.one_hot(own, n_components, axis=0, dtype=some.x.dtype)

        return _fitted(rows, lookup, given, family, n_components, penalty, chunk)

    return jax.vmap(one)(given)


@partial(compiled, static_argnames=("family", "n_components"))
def _from_random_responsibilities(
    keys: Key[Array, " r"], rows: Rows, family: type[Family], n_components: int, penalty: Penalty
) -> Mixture:
    chunk = chunk_size(keys.shape[0] * n_components * rows.n_features, rows.n_slots)

    def one(key: Key[Array, ""]) -> Mixture:
        def shares(key: Key[Array, ""], some: Chunk) -> Array:
            # By row number, so that neither chunks nor padding change what a row draws.
            # And never 0, which may be all that a row with one possible component draws.
            dtype, possible = some.x.dtype, some.possible
            uniform = partial(jax.random.uniform, shape=(n_components,), dtype=dtype, minval=jnp.finfo(dtype).tiny)
            draws = jax.vmap(lambda i: uniform(jax.random.fold_in(key, i)))(some.index)
            draws = draws if possible is None else jnp.where(possible.T, draws, 0.0)
            return (draws / jnp.sum(draws, axis=1, keepdims=True)).T

        return _fitted(rows, shares, key, family, n_components, penalty, chunk)

    return jax.vmap(one)(keys)


@partial(compiled, static_argnames="family")
def _from_kmeans(
    centres: Float[Array, "r k d"], rows: Rows, family: type[Family], penalty: Penalty, spread: Float[Array, " d"]
) -> Mixture:
    """Lloyd's rounds from `centres`, then one M-step from the nearest centres: hard EM with one fixed spread."""
    r, k, d = centres.shape
    chunk = chunk_size(2 * r * k * d, rows.n_slots)
    no_ridge = jnp.zeros(d, centres.dtype)

    def one(centres: Float[Array, "k d"]) -> Mixture:
        def spheres(means: Float[Array, "k d"]) -> Mixture:
            return Mixture(jnp.full(k, 1 / k, means.dtype), TiedGaussian.from_means(means, means[0], spread))

        def nearest(mixture: Mixture, some: Chunk) -> Array:
            near, possible = mixture.components.log_prob(some.x), some.possible
            near = near if possible is None else jnp.where(possible, near, -jnp.inf)
            return jax.nn.one_hot(jnp.argmax(near, axis=0), k, axis=0, dtype=some.x.dtype)

        def lloyd(_: Any, means: Float[Array, "k d"]) -> Float[Array, "k d"]:
            mixture = spheres(means)
            statistics = statistics_of(mixture, rows, nearest, mixture, chunk)
            moved = m_step(mixture, statistics, no_ridge).means
            pinned = penalty.pinned
            return moved if pinned is None else jnp.where(pinned.means[:, None], pinned.given.means, moved)

        means = jax.lax.fori_loop(0, LLOYD_ROUNDS, lloyd, centres)
        return _fitted(rows, nearest, spheres(means), family, k, penalty, chunk)

    return jax.vmap(one)(centres)


# ---- by name ------------------------------------------------------------------------------------------------

METHODS = ("k-means++", "kmeans", "random_from_data", "random")


def initialize(
    key: Key[Array, ""], rows: Rows, family: type[Family], n_components: int, n_init: int, method: str,
    penalty: Penalty, centre: Float[Array, " d"], spread: Float[Array, " d"],
) -> Mixture:  # fmt: skip
    """`n_init` starts by one of `METHODS`, in the rows' coordinates; leading axis r."""
    if method != "random" and (rows.known is not None or penalty.pinned is not None):
        centres = guided_centres(key, rows, spread, penalty.pinned, n_components, n_init, method)
        starts = from_centres(centres, family, centre, spread, jnp.ones(centres.shape[:2], bool))
        if method != "kmeans":
            return starts
        among = guided_sample(key, rows, n_components)
        return jax.vmap(_with_everyone)(_from_kmeans(centres, among, family, penalty, spread), starts)
    seeds = None if method == "random" else seed_rows(seed_key(key), rows, n_components)
    return draw(key, rows, seeds, family, n_components, n_init, method, penalty, centre, spread)


def _with_everyone(mixture: Mixture, start: Mixture) -> Mixture:
    """`mixture`, components without weight as they are in `start`: as it is they would never have any rows."""
    lost = mixture.weights <= 0
    weights = jnp.where(lost, start.weights, mixture.weights)
    return Mixture(weights / jnp.sum(weights), mixture.components.with_replaced(lost, start.components))


def draw(
    key: Key[Array, ""], rows: Rows, seeds: Sample | None, family: type[Family], n_components: int, n_init: int,
    method: str, penalty: Penalty, centre: Float[Array, " d"], spread: Float[Array, " d"],
) -> Mixture:  # fmt: skip
    """`initialize` with the rows to pick `seeds` from at hand, if the method picks any. Pure."""
    keys = restart_keys(key, n_init)
    if method == "random" or seeds is None:
        return _from_random_responsibilities(keys, rows, family, n_components, penalty)
    trials = jnp.full(n_init, trials_for(n_components))
    centres = chosen_centres(keys, seeds, spread, method, n_components, trials)
    if method == "kmeans":  # on all rows it would cost as much as many steps of EM, which do better
        return _from_kmeans(centres, seeds, family, penalty, spread)
    return from_centres(centres, family, centre, spread, jnp.ones(centres.shape[:2], bool))


def from_assignments(given: Any, rows: Rows, family: type[Family], n_components: int, penalty: Penalty) -> Mixture:
    """Starts from labels (r, n) of integers, or responsibilities (r, n, k); NumPy."""
    spare = [(0, 0)] * np.ndim(given)
    spare[1] = (0, rows.n_slots - given.shape[1])  # whatever it says of slots without a row
    laid = np.pad(given, spare)
    return _from_responsibilities(jnp.asarray(laid), rows, family, n_components, penalty)
