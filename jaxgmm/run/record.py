"""What a run of many restarts says: while it goes, and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxgmm.mixture import Mixture
from jaxgmm.race.plan import Round
from jaxgmm.run.status import SOUND, Status


@dataclass(frozen=True)
class BlockInfo:
    """What `on_block` hears after every block. If it returns True the fit ends there, with what it has.

    Attributes:
        block: how many blocks are done.
        n_iter: the most steps that a restart has taken.
        max_iter: their limit.
        n_restarts, n_active: restarts in all, and still running; in a race those of the batch at hand.
        best: the highest mean log-likelihood so far among sound restarts, nats per row.
        rows: restart-rows read so far: the sum over restarts of the rows they read.
    """

    block: int
    n_iter: int
    max_iter: int
    n_restarts: int
    n_active: int
    best: float
    rows: float

    @classmethod
    def of(cls, host: Any) -> BlockInfo:
        """What is to be told of the host's side of a run; see `restarts`."""
        running = host.status == Status.RUNNING
        sound = running | np.isin(host.status, SOUND)
        return cls(
            block=host.block,
            n_iter=int(np.max(host.pool.n_iter)),
            max_iter=host.max_iter,
            n_restarts=host.n,
            n_active=int(np.sum(running)),
            best=float(np.max(host.current(), where=sound, initial=-np.inf)),
            rows=float(np.sum(host.passes()) * host.n_rows),
        )


@dataclass
class Run:
    """Where the restarts ended; arrays over r, log-likelihoods in float64.

    `remaining` is what is predicted still to be gained, in nats, NaN where that is unknown; `cut_short` says why if the
    run was ended from outside; `moves` and `rounds` are those of a race.
    """

    mixtures: Mixture
    log_likelihood: Any
    status: Any
    n_iter: Any
    passes: Any
    kernel: Any
    revivals: Any
    remaining: Any
    history: Any
    cut_short: Status | None = None
    moves: Any = 0
    rounds: tuple[Round, ...] = ()

    def first(self, n: int) -> Run:
        """Of the first `n` restarts."""
        arrays = ("log_likelihood", "status", "n_iter", "passes", "kernel", "revivals", "remaining", "history")
        kept = {name: getattr(self, name)[:n] for name in arrays}
        return replace(self, mixtures=jax.tree.map(lambda leaf: leaf[:n], self.mixtures), **kept)


def joined(runs: Sequence[Run]) -> Run:
    """Runs of other restarts of the same mixtures, one after the other, as one."""
    if len(runs) == 1:
        return runs[0]
    longest = max(run.history.shape[1] for run in runs)
    histories = [
        np.pad(run.history, ((0, 0), (0, longest - run.history.shape[1])), constant_values=np.nan) for run in runs
    ]
    arrays = ("log_likelihood", "status", "n_iter", "passes", "kernel", "revivals", "remaining")
    together: dict[str, Any] = {name: np.concatenate([getattr(run, name) for run in runs]) for name in arrays}
    return Run(
        mixtures=jax.tree.map(lambda *leaves: np.concatenate(leaves), *(run.mixtures for run in runs)),
        history=np.concatenate(histories),
        cut_short=next((run.cut_short for run in runs if run.cut_short), None),
        **together,
    )


class History:
    """Every restart's values in the order of its own steps, NaN where it has none; room doubles as it runs out."""

    def __init__(self, at_start: Any) -> None:
        self.values = np.asarray(at_start)[:, None]

    def write(self, restart: int | np.integer, place: int | np.integer, values: Any) -> None:
        """`values` of `restart` from step `place` on."""
        held, end = self.values.shape[1], place + len(values)
        if end > held:
            self.values = np.pad(self.values, ((0, 0), (0, max(end, 2 * held) - held)), constant_values=np.nan)
        self.values[restart, place:end] = values

    def until(self, length: int) -> Any:
        """The first `length` places, (r, length)."""
        return self.values[:, :length]
