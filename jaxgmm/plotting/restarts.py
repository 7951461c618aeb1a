"""How restarts climbed, and where they ended."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection

from jaxgmm.fit.result import SOUND, FitResult
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.plotting.style import ACCENT, HALO, INK, PALE, new_or_given, tidy

_SAME_PLACE = 1e-3  # nats per row


def plot_convergence(
    result: FitResult, *, ax: Any = None, gap: bool = True, against: str = "iteration", reference: float | None = None,
    color: Any = ACCENT, label: str = "best", linestyle: Any = "-",
) -> Any:  # fmt: skip
    """Every restart's way up; the best one bold, with its name.

    Args:
        result: what `fit` returned.
        ax: matplotlib axes; draw several results on the same ones to compare them.
        gap: show how far below `reference` a restart is, on a log axis; else the mean log-likelihood itself.
        against: "iteration", or "passes" over the data. A driver that takes several passes a step, such as L-BFGS,
            is drawn with its passes spread evenly over its steps.
        reference: mean log-likelihood that gaps are measured from, nats per row; the best restart's by default.
        color: of the best restart.
        label: its name.
        linestyle: of the best restart.

    Raises:
        ValueError: no restart has taken a step, or an unknown `against`.
    """
    _is_result(result)
    arguments.choice("against", against, ("iteration", "passes"))
    history = np.asarray(result.history, np.float64)
    if history.shape[1] < 2:
        raise ArgumentError("result", "have taken at least one iteration", "the starts alone (max_iter=0)")
    steps = np.arange(history.shape[1])
    counts = np.maximum(np.asarray(result.n_iter, np.float64), 1)
    passes = np.asarray(result.passes, np.float64)
    widths = np.maximum(passes - 1, 0) / counts if against == "passes" else np.ones(len(counts))
    first = 1.0 if against == "passes" else 0.0
    if reference is None:
        reference = result.score
    values = reference - history if gap else history
    values = np.where(values > 0, values, np.nan) if gap else values
    curves = [np.column_stack([first + steps * width, row]) for width, row in zip(widths, values, strict=True)]
    curves = [curve[np.isfinite(curve[:, 1])] for curve in curves]
    ax = new_or_given(ax)
    others = [curve for i, curve in enumerate(curves) if i != result.best and len(curve)]
    # Many curves are a haze, a few are lines.
    alpha = float(np.clip(20 / max(len(others), 1), 0.25, 0.6))
    ax.add_collection(LineCollection(others, colors=PALE if len(others) > 12 else color, linewidths=0.9, alpha=alpha))
    best = curves[result.best]
    ax.plot(*best.T, color=color, linewidth=2, linestyle=linestyle, zorder=3)
    if len(best):
        ax.annotate(
            label, best[-1], xytext=(5, 2), textcoords="offset points", color=color, fontweight="bold",
            path_effects=HALO, zorder=4,
        )  # fmt: skip
    if gap:
        ax.set_yscale("log")
    ax.autoscale_view()
    ax.margins(x=0.04)
    ax.set_xlabel("iteration" if against == "iteration" else "passes over the data")
    ax.set_ylabel(f"{'nats per row below the best' if gap else 'mean log-likelihood, nats per row'}")
    return tidy(ax)


def plot_restarts(result: FitResult, *, ax: Any = None, bins: int | None = None) -> Any:
    """Where the restarts ended: a histogram of final mean log-likelihoods, a tick for each, best and median named.

    Args:
        result: what `fit` returned.
        ax: matplotlib axes.
        bins: how many; by their number by default.

    Raises:
        ValueError: `bins` below 1.
    """
    _is_result(result)
    scores = np.asarray(result.log_likelihood, np.float64) / result.total_weight
    sound = np.isin(result.status, SOUND) & np.isfinite(scores)
    faulty = np.isfinite(scores) & ~sound
    count = int(np.clip(2 * math.sqrt(len(scores)), 5, 40)) if bins is None else arguments.integer("bins", bins, 1)
    ax = new_or_given(ax)
    ended = scores[sound | faulty]
    # Restarts that end nearer than this have ended in the same place; the rest is rounding.
    room = max(0.0, _SAME_PLACE - np.ptp(ended)) / 2
    edges = np.linspace(ended.min() - room, ended.max() + room, count + 1)
    stacks = [(sound, {"color": "#c3cad6"}), (faulty, {"color": "white", "hatch": "////", "label": "degenerate"})]
    stacks = [(kind, style) for kind, style in stacks if kind.any()]
    bottom = np.zeros(count)
    for kind, style in stacks:
        heights = np.histogram(scores[kind], edges)[0]
        ax.bar(edges[:-1], heights, np.diff(edges), bottom, align="edge", edgecolor=INK, linewidth=0.6, **style)
        bottom = bottom + heights
    top = bottom.max()
    ax.plot(ended, np.full(len(ended), -0.045 * top), "|", color=INK, ms=6, alpha=0.5)
    median = float(np.median(ended))
    middle = (edges[0] + edges[-1]) / 2
    _mark(ax, "best", result.score, 1.2 * top, {"color": ACCENT}, leftward=result.score > middle)
    _mark(ax, "median", median, 1.08 * top, {"color": INK, "linestyle": (0, (4, 2))}, leftward=median > middle)
    if faulty.any():
        ax.legend(loc="upper left", frameon=False)
    ax.set_ylim(-0.1 * top, 1.27 * top)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.xaxis.get_major_locator().set_params(nbins=6)
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("final mean log-likelihood, nats per row")
    ax.set_ylabel("restarts")
    return tidy(ax)


def _mark(ax: Any, name: str, value: float, height: float, style: dict[str, Any], leftward: bool) -> None:
    """A line at `value`, with its name and number beside its top."""
    ax.plot([value, value], [0, height], linewidth=1.8, **style)
    ax.annotate(
        f"{name} {value:.4f}".replace("-", "−"),
        (value, height),
        xytext=(-4 if leftward else 4, 0),
        textcoords="offset points",
        color=style["color"],
        ha="right" if leftward else "left",
        va="top",
        path_effects=HALO,
    )


def _is_result(result: Any) -> None:
    if not isinstance(result, FitResult):
        raise ArgumentTypeError("result", "be a FitResult", type(result).__name__)
