"""The device's side of many starts: a block of steps of the whole batch.

A block is a `lax.while_loop` over steps in which finished restarts are frozen. What steers it is traced, so that new
values compile nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.drivers import Driver, State
from jaxgmm.em import EStep, Penalty, pass_chunk
from jaxgmm.em.passes import trusted
from jaxgmm.em.responsibilities import Assign
from jaxgmm.families.namespace import namespace
from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import wrapped
from jaxgmm.inputs.typing import Array, Bool, Float, Int, UInt
from jaxgmm.mixture import Mixture, posterior
from jaxgmm.rows import Rows
from jaxgmm.rows.folds import without
from jaxgmm.run.identity import Tags, n_rows, total_weight
from jaxgmm.run.soundness import Faults, faults
from jaxgmm.run.status import Status
from jaxgmm.run.stopping import Progress, settled

#: the most steps in a block
BLOCK_STEPS = 32


@trees.register_dataclass
@dataclass(frozen=True)
class Controls:
    """What steers the loop. All but the last two are traced, so that changing them does not recompile.

    Attributes:
        tol, max_iter: when a restart has ended.
        penalty: the ridge, and the prior and what is pinned if there are any.
        floor: (d,), the width at which a component on a handful of rows is nothing but ridge.
        key: the words of the key that drivers draw from.
        keep_degenerate: whether restarts go on with collapsed components.
        criterion: what `tol` is compared with, one of `stopping.CRITERIA`.
        halvings: how often chunks have been halved to fit in memory.
    """

    tol: Float[Array, ""]
    max_iter: Int[Array, ""]
    penalty: Penalty
    floor: Float[Array, " d"]
    key: UInt[Array, " 2"]
    keep_degenerate: Bool[Array, ""]
    criterion: str = field(default="log_likelihood", metadata={"static": True})
    halvings: int = field(default=0, metadata={"static": True})


@trees.register_dataclass
@dataclass(frozen=True)
class Pool:
    """All restarts, leading axis r.

    Attributes:
        state: what drivers know.
        status, n_iter: how each fares.
        conditioning: the largest κ that its last step asked about, taken or refused.
        collapsed: (r, k), the components that a restart was stopped for.
        lenient: which may go on with a component on a handful of rows.
        progress: their gains.
        tags: what stays the same.
    """

    state: State
    status: Int[Array, " r"]
    n_iter: Int[Array, " r"]
    conditioning: Float[Array, " r"]
    collapsed: Bool[Array, "r k"]
    lenient: Bool[Array, " r"]
    progress: Progress
    tags: Tags

    def renewed(self, state: State) -> Pool:
        """These restarts with what they know of the rows read anew."""
        return replace(self, state=state, conditioning=state.conditioning)

    def revived(self, fresh: Pool) -> Pool:
        """`fresh`, which begin where these restarts go on: steps and passes count on."""
        passes = fresh.state.passes + self.state.passes
        return replace(fresh, n_iter=self.n_iter, state=replace(fresh.state, passes=passes))


def _stepper(
    rows: Rows, kernel: str, mixtures: Mixture, controls: Controls, assign: Assign, limit: Any = np.inf
) -> Callable[[Any], EStep]:
    """From the fold that a restart does not see to its E-step."""
    chunk = max(1, pass_chunk(mixtures, rows, kernel) >> controls.halvings)
    return lambda fold: EStep(without(rows, fold), kernel, chunk, assign, limit)


def assign_of(driver: Driver) -> Assign:
    """`driver.assign` as a pytree, whose numbers go with a pass."""
    return jax.tree_util.Partial(type(driver).assign, driver)


@partial(compiled, static_argnames="kernel")
def start(
    driver: Driver, starts: Mixture, rows: Rows, controls: Controls, kernel: str,
    lenient: Bool[Array, " r"] | None = None, tags: Tags | None = None,
) -> Pool:  # fmt: skip
    """All restarts at their starts, after one pass."""
    tags = Tags.plain(starts) if tags is None else tags
    batch = driver.rows(rows, wrapped(controls.key), jnp.zeros((), jnp.int32))
    estep = _stepper(batch, kernel, starts, controls, assign_of(driver))
    state = jax.vmap(lambda mixture, fold: driver.init(mixture, estep(fold), controls.penalty))(starts, tags.fold)
    return begun(state, rows, controls, lenient, tags)


def begun(state: State, rows: Rows, controls: Controls, lenient: Bool[Array, " r"] | None, tags: Tags) -> Pool:
    """All restarts after their first pass; of JAX or NumPy."""
    xp = namespace(state.log_likelihood)
    ended = controls.max_iter <= 0
    if lenient is None:
        lenient = xp.broadcast_to(controls.keep_degenerate | ended, tags.number.shape)
    found = found_in(state, lenient, tags, rows, controls)
    status = xp.where((found.status == Status.RUNNING) & ended, int(Status.MAX_ITER), found.status)
    status = status.astype(xp.int32)
    zero, progress = xp.zeros_like(status), Progress.none(state.log_likelihood)
    return Pool(state, status, zero, state.conditioning, found.collapsed, lenient, progress, tags)


def found_in(state: State, lenient: Any, tags: Tags, rows: Rows, controls: Controls) -> Faults:
    """What is wrong with restarts, leading axis r; see `soundness.faults`."""
    check = partial(faults, floor=controls.floor, keep=controls.keep_degenerate, pinned=controls.penalty.pinned)
    seen = n_rows(rows, tags)
    if rows.on_host:
        return check(state.mixture, state.log_likelihood, lenient, n_rows=seen, present=tags.present)
    return jax.vmap(check)(state.mixture, state.log_likelihood, lenient, n_rows=seen, present=tags.present)


@partial(compiled, static_argnames="kernel")
def block(
    driver: Driver, pool: Pool, members: Int[Array, " b"], rows: Rows, controls: Controls, first: Int[Array, ""],
    steps: Int[Array, ""], limit: Float[Array, ""], kernel: str,
) -> tuple[Pool, Float[Array, "2 s b"]]:  # fmt: skip
    """Up to `steps` steps of the restarts in `members`; numbers past the pool's end are empty places.

    A step that asked about a mixture conditioned worse than `limit` is not taken: the kernel could not be trusted
    there. Its restart waits where it was, with the offending conditioning on record, for a block with another kernel.
    """
    n = pool.status.shape[0]
    group = taken(pool, members)
    group_status = jnp.where(members < n, group.status, Status.MAX_ITER)
    trace = jnp.full((2, BLOCK_STEPS, members.shape[0]), jnp.nan, group.state.log_likelihood.dtype)
    tags, weight = group.tags, total_weight(rows, group.tags)

    def step(carry: Any) -> Any:
        i, now, trace = carry
        batch = driver.rows(rows, wrapped(controls.key), first + i + 1)
        estep = _stepper(batch, kernel, now.state.mixture, controls, assign_of(driver), limit)
        new = jax.vmap(lambda s, fold: driver.step(s, estep(fold), controls.penalty))(now.state, tags.fold)
        after, values = advanced(driver, now, new, rows, controls, limit, weight)
        return i + 1, after, trace.at[:, i].set(values)

    first_carry = (jnp.zeros((), jnp.int32), replace(group, status=group_status), trace)
    busy = lambda carry: (carry[0] < steps) & jnp.any(moving(carry[1], limit))  # noqa: E731
    _, done, trace = jax.lax.while_loop(busy, step, first_carry)
    return put(pool, members, done), trace


def moving(now: Pool, limit: Float[Array, ""]) -> Bool[Array, " r"]:
    """Which restarts take steps by a kernel that is trusted up to `limit`."""
    return (now.status == Status.RUNNING) & ~(now.conditioning > limit)


def advanced(
    driver: Driver, now: Pool, new: State, rows: Rows, controls: Controls, limit: Float[Array, ""],
    weight: Float[Array, " r"],
) -> tuple[Pool, Float[Array, "2 r"]]:  # fmt: skip
    """The verdict on one step of every restart, to `new`; and where those stand that took it. Of JAX or NumPy."""
    old, tags, xp = now.state, now.tags, namespace(new.log_likelihood)
    found = found_in(new, now.lenient, tags, rows, controls)
    kappa, running = new.conditioning, moving(now, limit)
    # Before any verdict: a kernel that cannot be trusted there cannot tell a fault from its own rounding either.
    refused = running & ~trusted(kappa, limit)
    accepted = running & ~refused & (found.status == Status.RUNNING)
    faulty = running & ~refused & (found.status != Status.RUNNING)

    gain = _gain(old, new) / weight
    n_iter = (now.n_iter + accepted).astype(now.n_iter.dtype)
    ended = xp.where(n_iter >= controls.max_iter, int(Status.MAX_ITER), int(Status.RUNNING))
    progress = now.progress.after(gain)
    if not driver.stochastic:
        rounding = progress.rounding(new.log_likelihood / weight) & (controls.tol > 0)
        done = settled(controls.criterion, controls.tol, gain, now.progress.gain, old.mixture, new.mixture)
        ended = xp.where(rounding, int(Status.ROUNDING), ended)
        ended = xp.where(done, int(Status.CONVERGED), ended)
    status = xp.where(accepted, ended, xp.where(faulty, found.status, now.status)).astype(now.status.dtype)
    state = where(accepted, new, old)
    values = xp.stack([state.log_likelihood, state.log_likelihood_error])
    after = Pool(
        state=state,
        status=status,
        n_iter=n_iter,
        conditioning=xp.where(running & ~faulty, xp.where(xp.isnan(kappa), xp.inf, kappa), now.conditioning),
        collapsed=where(faulty, found.collapsed, now.collapsed),
        lenient=now.lenient,
        progress=where(accepted, progress, now.progress),
        tags=tags,
    )
    return after, xp.where(accepted, values, xp.nan)


@partial(compiled, static_argnames="kernel")
def renew(
    driver: Driver, pool: Pool, members: Int[Array, " b"], rows: Rows, controls: Controls, kernel: str
) -> Pool:  # fmt: skip
    """The restarts in `members` where they stand, with statistics by another kernel: one pass.

    Where a component is about to become far tighter, what the fast kernel has seen of it is mostly rounding.
    """
    group = taken(pool, members)
    batch = driver.rows(rows, wrapped(controls.key), jnp.zeros((), jnp.int32))
    estep = _stepper(batch, kernel, group.state.mixture, controls, assign_of(driver))
    state = jax.vmap(lambda s, fold: driver.renewed(s, estep(fold), controls.penalty))(group.state, group.tags.fold)
    return put(pool, members, group.renewed(state))


@partial(compiled, static_argnames="kernel")
def restart(
    driver: Driver, pool: Pool, members: Int[Array, " b"], mixtures: Mixture, lenient: Bool[Array, " b"], rows: Rows,
    controls: Controls, kernel: str,
) -> Pool:  # fmt: skip
    """The restarts in `members` set going again from `mixtures`, one for each; numbers past the end are empty places.

    Nothing is known of the new mixtures' conditioning: `kernel` must be one that holds at any.
    """
    group = taken(pool, members)
    fresh = start(driver, mixtures, rows, controls, kernel, lenient, group.tags)
    return put(pool, members, group.revived(fresh))


def _gain(old: State, new: State) -> Float[Array, " r"]:
    """What the objective rose by: differences of each part first, as the sums may be resolved less finely."""
    value = (new.log_likelihood - old.log_likelihood) + (new.log_likelihood_error - old.log_likelihood_error)
    return value + (new.log_prior - old.log_prior)


def where(chosen: Bool[Array, " r"], new: Any, old: Any) -> Any:
    """`new` for the chosen restarts, `old` for the others."""
    xp = namespace(chosen)
    if xp is np and chosen.all():
        return new
    return trees.map(lambda a, b: xp.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


def taken(pool: Pool, members: Int[Array, " b"]) -> Pool:
    """The restarts in `members`; numbers past the end repeat the last."""
    return trees.map(lambda leaf: leaf.at[members].get(mode="clip"), pool)


def put(pool: Pool, members: Int[Array, " b"], group: Pool) -> Pool:
    """`pool` with `group` in the places of `members`; numbers past the end go nowhere."""
    return trees.map(lambda old, new: old.at[members].set(new, mode="drop"), pool, group)


@partial(compiled, static_argnames="kernel")
def evaluate(mixtures: Mixture, rows: Rows, controls: Controls, kernel: str) -> tuple[Array, Array]:
    """Log-likelihoods of all rows under each mixture, as (value, error)."""
    statistics = _stepper(rows, kernel, mixtures, controls, posterior)(None)(mixtures)
    return statistics.log_likelihood, statistics.log_likelihood_error


#: `where`, compiled
either = compiled(where)
