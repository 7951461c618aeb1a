"""The device's side of many data sets: what `loop` does for one, mapped over a batch of them.

Nothing is said twice here. Data sets are one more axis before restarts: `vmap` then makes of every product with rows
one product per data set, wide enough as all restarts of the data set share it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from jaxgmm.drivers import EM
from jaxgmm.em import log_prior
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.typing import Array, Bool, Float, Int, UInt
from jaxgmm.many.packing import Buffers, Layout
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Sample
from jaxgmm.rows.host_rows import HostRows
from jaxgmm.run import loop
from jaxgmm.run.loop import Controls, Pool
from jaxgmm.starts.methods import RESPONSIBILITIES, each_fitted
from jaxgmm.starts.revival import Surroundings

_DRIVER = EM()


@trees.register_dataclass
@dataclass(frozen=True)
class Posed:
    """Data sets in coordinates of their own, leading axis p; see `problem.Problem`.

    Attributes:
        seeds: (p, s), the numbers of the rows that starts are picked from; None for all of them.
        sample: (p, s), the same for components that are put elsewhere.
        key: (p, 2), the words of their keys.
    """

    rows: Sample
    penalty: Penalty
    floor: Float[Array, "p d"]
    centre: Float[Array, "p d"]
    spread: Float[Array, "p d"]
    seeds: Int[Array, "p s"] | None
    sample: Int[Array, "p s"] | None
    key: UInt[Array, "p 2"]

    def surroundings(self, i: int) -> Surroundings:
        """What collapsed components of data set `i` are revived from; of NumPy's arrays."""
        x, w = np.asarray(self.rows.x[i], np.float64), np.asarray(self.rows.weights[i], np.float64)
        index = np.flatnonzero(w) if self.sample is None else self.sample[i][w[self.sample[i]] > 0]
        centre, spread = np.asarray(self.centre[i], np.float64), np.asarray(self.spread[i], np.float64)
        return Surroundings(HostRows.of(x[:, index], w[index]), centre, spread)


def _controls(shared: Controls, posed: Posed) -> Controls:
    """What steers one data set, from what steers all."""
    return replace(shared, penalty=posed.penalty, floor=posed.floor, key=posed.key)


def _sampled(rows: Sample, index: Int[Array, " s"] | None) -> Sample:
    if index is None:
        return rows
    return replace(rows.take(index), n_rows=jnp.minimum(rows.n_rows, index.shape[0]))


@partial(compiled, static_argnames=("kind", "family", "n_components"))
def fitted_each(kind: str, posed: Posed, operands: Any, family: type[Family], n_components: int) -> Mixture:
    """Starts from responsibilities, leading axes p, r.

    Args:
        kind: "given" for labels, (p, r, m), of the rows that starts are picked from; "drawn" for random ones of all
            rows, with the words of their keys, (p, r, 2).
    """

    def one(posed: Posed, operands: Array) -> Mixture:
        rows = _sampled(posed.rows, posed.seeds) if kind == "given" else posed.rows
        return each_fitted(RESPONSIBILITIES[kind], operands, rows, family, n_components, posed.penalty)

    return jax.vmap(one)(posed, operands)


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
def restart_each(
    posed: Posed, pool: Buffers, members: Int[Array, "p b"], mixtures: Mixture, lenient: Bool[Array, "p b"],
    shared: Controls, kernel: str, layout: Layout,
) -> Buffers:  # fmt: skip
    """The restarts in `members` set going again; see `loop.restart`. The pool is packed by `layout`."""

    def one(posed: Posed, pool: Pool, members: Array, mixtures: Mixture, lenient: Array) -> Pool:
        controls = _controls(shared, posed)
        return loop.restart(_DRIVER, pool, members, mixtures, lenient, posed.rows, controls, kernel)

    return layout.pack(jax.vmap(one)(posed, layout.unpack(pool), members, mixtures, lenient))


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
