"""Where restarts start: all of them at once, in the rows' own coordinates; NumPy, but for what reads all rows.

Every method gives restart i a start that depends on its own key alone, so it is the same start in any batch, and by
whatever engine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.em import m_step, statistics_of
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.families.namespace import namespace, quiet
from jaxgmm.inputs import threefry, trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import restart_keys, seed_key, wrapped
from jaxgmm.inputs.threefry import Words
from jaxgmm.inputs.typing import Array, Bool, Float, UInt
from jaxgmm.mixture import Mixture
from jaxgmm.problem.kmeans import lloyd, trials_for
from jaxgmm.problem.pose import Problem
from jaxgmm.rows import Chunk, Rows, chunk_size
from jaxgmm.rows.host_rows import HostRows
from jaxgmm.starts.guided import guided_centres, guided_sample
from jaxgmm.starts.seeding import chosen_centres, seed_rows

LLOYD_ROUNDS = 10


def from_centres(
    centres: Float[np.ndarray, "r k d"], family: type[Family], centre: Any, spread: Float[np.ndarray, " d"],
    present: Bool[np.ndarray, "r k"] | None = None,
) -> Mixture:  # fmt: skip
    """Uniform weights of what is present, and the data's own per-feature variances about every centre.

    In the dtype of `spread`.
    """
    present = np.ones(centres.shape[:-1], bool) if present is None else present
    weights = present / np.sum(present, axis=-1, keepdims=True)
    components = family.from_means(centres.astype(spread.dtype), centre, spread)
    return trees.map(lambda leaf: np.array(leaf, spread.dtype), Mixture(weights, components))


# ---- responsibilities ---------------------------------------------------------------------------------------


def _fitted(
    rows: Rows, responsibilities: Callable[[Any, Chunk], Array], operand: Any, family: type[Family],
    n_components: int, penalty: Penalty, chunk: int,
) -> Mixture:  # fmt: skip
    """One M-step from given responsibilities, by two passes: means first, then second moments about those means.

    On the host `operand` has the leading axis of restarts, and so has the mixture.
    """
    xp: Any = np if rows.on_host else jnp
    leading = (len(operand),) if rows.on_host else ()
    zeros = xp.zeros((*leading, n_components, rows.n_features), rows.dtype)
    centre, spread = xp.zeros(rows.n_features, rows.dtype), xp.ones(rows.n_features, rows.dtype)
    components = family.from_means(zeros, centre, spread)
    for _ in range(2):
        reference = Mixture(xp.full((*leading, n_components), 1 / n_components, rows.dtype), components)
        statistics = statistics_of(reference, rows, responsibilities, operand, chunk)
        fitted = m_step(reference, statistics, penalty.ridge, penalty.prior)
        components = family.from_means(fitted.means, centre, spread)
    return fitted


def _given(n_components: int, given: Array, some: Chunk) -> Array:
    """Responsibilities (..., k, b) of some rows from labels (..., m) or responsibilities (..., m, k) of all of them."""
    if given.dtype.kind not in "iu":
        return given[..., some.index, :].swapaxes(-1, -2)
    return (given[..., None, some.index] == np.arange(n_components)[:, None]).astype(some.x.dtype)


def _drawn(n_components: int, words: UInt[Array, " 2"], some: Chunk) -> Array:
    """Random responsibilities, by row number, so that neither chunks nor padding change what a row draws."""
    possible, xp = some.possible, namespace(some.x)
    # Never 0, which may be all that a row with one possible component draws.
    draws: Any
    if xp is np:
        draws = threefry.uniform(threefry.folded(words[..., None, :], some.index), n_components, above_zero=True)
    else:
        least = jnp.finfo(jnp.float32).tiny
        uniform = partial(jax.random.uniform, shape=(n_components,), dtype=jnp.float32, minval=least)
        draws = jax.vmap(lambda i: uniform(jax.random.fold_in(wrapped(words), i)))(some.index)
    draws = draws.astype(some.x.dtype)
    draws = draws if possible is None else xp.where(possible.T, draws, 0.0)
    return (draws / xp.sum(draws, axis=-1, keepdims=True)).swapaxes(-1, -2)


def each_fitted(
    responsibilities: Callable[[int, Array, Chunk], Array], operands: Array, rows: Rows, family: type[Family],
    n_components: int, penalty: Penalty,
) -> Mixture:  # fmt: skip
    """A start from the responsibilities that follow from each of `operands`; leading axis r."""
    chunk = chunk_size(operands.shape[0] * n_components * rows.n_features, rows.n_slots, rows.on_host)

    def one(operand: Array) -> Mixture:
        of_rows = partial(responsibilities, n_components)
        return _fitted(rows, of_rows, operand, family, n_components, penalty, chunk)

    return quiet(one)(operands) if rows.on_host else jax.vmap(one)(operands)


_each_compiled = partial(compiled, static_argnames=("responsibilities", "family", "n_components"))(each_fitted)
#: responsibilities by what they follow from: one object each, as `jit` goes by identity
RESPONSIBILITIES = {"given": _given, "drawn": _drawn}


def from_responsibilities(
    responsibilities: Callable[[int, Array, Chunk], Array], operands: Any, rows: Rows, family: type[Family],
    n_components: int, penalty: Penalty,
) -> Mixture:  # fmt: skip
    each = each_fitted if rows.on_host else _each_compiled
    made = rows.attended(lambda: each(responsibilities, operands, rows, family, n_components, penalty))
    return trees.map(np.asarray, made)


def _from_kmeans(centres: Float[np.ndarray, "r k d"], seeds: HostRows, problem: Problem) -> Mixture:
    """Lloyd's rounds from `centres`, then one M-step from the nearest centres: hard EM with one fixed spread."""
    spread, pinned = np.asarray(problem.spread, np.float64), problem.penalty.pinned
    x, n = seeds.x / spread[:, None], seeds.n_slots
    held = False if pinned is None else np.asarray(pinned.means)
    possible = seeds.possible(np.arange(n))
    _, nearest = lloyd((centres / spread)[None], x[None], seeds.weights[None], LLOYD_ROUNDS, held, possible)
    k = centres.shape[1]
    made = from_responsibilities(_given, nearest[0], seeds, problem.family, k, problem.penalty)
    return made.astype(problem.dtype)


