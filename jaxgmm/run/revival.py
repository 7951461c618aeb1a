"""Collapsed components get another life, on rows that the rest of the mixture explains badly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key

from jaxgmm.drivers import Driver
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import revival_key
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture, joint_log_prob, posterior
from jaxgmm.problem.pose import Problem
from jaxgmm.rows import Rows, Sample
from jaxgmm.run.loop import Controls, Pool, put, start, taken
from jaxgmm.starts.seeding import seed_rows

#: how often a restart may be revived
REVIVALS = 5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Surroundings:
    """What a new component is made from.

    Attributes:
        sample: rows that it may be put on, all with weight.
        centre, spread: of the data (see `coordinates.Coordinates`).
    """

    sample: Sample
    centre: Float[Array, " d"]
    spread: Float[Array, " d"]


def surroundings(key: Key[Array, ""], problem: Problem) -> Surroundings:
    """What collapsed components of `problem` are revived from."""
    return Surroundings(seed_rows(key, problem.rows, problem.n_components), problem.centre, problem.spread)


@partial(compiled, static_argnames="kernel")
def revive(
    driver: Driver, pool: Pool, members: Int[Array, " b"], lives: Int[Array, " b"], rows: Rows,
    surroundings: Surroundings, controls: Controls, kernel: str,
) -> Pool:  # fmt: skip
    """The restarts in `members` set going again, `lives` revivals behind them; numbers past the end are empty places.

    Where a component goes follows from the key, the restart's number and its lives alone.
    """
    group = taken(pool, members)

    def one(args: tuple[Mixture, Array, Array, Array, Array]) -> Mixture:
        mixture, collapsed, present, number, life = args
        fresh = _replaced(revival_key(controls.key, number, life), mixture, collapsed, present, surroundings)
        return fresh if controls.penalty.pinned is None else controls.penalty.pinned.within(fresh)

    tags = group.tags
    mixtures = jax.lax.map(one, (group.state.mixture, group.collapsed, tags.present, tags.number, lives))
    # In its last life a restart may keep a component on a handful of rows: then it is the data that want one there.
    fresh = start(driver, mixtures, rows, controls, kernel, lives + 1 >= REVIVALS, tags)
    passes = fresh.state.passes + group.state.passes
    fresh = replace(fresh, n_iter=group.n_iter, state=replace(fresh.state, passes=passes))
    return put(pool, members, fresh)


def _replaced(
    key: Key[Array, ""], mixture: Mixture, collapsed: Bool[Array, " k"], present: Bool[Array, " k"],
    surroundings: Surroundings,
) -> Mixture:  # fmt: skip
    """`mixture` with its collapsed components on rows drawn by how badly they are explained."""
    sample, k = surroundings.sample, mixture.n_components
    possible = sample.possible(jnp.arange(sample.n_slots))
    log_p = posterior(joint_log_prob(mixture, sample.x), possible=possible)[1]
    limits = jnp.finfo(log_p.dtype)
    lack = jnp.max(jnp.where(sample.weights > 0, log_p, limits.min)) - jnp.maximum(log_p, limits.min / 4)
    chance = jnp.log(sample.weights) + jnp.log(lack + limits.eps)
    noise = jax.random.gumbel(key, chance.shape, chance.dtype)
    if possible is None:
        chosen = jax.lax.top_k(chance + noise, k)[1]
    else:  # each among the rows it may have
        noise = jax.random.gumbel(key, possible.shape, chance.dtype)
        chosen = jnp.argmax(jnp.where(possible, chance + noise, -jnp.inf), axis=1)
    family = type(mixture.components)
    fresh = family.from_means(sample.x.T[chosen], surroundings.centre, surroundings.spread)

    alive = jnp.where(collapsed, 0.0, mixture.weights)
    even = 1 / jnp.sum(present, dtype=alive.dtype)
    share = jnp.sum(collapsed, dtype=alive.dtype) * even
    kept = alive * (1 - share) / jnp.maximum(jnp.sum(alive), jnp.finfo(alive.dtype).tiny)
    weights = jnp.where(collapsed, even, kept)
    return Mixture(weights / jnp.sum(weights), mixture.components.with_replaced(collapsed, fresh))
