"""The device's side of many starts: a block of steps of the whole batch.

A block is a `lax.while_loop` over steps in which finished restarts are frozen. What steers it is traced, so that new
values compile nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxgmm.drivers import Driver, State
from jaxgmm.em import e_step, pass_chunk
from jaxgmm.families.base import Root
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows
from jaxgmm.status import Status

#: the most steps in a block
BLOCK_STEPS = 32


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Controls:
    """What steers the loop: traced, so that changing it does not recompile."""

    tol: Float[Array, ""]
    max_iter: Int[Array, ""]
    ridge: Root
    key: Key[Array, ""]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pool:
    """All restarts, leading axis r."""

    state: State
    status: Int[Array, " r"]
    n_iter: Int[Array, " r"]
    conditioning: Float[Array, " r"]


def _soundness(mixture: Mixture, log_likelihood: Float[Array, ""]) -> Int[Array, ""]:
    """RUNNING where the mixture is sound, else what is wrong with it."""
    weightless = jnp.min(mixture.weights) <= 10 * jnp.finfo(mixture.weights.dtype).eps
    # Collapse leaves the means finite and the factors not; anything else that is not finite is another fault.
    lost = ~jnp.all(jnp.isfinite(mixture.means)) | ~jnp.all(jnp.isfinite(mixture.weights))
    collapsed = weightless | mixture.components.degenerate()
    fault = jnp.where(collapsed, Status.DEGENERATE, Status.RUNNING)
    infinite = ~jnp.isfinite(log_likelihood) & ~collapsed
    return jnp.where(lost | infinite, Status.NON_FINITE, fault).astype(jnp.int32)


def _stepper(rows: Rows, kernel: str, mixtures: Mixture) -> Callable[[Mixture], Any]:
    return partial(e_step, rows=rows, kernel=kernel, chunk=pass_chunk(mixtures, rows, kernel))


@partial(jax.jit, static_argnames="kernel")
def start(driver: Driver, starts: Mixture, rows: Rows, controls: Controls, kernel: str) -> Pool:
    batch = driver.rows(rows, controls.key, jnp.zeros((), jnp.int32))
    estep = _stepper(batch, kernel, starts)
    state = jax.vmap(lambda mixture: driver.init(mixture, estep, controls.ridge))(starts)
    status = jax.vmap(_soundness)(starts, state.log_likelihood)
    status = jnp.where((status == Status.RUNNING) & (controls.max_iter <= 0), Status.MAX_ITER, status)
    return Pool(state, status, jnp.zeros_like(status), conditioning_of(starts))


@jax.jit
def conditioning_of(mixtures: Mixture) -> Float[Array, " r"]:
    return jax.vmap(lambda mixture: mixture.components.conditioning())(mixtures)


@partial(jax.jit, static_argnames="kernel", donate_argnames="pool")
def block(
    driver: Driver, pool: Pool, members: Int[Array, " b"], rows: Rows, controls: Controls, first: Int[Array, ""],
    steps: Int[Array, ""], limit: Float[Array, ""], kernel: str,
) -> tuple[Pool, Float[Array, "2 s b"]]:  # fmt: skip
    """Up to `steps` steps of the restarts in `members`; numbers past the pool's end are empty places.

    A step to a mixture conditioned worse than `limit` is not taken: the kernel could not be trusted there. Its restart
    waits where it was, with the offending conditioning on record, for a block with the other kernel.
    """
    n = pool.status.shape[0]
    group = jax.tree.map(lambda leaf: leaf.at[members].get(mode="clip"), pool)
    group_status = jnp.where(members < n, group.status, Status.MAX_ITER)
    trace = jnp.full((2, BLOCK_STEPS, members.shape[0]), jnp.nan, group.state.log_likelihood.dtype)

    def moving(now: Pool) -> Array:
        return (now.status == Status.RUNNING) & ~(now.conditioning > limit)

    def step(carry: Any) -> Any:
        i, now, trace = carry
        state = now.state
        batch = driver.rows(rows, controls.key, first + i + 1)
        estep = _stepper(batch, kernel, state.mixture)
        new = jax.vmap(lambda s: driver.step(s, estep, controls.ridge))(state)
        fault = jax.vmap(_soundness)(new.mixture, new.log_likelihood)
        conditioning = conditioning_of(new.mixture)
        running = moving(now)
        accepted = running & (fault == Status.RUNNING) & ~(conditioning > limit)
        faulty = running & (fault != Status.RUNNING)
        gain = (new.log_likelihood - state.log_likelihood) + (new.log_likelihood_error - state.log_likelihood_error)
        keep = lambda a, b: jnp.where(accepted.reshape(-1, *[1] * (a.ndim - 1)), a, b)  # noqa: E731
        state = jax.tree.map(keep, new, state)
        n_iter = now.n_iter + accepted
        ended = jnp.where(n_iter >= controls.max_iter, Status.MAX_ITER, Status.RUNNING)
        if not driver.stochastic:
            ended = jnp.where(jnp.abs(gain) < controls.tol * rows.total_weight, Status.CONVERGED, ended)
        status = jnp.where(accepted, ended, jnp.where(faulty, fault, now.status)).astype(now.status.dtype)
        conditioning = jnp.where(running & ~faulty, conditioning, now.conditioning)
        values = jnp.stack([state.log_likelihood, state.log_likelihood_error])
        trace = trace.at[:, i].set(jnp.where(accepted, values, jnp.nan))
        return i + 1, Pool(state, status, n_iter, conditioning), trace

    first_carry = (jnp.zeros((), jnp.int32), replace(group, status=group_status), trace)
    busy = lambda carry: (carry[0] < steps) & jnp.any(moving(carry[1]))  # noqa: E731
    _, done, trace = jax.lax.while_loop(busy, step, first_carry)
    return jax.tree.map(lambda old, new: old.at[members].set(new, mode="drop"), pool, done), trace


@partial(jax.jit, static_argnames="kernel")
def evaluate(mixtures: Mixture, rows: Rows, kernel: str) -> tuple[Array, Array]:
    statistics = e_step(mixtures, rows, kernel=kernel)
    return statistics.log_likelihood, statistics.log_likelihood_error
