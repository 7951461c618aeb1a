"""The picture of `em_vs_gradient.py`: one row for each data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter
from pictures import COLOURS, figure, save

_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))


def _band(ax: Any, grid: Any, curves: Any, i: int, label: str) -> None:
    low, middle, high = np.nanquantile(curves, (0.25, 0.5, 0.75), axis=0)
    ax.fill_between(grid, low, high, color=COLOURS[i], alpha=0.14, lw=0)
    ax.plot(grid, middle, color=COLOURS[i], ls=_DASHES[i], lw=2.1, label=label)


def _values(ax: Any, scores: dict[str, Any], truth: float | None) -> None:
    """Every restart's last score, sorted: the distribution without bins."""
    for i, (_, values) in enumerate(scores.items()):
        share = (np.arange(len(values)) + 0.5) / len(values)
        ax.plot(np.sort(values), share, "o", color=COLOURS[i], ms=4.2, mec="white", mew=0.5, zorder=3 - i)
        ax.plot(np.sort(values), share, color=COLOURS[i], ls=_DASHES[i], lw=1.2)
    if truth is not None:
        ax.axvline(truth, color="#777777", lw=1, ls=":")
        ax.annotate("truth ", (truth, 0.04), color="#777777", fontsize=8.5, ha="right")
    ax.set_ylim(0, 1)


def draw(results: list[dict[str, Any]], folder: Path) -> None:
    """Score against passes and against seconds, and the restarts' last scores; all from the same starts."""
    drawn, axes = figure(len(results), 3, (12.5, 3.3 * len(results)))
    for row, result in zip(axes, results, strict=True):
        methods = result["methods"]
        for i, (name, method) in enumerate(methods.items()):
            for ax, unit in zip(row, ("passes", "seconds"), strict=False):
                _band(ax, method[f"{unit}_grid"], np.array(method[f"score_at_{unit}"]), i, name)
        _values(row[2], {name: method["final"] for name, method in methods.items()}, result["truth"])
        # The climb's end is what is to be read; its beginning is the same for all.
        finals = np.concatenate([method["final"] for method in methods.values()])
        starts = np.concatenate([np.array(method["score_at_passes"])[:, 0] for method in methods.values()])
        top, spread = finals.max(), max(finals.max() - np.quantile(finals, 0.1), 0.05)
        for ax in row[:2]:
            ax.set_ylim(max(top - 4 * spread, np.median(starts)), top + 0.25 * spread)
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
            if result["truth"] is not None:
                ax.axhline(result["truth"], color="#777777", lw=1, ls=":")
        row[0].set_ylabel("log-likelihood, nats per row")
        row[0].set_title(result["data"] + "\n", fontweight="bold")
        fact = f"N = {result['n']}, D = {result['d']}, K = {result['k']}, {result['restarts']} restarts"
        row[0].text(0, 1.03, fact, transform=row[0].transAxes, fontsize=8.5, color="#777777")
    axes[0][0].legend(loc="lower right", title="median, middle half", title_fontsize=8.5)
    labels = ("passes over the data", "seconds, all restarts together", "last log-likelihood, nats per row")
    for ax, label in zip(axes[-1], labels, strict=True):
        ax.set_xlabel(label)
    for ax in axes[:, 2]:
        ax.set_ylabel("share of restarts below")
    save(drawn, folder, "em_vs_gradient")
