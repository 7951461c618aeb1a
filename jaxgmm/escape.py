"""Ways out of poor optima: a component that is hardly missed is put where another one is split in two.

EM keeps the number of components on either side of a gap; only a jump changes it (Ueda et al. 2000, who merge two and
split a third). Here any component may go, those that are missed least most often, and EM itself closes the gap.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxgmm.mixture import Mixture, joint_log_prob, posterior
from jaxgmm.rows import ArrayRows


@partial(jax.jit, static_argnames="n_moves")
def moves(
    key: Key[Array, ""], mixtures: Mixture, numbers: Int[Array, " r"], sample: ArrayRows, n_moves: int
) -> Mixture:
    """`n_moves` mixtures, (r, n_moves), each one jump away from one of `mixtures` (r).

    They follow from the key, the mixtures' `numbers`, and the mixtures.
    """

    def all_from(args: tuple[Mixture, Array]) -> Mixture:
        mixture, number = args
        own = jax.random.split(jax.random.fold_in(key, number), n_moves)
        r = posterior(joint_log_prob(mixture, sample.x))[0]
        going = _readiness(mixture, r, sample.weights)
        return jax.vmap(lambda key: _moved(key, mixture, r, going, sample))(own)

    return jax.lax.map(all_from, (mixtures, numbers))


def _readiness(mixture: Mixture, r: Float[Array, "k b"], w: Float[Array, " b"]) -> Float[Array, " k"]:
    """log-chances of being taken away: those that are missed least, first."""
    # Without k a row's log-density changes by log(1 − r_kn), and all by −log(1 − π_k) as weights are shared out anew.
    limit = 1 - jnp.finfo(r.dtype).eps
    kept = jnp.sum(w * jnp.log1p(-jnp.minimum(r, limit)), axis=1)
    loss = jnp.sum(w) * jnp.log1p(-jnp.minimum(mixture.weights, limit)) - kept
    place = jnp.argsort(jnp.argsort(loss))
    return -jnp.log1p(place.astype(r.dtype))


def _moved(
    key: Key[Array, ""], mixture: Mixture, r: Float[Array, "k b"], going: Float[Array, " k"], sample: ArrayRows
) -> Mixture:
    gone_key, split_key, row_key = jax.random.split(key, 3)
    gone = jax.random.categorical(gone_key, going)
    others = jnp.arange(mixture.n_components) != gone
    # By the root of its weight: wide components hide more, narrow ones must not be left out.
    split = jax.random.categorical(split_key, jnp.where(others, 0.5 * jnp.log(mixture.weights), -jnp.inf))
    chances = jnp.log(r[split] * sample.weights + jnp.finfo(r.dtype).tiny)
    rows = sample.x.T[jax.random.categorical(row_key, chances, shape=(2,))]
    halves = 0.5 * (mixture.components.means[split] + rows)
    slots = jnp.stack([gone, split])
    weights = mixture.weights.at[slots].set(0.5 * mixture.weights[split])
    return Mixture(weights / jnp.sum(weights), mixture.components.divided(split, slots, halves))
