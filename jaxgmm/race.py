"""A race between starts: all run a little on a sample, few run to the end on all rows.

Successive halving (Jamieson & Talwalkar 2016) of EM runs: what a start will come to shows long before it gets there, on
far fewer rows than there are. What is saved is spent on escapes (`escape.py`): the leaders try jumps, and keep those
that end higher than they do themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxgmm.density import ANSWERS, joint_log_prob
from jaxgmm.escape import moves
from jaxgmm.keys import probe_key, race_key
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.outcome import Run, joined
from jaxgmm.problem import Problem, log_priors
from jaxgmm.rows import ArrayRows
from jaxgmm.soundness import spurious_of
from jaxgmm.standings import Standings
from jaxgmm.status import SOUND, Status
from jaxgmm.tournament import Plan, Round, heading_for, ranked

#: from mixtures, the restarts' numbers, rows, the most steps, and whether to revive, to how they ended
Go = Callable[[Mixture, Any, ArrayRows, int, bool], Run]
# Who gains nothing by so many rounds of jumps rests.
_PATIENCE = 2
# By labels of so many rows runners are told apart, and on them jumps are thought out.
_PROBE = 2048

_labels = jax.jit(jax.vmap(lambda mixture, x: ANSWERS["labels"](joint_log_prob(mixture, x)), (0, None)))


class Race:
    """The host's side of one race.

    Args:
        go: runs mixtures on rows; see `Go`.
        key: what samples and jumps follow from.
        problem: the rows, and what they are fitted with.
        starts: leading axis r.
        tol: what a jump must gain, nats per row.
        max_iter: the most steps that may lead to a restart's mixture.
    """

    def __init__(
        self, go: Go, key: Key[Array, ""], problem: Problem, starts: Mixture, tol: float, max_iter: int
    ) -> None:  # fmt: skip
        self.go, self.problem, self.tol, self.max_iter = go, problem, tol, max_iter
        self.n, self.k = starts.weights.shape
        self.rows, self.n_rows = problem.rows, int(problem.rows.n_rows)
        self.total_weight = float(problem.rows.total_weight)
        self.plan = Plan.of(self.n, self.n_rows, starts.n_parameters)
        own = race_key(key)
        self.keys = partial(jax.random.fold_in, own)
        self.standings = Standings(starts)
        self.rounds: list[Round] = []
        self.cut_short: Status | None = None
        self.probe = self.rows.sample(probe_key(own), min(_PROBE, self.n_rows))

    def run(self) -> Run:
        """Holds it."""
        plan, through = self.plan, np.arange(self.n)
        if self.n > plan.width:
            through = self._heat("heat", through, self._sample(plan.sample), plan.steps[0], plan.width)
        through = self._heat("heat", through, self._sample(plan.sample), plan.steps[1], plan.width)
        through = self._escapes(through)
        self._heat("final", through, self.rows, self.max_iter, len(through))
        if self.cut_short:
            self.standings.cut_short(through, self.cut_short)
        return self.standings.ended(self.cut_short, tuple(self.rounds))

    # ---- rounds -------------------------------------------------------------------------------------------------

    def _heat(self, kind: str, runners: Any, rows: ArrayRows, steps: int, wanted: int) -> Any:
        """Runs `runners` on; the numbers of those that go on, first ones first."""
        places = np.arange(len(runners))
        left = max(0, self.max_iter - self.standings.most_steps(runners))
        ended = self._go(self.standings.of(runners), runners, rows, min(steps, left), revive=True)
        self.standings.take_in(runners, ended, places, self._share(rows))
        value, heading = self._values(ended, rows)
        kept, twins = (list(places), {}) if kind == "final" else self._ranked(ended.mixtures, heading, wanted)
        if not kept:  # nobody is sound: the first ones are seen to the end as they are
            kept = list(np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")[:wanted])
        merged = np.full(len(runners), -1)
        merged[list(twins)] = runners[list(twins.values())]
        through = np.isin(places, kept)
        self.standings.leave(runners[~through], merged[~through] >= 0)
        self._tell(kind, rows, runners, value, heading, through, ended, merged)
        return runners[kept]

    def _escapes(self, runners: Any) -> Any:
        """Lets the first of `runners` jump, round after round; who gains nothing makes room for the next.

        Those that are ahead in the end: the finalists.
        """
        active, waiting, rested = list(runners[: self.plan.leaders]), list(runners[self.plan.leaders :]), []
        rows = self._sample(self.plan.larger)  # the same for all contests: what they say can then be compared
        value: dict[int, float] = {}
        idle = dict.fromkeys(runners, 0)
        for _ in range(self.plan.escapes if self.k > 1 else 0):
            steps = self.standings.most_steps(active) + sum(self.plan.steps)
            if self.cut_short or steps > self.max_iter:
                break
            whose, jumped = self._jumps(np.array(active))
            if self.plan.sample is not None:
                whose, jumped = self._tried(whose, jumped, self.plan.contenders - len(active))
            reached, gained = self._contest(np.array(active), whose, jumped, rows)
            value |= dict(zip(active, reached, strict=True))
            idle |= {runner: 0 if up else idle[runner] + 1 for runner, up in zip(active, gained, strict=True)}
            rested += [runner for runner in active if idle[runner] == _PATIENCE]
            apart = self._apart([*rested, *active], value)
            active = [runner for runner in active if runner in apart and runner not in rested]
            while waiting and len(active) < self.plan.leaders:
                active.append(waiting.pop(0))
            if not active:
                break
        known = [runner for runner in runners if runner in value] or active
        chosen = self._apart(known, value)[: self.plan.finalists]
        self.standings.leave(np.array([r for r in runners if r not in chosen], int))
        return np.array(chosen)

    def _apart(self, runners: list[int], value: dict[int, float]) -> list[int]:
        """`runners` by `value`, those left out that have come to the same optimum as one before them."""
        unique = list(dict.fromkeys(runners))
        heights = np.array([value.get(runner, -np.inf) for runner in unique])
        kept, twins = self._ranked(self.standings.of(np.resize(unique, self.plan.width)), heights, len(unique))
        self.standings.leave(np.array([unique[i] for i in twins], int), merged=True)
        return [unique[i] for i in kept] or unique

    def _jumps(self, runners: Any) -> tuple[Any, Mixture]:
        """As many jumps as a batch holds, dealt out evenly, and whose they are."""
        leaders, each = self.plan.leaders, self.plan.width // self.plan.leaders
        whose = np.resize(runners, leaders)  # always as many, so that nothing is compiled anew
        numbers = jnp.asarray(whose + self.n * (np.arange(leaders) // len(runners)))
        ridge = self.problem.penalty.ridge
        jumped = moves(self.keys(len(self.rounds)), self.standings.of(whose), numbers, self.probe, ridge, each)
        in_turn = jax.tree.map(lambda leaf: np.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), at_rest(jumped))
        return np.tile(whose, each), in_turn

    def _tried(self, whose: Any, jumped: Mixture, wanted: int) -> tuple[Any, Mixture]:
        """The `wanted` jumps that make most of a few steps on a sample, equally many of everyone's."""
        rows = self._sample(self.plan.sample)
        ended = self._go(jumped, whose, rows, self.plan.steps[0], revive=False)
        self.standings.charge(whose, ended, self._share(rows))
        value, heading = self._values(ended, rows)
        order = np.argsort(-heading, kind="stable")
        place = np.array([np.sum(whose[order[:i]] == whose[one]) for i, one in enumerate(order)])
        chosen = order[np.argsort(place, kind="stable")][:wanted]
        through = np.isin(np.arange(len(whose)), chosen)
        self._tell("trial", rows, whose, value, heading, through, ended)
        return whose[chosen], jax.tree.map(lambda leaf: leaf[chosen], ended.mixtures)

    def _contest(self, runners: Any, whose: Any, jumped: Mixture, rows: ArrayRows) -> tuple[Any, Any]:
        """Runs `runners` and jumps side by side; a jump that ends higher takes its restart's place.

        Where they then stand, and who gained by it.
        """
        room = (self.plan.width if self.plan.sample is None else self.plan.contenders) - len(runners)
        both = jax.tree.map(lambda own, new: np.concatenate([own, new[:room]]), self.standings.of(runners), jumped)
        everyone = np.concatenate([runners, whose[:room]])
        ended = self._go(both, everyone, rows, self.plan.steps[1], revive=False)
        value, heading = self._values(ended, rows)
        value = np.where(np.isfinite(heading), value, -np.inf)
        picked = np.arange(len(runners))
        for i, runner in enumerate(runners):
            own = np.flatnonzero(everyone == runner)
            best = own[np.argmax(value[own])]
            if value[best] > value[i] + self.tol:
                picked[i] = best
        gained = picked >= len(runners)
        self.standings.charge(everyone[len(runners) :], ended, self._share(rows), len(runners))
        self.standings.take_in(runners, ended, picked, self._share(rows))
        self.standings.moves[runners] += gained
        through = np.isin(np.arange(len(everyone)), picked)
        self._tell("escape", rows, everyone, value, heading, through, ended)
        return value[picked], gained

    # ---- what rounds come to -----------------------------------------------------------------------------------

    def _sample(self, size: int | None) -> ArrayRows:
        """`size` rows drawn anew, all rows for None."""
        return self.rows if size is None else self.rows.sample(self.keys(len(self.rounds)), size)

    def _share(self, rows: ArrayRows) -> float:
        return int(rows.n_rows) / self.n_rows

    def _go(self, mixtures: Mixture, runners: Any, rows: ArrayRows, steps: int, revive: bool) -> Run:
        """How `mixtures` end, at rest, by as few programs as will do: batches of one size, filled up if need be."""
        n, width = len(runners), self.plan.width
        ends = []
        for first in range(0, n, width):
            place = np.arange(first, first + min(width, n)) % n
            own = jax.tree.map(lambda leaf: leaf[place], mixtures)  # noqa: B023
            part = self.go(own, runners[place], rows, 0 if self.cut_short else steps, revive)
            self.cut_short = self.cut_short or part.cut_short
            ends.append(replace(part, mixtures=at_rest(part.mixtures)))
        ended = joined(ends)
        return ended if len(ended.status) == n else ended.first(n)

    def _values(self, ended: Run, rows: ArrayRows) -> tuple[Any, Any]:
        """Where runners stand and where they are heading, nats per row; −inf what is not sound."""
        prior = log_priors(ended.mixtures, self.problem.penalty.prior) / self.total_weight
        value = ended.log_likelihood / self.total_weight + prior
        n = len(value)
        place = np.arange(max(self.n, self.plan.width)) % n  # always as many, so that nothing is compiled anew
        among = jax.tree.map(lambda leaf: leaf[place], ended.mixtures)
        n_rows = np.full(len(place), rows.n_rows)
        each = np.asarray(spurious_of(among, self.problem.floor, n_rows, False))
        dubious = np.any(each[:n], axis=1)
        sound = np.isin(ended.status, SOUND) & ~dubious & np.isfinite(value)
        return value, np.where(sound, heading_for(ended.history) + prior, -np.inf)

    def _ranked(self, mixtures: Mixture, heading: Any, wanted: int) -> tuple[list[int], dict[int, int]]:
        labels = np.asarray(_labels(mixtures, self.probe.x))[: len(heading)]
        return ranked(heading, labels, self.k, wanted)

    def _tell(
        self, kind: str, rows: ArrayRows, restart: Any, value: Any, heading: Any, through: Any, ended: Run,
        merged: Any = None,
    ) -> None:  # fmt: skip
        merged = np.full(len(restart), -1) if merged is None else merged
        passes = ended.passes * self._share(rows)
        self.rounds.append(Round(kind, int(rows.n_rows), restart, value, heading, through, merged, passes))
