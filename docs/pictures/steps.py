"""Pictures of how EM climbs."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from style import DURATION, WAITING, panels, title

from jaxgmm.plotting import component_colors, plot_mixture
from jaxgmm.plotting.style import ACCENT, HALO, INK, PALE, tidy

Page = dict[str, Any]


def eruptions(page: Page) -> Figure:
    """Quick start: the two kinds of eruptions."""
    figure, axes = panels(1, 1, width=5.2, height=3.6)
    ax = plot_mixture(page["mixture"], page["x"], ax=axes[0, 0])
    ax.set(xlabel=f"this {DURATION}", ylabel=WAITING)
    title(ax, "Short eruptions, short waits: two components")
    return figure


def line(page: Page) -> Figure:
    """A mixture on the line, and the one it was drawn from."""
    figure, axes = panels(1, 1, width=6.4, height=3.6)
    ax = plot_mixture(page["line"], page["draws"], ax=axes[0, 0])
    grid = np.linspace(-3, 7, 600)
    truth = np.exp(page["truth"].score_samples(grid[:, None]))
    ax.plot(grid, truth, color=ACCENT, linewidth=1.8, linestyle=(0, (1, 1.2)))
    peak = np.interp([0.62, 1.15], grid, truth)
    ax.annotate("truth", (0.62, peak[0]), (1.6, 0.34), color=ACCENT, arrowprops={"arrowstyle": "-", "color": ACCENT})
    ax.annotate("fitted", (1.15, peak[1]), (2.1, 0.28), color=INK, arrowprops={"arrowstyle": "-", "color": INK})
    ax.set(xlabel="x", xlim=(-3, 6.6))
    title(ax, "The fit finds the mixture that made the 2000 rows (bars: ± 1 σ, ± 2 σ)")
    return figure


def six_steps(page: Page) -> Figure:
    """From a bad start to the optimum on Old Faithful."""
    figure, axes = panels(2, 3, width=3.3, height=2.75, sharex=True, sharey=True)
    colors = component_colors(page["steps"][20].mixture)
    for ax, (n, result) in zip(axes.flat, page["steps"].items(), strict=True):
        plot_mixture(result.mixture, page["x"], ax=ax, colors=colors)
        name = "start" if n == 0 else "1 step" if n == 1 else f"{n} steps"
        title(ax, f"{name}: {result.score:.2f} nats per row".replace("-", "−"))
        ax.set(xlabel="", ylabel="")
    axes[0, 0].set(xlim=(1.2, 5.5), ylim=(38, 101))
    for ax in axes[1]:
        ax.set_xlabel(DURATION)
    for ax in axes[:, 0]:
        ax.set_ylabel(WAITING)
    return figure


def bound(page: Page) -> Figure:
    """The likelihood along one parameter, and the bounds that EM climbs on."""
    figure, axes = panels(1, 1, width=6.8, height=4.1)
    ax, grid, path, likelihood = tidy(axes[0, 0]), page["grid"], page["path"], page["likelihood"]
    ax.plot(grid, likelihood, color=INK, linewidth=2.4)
    ax.annotate("log-likelihood", (grid[-40], likelihood[-40]), (10, 2), textcoords="offset points", color=INK)
    colors, dashes = mpl.colormaps["viridis"]([0.1, 0.42, 0.68])[:, :3], ("-", (0, (6, 1.5)), (0, (2, 1.2)))
    for number, lower in enumerate(page["bounds"]):
        now, after, color = path[number], path[number + 1], colors[number]
        ax.plot(grid, lower, color=color, linewidth=1.6, linestyle=dashes[number])
        touch, top, reached = (
            np.interp(at, grid, values) for at, values in ((now, likelihood), (after, lower), (after, likelihood))
        )
        ax.plot(now, touch, "o", color=color, markersize=7, zorder=4)
        ax.plot(after, top, "^", color=color, markersize=6, zorder=4)
        if reached - top > 5:
            ax.annotate(
                "", (after, reached), (after, top),
                arrowprops={"arrowstyle": "->", "color": PALE, "shrinkA": 4, "shrinkB": 5, "linewidth": 1.4},
            )  # fmt: skip
        ax.annotate(
            f"bound {number + 1}", (now, touch), (-8, 3), textcoords="offset points", ha="right", color=color,
            fontweight="bold", path_effects=HALO,
        )  # fmt: skip
    ax.set(xlabel="mean of the second component", ylabel=f"nats, {len(page['few'])} rows")
    ax.set(xlim=(grid[0], grid[-1]), ylim=(likelihood.max() - 62, likelihood.max() + 4))
    title(ax, "Each bound touches where EM stands (●); its top (▲) is where EM goes next")
    return figure
