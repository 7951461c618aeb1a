"""How a race between starts is laid out, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: fewer starts than this all run to the end
FEWEST = 8
#: from so many rows × starts × parameters on a race takes less time than all starts, what it compiles included
WORTHWHILE = 5e8

# A sample holds so many rows for every free parameter of a mixture; or for every component and feature, where that is
# less: covariances need not be known well to tell starts apart; and no fewer than some. Contests, where optima that lie
# close together must not look alike, read more.
_SAMPLE = (6, 48, 2048)
_LARGER = (16, 128, 16384)
_ROUND = 1024
# A sample of almost all rows saves nothing.
_MUCH_FEWER = 1.5
# With fewer rows than this no start is left behind: running all of them to the end takes no longer.
_FEW_ROWS = 4096
# What a race may read before the final, in rows per start: so many times all of them, or so many rows if that is more,
# but no more than so many times all of them, for which every start could run to the end.
_BUDGET = (8, 700_000, 40)
_LEADERS, _FINALISTS = 4, (6, 3)
# Runners of the second heat, and of an escape, at least: fewer together hardly cost less.
_WIDTH = 32
_STEPS = (12, 16)
_ESCAPES = (4, 16)
# A race ends after so many rounds of jumps in which nothing was gained; after one more where rounds take no time to
# speak of beside compiling: of 48 such races 13 ended below the best of all starts, and then 7.
_STALE = (2, 3)
# Leaders and jumps that contend on the larger sample.
_CONTENDERS = 16


def worthwhile(n: int, n_rows: int, n_parameters: int) -> bool:
    """Whether a race between `n` starts pays, in time, against running all of them."""
    return n * n_rows * n_parameters >= WORTHWHILE


@dataclass(frozen=True)
class Plan:
    """A race between `n` starts.

    Attributes:
        sample: how many rows heats and trials of jumps read; None for all, and no trials.
        larger: how many rows contests read; None for all.
        width: runners of the second heat, and jumps that are tried.
        leaders: how many jump at a time.
        finalists: how many run on all rows, and how many of them to the end.
        contenders: leaders and jumps together in a contest that follows trials.
        steps: of the first heat and of trials; of the second heat and of contests.
        escapes: how many rounds of them there may be.
        stale: after how many of them without a gain the race ends.
        thorough: whether the first heat runs all starts to their end.
    """

    sample: int | None
    larger: int | None
    width: int
    leaders: int
    finalists: tuple[int, int]
    contenders: int
    steps: tuple[int, int]
    escapes: int
    stale: int
    thorough: bool

    @classmethod
    def of(cls, n: int, n_rows: int, shape: tuple[int, int], n_parameters: int) -> Plan:
        """The race for `n` starts: it follows from the shapes alone. `shape` is (k, d)."""

        def size(rule: tuple[int, int, int]) -> int | None:
            per_parameter, per_mean, least = rule
            wanted = max(least, min(per_parameter * n_parameters, per_mean * shape[0] * shape[1]))
            rows = -(-wanted // _ROUND) * _ROUND
            return rows if _MUCH_FEWER * rows <= n_rows else None

        sample, larger = size(_SAMPLE), size(_LARGER)
        width = max(_WIDTH, -(-n // 4))
        few, many = sample or n_rows, larger or n_rows
        short, long = _STEPS[0] + 1, _STEPS[1] + 1
        heats = (n * short + min(n, width) * long) * few
        escape = width * long * many if sample is None else width * short * few + _CONTENDERS * long * many
        times, least, most = _BUDGET
        spare = n * min(max(times * n_rows, least), most * n_rows) - heats
        escapes = int(np.clip(spare / escape, *_ESCAPES))
        leaders, stale = min(_LEADERS, n // 2), _STALE[0 if worthwhile(n, n_rows, n_parameters) else 1]
        thorough = n_rows < _FEW_ROWS
        return cls(sample, larger, width, leaders, _FINALISTS, _CONTENDERS, _STEPS, escapes, stale, thorough)


@dataclass(frozen=True)
class Pace:
    """How runners run in a round.

    Attributes:
        steps: how many at most.
        tol: when they have converged.
        revive: whether collapsed components are put elsewhere.
        trust: up to how many times its usual conditioning the fast kernel is good enough.
        leave: whether a few that the fast kernel cannot follow end where they are.
    """

    steps: int
    tol: float
    revive: bool = False
    trust: float = 1.0
    leave: bool = False


@dataclass(frozen=True)
class Round:
    """One round of a race. Arrays over its runners.

    Attributes:
        kind: "heat", "trial", "escape", "semifinal", "final" or "winner".
        rows: how many rows it read.
        restart: whose runners they are; in a trial all have jumped, in an escape all but the first of each restart.
        log_likelihood: where they ended, mean over the rows read, nats per row; with a prior, log-posterior.
        heading: where they are heading; what heats rank by. −inf for what is degenerate or spurious.
        through: which runners went on.
        merged: the restart on whose way to the same optimum one was; −1 for the others.
        passes: what a runner read, in whole data sets.
    """

    kind: str
    rows: int
    restart: Any
    log_likelihood: Any
    heading: Any
    through: Any
    merged: Any
    passes: Any


def heading_for(history: Any) -> Any:
    """Where mean log-likelihoods (r, t) are heading, (r,): Aitken's extrapolation over the last steps.

    Rows end in NaN where runs ended early. Gains are compared over two halves of a window, as single ones are noise.
    """
    values = np.asarray(history, np.float64)
    last = np.sum(~np.isnan(values), axis=1) - 1
    half = np.minimum(last // 2, 4)
    ago = lambda steps: values[np.arange(len(values)), np.maximum(last - steps, 0)]  # noqa: E731
    end, middle, begin = ago(0), ago(half), ago(2 * half)
    late, early = np.maximum(end - middle, 0.0), np.maximum(middle - begin, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.clip(np.where(early > 0, late / early, 0.0), 0.0, _MOST_CARRIED)
    return end + late * rate / (1 - rate)


# Gains that hardly shrink, or grow, are not believed for longer than this.
_MOST_CARRIED = 0.9
# Of rows labelled alike, after the best renaming, for two runners to be on the way to one optimum; and how near their
# headings must be, in nats per row.
_ALIKE = 0.97
_NEAR = 2e-3


def ranked(heading: Any, labels: Any, n_components: int, wanted: int) -> tuple[list[int], dict[int, int]]:
    """The first `wanted` runners by `heading` that differ, and those that were passed over for one they resemble.

    Args:
        heading: (m,), −inf for runners that must not go on.
        labels: (m, s), every runner's labels of the same s rows.
        n_components: K.
    """
    kept: list[int] = []
    merged: dict[int, int] = {}
    for runner in np.argsort(-heading, kind="stable"):
        if len(kept) == wanted or not np.isfinite(heading[runner]):
            break
        near = [other for other in kept if heading[other] - heading[runner] <= _NEAR]
        twin = next((o for o in near if _agreement(labels[o], labels[runner], n_components) >= _ALIKE), None)
        if twin is None:
            kept.append(int(runner))
        else:
            merged[int(runner)] = twin
    return kept, merged


def _agreement(a: Any, b: Any, n_components: int) -> float:
    """The share of rows that two labellings share, components renamed to the largest overlap."""
    table = np.bincount(a * n_components + b, minlength=n_components**2).reshape(n_components, n_components)
    best = table.max(axis=1)
    # One-to-one wherever it matters: what two components share cannot be most of both.
    return float(min(best.sum(), table.max(axis=0).sum()) / len(a))
