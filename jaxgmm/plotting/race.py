"""A race between starts, round by round."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.fit.result import FitResult
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.plotting.style import ACCENT, INK, PALE, new_or_given, tidy


def plot_race(result: FitResult, *, ax: Any = None) -> Any:
    """Where every runner stood after each round of a race, against passes over the data by all of them together.

    Heights are gaps to the best runner of the same round, as rounds read different rows. Jumps that were kept
    stand out.

    Args:
        result: what `fit(search="race")` returned.
        ax: matplotlib axes.

    Raises:
        ValueError: the result is not of a race.
    """
    if not isinstance(result, FitResult):
        raise ArgumentTypeError("result", "be a FitResult", type(result).__name__)
    if not result.rounds:
        raise ArgumentError("result", "be of a race", None, "fit with search='race' and eight starts or more")
    ax = new_or_given(ax)
    spent, marks = 0.0, []
    last: dict[int, tuple[float, float]] = {}
    for leg in result.rounds:
        spent += float(np.sum(leg.passes))
        if leg.kind == "trial" or not np.isfinite(_height(leg)):
            continue
        gaps = np.maximum(_height(leg) - leg.log_likelihood, 0.0)
        marks.append((spent, leg))
        first = dict.fromkeys(leg.restart, True)
        for restart, gap, through in zip(leg.restart, gaps, leg.through, strict=True):
            if not np.isfinite(gap):
                continue
            jumped = leg.kind == "escape" and not first[restart]
            first[restart] = False
            kept = through or leg.kind in ("final", "winner")
            if restart in last and kept:
                strong = restart == result.best
                ax.plot(
                    *zip(last[restart], (spent, gap), strict=True), color=ACCENT if strong else PALE,
                    linewidth=1.8 if strong else 0.8, zorder=3 if strong else 1,
                )  # fmt: skip
            marker, color = ("^", ACCENT) if jumped and kept else (".", INK if kept else PALE)
            ax.plot(spent, gap, marker, color=color, markersize=5 if kept else 3, zorder=4 if kept else 2)
            if kept:
                last[restart] = (spent, gap)
    smallest = min((gap for _, gap in last.values() if gap > 0), default=1e-6)
    ax.set_yscale("symlog", linthresh=max(smallest, 1e-5))
    ax.invert_yaxis()
    named = [(spent, leg) for spent, leg in marks if leg.kind != "escape"]
    for number, (spent, leg) in enumerate(named):
        ax.annotate(
            f"{leg.kind}\n{len(leg.restart)} on {leg.rows}", (spent, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 20 * (number % 2)), textcoords="offset points", ha="center", va="bottom", fontsize=7,
            color=INK,
        )  # fmt: skip
    ax.set_xlabel("passes over the data, all starts together")
    ax.set_ylabel("below the round's best, nats per row")
    tidy(ax)
    return ax


def _height(leg: Any) -> float:
    sound = np.isfinite(leg.heading) & np.isfinite(leg.log_likelihood)
    return float(np.max(leg.log_likelihood, where=sound, initial=-np.inf))
