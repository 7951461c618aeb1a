"""Collapsed components get another life, on rows that the rest of the mixture explains badly; NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgmm.em.penalty import Pinned
from jaxgmm.families.namespace import quiet
from jaxgmm.inputs import trees
from jaxgmm.inputs.randomness import revival_key
from jaxgmm.inputs.threefry import Words, gumbel
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.mixture import Mixture, joint_log_prob, posterior
from jaxgmm.problem.pose import Problem
from jaxgmm.rows.host_rows import HostRows
from jaxgmm.starts.seeding import seed_rows

#: how often a restart may be revived
REVIVALS = 5


@dataclass(frozen=True)
class Surroundings:
    """What a new component is made from; float64.

    Attributes:
        sample: rows that it may be put on, all with weight.
        centre, spread: of the data (see `coordinates.Coordinates`).
        pinned: what is held.
    """

    sample: HostRows
    centre: Float[np.ndarray, " d"]
    spread: Float[np.ndarray, " d"]
    pinned: Pinned | None = None


def surroundings(key: Words, problem: Problem) -> Surroundings:
    """What collapsed components of `problem` are revived from."""
    sample = seed_rows(key, problem, problem.n_components)
    centre, spread = np.asarray(problem.centre, np.float64), np.asarray(problem.spread, np.float64)
    return Surroundings(sample, centre, spread, problem.penalty.pinned)


@quiet
def revived(
    key: Words, mixtures: Mixture, collapsed: Bool[np.ndarray, "m k"], present: Bool[np.ndarray, "m k"],
    numbers: Int[np.ndarray, " m"], lives: Int[np.ndarray, " m"], around: Surroundings,
) -> Mixture:  # fmt: skip
    """`mixtures`, leading axis m, with their collapsed components put elsewhere, `lives` revivals behind them.

    Where a component goes follows from the key, the restart's number and its lives alone.
    """
    wide = mixtures.astype(np.float64)
    made = [
        _replaced(revival_key(key, numbers[i], lives[i]), wide[i], collapsed[i], present[i], around)
        for i in range(len(numbers))
    ]
    fresh = trees.map(lambda *leaves: np.stack(leaves), *made)
    return (fresh if around.pinned is None else around.pinned.within(fresh)).astype(mixtures.dtype)


def _replaced(key: Words, mixture: Any, collapsed: Any, present: Any, around: Surroundings) -> Mixture:
    """`mixture` with its collapsed components on rows drawn by how badly they are explained."""
    sample, k = around.sample, mixture.n_components
    possible = sample.possible(np.arange(sample.n_slots))
    log_p = posterior(joint_log_prob(mixture, sample.x), possible=possible)[1]
    limits = np.finfo(log_p.dtype)
    lack = np.max(np.where(sample.weights > 0, log_p, limits.min)) - np.maximum(log_p, limits.min / 4)
    chance = np.log(sample.weights) + np.log(lack + limits.eps)
    if possible is None:
        chosen = np.argsort(-(chance + gumbel(key, sample.n_slots)), kind="stable")[:k]
    else:  # each among the rows it may have
        noise = gumbel(key, possible.size).reshape(possible.shape)
        chosen = np.argmax(np.where(possible, chance + noise, -np.inf), axis=1)
    family = type(mixture.components)
    fresh = family.from_means(sample.x.T[chosen], around.centre, around.spread)

    alive = np.where(collapsed, 0.0, mixture.weights)
    even = 1 / np.sum(present)
    share = np.sum(collapsed) * even
    kept = alive * (1 - share) / np.maximum(np.sum(alive), limits.tiny)
    weights = np.where(collapsed, even, kept)
    return Mixture(weights / np.sum(weights), mixture.components.with_replaced(collapsed, fresh))
