"""All K of one covariance type in one batch, with and without each fold, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from jaxgmm.drivers import EM
from jaxgmm.fit.diagnostics import Diagnosis, diagnose
from jaxgmm.fit.result import FitError, FitResult, best_restart
from jaxgmm.fit.search import search_from
from jaxgmm.inputs.randomness import fold_key, generator
from jaxgmm.inputs.typing import Array
from jaxgmm.inputs.wording import Wording
from jaxgmm.mixture import Mixture
from jaxgmm.problem.pose import Problem
from jaxgmm.rows.folds import FoldedRows
from jaxgmm.run.identity import Tags
from jaxgmm.run.options import Settings
from jaxgmm.run.record import Run
from jaxgmm.run.status import SOUND, Status
from jaxgmm.selection.result import Cell
from jaxgmm.starts.several_k import padded_starts, shapes, trimmed


@dataclass(frozen=True)
class Folds:
    """Which rows are kept back together.

    Attributes:
        fold: (n,), each row's number; −1 for those that never are.
        number: how many folds there are.
    """

    fold: Any
    number: int

    @classmethod
    def none(cls, n: int) -> Folds:
        return cls(np.full(n, -1, np.int32), 0)

    @classmethod
    def dealt(cls, key: Key[Array, ""], n: int, number: int) -> Folds:
        """Every row into one of `number` folds, whose sizes differ by one at most."""
        return cls((_permutation(key, n) % number).astype(np.int32), number)

    @classmethod
    def split(cls, key: Key[Array, ""], n: int, held_out: int) -> Folds:
        """So many rows into one fold, the others into none."""
        return cls(np.where(_permutation(key, n) < held_out, 0, -1).astype(np.int32), 1)

    @property
    def where(self) -> str:
        """What a count of rows to fit is a count in, as words after it."""
        return " outside every fold" if self.number else ""

    def training(self) -> Iterator[Any]:
        """Numbers of the rows left without each fold; all rows if there are no folds."""
        if not self.number:
            yield slice(None)
        for fold in range(self.number):
            yield np.flatnonzero(self.fold != fold)

    def rows(self, problem: Problem, sample_weight: Any) -> Any:
        """The problem's rows, with folds if there are any."""
        if not self.number:
            return problem.rows
        held = np.concatenate([np.bincount(self.fold[self.fold >= 0], minlength=self.number), [0]])
        w = np.ones(len(self.fold)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        kept = [np.sum(w[self.fold != fold]) for fold in range(self.number + 1)]
        padding = problem.rows.n_slots - len(self.fold)
        return FoldedRows(
            rows=problem.rows,
            fold=jnp.asarray(np.pad(self.fold, (0, padding), constant_values=-1)),
            total_weights=jnp.asarray(np.array(kept), problem.dtype),
            counts=jnp.asarray(len(self.fold) - held, jnp.int32),
        )


def _permutation(key: Key[Array, ""], n: int) -> Any:
    return generator(jax.random.key_data(fold_key(key))).permutation(n)


@dataclass(frozen=True)
class Contest:
    """The restarts of one covariance type: axes view (without fold 0, 1, …, last of all rows), K, start, in this order.

    Attributes:
        problem, sizes, folds: what was run; `sizes` are the K.
        ended: how; its mixtures are padded, in the coordinates of the rows.
        mixtures: the same of the data.
        diagnosis: of the padded mixtures.
        spurious: (views, K, starts).
        x, sample_weight: the rows.
    """

    problem: Problem
    sizes: list[int]
    folds: Folds
    ended: Run
    mixtures: Mixture
    diagnosis: Diagnosis
    spurious: Any
    x: Any
    sample_weight: Any

    @classmethod
    def held(
        cls, key: Key[Array, ""], problem: Problem, settings: Settings, sizes: list[int], n_init: int, init: str,
        folds: Folds, deadline: float, x: Any, sample_weight: Any,
    ) -> Contest:  # fmt: skip
        """Runs them. Call inside `precision.scope(problem.dtype)`."""
        starts, present = padded_starts(key, problem, sizes, n_init, init)
        views, each = folds.number + 1, len(sizes) * n_init
        starts, present = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * views), (starts, present))
        tags = Tags(
            present=present,
            number=jnp.tile(jnp.arange(n_init, dtype=jnp.int32), len(sizes) * views),
            fold=jnp.repeat(jnp.arange(views, dtype=jnp.int32), each) if folds.number else None,
        )
        ended = search_from(settings, key, problem, EM(), starts, deadline, folds.rows(problem, sample_weight), tags)
        seen = [np.sum(folds.fold != fold) for fold in range(views)]
        diagnosis = replace(diagnose(problem, ended.mixtures), n_rows=np.repeat(seen, each))
        spurious = diagnosis.spurious().any(axis=1).reshape(views, len(sizes), n_init)
        mixtures = problem.frame.to_data(ended.mixtures, problem.dtype)
        return cls(problem, sizes, folds, ended, mixtures, diagnosis, spurious, x, sample_weight)

    def cells(self, blank: Sequence[Cell], criterion: str) -> list[Cell]:
        """A cell for every K, from what is known of it before."""
        bests = np.array([[self._best(view, i) for i in range(len(self.sizes))] for view in range(len(self.spurious))])
        values, errors = self._judged(np.maximum(bests, 0), criterion)
        values = np.where((bests < 0).any(axis=0), np.nan, values)
        faults = [[self._fault(number) for number in view] for view in bests]
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
            cells.append(
                replace(
                    cell,
                    log_likelihood=float(self.ended.log_likelihood[bests[-1, i]]),
                    criterion=float(values[i]),
                    standard_error=float(errors[i]),
                    status=Status(int(self.ended.status[bests[-1, i]])),
                    spurious=bool(self.spurious.ravel()[bests[-1, i]]),
                    note=faults[-1][i] or Wording.joined("; ", notes),
                )
            )
        return cells

    def result(self, n_components: int, seconds: float) -> FitResult:
        """The restarts of one K on all rows, as `fit` returns them."""
        i, ended = self.sizes.index(n_components), self.ended
        best, n_init = self._best(-1, i), self.spurious.shape[2]
        first = best - best % n_init
        own = slice(first, first + n_init)
        mixtures = trimmed(self.mixtures[own], n_components)
        diagnosis = diagnose(self.problem, trimmed(jax.tree.map(np.asarray, ended.mixtures)[own], n_components))
        return FitResult(
            mixture=mixtures[best - first],
            mixtures=mixtures,
            best=best - first,
            log_likelihood=ended.log_likelihood[own],
            log_prior=np.zeros(n_init),
            n_iter=ended.n_iter[own],
            status=ended.status[own],
            spurious=self.spurious[-1, i],
            owed=diagnosis.owed(diagnosis.spurious()),
            revivals=ended.revivals[own],
            kernel=ended.kernel[own],
            passes=ended.passes[own],
            remaining=ended.remaining[own],
            history=ended.history[own, : int(np.max(ended.n_iter[own])) + 1],
            total_weight=diagnosis.total_weight,
            seconds=seconds,
            diagnosis=diagnosis,
        )

    def _best(self, view: int, i: int) -> int:
        """The number of the best restart in the batch; −1 if none stayed finite."""
        shape = self.spurious.shape
        value, status = self.ended.log_likelihood.reshape(shape), self.ended.status.reshape(shape)
        at = view % shape[0], i
        try:
            found = best_restart(value[at], status[at], self.spurious[at])
        except FitError:
            return -1
        return int(np.ravel_multi_index((*at, found), shape))

    def _fault(self, number: int) -> str:
        """What speaks against a restart, in words; nothing if nothing does."""
        if number < 0:
            return "no restart stayed finite"
        if self.ended.status[number] not in SOUND:
            return "every restart is degenerate"
        # Its likelihood then says more of the ridge than of the rows, and would be as large as one likes with less.
        if not self.spurious.ravel()[number]:
            return ""
        return Wording("every restart is spurious: {doubt}", doubt=self.diagnosis.doubt(number))

    def _judged(self, bests: Any, criterion: str) -> tuple[Any, Any]:
        """The criterion of each K's best restart, and its standard error; (K,)."""
        x, w = self.x, self.sample_weight
        unknown = np.full(len(self.sizes), np.nan)
        if not self.folds.number:
            n = float(len(x) if w is None else np.sum(w, dtype=np.float64))
            values = [
                shapes(self.problem.family, k, x.shape[1]).criteria(self.ended.log_likelihood[best], n)
                for k, best in zip(self.sizes, bests[-1], strict=True)
            ]
            if criterion == "aic":
                return np.array([value["aic"] for value in values]), unknown
            entropy = self.mixtures[bests[-1]].entropy(x, w) if criterion == "icl" else 0.0
            return np.array([value["bic"] for value in values]) + 2 * entropy, unknown
        means, weights, errors = [], [], unknown
        for fold in range(self.folds.number):
            rows = self.folds.fold == fold
            own = np.ones(np.sum(rows)) if w is None else np.asarray(w[rows], np.float64)
            scores = self.mixtures[bests[fold]].score_samples(x[rows]).astype(np.float64)
            weights.append(own.sum())
            means.append(scores @ own / weights[-1])
            errors = np.sqrt((scores - means[-1][:, None]) ** 2 @ own**2) / weights[-1]
        if self.folds.number > 1:
            errors = np.std(means, axis=0, ddof=1) / np.sqrt(self.folds.number)
        return -np.average(means, axis=0, weights=weights), errors
