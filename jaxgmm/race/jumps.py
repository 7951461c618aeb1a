"""Ways out of poor optima: a component that is hardly missed is put where another one should be two.

EM keeps the number of components on either side of a gap; only a jump changes it (Ueda et al. 2000, who merge two and
split a third). A few steps of EM on its own rows alone tell what each component would gain from being two, and how.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from jaxgmm.em import e_step, m_step
from jaxgmm.families.base import Root
from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import wrapped
from jaxgmm.inputs.typing import Array, Float, Int, Key, UInt
from jaxgmm.mixture import Mixture, joint_log_prob, posterior
from jaxgmm.rows import Sample


@partial(compiled, static_argnames=("n_moves", "kernel", "tries", "steps"))
def moves(
    words: UInt[Array, " 2"], mixtures: Mixture, numbers: Int[Array, " r"], sample: Sample, ridge: Root, n_moves: int,
    kernel: str, tries: int, steps: int,
) -> Mixture:  # fmt: skip
    """`n_moves` mixtures, (r, n_moves), each one jump away from one of `mixtures` (r).

    They follow from the words of a key, the mixtures' `numbers`, and the mixtures. `kernel` must be one that can follow
    those.
    Each component is tried as two `tries` times, for so many `steps`.
    """

    key = wrapped(words)

    def all_from(args: tuple[Mixture, Array]) -> Mixture:
        mixture, number = args
        split_key, pair_key = jax.random.split(jax.random.fold_in(key, number))
        joint = joint_log_prob(mixture, sample.x)
        r = posterior(joint, sample.weights)[0]
        log_p = joint - jnp.log(mixture.weights)[:, None]
        halves, gain = _splits(split_key, mixture, log_p, r, sample, ridge, kernel, tries, steps)
        pairs = _drawn_pairs(pair_key, gain - _losses(mixture, r, sample.weights)[:, None], n_moves)
        return jax.vmap(lambda gone, split: _moved(mixture, trees.map(lambda a: a[split], halves), gone, split))(*pairs)

    return jax.lax.map(all_from, (mixtures, numbers))


def _losses(mixture: Mixture, r: Float[Array, "k b"], w: Float[Array, " b"]) -> Float[Array, " k"]:
    """What the log-likelihood would lose at once without each component, others as they are."""
    # A row's log-density changes by log(1 − r_kn), and all by −log(1 − π_k) as weights are shared out anew.
    limit = 1 - jnp.finfo(r.dtype).eps
    share = jnp.minimum(r / jnp.maximum(w, jnp.finfo(r.dtype).tiny), limit)
    return jnp.sum(w) * jnp.log1p(-jnp.minimum(mixture.weights, limit)) - jnp.sum(w * jnp.log1p(-share), axis=1)


def _splits(
    key: Key[Array, ""], mixture: Mixture, log_p: Float[Array, "k b"], r: Float[Array, "k b"], sample: Sample,
    ridge: Root, kernel: str, tries: int, steps: int,
) -> tuple[Mixture, Float[Array, " k"]]:  # fmt: skip
    """Every component as a mixture of two, (k, 2), fitted to its own rows; and what their log-likelihood gains."""
    weights_of_half = jnp.full(2, 0.5, r.dtype)

    def tried(key: Key[Array, ""], which: Int[Array, ""]) -> tuple[Mixture, Array]:
        w = r[which]
        own = replace(sample, weights=w, total_weight=jnp.sum(w))
        rows = sample.x.T[jax.random.categorical(key, jnp.log(w), shape=(2,))]
        both = mixture.components.picked(jnp.stack([which, which]))
        apart: Any = replace(both, means=0.5 * (both.means + rows))  # type: ignore[type-var]
        start = Mixture(weights_of_half, apart)

        def step(_: Int[Array, ""], carry: Any) -> Any:
            pair = carry[1]
            statistics = e_step(pair, own, kernel=kernel, chunk=own.n_slots)
            return pair, m_step(pair, statistics, ridge), statistics.log_likelihood

        # One step more than is kept: it is what tells the log-likelihood of the pair before.
        pair, _, reached = jax.lax.fori_loop(0, steps + 1, step, (start, start, jnp.zeros((), r.dtype)))
        gain = reached - jnp.sum(w * log_p[which])
        return pair, jnp.where(jnp.isfinite(gain), gain, -jnp.inf)

    def best(key: Key[Array, ""], which: Int[Array, ""]) -> tuple[Mixture, Array]:
        pairs, gains = jax.vmap(lambda key: tried(key, which))(jax.random.split(key, tries))
        first = jnp.argmax(gains)
        return trees.map(lambda leaf: leaf[first], pairs), gains[first]

    k = mixture.n_components
    return jax.vmap(best)(jax.random.split(key, k), jnp.arange(k))


def _drawn_pairs(
    key: Key[Array, ""], promise: Float[Array, "k k"], n: int
) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """`n` pairs (gone, split) by what they promise: each with a chance of one over its place among all pairs."""
    k = promise.shape[0]
    promise = jnp.where(jnp.eye(k, dtype=bool), -jnp.inf, promise).ravel()
    place = jnp.argsort(jnp.argsort(-promise))
    chances = jnp.where(promise > -jnp.inf, -jnp.log1p(place.astype(promise.dtype)), -jnp.inf)
    # Gumbel top-k: no pair twice, unless there are fewer.
    noisy = chances + jax.random.gumbel(key, chances.shape, chances.dtype)
    drawn = jnp.argsort(-noisy)[jnp.arange(n) % (k * (k - 1))]
    return drawn // k, drawn % k


def _moved(mixture: Mixture, halves: Mixture, gone: Int[Array, ""], split: Int[Array, ""]) -> Mixture:
    slots = jnp.stack([gone, split])
    weights = mixture.weights.at[slots].set(mixture.weights[split] * halves.weights)
    return Mixture(weights / jnp.sum(weights), mixture.components.placed(slots, halves.components))
