"""Centres to start from where something is known: labels of some rows, or means that are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key

from jaxgmm.em.penalty import Pinned
from jaxgmm.inputs.randomness import restart_keys, seed_key
from jaxgmm.inputs.typing import Array
from jaxgmm.rows import Rows, Sample
from jaxgmm.starts.seeding import chosen_centres, seed_index, seed_rows, trials_for


class _Group(NamedTuple):
    """Components that start at the same rows: theirs alone if `labelled`."""

    members: Any
    rows: Any
    labelled: bool


def guided_centres(
    key: Key[Array, ""], rows: Rows, spread: Float[Array, " d"], pinned: Pinned | None, n_components: int,
    n_init: int, method: str,
) -> Float[Array, "r k d"]:  # fmt: skip
    """Centres by one of the methods that pick rows; those of components with a label from rows with that label.

    A component that has a label to itself starts at the mean of its rows, others of a label at some of them, and
    components without a label at rows without one. Where a mean is given, other seeds keep away from it.
    """
    dtype = rows.dtype
    given = np.zeros((n_components, rows.n_features), dtype) if pinned is None else np.asarray(pinned.given.means)
    held = np.zeros(n_components, bool) if pinned is None else np.asarray(pinned.means)
    centres = np.repeat(given[None], n_init, axis=0)
    for number, group in enumerate(_groups(rows, n_components)):
        free = group.members[~held[group.members]]
        if len(free) == 0:
            continue
        pool = rows.pick(group.rows)
        if group.labelled and len(group.members) == 1:
            centres[:, free] = np.average(np.asarray(pool.x, np.float64), axis=1, weights=np.asarray(pool.weights))
            continue
        own = jax.random.fold_in(key, number) if number else key  # as `fit` draws where there are no labels
        apart = given[group.members[held[group.members]]]
        found = chosen_centres(
            restart_keys(own, n_init), seed_rows(seed_key(own), pool, len(free)), spread, method, len(free),
            jnp.full(n_init, trials_for(len(free))), jnp.asarray(apart) if len(apart) else None,
        )  # fmt: skip
        centres[:, free] = np.asarray(found)
    return jnp.asarray(centres)


def guided_sample(key: Key[Array, ""], rows: Rows, n_components: int) -> Sample:
    """Rows for k-means: some of every label, however rare, and of those without one."""
    drawn = []
    for number, group in enumerate(_groups(rows, n_components)):
        own = jax.random.key_data(seed_key(jax.random.fold_in(key, number)))
        drawn.append(group.rows[seed_index(own, len(group.rows), n_components)])
    return rows.pick(np.unique(np.concatenate(drawn)))


def _groups(rows: Rows, n_components: int) -> Iterator[_Group]:
    """The components without a label first, then those of each label."""
    n = int(rows.n_rows)
    everyone = np.arange(n_components)
    if rows.known is None:
        yield _Group(everyone, np.arange(n), False)
        return
    label, possible = np.asarray(rows.known.label)[:n], np.asarray(rows.known.possible)
    unknown = len(possible) - 1
    blank = np.flatnonzero(label == unknown)
    others = np.flatnonzero(~possible[:-1].any(axis=0))
    yield _Group(others, blank if len(blank) >= len(others) else np.arange(n), False)
    for number in range(unknown):
        members, own = np.flatnonzero(possible[number]), np.flatnonzero(label == number)
        enough = len(own) >= len(members)
        yield _Group(members, own if enough else np.union1d(own, blank), enough)
