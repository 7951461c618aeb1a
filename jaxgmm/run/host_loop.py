"""What `loop` does, in NumPy: for restarts on so few rows that no program is worth compiling.

Restarts are a leading axis of every array; all in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.drivers import Driver
from jaxgmm.em import EStep, pass_chunk
from jaxgmm.em.responsibilities import Assign
from jaxgmm.families.namespace import quiet, set_at
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Float, Int
from jaxgmm.mixture import Mixture, posterior
from jaxgmm.rows import Rows
from jaxgmm.rows.folds import without
from jaxgmm.run.identity import Tags, total_weight
from jaxgmm.run.loop import BLOCK_STEPS, Controls, Pool, advanced, begun, moving, where


def _estep(rows: Rows, tags: Tags | None, kernel: str, mixtures: Mixture, assign: Assign, limit: Any = np.inf) -> EStep:
    seen = rows if tags is None else without(rows, tags.fold)
    return EStep(seen, kernel, pass_chunk(mixtures, rows, kernel), assign, limit)


def _taken(pool: Pool, members: Int[np.ndarray, " b"]) -> Pool:
    """The restarts in `members`."""
    return trees.map(lambda leaf: leaf[members], pool)


def _put(pool: Pool, members: Int[np.ndarray, " b"], group: Pool) -> Pool:
    """`pool` with `group` in the places of `members`."""
    return trees.map(lambda old, new: set_at(old, members, new), pool, group)


class HostLoop:
    """The functions of `loop` by the same names."""

    either = staticmethod(where)

    @staticmethod
    @quiet
    def start(
        driver: Driver, starts: Mixture, rows: Rows, controls: Controls, kernel: str,
        lenient: Any = None, tags: Tags | None = None,
    ) -> Pool:  # fmt: skip
        """See `loop.start`."""
        tags = Tags.plain(starts) if tags is None else tags
        state = driver.init(starts, _estep(rows, tags, kernel, starts, driver.assign), controls.penalty)
        return begun(state, rows, controls, lenient, tags)

    @staticmethod
    @quiet
    def block(
        driver: Driver, pool: Pool, members: Int[np.ndarray, " b"], rows: Rows, controls: Controls, first: Any,
        steps: Int[Array, ""], limit: Float[Array, ""], kernel: str,
    ) -> tuple[Pool, Float[np.ndarray, "2 s b"]]:  # fmt: skip
        """See `loop.block`; a block ends early when half of its restarts have come to their ends."""
        chosen = members < len(pool.status)
        now = _taken(pool, members[chosen])
        weight, trace = total_weight(rows, now.tags), np.full((2, BLOCK_STEPS, len(members)), np.nan)
        estep = _estep(rows, now.tags, kernel, now.state.mixture, driver.assign, limit)
        busy = moving(now, limit)
        few = np.count_nonzero(busy) // 2
        for i in range(int(steps)):
            if not np.count_nonzero(busy) > (few if i else 0):
                break
            new = driver.step(now.state, estep, controls.penalty)
            now, trace[:, i, chosen] = advanced(driver, now, new, rows, controls, limit, weight)
            busy = moving(now, limit)
        return _put(pool, members[chosen], now), trace

    @staticmethod
    @quiet
    def renew(
        driver: Driver, pool: Pool, members: Int[np.ndarray, " b"], rows: Rows, controls: Controls, kernel: str
    ) -> Pool:
        """See `loop.renew`."""
        members = members[members < len(pool.status)]
        group = _taken(pool, members)
        estep = _estep(rows, group.tags, kernel, group.state.mixture, driver.assign)
        state = driver.renewed(group.state, estep, controls.penalty)
        return _put(pool, members, group.renewed(state))

    @staticmethod
    def restart(
        driver: Driver, pool: Pool, members: Int[np.ndarray, " b"], mixtures: Mixture, lenient: Any, rows: Rows,
        controls: Controls, kernel: str,
    ) -> Pool:  # fmt: skip
        """See `loop.restart`."""
        real = np.flatnonzero(members < len(pool.status))
        group = _taken(pool, members[real])
        own = trees.map(lambda leaf: leaf[real], mixtures)
        fresh = HostLoop.start(driver, own, rows, controls, kernel, lenient[real], group.tags)
        return _put(pool, members[real], group.revived(fresh))

    @staticmethod
    @quiet
    def evaluate(mixtures: Mixture, rows: Rows, controls: Controls, kernel: str) -> tuple[Any, Any]:
        """See `loop.evaluate`."""
        statistics = _estep(rows, None, kernel, mixtures, posterior)(mixtures)
        return statistics.log_likelihood, statistics.log_likelihood_error
