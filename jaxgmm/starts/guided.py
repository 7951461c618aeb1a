"""Centres to start from where something is known: labels of some rows, or means that are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.inputs.randomness import restart_keys, seed_key
from jaxgmm.inputs.threefry import Words, folded
from jaxgmm.inputs.typing import Float
from jaxgmm.problem.kmeans import trials_for
from jaxgmm.problem.pose import Problem
from jaxgmm.rows.host_rows import HostRows
from jaxgmm.starts.seeding import chosen_centres, seed_index


class _Group(NamedTuple):
    """Components that start at the same rows: theirs alone if `labelled`."""

    members: Any
    rows: Any
    labelled: bool


def guided_centres(
    key: Words, problem: Problem, n_components: int, n_init: int, method: str
) -> Float[np.ndarray, "r k d"]:
    """Centres by one of the methods that pick rows; those of components with a label from rows with that label.

    A component that has a label to itself starts at the mean of its rows, others of a label at some of them, and
    components without a label at rows without one. Where a mean is given, other seeds keep away from it.
    """
    pinned, spread = problem.penalty.pinned, np.asarray(problem.spread, np.float64)
    given: Any = np.zeros((n_components, len(spread)))
    held = np.zeros(n_components, bool)
    if pinned is not None:
        given, held = np.asarray(pinned.given.means, np.float64), np.asarray(pinned.means)
    centres = np.repeat(given[None], n_init, axis=0)
    for number, group in enumerate(_groups(problem, n_components)):
        free = group.members[~held[group.members]]
        if len(free) == 0:
            continue
        if group.labelled and len(group.members) == 1:
            pool = problem.picked(group.rows)
            centres[:, free] = np.average(pool.x, axis=1, weights=pool.weights)
            continue
        own = folded(key, number) if number else key  # as `fit` draws where there are no labels
        seeds = problem.picked(group.rows[seed_index(seed_key(own), len(group.rows), len(free))])
        apart = given[group.members[held[group.members]]]
        trials = np.full(n_init, trials_for(len(free)))
        centres[:, free] = chosen_centres(
            restart_keys(own, n_init), seeds, spread, method, len(free), trials, apart if len(apart) else None
        )
    return centres


def guided_sample(key: Words, problem: Problem, n_components: int) -> HostRows:
    """Rows for k-means: some of every label, however rare, and of those without one."""
    drawn = []
    for number, group in enumerate(_groups(problem, n_components)):
        own = seed_key(folded(key, number))
        drawn.append(group.rows[seed_index(own, len(group.rows), n_components)])
    return problem.picked(np.unique(np.concatenate(drawn)))


def _groups(problem: Problem, n_components: int) -> Iterator[_Group]:
    """The components without a label first, then those of each label."""
    n, labels = problem.source.shape[0], problem.labels
    if labels is None:
        yield _Group(np.arange(n_components), np.arange(n), False)
        return
    label, possible = labels.places(problem.source.labels), np.asarray(labels.possible)
    unknown = len(possible) - 1
    blank = np.flatnonzero(label == unknown)
    others = np.flatnonzero(~possible[:-1].any(axis=0))
    yield _Group(others, blank if len(blank) >= len(others) else np.arange(n), False)
    for number in range(unknown):
        members, own = np.flatnonzero(possible[number]), np.flatnonzero(label == number)
        enough = len(own) >= len(members)
        yield _Group(members, own if enough else np.union1d(own, blank), enough)
