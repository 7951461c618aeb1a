"""All K of one covariance type in one batch, with and without each fold, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxgmm.drivers import EM
from jaxgmm.fit.diagnostics import Diagnosis, diagnose
from jaxgmm.fit.result import FitError, FitResult, best_restart
from jaxgmm.inputs import trees
from jaxgmm.inputs.threefry import Words
from jaxgmm.inputs.typing import Float, Int
from jaxgmm.inputs.wording import Wording
from jaxgmm.problem.pose import Problem
from jaxgmm.rows.source import Chosen
from jaxgmm.run.identity import Tags
from jaxgmm.run.options import Settings
from jaxgmm.run.record import Restarts
from jaxgmm.run.search import Task
from jaxgmm.run.status import SOUND, Status
from jaxgmm.selection.folds import Folds
from jaxgmm.selection.result import Cell
from jaxgmm.starts.several_k import padded_starts, shapes, trimmed


@dataclass(frozen=True)
class Contest:
    """The restarts of one covariance type: axes view (without fold 0, 1, …, last of all rows), K, start, in this order.

    Attributes:
        problem, sizes, folds: what was run; `sizes` are the K.
        restarts: axes view, K, start; mixtures are padded to the largest K, in the coordinates of the data.
        history: (starts of all, t), in the order of the axes.
        diagnosis: of all restarts in that order, in the coordinates of the problem.
    """

    problem: Problem
    sizes: list[int]
    folds: Folds
    restarts: Restarts
    history: Float[np.ndarray, "r t"]
    diagnosis: Diagnosis

    @classmethod
    def held(
        cls, key: Words, problem: Problem, settings: Settings, sizes: list[int], n_init: int, init: str,
        folds: Folds, deadline: float, dtype: np.dtype,
    ) -> Contest:  # fmt: skip
        """Runs them, to mixtures of this `dtype`. Call inside `precision.scope`, but for the host."""
        starts, present = padded_starts(key, problem, sizes, n_init, init)
        views, each = folds.number + 1, len(sizes) * n_init
        starts, present = trees.map(lambda leaf: np.concatenate([leaf] * views), (starts, present))
        tags = Tags(
            present=present,
            number=np.tile(np.arange(n_init, dtype=np.int32), len(sizes) * views),
            fold=np.repeat(np.arange(views, dtype=np.int32), each) if folds.number else None,
        )
        rows = folds.rows(problem, problem.source.weights)
        ended = Task(key, problem, EM(), starts, settings, deadline, rows, tags).run()
        seen = [np.sum(folds.fold != fold) for fold in range(views)]
        diagnosis = replace(diagnose(problem, ended.restarts.mixtures), n_rows=np.repeat(seen, each))
        mixtures = problem.frame.to_data(ended.restarts.mixtures, dtype)
        judged = diagnosis.judged(replace(ended.restarts, mixtures=mixtures))
        restarts = judged.reshaped(views, len(sizes), n_init)
        return cls(problem, sizes, folds, restarts, ended.history, diagnosis)

    def cells(self, blank: Sequence[Cell], criterion: str) -> list[Cell]:
        """A cell for every K, from what is known of it before."""
        views = range(len(self.restarts))
        bests = np.array([[self._best(view, i) for i in range(len(self.sizes))] for view in views])
        values, errors = self._judged(np.maximum(bests, 0), criterion)
        values = np.where((bests < 0).any(axis=0), np.nan, values)
        faults = [[self._fault(view, i, bests[view, i]) for i in range(len(self.sizes))] for view in views]
        cells = []
        for i, cell in enumerate(blank):
            if bests[-1, i] < 0:
                cells.append(replace(cell, status=Status.NON_FINITE, note="no restart stayed finite"))
                continue
            notes = [
                Wording("without fold {fold}: {fault}", fold=fold, fault=view[i])
                for fold, view in enumerate(faults[:-1])
                if view[i]
            ]
            best = self.restarts[-1, i, bests[-1, i]]
            cells.append(
                replace(
                    cell,
                    log_likelihood=float(best.log_likelihood),
                    criterion=float(values[i]),
                    standard_error=float(errors[i]),
                    status=Status(int(best.status)),
                    spurious=bool(best.spurious),
                    note=faults[-1][i] or Wording.joined("; ", notes),
                )
            )
        return cells

    def result(self, n_components: int, seconds: float) -> FitResult:
        """The restarts of one K on all rows, as `fit` returns them."""
        i, own = self.sizes.index(n_components), self.restarts[-1, self.sizes.index(n_components)]
        first, n_init = self._number(-1, i, 0), len(own)
        diagnosis = diagnose(self.problem, trimmed(self.diagnosis.mixtures[first : first + n_init], n_components))
        return FitResult.of(
            diagnosis.judged(replace(own, mixtures=trimmed(own.mixtures, n_components))),
            diagnosis,
            seconds=seconds,
            best=self._best(-1, i),
            history=self.history[first : first + n_init, : int(np.max(own.n_iter)) + 1],
            engine="numpy" if self.problem.rows.on_host else "jax",
        )

    def _number(self, view: int, i: int, start: int) -> int:
        """A restart's number among all."""
        shape = self.restarts.status.shape
        return int(np.ravel_multi_index((view % shape[0], i, start), shape))

    def _best(self, view: int, i: int) -> int:
        """The number of the best start of one K in one view; −1 if none stayed finite."""
        own = self.restarts[view, i]
        try:
            return best_restart(own.log_likelihood, own.status, own.spurious)
        except FitError:
            return -1

    def _fault(self, view: int, i: int, start: int) -> str:
        """What speaks against a restart, in words; nothing if nothing does."""
        if start < 0:
            return "no restart stayed finite"
        if self.restarts.status[view, i, start] not in SOUND:
            return "every restart is degenerate"
        # Its likelihood then says more of the ridge than of the rows, and would be as large as one likes with less.
        if not self.restarts.spurious[view, i, start]:
            return ""
        doubt = self.diagnosis.doubt(self._number(view, i, start))
        return Wording("every restart is spurious: {doubt}", doubt=doubt)

    def _judged(
        self, bests: Int[np.ndarray, "v K"], criterion: str
    ) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
        """The criterion of each K's best restart, and its standard error."""
        source, every = self.problem.source, np.arange(len(self.sizes))
        w = source.weights
        unknown = np.full(len(self.sizes), np.nan)
        if not self.folds.number:
            n = float(source.shape[0] if w is None else np.sum(w, dtype=np.float64))
            best = self.restarts[-1, every, bests[-1]]
            values = [
                shapes(self.problem.family, k, source.shape[1]).criteria(log_likelihood, n)
                for k, log_likelihood in zip(self.sizes, best.log_likelihood, strict=True)
            ]
            if criterion == "aic":
                return np.array([value["aic"] for value in values]), unknown
            entropy = best.mixtures.entropy(source) if criterion == "icl" else 0.0
            return np.array([value["bic"] for value in values]) + 2 * entropy, unknown
        means, weights, errors = [], [], unknown
        for fold in range(self.folds.number):
            rows = self.folds.fold == fold
            own = np.ones(np.sum(rows)) if w is None else np.asarray(w[rows], np.float64)
            best = self.restarts[fold, every, bests[fold]]
            scores = best.mixtures.score_samples(Chosen(source, rows)).astype(np.float64)
            weights.append(own.sum())
            means.append(scores @ own / weights[-1])
            errors = np.sqrt((scores - means[-1][:, None]) ** 2 @ own**2) / weights[-1]
        if self.folds.number > 1:
            errors = np.std(means, axis=0, ddof=1) / np.sqrt(self.folds.number)
        return -np.average(means, axis=0, weights=weights), errors
