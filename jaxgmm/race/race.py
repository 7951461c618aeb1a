"""A race between starts: all run a little on a sample, few run to the end on all rows.

Successive halving (Jamieson & Talwalkar 2016) of EM runs: what a start will come to shows long before it gets there, on
far fewer rows than there are. What is saved is spent on escapes (`escape.py`): the leaders try jumps, and keep those
that end higher than they do themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from jaxgmm.inputs.randomness import race_key
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.problem.pose import Problem
from jaxgmm.race.jumps import moves
from jaxgmm.race.plan import Pace, Plan
from jaxgmm.race.standings import Standings
from jaxgmm.race.track import Go, Track
from jaxgmm.rows import ArrayRows
from jaxgmm.run.batching import width_of_few, width_of_many
from jaxgmm.run.record import Run, joined

# Before the semifinal the fast kernel is trusted so much further: what it may err by is less than what samples do. The
# few that it cannot follow there are about to collapse on a few rows of the sample.
_TRUST = 8.0
# Who gains nothing that matters by so many rounds of jumps rests; what matters, in nats per row.
_PATIENCE, _MATTERS = 2, 1e-4
# Where so much of a heat comes to one optimum there is hardly another one to be found: one round of jumps is enough.
_MOST = 0.5
# The winner runs on with so much of tol: slow as EM may be, it should not be told from others by where it gave up.
_FINE = 0.1


class Race:
    """The host's side of one race.

    Args:
        go: runs mixtures on rows; see `track.Go`.
        key: what samples and jumps follow from.
        problem: the rows, and what they are fitted with.
        starts: leading axis r.
        tol: what a jump must gain, and when runners have converged, nats per row.
        max_iter: the most steps that may lead to a restart's mixture.
    """

    def __init__(
        self, go: Go, key: Key[Array, ""], problem: Problem, starts: Mixture, tol: float, max_iter: int
    ) -> None:  # fmt: skip
        self.problem, self.tol, self.max_iter = problem, tol, max_iter
        self.n, self.k = starts.weights.shape
        self.plan = Plan.of(self.n, int(problem.rows.n_rows), (self.k, problem.rows.n_features), starts.n_parameters)
        self.track = Track(go, race_key(key), problem, self.n, self.k, self.plan)
        self.standings = Standings(starts)
        self.popular = 0.0

    def run(self) -> Run:
        """Holds it."""
        plan, through = self.plan, np.arange(self.n)
        if plan.thorough:
            through = self._heat("heat", through, self.track.field(), self.max_iter, plan.width)
        else:
            if self.n > plan.width:
                through = self._heat("heat", through, self.track.sample(plan.sample), plan.steps[0], plan.width)
            through = self._heat("heat", through, self.track.sample(plan.sample), plan.steps[1], plan.width)
        through = self._escapes(through)
        if len(through) > plan.finalists[1]:
            through = self._heat("semifinal", through, self.track.rows, plan.steps[1], plan.finalists[1])
        through = self._heat("final", through, self.track.rows, self.max_iter, len(through))
        if self.standings.converged(through[0]) and not self.track.cut_short:
            self._heat("winner", through[:1], self.track.rows, self.max_iter, 1)
            self.standings.settle(through[0])
        if self.track.cut_short:
            self.standings.cut_short(through, self.track.cut_short)
        return self.standings.ended(self.track.cut_short, tuple(self.track.rounds))

    def _pace(self, steps: int) -> Pace:
        """That of rounds before the semifinal."""
        return Pace(steps, self.tol, trust=_TRUST, leave=True)

    # ---- rounds -------------------------------------------------------------------------------------------------

    def _heat(self, kind: str, runners: Any, rows: ArrayRows, steps: int, wanted: int) -> Any:
        """Runs `runners` on; the numbers of those that go on, first ones first."""
        places, all_rows = np.arange(len(runners)), kind != "heat"
        ended = self._on_all_rows(kind, runners, steps) if all_rows else self._on_sample(runners, rows, steps)
        value, heading = self.track.values(ended, rows, left=not all_rows and not self.plan.thorough)
        if kind == "winner" and not np.isfinite(heading[0]):  # it stays where it was
            self.standings.charge(runners, ended, self.track.share(rows))
        else:
            self.standings.take_in(runners, ended, places, self.track.share(rows))
        ahead = np.where(np.isfinite(heading), value, -np.inf) if kind == "final" else heading
        kept, twins = [int(i) for i in np.argsort(-ahead, kind="stable")], dict[int, int]()
        if wanted < len(runners) or not all_rows:
            kept, twins = self.track.ranked(ended.mixtures, heading, wanted)
        if not kept:  # nobody is sound: the first ones are seen to the end as they are
            kept = list(np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")[:wanted])
        merged = np.full(len(runners), -1)
        merged[list(twins)] = runners[list(twins.values())]
        self.popular = max(np.bincount(list(twins.values()), minlength=1)) / len(runners)
        through = np.isin(places, kept)
        self.standings.leave(runners[~through], merged[~through] >= 0)
        self.track.tell(kind, rows, runners, value, heading, through, ended, merged)
        return runners[kept]

    def _on_sample(self, runners: Any, rows: ArrayRows, steps: int) -> Run:
        pace = Pace(steps, self.tol) if self.plan.thorough else self._pace(steps)
        pace = replace(pace, steps=min(steps, self._left(runners)), revive=True)
        return self.track.go(self.standings.of(runners), runners, rows, pace, width_of_many(len(runners)))

    def _on_all_rows(self, kind: str, runners: Any, steps: int) -> Run:
        """Few runners on all rows, each with the steps it has left where they run one by one."""
        tol, width, ends = self.tol * (_FINE if kind == "winner" else 1.0), width_of_few(len(runners)), []
        for first in range(0, len(runners), width):
            own = runners[first : first + width]
            pace = Pace(min(steps, self._left(own)), tol, revive=kind != "winner")
            ends.append(self.track.go(self.standings.of(own), own, self.track.rows, pace, width))
        return joined(ends)

    def _left(self, runners: Any) -> int:
        return max(0, self.max_iter - self.standings.most_steps(runners))

    def _escapes(self, runners: Any) -> Any:
        """Lets the first of `runners` jump, round after round; who gains nothing makes room for the next.

        Those that are ahead in the end: the finalists.
        """
        active, waiting, rested = list(runners[: self.plan.leaders]), list(runners[self.plan.leaders :]), []
        rows = self.track.field()  # the same for all contests: what they say can then be compared
        value: dict[int, float] = {}
        idle = dict.fromkeys(runners, 0)
        best, stale = -np.inf, 0
        rounds = 1 if self.popular >= _MOST else self.plan.escapes
        for _ in range(rounds if self.k > 1 else 0):
            active = [runner for runner in active if self._left([runner]) >= sum(self.plan.steps)]
            while waiting and len(active) < self.plan.leaders:
                if self._left(waiting[:1]) >= sum(self.plan.steps):
                    active.append(waiting[0])
                del waiting[0]
            if not active or self.track.cut_short:
                break
            whose, jumped = self._jumps(np.array(active))
            if self.plan.sample is not None:
                whose, jumped = self._tried(whose, jumped, self.plan.contenders - len(active))
            reached, gained = self._contest(np.array(active), whose, jumped, rows)
            value |= dict(zip(active, reached, strict=True))
            stale = 0 if max(reached) > best + _MATTERS else stale + 1
            best = max(best, *reached)
            idle |= {runner: 0 if up else idle[runner] + 1 for runner, up in zip(active, gained, strict=True)}
            rested += [runner for runner in active if idle[runner] == _PATIENCE]
            apart = self._apart([*rested, *active], value)
            active = [runner for runner in active if runner in apart and runner not in rested]
            if stale == self.plan.stale:
                break
        known = [runner for runner in runners if runner in value] or list(runners)
        chosen = self._apart(known, value)[: self.plan.finalists[0]]
        self.standings.leave(np.array([r for r in runners if r not in chosen], int))
        return np.array(chosen)

    def _apart(self, runners: list[int], value: dict[int, float]) -> list[int]:
        """`runners` by `value`, those left out that have come to the same optimum as one before them."""
        unique = list(dict.fromkeys(runners))
        heights = np.array([value.get(runner, -np.inf) for runner in unique])
        kept, twins = self.track.ranked(self.standings.of(np.array(unique)), heights, len(unique))
        self.standings.leave(np.array([unique[i] for i in twins], int), merged=True)
        return [unique[i] for i in kept] or unique

    def _jumps(self, runners: Any) -> tuple[Any, Mixture]:
        """As many jumps as a batch holds, dealt out evenly, and whose they are."""
        leaders, each = self.plan.leaders, self.plan.width // self.plan.leaders
        whose = np.resize(runners, leaders)  # always as many, so that nothing is compiled anew
        numbers = jnp.asarray(whose + self.n * (np.arange(leaders) // len(runners)))
        ridge = self.problem.penalty.ridge
        key, own = self.track.keys(len(self.track.rounds)), self.standings.of(whose)
        jumped = moves(key, own, numbers, self.track.probe, ridge, each, self.standings.kernel(whose))
        in_turn = jax.tree.map(lambda leaf: np.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), at_rest(jumped))
        return np.tile(whose, each), in_turn

    def _tried(self, whose: Any, jumped: Mixture, wanted: int) -> tuple[Any, Mixture]:
        """The `wanted` jumps that make most of a few steps on a sample, equally many of everyone's."""
        rows = self.track.sample(self.plan.sample)
        ended = self.track.go(jumped, whose, rows, self._pace(self.plan.steps[0]), width_of_many(len(whose)))
        self.standings.charge(whose, ended, self.track.share(rows))
        value, heading = self.track.values(ended, rows, left=True)
        order = np.argsort(-heading, kind="stable")
        place = np.array([np.sum(whose[order[:i]] == whose[one]) for i, one in enumerate(order)])
        chosen = order[np.argsort(place, kind="stable")][:wanted]
        through = np.isin(np.arange(len(whose)), chosen)
        self.track.tell("trial", rows, whose, value, heading, through, ended)
        return whose[chosen], jax.tree.map(lambda leaf: leaf[chosen], ended.mixtures)

    def _contest(self, runners: Any, whose: Any, jumped: Mixture, rows: ArrayRows) -> tuple[Any, Any]:
        """Runs `runners` and jumps side by side; a jump that ends higher takes its restart's place.

        Where they then stand, and who gained by it.
        """
        room = (self.plan.width if self.plan.sample is None else self.plan.contenders) - len(runners)
        both = jax.tree.map(lambda own, new: np.concatenate([own, new[:room]]), self.standings.of(runners), jumped)
        everyone = np.concatenate([runners, whose[:room]])
        ended = self.track.go(both, everyone, rows, self._pace(self.plan.steps[1]), width_of_many(len(everyone)))
        value, heading = self.track.values(ended, rows, left=True)
        value = np.where(np.isfinite(heading), value, -np.inf)
        picked = np.arange(len(runners))
        for i, runner in enumerate(runners):
            own = np.flatnonzero(everyone == runner)
            best = own[np.argmax(value[own])]
            if value[best] > value[i] + self.tol:
                picked[i] = best
        landed = picked >= len(runners)
        gained = landed & (value[picked] > value[: len(runners)] + _MATTERS)
        self.standings.charge(everyone[len(runners) :], ended, self.track.share(rows), len(runners))
        self.standings.take_in(runners, ended, picked, self.track.share(rows))
        self.standings.moves[runners] += landed
        through = np.isin(np.arange(len(everyone)), picked)
        self.track.tell("escape", rows, everyone, value, heading, through, ended)
        return value[picked], gained
