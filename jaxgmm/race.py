"""A race between starts: all run a little on a sample, few run to the end on all rows.

Successive halving (Jamieson & Talwalkar 2016) of EM runs: what a start will come to shows long before it gets there, on
far fewer rows than there are. What is saved is spent on escapes (`escape.py`): the leaders try jumps, and keep those
that end higher than they do themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxgmm.density import joint_log_prob
from jaxgmm.escape import moves
from jaxgmm.mixture import Mixture
from jaxgmm.outcome import Run
from jaxgmm.problem import Problem, log_priors
from jaxgmm.rows import ArrayRows
from jaxgmm.soundness import spurious
from jaxgmm.status import SOUND, Status
from jaxgmm.tournament import Plan, Round, heading_for, ranked

# Keys of restarts are fold_in(key, 0, 1, …); this is far from them.
_OWN_KEY = np.uint32(0xFFFFFFFD)
#: from mixtures, the restarts' numbers, rows, the most steps, and whether to revive, to how they ended
Go = Callable[[Mixture, Any, ArrayRows, int, bool], Run]
# Escapes are given up after so many rounds that helped nobody.
_PATIENCE = 3
# What heats are told apart by: labels of so many rows, and what jumps are drawn from.
_PROBE = 2048

_labels = jax.jit(jax.vmap(lambda mixture, x: jnp.argmax(joint_log_prob(mixture, x), axis=0), (0, None)))
_spurious = jax.jit(jax.vmap(lambda *args: jnp.any(spurious(*args)), (0, None, None)))


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
        self.go, self.problem, self.mixtures, self.tol, self.max_iter = go, problem, starts, tol, max_iter
        self.n, self.k = starts.weights.shape
        self.rows, self.n_rows = problem.rows, int(problem.rows.n_rows)
        self.total_weight = float(problem.rows.total_weight)
        self.plan = Plan.of(self.n, self.n_rows, starts.n_parameters)
        self.keys = partial(jax.random.fold_in, jax.random.fold_in(key, _OWN_KEY))
        self.rounds: list[Round] = []
        self.cut_short: Status | None = None
        self.probe = self.rows.sample(self.keys(_OWN_KEY), min(_PROBE, self.n_rows))
        self.log_likelihood = np.full(self.n, -np.inf)
        self.status = np.full(self.n, Status.RUNNING)
        self.kernel = np.full(self.n, "", dtype="<U16")
        self.n_iter = np.zeros(self.n, np.int64)
        self.revivals = np.zeros(self.n, np.int32)
        self.moves = np.zeros(self.n, np.int32)
        self.passes = np.zeros(self.n)
        self.history: list[list[Any]] = [[] for _ in range(self.n)]

    def run(self) -> Run:
        """Holds it."""
        plan, through = self.plan, np.arange(self.n)
        if self.n > plan.width:
            through = self._heat("heat", through, plan.sample, plan.steps[0], plan.width)
        through = self._heat("heat", through, plan.sample, plan.steps[1], plan.leaders)
        for size, rounds in zip((plan.sample, plan.larger), plan.escapes, strict=True):
            through = self._escapes(through, size, rounds)
        self._heat("final", through, None, self.max_iter, len(through))
        if self.cut_short:
            unfinished = through[self.status[through] == Status.MAX_ITER]
            self.status[unfinished] = self.cut_short
        return self._ended()

    def _sample(self, size: int | None) -> ArrayRows:
        """`size` rows drawn anew, all rows for None."""
        if size is None:
            return self.rows
        return self.rows.sample(self.keys(len(self.rounds)), size)

    # ---- rounds -------------------------------------------------------------------------------------------------

    def _heat(self, kind: str, runners: Any, size: int | None, steps: int, wanted: int) -> Any:
        """Runs `runners` on; the numbers of those that go on."""
        rows = self._sample(size)
        left = int(self.max_iter - self.n_iter[runners].max())
        ended = self._go(runners, rows, 0 if self.cut_short else max(0, min(steps, left)), self._of(runners), True)
        self._take_in(runners, ended, rows, np.arange(len(runners)))
        value, heading = self._values(ended, rows)
        final = kind == "final"
        kept, merged = (list(range(len(runners))), {}) if final else self._ranked(ended.mixtures, heading, wanted)
        if not kept:  # nobody is sound: let the first ones be seen to the end as they are
            kept = list(np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")[:wanted])
        through = np.isin(np.arange(len(runners)), kept)
        into = np.full(len(runners), -1)
        for runner, twin in merged.items():
            into[runner] = runners[twin]
        passed_over = ~through & np.isin(ended.status, SOUND)
        self.status[runners[passed_over]] = np.where(into >= 0, Status.MERGED, Status.OUTRUN)[passed_over]
        self._tell(kind, rows, runners, value, heading, through, into, ended)
        return runners[kept]

    def _escapes(self, runners: Any, size: int | None, rounds: int) -> Any:
        """Lets `runners` jump, round after round on `size` rows, and keeps what they gain."""
        idle = 0
        steps = self.plan.steps[1]
        for _ in range(rounds):
            if idle == _PATIENCE or self.cut_short or self.k < 2:
                break
            if int(self.n_iter[runners].max()) + steps > self.max_iter:
                break
            rows = self._sample(size)
            each = self.plan.width // len(runners) - 1
            stand = self._of(runners), jnp.asarray(runners)
            jumped = moves(self.keys(len(self.rounds)), *stand, self.probe, self.problem.penalty.ridge, each)
            both = jax.tree.map(
                lambda own, new: jnp.concatenate([own, new.reshape(-1, *new.shape[2:])]), self._of(runners), jumped
            )
            whose = np.concatenate([runners, np.repeat(runners, each)])
            ended = self._go(whose, rows, steps, both, False)
            value, heading = self._values(ended, rows)
            value = np.where(np.isfinite(heading), value, -np.inf)
            m = len(runners)
            by_restart = np.concatenate([value[:m, None], value[m:].reshape(m, each)], axis=1)
            # A jump has to be ahead by more than what the parent would have gained in the same steps, and has.
            best = np.argmax(np.where(np.isnan(by_restart), -np.inf, by_restart), axis=1)
            picked = np.where(best == 0, np.arange(m), m + np.arange(m) * each + best - 1)
            gained = by_restart[np.arange(m), best] - by_restart[:, 0] > self.tol
            picked = np.where(gained, picked, np.arange(m))
            idle = 0 if gained.any() else idle + 1
            self.moves[runners] += gained
            self._take_in(runners, ended, rows, picked)
            np.add.at(self.passes, whose[m:], self._passes(ended, rows)[m:])
            through = np.isin(np.arange(len(whose)), picked)
            self._tell("escape", rows, whose, value, heading, through, np.full(len(whose), -1), ended)
            runners = self._without_twins(runners, ended, picked, heading)
        return runners

    def _without_twins(self, runners: Any, ended: Run, picked: Any, heading: Any) -> Any:
        """One restart for every optimum; those that have come to the same as another end here."""
        mixtures = jax.tree.map(lambda leaf: leaf[jnp.asarray(picked)], ended.mixtures)
        kept, merged = self._ranked(mixtures, heading[picked], len(runners))
        if merged:
            self.status[runners[list(merged)]] = Status.MERGED
        return runners[np.sort(kept)] if kept else runners

    # ---- what rounds come to -----------------------------------------------------------------------------------

    def _go(self, runners: Any, rows: ArrayRows, steps: int, mixtures: Mixture, revive: bool) -> Run:
        ended = self.go(mixtures, runners, rows, steps, revive)
        self.cut_short = self.cut_short or ended.cut_short
        return ended

    def _of(self, runners: Any) -> Mixture:
        return jax.tree.map(lambda leaf: leaf[jnp.asarray(runners)], self.mixtures)

    def _values(self, ended: Run, rows: ArrayRows) -> tuple[Any, Any]:
        """Where runners stand and where they are heading, nats per row; −inf what is not sound."""
        prior = log_priors(ended.mixtures, self.problem.penalty.prior) / self.total_weight
        value = ended.log_likelihood / self.total_weight + prior
        dubious = np.asarray(_spurious(ended.mixtures, self.problem.floor, rows.n_rows))
        sound = np.isin(ended.status, SOUND) & ~dubious & np.isfinite(value)
        return value, np.where(sound, heading_for(ended.history) + prior, -np.inf)

    def _ranked(self, mixtures: Mixture, heading: Any, wanted: int) -> tuple[list[int], dict[int, int]]:
        return ranked(heading, np.asarray(_labels(mixtures, self.probe.x)), self.k, wanted)

    def _passes(self, ended: Run, rows: ArrayRows) -> Any:
        return ended.passes * int(rows.n_rows) / self.n_rows

    def _take_in(self, runners: Any, ended: Run, rows: ArrayRows, picked: Any) -> None:
        """Restarts `runners` are now where the round's runners `picked` ended."""
        at, places = jnp.asarray(runners), jnp.asarray(picked)
        self.mixtures = jax.tree.map(lambda old, new: old.at[at].set(new[places]), self.mixtures, ended.mixtures)
        self.log_likelihood[runners] = ended.log_likelihood[picked]
        self.status[runners] = ended.status[picked]
        self.kernel[runners] = ended.kernel[picked]
        self.n_iter[runners] += ended.n_iter[picked]
        self.revivals[runners] += ended.revivals[picked]
        self.passes[runners] += self._passes(ended, rows)[: len(runners)]
        for runner, place in zip(runners, picked, strict=True):
            values = ended.history[place]
            self.history[runner].append(values[~np.isnan(values)][bool(self.history[runner]) :])

    def _tell(
        self, kind: str, rows: ArrayRows, restart: Any, value: Any, heading: Any, through: Any, merged: Any, ended: Run
    ) -> None:
        passes = self._passes(ended, rows)
        self.rounds.append(Round(kind, int(rows.n_rows), restart, value, heading, through, merged, passes))

    def _ended(self) -> Run:
        histories = [np.concatenate(parts) for parts in self.history]
        longest = max(map(len, histories))
        table = np.full((self.n, longest), np.nan)
        for row, values in zip(table, histories, strict=True):
            row[: len(values)] = values
        return Run(
            mixtures=self.mixtures,
            log_likelihood=self.log_likelihood,
            status=self.status,
            n_iter=self.n_iter,
            passes=self.passes,
            kernel=self.kernel,
            revivals=self.revivals,
            history=table,
            moves=self.moves,
            cut_short=self.cut_short,
            rounds=tuple(self.rounds),
        )