# ---- by name ------------------------------------------------------------------------------------------------

METHODS = ("k-means++", "kmeans", "random_from_data", "random")


def initialize(key: Words, problem: Problem, n_components: int, n_init: int, method: str) -> Mixture:
    """`n_init` starts by one of `METHODS`, in the coordinates of `problem`; leading axis r."""
    rows, family, penalty, spread = problem.rows, problem.family, problem.penalty, problem.spread
    keys = restart_keys(key, n_init)
    if method == "random":
        return from_responsibilities(_drawn, keys, rows, family, n_components, penalty)
    guided = rows.known is not None or penalty.pinned is not None
    if guided:
        centres = guided_centres(key, problem, n_components, n_init, method)
        starts = from_centres(centres, family, problem.centre, spread)
        if method != "kmeans":
            return starts
        return _with_everyone(_from_kmeans(centres, guided_sample(key, problem, n_components), problem), starts)
    seeds = seed_rows(seed_key(key), problem, n_components)
    trials = np.full(n_init, trials_for(n_components))
    centres = chosen_centres(keys, seeds, np.asarray(spread, np.float64), method, n_components, trials)
    if method == "kmeans":  # on all rows it would cost as much as many steps of EM, which do better
        return _from_kmeans(centres, seeds, problem)
    return from_centres(centres, family, problem.centre, spread)


def _with_everyone(mixture: Mixture, start: Mixture) -> Mixture:
    """`mixture`, components without weight as they are in `start`: as it is they would never have any rows."""
    lost = mixture.weights <= 0
    weights = np.where(lost, start.weights, mixture.weights)
    return Mixture(
        weights / np.sum(weights, axis=-1, keepdims=True), mixture.components.with_replaced(lost, start.components)
    )


def from_assignments(given: Any, problem: Problem) -> Mixture:
    """Starts from labels (r, n) of integers, or responsibilities (r, n, k); NumPy."""
    rows = problem.rows
    spare = [(0, 0)] * np.ndim(given)
    spare[1] = (0, rows.n_slots - given.shape[1])  # whatever it says of slots without a row
    return from_responsibilities(
        _given, np.pad(given, spare), rows, problem.family, problem.n_components, problem.penalty
    )
