"""A race between starts: all run a little on a sample, few run to the end on all rows.

Successive halving (Jamieson & Talwalkar 2016) of EM runs: what a start will come to shows long before it gets there, on
far fewer rows than there are. What is saved is spent on escapes (`jumps.py`): the leaders try jumps, and keep those
that end higher than they do themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jnp
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.race.jumps import moves
from jaxgmm.race.rounds import RaceEnded
from jaxgmm.race.rules import Plan, RaceRules
from jaxgmm.race.standings import Standings
from jaxgmm.race.track import Track
from jaxgmm.rows import Rows
from jaxgmm.run.batching import width_of_few, width_of_many
from jaxgmm.run.record import Ended
from jaxgmm.run.search import Pace, Search, Task

Runners = Int[np.ndarray, " m"]


@dataclass(frozen=True)
class Race(Search):
    """A race between the starts of a task.

    Attributes:
        rules: every number that it goes by.
    """

    rules: RaceRules = field(default_factory=RaceRules)

    def run(self, task: Task) -> RaceEnded:
        return _Host(task, self.rules).run()

    def possible(self, task: Task) -> bool:
        """Whether there is anything to be gained by a race, and nothing it would break."""
        many = len(task.starts.weights) >= self.rules.fewest_starts and task.tags is None
        long = task.settings.tol > 0 and task.settings.max_iter >= self.rules.fewest_steps
        # A jump puts a component where another one was, whose label or parameters it does not have.
        alike = task.problem.rows.known is None and task.problem.penalty.pinned is None
        return many and long and alike and not task.driver.stochastic

    def saves_time(self, task: Task) -> bool:
        """Whether it takes less time than all starts run to their ends."""
        n, rows = len(task.starts.weights), int(task.problem.rows.n_rows)
        return self.rules.saves_time(n, rows, task.starts.n_parameters)


class _Host:
    """The host's side of one race."""

    def __init__(self, task: Task, rules: RaceRules) -> None:
        self.problem, self.rules = task.problem, rules
        self.tol, self.max_iter = task.settings.tol, task.settings.max_iter
        self.n, self.k = task.starts.weights.shape
        shape = self.k, task.problem.rows.n_features
        self.plan = Plan.of(rules, self.n, int(task.problem.rows.n_rows), shape, task.starts.n_parameters)
        self.track = Track(task, rules, self.plan)
        self.standings = Standings(task.starts)
        self.popular = 0.0

    def run(self) -> RaceEnded:
        """Holds it."""
        plan, rules, through = self.plan, self.rules, np.arange(self.n)
        if plan.thorough:
            through = self._heat("heat", through, self.track.field(), self.max_iter, plan.width)
        else:
            if self.n > plan.width:
                through = self._heat("heat", through, self.track.sample(plan.sample), rules.heat_steps, plan.width)
            through = self._heat("heat", through, self.track.sample(plan.sample), rules.contest_steps, plan.width)
        through = self._escapes(through)
        if len(through) > rules.finalists:
            through = self._heat("semifinal", through, self.track.rows, rules.contest_steps, rules.finalists)
        through = self._heat("final", through, self.track.rows, self.max_iter, len(through))
        if self.standings.converged(through[0]) and not self.track.cut_short:
            self._heat("winner", through[:1], self.track.rows, self.max_iter, 1)
            self.standings.settle(through[0])
        if self.track.cut_short:
            self.standings.cut_short(through, self.track.cut_short)
        return self.standings.ended(self.track.cut_short, tuple(self.track.rounds))

    def _pace(self, steps: int) -> Pace:
        """That of rounds before the semifinal."""
        return Pace(steps, self.tol, tolerance=self.rules.tolerance)

    def _heat(self, kind: str, runners: Runners, rows: Rows, steps: int, wanted: int) -> Runners:
        """Runs `runners` on; the numbers of those that go on, first ones first."""
        places, all_rows = np.arange(len(runners)), kind != "heat"
        ended = self._on_all_rows(kind, runners, steps) if all_rows else self._on_sample(runners, rows, steps)
        value, heading = self.track.values(ended, rows)
        if kind == "winner" and not np.isfinite(heading[0]):  # it stays where it was
            self.standings.charge(runners, ended, self.track.share(rows))
        else:
            self.standings.take_in(runners, ended, places, self.track.share(rows))
        ahead = np.where(np.isfinite(heading), value, -np.inf) if kind == "final" else heading
        kept, twins = [int(i) for i in np.argsort(-ahead, kind="stable")], dict[int, int]()
        if wanted < len(runners) or not all_rows:
            kept, twins = self.track.ranked(ended.restarts.mixtures, heading, wanted)
        if not kept:  # nobody is sound: the first ones are seen to the end as they are
            kept = list(np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")[:wanted])
        merged = np.full(len(runners), -1)
        merged[list(twins)] = runners[list(twins.values())]
        self.popular = max(np.bincount(list(twins.values()), minlength=1)) / len(runners)
        through = np.isin(places, kept)
        self.standings.leave(runners[~through], merged[~through] >= 0)
        self.track.tell(kind, rows, runners, value, heading, through, ended, merged)
        return runners[kept]

    def _on_sample(self, runners: Runners, rows: Rows, steps: int) -> Ended:
        pace = Pace(steps, self.tol) if self.plan.thorough else self._pace(steps)
        pace = replace(pace, steps=min(steps, self._left(runners)), revive=True)
        return self.track.go(self.standings.of(runners), runners, rows, pace, width_of_many(len(runners)))

    def _on_all_rows(self, kind: str, runners: Runners, steps: int) -> Ended:
        """Few runners on all rows, each with the steps it has left where they run one by one."""
        tol, width, ends = (
            self.tol * (self.rules.winner_tol if kind == "winner" else 1.0),
            width_of_few(len(runners)),
            [],
        )
        for first in range(0, len(runners), width):
            own = runners[first : first + width]
            pace = Pace(min(steps, self._left(own)), tol, revive=kind != "winner")
            ends.append(self.track.go(self.standings.of(own), own, self.track.rows, pace, width))
        return Ended.joined(ends)

    def _left(self, runners: Runners | list[int]) -> int:
        return max(0, self.max_iter - self.standings.most_steps(runners))

    def _escapes(self, runners: Runners) -> Runners:
        """Lets the first of `runners` jump, round after round, and returns those that are ahead in the end.

        A leader rests after `patience` rounds that each gained it less than `matters`, and makes room for the next.
        """
        active, waiting, rested = list(runners[: self.plan.leaders]), list(runners[self.plan.leaders :]), []
        rows = self.track.field()  # the same for all contests: what they say can then be compared
        value: dict[int, float] = {}
        idle = dict.fromkeys(runners, 0)
        best, stale = -np.inf, 0
        rounds = 1 if self.popular >= self.rules.popular else self.plan.rounds
        both = self.rules.heat_steps + self.rules.contest_steps  # what a jump takes until it has landed
        for _ in range(rounds if self.k > 1 else 0):
            active = [runner for runner in active if self._left([runner]) >= both]
            while waiting and len(active) < self.plan.leaders:
                if self._left(waiting[:1]) >= both:
                    active.append(waiting[0])
                del waiting[0]
            if not active or self.track.cut_short:
                break
            whose, jumped = self._jumps(np.array(active))
            if self.plan.sample is not None:
                whose, jumped = self._tried(whose, jumped, self.rules.contenders - len(active))
            reached, gained = self._contest(np.array(active), whose, jumped, rows)
            value |= dict(zip(active, reached, strict=True))
            stale = 0 if max(reached) > best + self.rules.matters else stale + 1
            best = max(best, *reached)
            idle |= {runner: 0 if up else idle[runner] + 1 for runner, up in zip(active, gained, strict=True)}
            rested += [runner for runner in active if idle[runner] == self.rules.patience]
            apart = self._apart([*rested, *active], value)
            active = [runner for runner in active if runner in apart and runner not in rested]
            if stale == self.plan.stale:
                break
        known = [runner for runner in runners if runner in value] or list(runners)
        chosen = self._apart(known, value)[: self.rules.semifinalists]
        self.standings.leave(np.array([r for r in runners if r not in chosen], int))
        return np.array(chosen)

    def _apart(self, runners: list[int], value: dict[int, float]) -> list[int]:
        """`runners` by `value`, those left out that have come to the same optimum as one before them."""
        unique = list(dict.fromkeys(runners))
        heights = np.array([value.get(runner, -np.inf) for runner in unique])
        kept, twins = self.track.ranked(self.standings.of(np.array(unique)), heights, len(unique))
        self.standings.leave(np.array([unique[i] for i in twins], int), merged=True)
        return [unique[i] for i in kept] or unique

    def _jumps(self, runners: Runners) -> tuple[Runners, Mixture]:
        """As many jumps as a batch holds, dealt out evenly, and whose they are."""
        leaders, each = self.plan.leaders, self.plan.width // self.plan.leaders
        whose = np.resize(runners, leaders)  # always as many, so that nothing is compiled anew
        numbers = jnp.asarray(whose + self.n * (np.arange(leaders) // len(runners)))
        ridge = self.problem.penalty.ridge
        key, own = self.track.keys(len(self.track.rounds)), self.standings.of(whose)
        tried = self.rules.split_tries, self.rules.split_steps
        kernel = self.standings.kernel(whose)
        jumped = moves(key, own, numbers, self.track.probe, ridge, each, kernel, *tried)
        in_turn = trees.map(lambda leaf: np.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), at_rest(jumped))
        return np.tile(whose, each), in_turn

    def _tried(self, whose: Runners, jumped: Mixture, wanted: int) -> tuple[Runners, Mixture]:
        """The `wanted` jumps that make most of a few steps on a sample, equally many of everyone's."""
        rows = self.track.sample(self.plan.sample)
        ended = self.track.go(jumped, whose, rows, self._pace(self.rules.heat_steps), width_of_many(len(whose)))
        self.standings.charge(whose, ended, self.track.share(rows))
        value, heading = self.track.values(ended, rows)
        order = np.argsort(-heading, kind="stable")
        place = np.array([np.sum(whose[order[:i]] == whose[one]) for i, one in enumerate(order)])
        chosen = order[np.argsort(place, kind="stable")][:wanted]
        through = np.isin(np.arange(len(whose)), chosen)
        self.track.tell("trial", rows, whose, value, heading, through, ended)
        return whose[chosen], trees.map(lambda leaf: leaf[chosen], ended.restarts.mixtures)

    def _contest(
        self, runners: Runners, whose: Runners, jumped: Mixture, rows: Rows
    ) -> tuple[Float[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
        """Runs `runners` and jumps side by side; a jump that ends higher takes its restart's place.

        Returns:
            Where runners then stand, nats per row, and which of them gained by it.
        """
        room = (self.plan.width if self.plan.sample is None else self.rules.contenders) - len(runners)
        both = trees.map(lambda own, new: np.concatenate([own, new[:room]]), self.standings.of(runners), jumped)
        everyone = np.concatenate([runners, whose[:room]])
        ended = self.track.go(both, everyone, rows, self._pace(self.rules.contest_steps), width_of_many(len(everyone)))
        value, heading = self.track.values(ended, rows)
        value = np.where(np.isfinite(heading), value, -np.inf)
        picked = np.arange(len(runners))
        for i, runner in enumerate(runners):
            own = np.flatnonzero(everyone == runner)
            best = own[np.argmax(value[own])]
            if value[best] > value[i] + self.tol:
                picked[i] = best
        landed = picked >= len(runners)
        gained = landed & (value[picked] > value[: len(runners)] + self.rules.matters)
        self.standings.charge(everyone[len(runners) :], ended, self.track.share(rows), len(runners))
        self.standings.take_in(runners, ended, picked, self.track.share(rows), landed)
        through = np.isin(np.arange(len(everyone)), picked)
        self.track.tell("escape", rows, everyone, value, heading, through, ended)
        return value[picked], gained
