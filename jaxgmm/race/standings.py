"""Where every restart of a race stands, round after round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.race.rounds import RaceEnded, Round
from jaxgmm.run.record import Ended, Restarts
from jaxgmm.run.status import SOUND, Status

Runners = Int[np.ndarray, " m"] | list[int]


class Standings:
    """What is known of `starts` (leading axis r); `runners` are numbers of restarts throughout."""

    def __init__(self, starts: Mixture) -> None:
        # At rest: picked from at every turn, for which nothing should be compiled.
        self.restarts = Restarts.at_start(at_rest(starts))
        self._history: list[list[Float[np.ndarray, " t"]]] = [[] for _ in range(len(self.restarts))]

    def of(self, runners: Runners) -> Mixture:
        """Their mixtures."""
        return trees.map(lambda leaf: leaf[runners], self.restarts.mixtures)

    def most_steps(self, runners: Runners) -> int:
        """The most steps that have led to where one of them stands."""
        return int(self.restarts.n_iter[runners].max())

    def kernel(self, runners: Runners) -> str:
        """The one that can follow all `runners`."""
        return KERNEL_NAMES[max(KERNEL_NAMES.index(name) for name in self.restarts.kernel[runners])]

    def converged(self, runner: int) -> bool:
        """Whether it has."""
        return bool(self.restarts.status[runner] == Status.CONVERGED)

    def settle(self, runner: int) -> None:
        """`runner` had converged before it ran on."""
        self.restarts.status[runner] = Status.CONVERGED

    def take_in(
        self,
        runners: Runners,
        ended: Ended,
        places: Int[np.ndarray, " m"],
        share: float,
        jumped: Bool[np.ndarray, " m"] | bool = False,
    ) -> None:
        """`runners` are now where those in these `places` of a round ended, which read a `share` of the rows.

        Args:
            jumped: (m,), which of them got there by a jump.
        """
        old, new = self.restarts[runners], ended.restarts[places]
        sums = {
            "n_iter": old.n_iter + new.n_iter,
            "revivals": old.revivals + new.revivals,
            "passes": old.passes + ended.restarts.passes[: len(runners)] * share,
            "moves": old.moves + jumped,
        }
        self.restarts = self.restarts.placed(runners, replace(new, **sums))
        for runner, place in zip(runners, places, strict=True):
            values = ended.history[place]
            values, told = values[~np.isnan(values)], self._history[runner]
            if told and len(values) == 1:  # no step, but other rows: what is known of where it stands
                told[-1][-1:] = values
            else:
                told.append(values[bool(told) :])

    def charge(self, whose: Runners, ended: Ended, share: float, first: int = 0) -> None:
        """What the places of a round from `first` on have read counts as read by the restarts `whose` they are."""
        np.add.at(self.restarts.passes, whose, ended.restarts.passes[first:] * share)

    def leave(self, runners: Int[np.ndarray, " m"], merged: Bool[np.ndarray, " m"] | bool = False) -> None:
        """`runners` run no further: those `merged` for another's sake, the others as too many were ahead of them."""
        sound = np.isin(self.restarts.status[runners], SOUND)
        left = np.broadcast_to(np.where(merged, Status.MERGED, Status.OUTRUN), runners.shape)
        self.restarts.status[runners[sound]] = left[sound]

    def cut_short(self, runners: Int[np.ndarray, " m"], status: Status) -> None:
        """Those of `runners` that have not converged were ended from outside."""
        self.restarts.status[runners[self.restarts.status[runners] == Status.MAX_ITER]] = status

    def ended(self, cut_short: Status | None, rounds: tuple[Round, ...]) -> RaceEnded:
        """All of it, as of any run."""
        histories = [np.concatenate(parts) for parts in self._history]
        table = np.full((len(histories), max(map(len, histories))), np.nan)
        for row, values in zip(table, histories, strict=True):
            row[: len(values)] = values
        return RaceEnded(self.restarts, table, cut_short, rounds)
