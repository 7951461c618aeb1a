"""The track of a race: which rows its rounds read, how runners run on them, and what is made of where they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Key

from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.randomness import probe_key
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.mixture.density import ANSWERS, joint_log_prob
from jaxgmm.problem.pose import Problem, log_priors
from jaxgmm.race.plan import Pace, Plan, Round, heading_for, ranked
from jaxgmm.rows import ArrayRows
from jaxgmm.run.record import Run, joined
from jaxgmm.run.soundness import unsound
from jaxgmm.run.status import SOUND, Status

#: from mixtures, the restarts' numbers, rows, and their pace, to how they ended
Go = Callable[[Mixture, Any, ArrayRows, Pace], Run]
# The number of the draw that contests read, past all rounds.
_FIELD = 1 << 20
# By labels of so many rows for every component and feature, or at least so many, runners are told apart, and on them
# jumps are thought out.
_PROBE = (16, 2048)

_labels = compiled(jax.vmap(lambda mixture, x: ANSWERS["labels"](joint_log_prob(mixture, x)), (0, None)))


class Track:
    """See `race.Race` for what it is given.

    Attributes:
        rounds: what has been told of them so far.
        cut_short: why no more steps are taken, if so.
        probe: rows by which runners are told apart.
    """

    def __init__(self, run: Go, key: Key[Array, ""], problem: Problem, n: int, k: int, plan: Plan) -> None:
        self.run, self.problem, self.plan = run, problem, plan
        self.n, self.k = n, k
        self.rows, self.n_rows = problem.rows, int(problem.rows.n_rows)
        self.total_weight = float(problem.rows.total_weight)
        self.keys = partial(jax.random.fold_in, key)
        self.rounds: list[Round] = []
        self.cut_short: Status | None = None
        per_mean, least = _PROBE
        wanted = max(least, per_mean * k * self.rows.n_features)
        self.probe = self.rows.sample(probe_key(key), min(wanted, self.n_rows))

    def sample(self, size: int | None) -> ArrayRows:
        """`size` rows drawn anew, in as many slots as a contest's; all rows for None."""
        if size is None:
            return self.field()
        return self.rows.sample(self.keys(len(self.rounds)), size, self.plan.larger or self.rows.n_slots)

    def field(self) -> ArrayRows:
        """The rows that contests read."""
        larger = self.plan.larger
        if larger is None:
            return self.rows.to_the_last()
        return self.rows.sample(self.keys(_FIELD), larger, larger)

    def share(self, rows: ArrayRows) -> float:
        return int(rows.n_rows) / self.n_rows

    def go(self, mixtures: Mixture, runners: Any, rows: ArrayRows, pace: Pace, batch: int) -> Run:
        """How `mixtures` end, at rest, by as few programs as will do: in batches of one size, filled up if need be."""
        n, ends = len(runners), []
        for first in range(0, n, batch):
            place = np.arange(first, first + batch) % n
            own = jax.tree.map(lambda leaf: leaf[place], mixtures)  # noqa: B023
            part = self.run(own, runners[place], rows, replace(pace, steps=0) if self.cut_short else pace)
            self.cut_short = self.cut_short or part.cut_short
            ends.append(replace(part, mixtures=at_rest(part.mixtures)))
        ended = joined(ends)
        return ended if len(ended.status) == n else ended.first(n)

    def values(self, ended: Run, rows: ArrayRows, left: bool = False) -> tuple[Any, Any]:
        """Where runners stand and where they are heading, nats per row; −inf what is not sound.

        `left`: nor is who took no step, being left by a kernel that cannot tell what its start is worth.
        """
        prior = log_priors(ended.mixtures, self.problem.penalty.prior) / self.total_weight
        value = ended.log_likelihood / self.total_weight + prior
        n = len(value)
        place = np.arange(max(self.n, self.plan.width)) % n  # always as many, so that nothing is compiled anew
        among = jax.tree.map(lambda leaf: leaf[place], ended.mixtures)
        dubious = unsound(among, self.problem.widths, int(rows.n_rows))[:n].any(axis=1)
        sound = np.isin(ended.status, SOUND) & ~dubious & np.isfinite(value)
        if left and not self.cut_short:
            sound &= ended.n_iter > 0
        return value, np.where(sound, heading_for(ended.history) + prior, -np.inf)

    def ranked(self, mixtures: Mixture, heading: Any, wanted: int) -> tuple[list[int], dict[int, int]]:
        """The first `wanted` that differ, and whom the others resemble; see `tournament.ranked`."""
        n = len(heading)
        place = np.arange(max(n, self.plan.width)) % n  # few sizes, for the same reason
        labels = _labels(jax.tree.map(lambda leaf: leaf[place], mixtures), self.probe.x)
        return ranked(heading, np.asarray(labels)[:n, : int(self.probe.n_rows)], self.k, wanted)

    def tell(
        self, kind: str, rows: ArrayRows, restart: Any, value: Any, heading: Any, through: Any, ended: Run,
        merged: Any = None,
    ) -> None:  # fmt: skip
        merged = np.full(len(restart), -1) if merged is None else merged
        passes = ended.passes * self.share(rows)
        self.rounds.append(Round(kind, int(rows.n_rows), restart, value, heading, through, merged, passes))
