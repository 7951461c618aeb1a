"""Where randomness comes from: everything a fit draws follows from its one key, each use by a number of its own.

Restart i has fold_in(key, i). Draws that belong to no single restart have the largest numbers: no restart
reaches those. On the host keys are their words (`threefry`), NumPy; programs wrap them where they draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.threefry import Words, folded
from jaxgmm.inputs.typing import Array, Key, UInt

_SEEDS, _FOLDS, _RACE = (0xFFFFFFFF - i for i in range(3))
# Keeps revivals apart from what seeds and mini-batches draw from a restart's key.
_REVIVAL = 1 << 31
_IMPLEMENTATION = "threefry2x32"


def words_of(key: Key[Array, ""]) -> Words:
    """The words of a JAX key of any kind."""
    return two_words(np.asarray(jax.random.key_data(key)))


def two_words(words: UInt[np.ndarray, " w"]) -> Words:
    """Two words as they are; of four, as keys of some kinds have, two that follow from them."""
    return words if len(words) == 2 else folded(folded(words[:2], words[2]), words[3])


def wrapped(words: UInt[Array, "*r 2"]) -> Key[Array, "*r"]:
    """The keys that have these words, for `jax.random`. Pure."""
    return jax.random.wrap_key_data(jnp.asarray(words), impl=_IMPLEMENTATION)


def restart_keys(key: Words, n: int) -> Words:
    """Restart i's key is fold_in(key, i)."""
    return folded(np.asarray(key)[..., None, :], np.arange(n))


def seed_key(key: Words) -> Words:
    """For the sample of rows that all restarts pick their seeds from."""
    return folded(key, _SEEDS)


def fold_key(key: Words) -> Words:
    """For the order in which rows are dealt to folds."""
    return folded(key, _FOLDS)


def race_key(key: Words) -> Words:
    """For the samples and jumps of a race: folded with the round."""
    return folded(key, _RACE)


def probe_key(key: Words) -> Words:
    """For the rows by which a race tells its runners apart; from `race_key`."""
    return folded(key, _RACE)


def revival_key(key: Words, restart: Any, life: Any) -> Words:
    """For the revival of one restart after `life` others."""
    return folded(folded(key, restart), _REVIVAL + np.asarray(life, np.int64))


def generator(words: Any) -> np.random.Generator:
    """A NumPy generator, for draws on the host, from a key's words."""
    return np.random.default_rng(np.asarray(words).ravel())
