"""The E-step and the M-step: the readable heart.

`e_step` visits the rows once and returns sufficient statistics, by one of the `KERNELS`; `m_step` turns them into
the next mixture. Both are pure, and follow the dtype of their inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import add
from typing import Any

import numpy as np

from jaxgmm.em.kernels import KERNELS, Gathered, Kernel
from jaxgmm.em.penalty import Pinned
from jaxgmm.em.responsibilities import Assign
from jaxgmm.em.statistics import SufficientStatistics
from jaxgmm.families.base import Conjugate, Root
from jaxgmm.families.gaussian import filled_like, positive
from jaxgmm.families.namespace import namespace, quiet, xlogy
from jaxgmm.inputs import forking, trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture import Mixture, posterior
from jaxgmm.rows import CellSums, Chunk, Compensated, Rows, chunk_size
from jaxgmm.rows.frames import Frame


def pass_chunk(mixture: Mixture, rows: Rows, kernel: str) -> int:
    """The chunk size for a pass of all of `mixture`'s restarts together."""
    batch = mixture.weights.size // mixture.weights.shape[-1]
    return chunk_size(KERNELS[kernel].elements(mixture.components, batch), rows.n_slots, rows.on_host)


def e_step(
    mixture: Mixture, rows: Rows, *, kernel: str = "centred", chunk: int | None = None, assign: Assign = posterior
) -> SufficientStatistics:
    """One pass: the statistics of all rows under `mixture`'s responsibilities.

    Args:
        mixture: one mixture, or restarts along leading axes; restarts share every read of the rows.
        rows: where the rows are.
        kernel: one of `KERNELS`.
        chunk: rows at a time; chosen from the shapes by default.
        assign: from joint log-probabilities, weights and possible components to responsibilities and what each row adds
            to the objective; by default `mixture.posterior`, with which that is the log-likelihood. See
            `em.responsibilities`.

    Returns:
        Statistics with the mixture's leading axes, about `mixture` itself.
    """
    if not rows.on_host:
        forking.check()
    road = KERNELS[kernel]
    chunk = pass_chunk(mixture, rows, kernel) if chunk is None else chunk

    def one(mixture: Mixture) -> SufficientStatistics:
        begun = road.begin(mixture)
        sums = rows.total_by_cell(_Local(road), (begun, assigning), chunk)
        total = sums.total
        found: Gathered = total.rest
        xp = namespace(found.counts)
        statistics = SufficientStatistics(
            log_likelihood=sums.value.log_likelihood,
            log_likelihood_error=sums.error.log_likelihood,
            total_weight=xp.broadcast_to(total.total_weight, found.counts.shape[:-1]),
            counts=found.counts,
            moments=road.end(begun, found.moments),
            conditioning=_conditioning(mixture, found),
        )
        if rows.on_host:  # where all is in one dtype
            return statistics
        return trees.map(lambda leaf: leaf.astype(mixture.weights.dtype, copy=False), statistics)

    if rows.on_host:
        assigning = assign
        return quiet(one)(mixture)
    mixture = trees.map(jnp.asarray, mixture)  # NumPy's would be computed with in NumPy
    # What a pass needs goes with it: a driver's own numbers too.
    assigning = assign if isinstance(assign, jax.tree_util.Partial) else jax.tree_util.Partial(assign)
    for _ in range(mixture.weights.ndim - 1):
        one = jax.vmap(one)
    return one(mixture)


@dataclass(frozen=True)
class _Local(CellSums):
    """A kernel as rows see it; the operand is what `Kernel.begin` made, and how responsibilities are assigned."""

    road: Kernel

    def localise(self, operand: tuple[Any, Assign], frame: Frame) -> tuple[Any, Assign]:
        begun, assign = operand
        return self.road.localise(begun, frame), assign

    def chunk(self, prepared: tuple[Any, Assign], some: Chunk) -> Any:
        localised, assign = prepared
        return self.road.chunk(localised, some, assign)

    def gather(self, prepared: tuple[Any, Assign], sums: Compensated[Any]) -> Compensated[Any]:
        return self.road.gather(prepared[0], sums)


