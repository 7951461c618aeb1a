"""Pictures of what EM finds, beside k-means and from different starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from style import only_points, panels, title

from jaxgmm.plotting import component_colors, plot_mixture, plot_restarts
from jaxgmm.plotting.style import ACCENT, INK, PALE, tidy

Page = dict[str, Any]


def shapes(page: Page) -> Figure:
    """k-means above, EM below."""
    figure, axes = panels(2, 3, width=3.3, height=2.7)
    for column, (name, (rows, _)) in enumerate(page["shapes"].items()):
        kmeans, mixture, right = page["found"][name]
        above, below = axes[:, column]
        colors = component_colors(mixture)
        nearest = np.argmin(((kmeans.cluster_centers_[:, None] - mixture.means) ** 2).sum(-1), axis=1)
        own = colors[nearest if len(set(nearest)) == 3 else np.arange(3)]
        above.scatter(*rows.T, s=14, c=own[kmeans.labels_], alpha=0.75, linewidths=0, rasterized=True)
        borders(above, kmeans, rows)
        for color, width in (("white", 5), (INK, 2.4)):
            above.plot(*kmeans.cluster_centers_.T, "x", color=color, markersize=9, markeredgewidth=width)
        plot_mixture(mixture, rows, ax=below, colors=colors)
        title(above, f"{name}: k-means, {right[0]:.0%} right".replace("%", " %"))
        title(below, f"EM, {right[1]:.0%} right".replace("%", " %"))
        for ax in (above, below):
            only_points(tidy(ax), rows, 1.3)
    return figure


def borders(ax: Any, kmeans: Any, rows: Any) -> None:
    """Where one mean's rows end and the next one's begin."""
    low, high = rows.min(axis=0) - 3, rows.max(axis=0) + 3
    lines = np.linspace(low, high, 400).T
    grid = np.stack(np.meshgrid(*lines), axis=-1)
    labels = kmeans.predict(grid.reshape(-1, 2)).reshape(400, 400)
    for k in range(3):
        ax.contour(*lines, labels == k, [0.5], colors=[PALE], linewidths=1.2)


def limit(page: Page) -> Figure:
    """Shared round covariances shrink, and EM becomes k-means."""
    figure, axes = panels(1, 4, width=2.7, height=2.75)
    centres, colors = page["kmeans"].cluster_centers_, component_colors(page["softer"][1.0])
    for ax, (sigma, mixture) in zip(axes[0], page["softer"].items(), strict=True):
        plot_mixture(mixture, page["rows"], ax=ax, colors=colors)
        for text in list(ax.texts):
            text.remove()
        ax.plot(*mixture.means.T, "o", color=INK, markersize=6, markeredgecolor="white", zorder=5)
        ax.plot(*centres.T, "+", color=ACCENT, markersize=13, markeredgewidth=1.8, zorder=6)
        title(ax, f"σ = {sigma:g}: at most {np.abs(mixture.means - centres).max():.2f} apart")
        only_points(ax, page["rows"], 1.0)
    figure.supxlabel("● means found by EM with σ held fixed     + means found by k-means", color=INK, fontsize=9.5)
    return figure


def starts(page: Page) -> Figure:
    """Two optima of the same data, and how often each is found."""
    figure, axes = panels(1, 3, width=3.4, height=3.1)
    many, scores = page["many"], page["scores"]
    common = np.argsort(scores)[len(scores) // 5]
    colors = component_colors(many.mixture)
    for ax, restart, name in zip(axes[0, :2], (many.best, common), ("the best", "a common one"), strict=True):
        plot_mixture(many.mixtures[int(restart)], page["ring"], ax=ax, colors=colors)
        only_points(ax, page["ring"], 1.1)
        title(ax, f"{name}: {scores[restart]:.3f} nats per row".replace("-", "−"))
    plot_restarts(many, ax=axes[0, 2])
    title(axes[0, 2], f"where {len(scores)} starts ended")
    return figure
