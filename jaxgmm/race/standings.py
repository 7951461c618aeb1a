"""Where every restart of a race stands, round after round."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.race.plan import Round
from jaxgmm.run.record import Run
from jaxgmm.run.status import SOUND, Status


class Standings:
    """What is known of `starts` (leading axis r); `runners` are numbers of restarts throughout."""

    def __init__(self, starts: Mixture) -> None:
        n = len(starts.weights)
        self.mixtures = at_rest(starts)  # picked from at every turn, for which nothing should be compiled
        self.moves, self.revivals = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self._log_likelihood = np.full(n, -np.inf)
        self._status = np.full(n, Status.RUNNING)
        self._kernel = np.full(n, "", dtype="<U16")
        self._n_iter = np.zeros(n, np.int64)
        self._passes, self._remaining = np.zeros(n), np.full(n, np.nan)
        self._history: list[list[Any]] = [[] for _ in range(n)]

    def of(self, runners: Any) -> Mixture:
        return jax.tree.map(lambda leaf: leaf[runners], self.mixtures)

    def most_steps(self, runners: Any) -> int:
        """The most steps that have led to where one of them stands."""
        return int(self._n_iter[runners].max())

    def kernel(self, runners: Any) -> str:
        """The one that can follow all `runners`."""
        return KERNEL_NAMES[max(KERNEL_NAMES.index(name) for name in self._kernel[runners])]

    def converged(self, runner: int) -> bool:
        return bool(self._status[runner] == Status.CONVERGED)

    def settle(self, runner: int) -> None:
        """`runner` had converged before it ran on."""
        self._status[runner] = Status.CONVERGED

    def take_in(self, runners: Any, ended: Run, places: Any, share: float) -> None:
        """`runners` are now where those in these `places` of a round ended, which read a `share` of the rows."""

        def put(held: Any, new: Any) -> Any:
            held = np.array(held)
            held[runners] = new[places]
            return held

        self.mixtures = jax.tree.map(put, self.mixtures, ended.mixtures)
        self._log_likelihood[runners] = ended.log_likelihood[places]
        self._status[runners] = ended.status[places]
        self._kernel[runners] = ended.kernel[places]
        self._remaining[runners] = ended.remaining[places]
        self._n_iter[runners] += ended.n_iter[places]
        self.revivals[runners] += ended.revivals[places]
        self._passes[runners] += ended.passes[: len(runners)] * share
        for runner, place in zip(runners, places, strict=True):
            values = ended.history[place]
            values, told = values[~np.isnan(values)], self._history[runner]
            if told and len(values) == 1:  # no step, but other rows: what is known of where it stands
                told[-1][-1:] = values
            else:
                told.append(values[bool(told) :])

    def charge(self, whose: Any, ended: Run, share: float, first: int = 0) -> None:
        """What the places of a round from `first` on have read counts as read by the restarts `whose` they are."""
        np.add.at(self._passes, whose, ended.passes[first:] * share)

    def leave(self, runners: Any, merged: Any = False) -> None:
        """`runners` run no further: those `merged` for another's sake, the others as too many were ahead of them."""
        sound = np.isin(self._status[runners], SOUND)
        left = np.broadcast_to(np.where(merged, Status.MERGED, Status.OUTRUN), runners.shape)
        self._status[runners[sound]] = left[sound]

    def cut_short(self, runners: Any, status: Status) -> None:
        """Those of `runners` that have not converged were ended from outside."""
        self._status[runners[self._status[runners] == Status.MAX_ITER]] = status

    def ended(self, cut_short: Status | None, rounds: tuple[Round, ...]) -> Run:
        """All of it, as of any run; log-likelihoods of those that have left are of the rows they saw last."""
        histories = [np.concatenate(parts) for parts in self._history]
        table = np.full((len(histories), max(map(len, histories))), np.nan)
        for row, values in zip(table, histories, strict=True):
            row[: len(values)] = values
        return Run(
            mixtures=self.mixtures,
            log_likelihood=self._log_likelihood,
            status=self._status,
            n_iter=self._n_iter,
            passes=self._passes,
            kernel=self._kernel,
            revivals=self.revivals,
            remaining=self._remaining,
            history=table,
            cut_short=cut_short,
            moves=self.moves,
            rounds=rounds,
        )
