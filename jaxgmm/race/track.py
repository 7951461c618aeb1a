"""The track of a race: which rows its rounds read, how runners run on them, and what is made of where they end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import probe_key, race_key
from jaxgmm.inputs.threefry import folded
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.mixture import Mixture, at_rest, joint_log_prob
from jaxgmm.mixture.density import ANSWERS
from jaxgmm.race.ranking import heading_for, ranked
from jaxgmm.race.rounds import Round
from jaxgmm.race.rules import Plan, RaceRules
from jaxgmm.rows import Rows
from jaxgmm.run.record import Ended
from jaxgmm.run.search import Pace, Task
from jaxgmm.run.soundness import unsound
from jaxgmm.run.status import SOUND, Status

# The number of the draw that contests read, past all rounds.
_FIELD = 1 << 20


@compiled
def _labels(mixtures: Mixture, x: Float[Array, "d b"]) -> Int[Array, "r b"]:
    return jax.vmap(lambda mixture: ANSWERS["labels"](joint_log_prob(mixture, x)))(mixtures)


class Track:
    """The rows of one race and the runs on them.

    Attributes:
        rounds: what has been told of them so far.
        cut_short: why no more steps are taken, if so.
        probe: rows by which runners are told apart.
    """

    def __init__(self, task: Task, rules: RaceRules, plan: Plan) -> None:
        self.task, self.rules, self.plan = task, rules, plan
        self.n, self.k = task.starts.weights.shape
        self.rows, self.n_rows = task.problem.rows, int(task.problem.rows.n_rows)
        self.total_weight = float(task.problem.rows.total_weight)
        key = race_key(task.key)
        self.keys = partial(folded, key)
        self.rounds: list[Round] = []
        self.cut_short: Status | None = None
        wanted = rules.probe_rows(self.k, self.rows.n_features)
        self.probe = self.rows.sample(probe_key(key), min(wanted, self.n_rows))

    def sample(self, size: int | None) -> Rows:
        """`size` rows drawn anew, in as many slots as a contest's; all rows for None."""
        if size is None:
            return self.field()
        return self.rows.sample(self.keys(len(self.rounds)), size, self.plan.larger or self.rows.n_slots)

    def field(self) -> Rows:
        """The rows that contests read."""
        larger = self.plan.larger
        if larger is None:
            return self.rows.to_the_last()
        return self.rows.sample(self.keys(_FIELD), larger, larger)

    def share(self, rows: Rows) -> float:
        return int(rows.n_rows) / self.n_rows

    def go(self, mixtures: Mixture, runners: Int[np.ndarray, " m"], rows: Rows, pace: Pace, batch: int) -> Ended:
        """How `mixtures` end, at rest, by as few programs as will do: in batches of one size, filled up if need be."""
        n, ends = len(runners), []
        for first in range(0, n, batch):
            place = np.arange(first, first + batch) % n
            own = trees.map(lambda leaf: leaf[place], mixtures)  # noqa: B023
            limited = replace(pace, steps=0) if self.cut_short else pace
            part = self.task.run_some(own, runners[place], rows, limited)
            self.cut_short = self.cut_short or part.cut_short
            restarts = replace(part.restarts, mixtures=at_rest(part.restarts.mixtures))
            ends.append(replace(part, restarts=restarts))
        return Ended.joined(ends)[:n]

    def values(self, ended: Ended, rows: Rows) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Where runners stand and where they are heading, nats per row; −inf what is not sound."""
        restarts = ended.restarts
        prior = restarts.log_prior / self.total_weight
        value = restarts.log_likelihood / self.total_weight + prior
        n = len(value)
        place = np.arange(max(self.n, self.plan.width)) % n  # always as many, so that nothing is compiled anew
        among = trees.map(lambda leaf: leaf[place], restarts.mixtures)
        dubious = unsound(among, self.task.problem.widths, int(rows.n_rows))[:n].any(axis=1)
        sound = np.isin(restarts.status, SOUND) & ~dubious & np.isfinite(value)
        return value, np.where(sound, heading_for(ended.history, self.rules) + prior, -np.inf)

    def ranked(
        self, mixtures: Mixture, heading: Float[np.ndarray, " m"], wanted: int
    ) -> tuple[list[int], dict[int, int]]:
        """The first `wanted` that differ, and whom the others resemble; see `ranking.ranked`."""
        n = len(heading)
        place = np.arange(max(n, self.plan.width)) % n  # few sizes, for the same reason
        labels = _labels(trees.map(lambda leaf: leaf[place], mixtures), self.probe.x)
        return ranked(heading, np.asarray(labels)[:n, : int(self.probe.n_rows)], self.k, wanted, self.rules)

    def tell(
        self, kind: str, rows: Rows, restart: Int[np.ndarray, " m"], value: Float[np.ndarray, " m"],
        heading: Float[np.ndarray, " m"], through: Bool[np.ndarray, " m"], ended: Ended,
        merged: Int[np.ndarray, " m"] | None = None,
    ) -> None:  # fmt: skip
        """Adds a round to the story."""
        merged = np.full(len(restart), -1) if merged is None else merged
        passes = ended.restarts.passes * self.share(rows)
        self.rounds.append(Round(kind, int(rows.n_rows), restart, value, heading, through, merged, passes))
