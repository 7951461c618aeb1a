"""The device's side of many data sets: what `loop` does for one, mapped over a batch of them.

Nothing is said twice here. Data sets are one more axis before restarts: `vmap` then makes of every product with rows
one product per data set, wide enough as all restarts of the data set share it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, UInt

from jaxgmm.drivers import EM
from jaxgmm.em import log_prior
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.typing import Array
from jaxgmm.many.packing import Buffers, Layout
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Sample
from jaxgmm.run import loop
from jaxgmm.run.loop import Controls, Pool
from jaxgmm.run.revival import Surroundings
from jaxgmm.run.revival import revive as revive_one
from jaxgmm.starts.methods import draw

_DRIVER = EM()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Posed:
    """Data sets in coordinates of their own, leading axis p; see `problem.Problem`.

    Attributes:
        seeds: (p, s), the numbers of the rows that starts are picked from; None for all of them.
        sample: (p, s), the same for components that are put elsewhere.
        key: (p, …), raw keys.
    """

    rows: Sample
    penalty: Penalty
    floor: Float[Array, "p d"]
    centre: Float[Array, "p d"]
    spread: Float[Array, "p d"]
    seeds: Int[Array, "p s"] | None
    sample: Int[Array, "p s"] | None
    key: UInt[Array, "p ..."]


def _controls(shared: Controls, posed: Posed) -> Controls:
    """What steers one data set, from what steers all; `shared.key` is any key of the same kind."""
    key = jax.random.wrap_key_data(posed.key, impl=jax.random.key_impl(shared.key))
    return replace(shared, penalty=posed.penalty, floor=posed.floor, key=key)


def _sampled(rows: Sample, index: Int[Array, " s"] | None) -> Sample:
    if index is None:
        return rows
    return replace(rows.take(index), n_rows=jnp.minimum(rows.n_rows, index.shape[0]))


@partial(compiled, static_argnames=("family", "n_components", "n_init", "method"))
def drawn(posed: Posed, shared: Controls, family: type[Family], n_components: int, n_init: int, method: str) -> Mixture:
    """Starts by a method's name, leading axes p, r."""

    def one(posed: Posed) -> Mixture:
        seeds, key = _sampled(posed.rows, posed.seeds), _controls(shared, posed).key
        return draw(
            key, posed.rows, seeds, family, n_components, n_init, method, posed.penalty, posed.centre, posed.spread
        )

    return jax.vmap(one)(posed)


@partial(compiled, static_argnames="kernel")
def start_each(posed: Posed, starts: Mixture, shared: Controls, kernel: str) -> Pool:
    """All restarts at their starts, after one pass; see `loop.start`."""
    return jax.vmap(lambda posed, starts: loop.start(_DRIVER, starts, posed.rows, _controls(shared, posed), kernel))(
        posed, starts
    )


@partial(compiled, static_argnames=("kernel", "layout"))
def block_each(
    posed: Posed, pool: Buffers, members: Int[Array, "p b"], shared: Controls, steps: Array, limit: Array,
    kernel: str, layout: Layout,
) -> Buffers:  # fmt: skip
    """A block of steps of the restarts in `members`; see `loop.block`. The pool is packed by `layout`."""

    def one(posed: Posed, pool: Pool, members: Array) -> Pool:
        controls, first = _controls(shared, posed), jnp.zeros((), jnp.int32)
        return loop.block(_DRIVER, pool, members, posed.rows, controls, first, steps, limit, kernel)[0]

    return layout.pack(jax.vmap(one)(posed, layout.unpack(pool), members))


@partial(compiled, static_argnames=("kernel", "layout"))
def renew_each(
    posed: Posed, pool: Buffers, members: Int[Array, "p b"], shared: Controls, kernel: str, layout: Layout
) -> Buffers:
    """The restarts in `members` with statistics by another kernel; see `loop.renew`. The pool is packed by `layout`."""

    def one(posed: Posed, pool: Pool, members: Array) -> Pool:
        return loop.renew(_DRIVER, pool, members, posed.rows, _controls(shared, posed), kernel)

    return layout.pack(jax.vmap(one)(posed, layout.unpack(pool), members))


@partial(compiled, static_argnames=("kernel", "layout"))
def revive_each(
    posed: Posed, pool: Buffers, members: Int[Array, "p b"], lives: Int[Array, "p b"], shared: Controls, kernel: str,
    layout: Layout,
) -> Buffers:  # fmt: skip
    """The collapsed restarts in `members` set going again; see `revival.revive`. The pool is packed by `layout`."""

    def one(posed: Posed, pool: Pool, members: Array, lives: Array) -> Pool:
        surroundings = Surroundings(_sampled(posed.rows, posed.sample), posed.centre, posed.spread)
        controls = _controls(shared, posed)
        return revive_one(_DRIVER, pool, members, lives, posed.rows, surroundings, controls, kernel)

    return layout.pack(jax.vmap(one)(posed, layout.unpack(pool), members, lives))


@compiled
def log_priors_each(posed: Posed, mixtures: Mixture) -> Array:
    """log p(θ) of each restart, (p, r)."""

    def one(posed: Posed, mixture: Mixture) -> Array:
        prior = posed.penalty.prior
        return jnp.zeros((), mixture.weights.dtype) if prior is None else log_prior(mixture, prior)

    return jax.vmap(jax.vmap(one, (None, 0)))(posed, mixtures)


@compiled
def moved(mixtures: Mixture, shift: Float[Array, "p d"], root: Float[Array, "p d"]) -> Mixture:
    """Mixtures (p, r) of rows x as mixtures of root · x + shift."""

    def one(mixture: Mixture, shift: Any, root: Any) -> Mixture:
        return Mixture(mixture.weights, mixture.components.affine(shift, root))

    return jax.vmap(one)(mixtures, shift, root)