def _conditioning(mixture: Mixture, found: Gathered) -> Float[Array, "*r"]:
    """The largest κ of a component, each cell counting by how many of its rows lie there."""
    xp = namespace(mixture.weights, found.counts)
    each = xp.where(found.counts > 0, found.lost / positive(found.counts), 0.0)
    return xp.max(xp.where(mixture.weights == 0, 0.0, xp.maximum(each, found.unseen)), axis=-1)


@quiet
def m_step(
    mixture: Mixture, statistics: SufficientStatistics, ridge: Root, prior: Conjugate | None = None,
    pinned: Pinned | None = None,
) -> Mixture:  # fmt: skip
    """The mixture that maximises Q, plus the logarithm of `prior` (Dempster, Laird & Rubin 1977); or raises it.

    Arrays of NumPy alone give arrays of NumPy.

    Args:
        mixture: the mixture whose responsibilities made the statistics; of JAX unbatched (use `jax.vmap`).
        statistics: what `e_step` returned for it.
        ridge: a root of what is added to each covariance: (d,), or lower triangular (d, d) for full and tied.
        prior: what the parameters are known to be near, as pseudo-statistics added to those of the rows.
        pinned: parameters that stay as they are, and are so in `mixture`: then Q is maximal over the others.
    """
    components, counts, moments = mixture.components, statistics.counts, statistics.moments
    xp = namespace(mixture.weights, components.means, counts)
    if xp is jnp:
        forking.check()
    shares = counts
    if prior is not None:
        pseudo_counts, pseudo_moments = components.pseudo(prior)
        shares = counts + (prior.concentration - 1)
        counts, moments = counts + pseudo_counts, trees.map(add, moments, pseudo_moments)
    if pinned is not None:
        moments = components.about_means(moments, pinned.means)
    moved = components.improve(counts, moments, ridge)
    # What has no weight has no rows to go by, and stays as it is.
    kept = moved.with_replaced(mixture.weights == 0, components)
    new = Mixture(shares / xp.sum(shares, axis=-1, keepdims=True), kept)
    return new if pinned is None else pinned.within(new)


def log_prior(mixture: Mixture, prior: Conjugate) -> Float[Array, "*r"]:
    """log p(θ) under `prior`, in nats, up to a constant: Q of its pseudo-statistics."""
    components = mixture.components
    counts, moments = components.pseudo(prior)
    weights = namespace(mixture.weights).sum(xlogy(prior.concentration - 1, mixture.weights), axis=-1)
    return weights + components.expected_log_prob(counts, moments, components)


def expected_log_likelihood(
    mixture: Mixture, statistics: SufficientStatistics, other: Mixture, ridge: Root
) -> Float[Array, ""]:
    """Q(other; S(mixture)) = Σ_n Σ_k r_kn log π'_k p(x_n | other_k), less the ridge's price, in nats."""
    forking.check()
    counts = statistics.counts
    weights = jnp.sum(jax.scipy.special.xlogy(counts, other.weights))
    rows = mixture.components.expected_log_prob(counts, statistics.moments, other.components)
    return weights + rows - 0.5 * jnp.sum(counts * other.components.ridge_trace(ridge))


Assignment = Callable[[Any, Chunk], Float[Array, "k b"]]


def statistics_of(
    mixture: Mixture, rows: Rows, responsibilities: Assignment, operand: Any, chunk: int
) -> SufficientStatistics:
    """Statistics about `mixture` under *given* responsibilities: labels, guesses, nearest centres.

    Args:
        responsibilities: from `operand` and a chunk of rows to r, (k, b).
        operand: what they follow from, as `Rows.total` has it.
    """

    def sums(held: tuple[Mixture, Any], some: Chunk) -> Any:
        mixture, operand = held
        r = responsibilities(operand, some) * some.weights
        xp = namespace(r)
        return xp.sum(some.weights), xp.sum(r, axis=-1), mixture.components.moments(some.x, r)

    weight, counts, moments = rows.total(sums, (mixture, operand), chunk).total
    unknown = filled_like(weight, np.nan)
    return SufficientStatistics(unknown, unknown, weight, counts, moments, unknown)
