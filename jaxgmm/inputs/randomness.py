"""Where randomness comes from: everything a fit draws follows from its one key, each use by a number of its own.

Restart i has fold_in(key, i). Draws that belong to no single restart have the largest numbers: no restart
reaches those.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key, UInt

from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.typing import Array

_SEEDS, _FOLDS, _RACE = (np.uint32(0xFFFFFFFF - i) for i in range(3))
# Keeps revivals apart from what seeds and mini-batches draw from a restart's key.
_REVIVAL = 1 << 31


@partial(compiled, static_argnums=1)
def restart_keys(key: Key[Array, ""], n: int) -> Key[Array, " r"]:
    """Restart i's key is fold_in(key, i)."""
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(n))


@compiled
def _of_data_sets(key: Key[Array, ""], numbers: UInt[Array, " p"]) -> tuple[Array, Array]:
    keys = jax.vmap(partial(jax.random.fold_in, key))(numbers)
    return jax.random.key_data(keys), jax.random.key_data(jax.vmap(seed_key)(keys))


def data_set_keys(key: Key[Array, ""], numbers: Any) -> tuple[Any, Any]:
    """The keys of data sets with these `numbers`, (p,), and their `seed_key`s: raw, NumPy, leading axis p."""
    room = 1 << (len(numbers) - 1).bit_length()  # few sizes are compiled
    keys, seeds = _of_data_sets(key, np.resize(np.asarray(numbers, np.uint32), room))
    return np.asarray(keys)[: len(numbers)], np.asarray(seeds)[: len(numbers)]


def seed_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """For the sample of rows that all restarts pick their seeds from."""
    return jax.random.fold_in(key, _SEEDS)


def fold_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """For the order in which rows are dealt to folds."""
    return jax.random.fold_in(key, _FOLDS)


def race_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """For the samples and jumps of a race: folded with the round."""
    return jax.random.fold_in(key, _RACE)


def probe_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """For the rows by which a race tells its runners apart; from `race_key`."""
    return jax.random.fold_in(key, _RACE)


def revival_key(key: Key[Array, ""], restart: Any, life: Any) -> Key[Array, ""]:
    """For the revival of one restart after `life` others. Pure."""
    own = jax.random.fold_in(key, restart)
    return jax.random.fold_in(own, jnp.uint32(_REVIVAL) + jnp.asarray(life).astype(jnp.uint32))


def generator(key_data: Any) -> np.random.Generator:
    """A NumPy generator, for draws on the host, from a key's data (`jax.random.key_data`)."""
    return np.random.default_rng(np.asarray(key_data).ravel())
