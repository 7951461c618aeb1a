"""Pictures of how a fit is judged: how many components, which rows are odd, what a spike does."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from style import DURATION, WAITING, panels, title

from jaxgmm.plotting import plot_density, plot_mixture, plot_selection
from jaxgmm.plotting.style import ACCENT, INK, PALE, tidy

Page = dict[str, Any]


def choose(page: Page) -> Figure:
    """BIC and held-out likelihood against K; what the fitted rows say, for contrast."""
    figure, axes = panels(1, 2, width=4.9, height=3.7)
    left, right = axes[0]
    plot_selection(page["by_bic"], ax=left)
    title(left, "BIC: three components with one covariance")
    found = plot_selection(page["by_new_rows"], ax=right)
    title(right, "Rows held out: the same, but two to five are close")
    cells = [cell for cell in page["by_new_rows"].table if cell.covariance_type == "full"]
    k, fitted = zip(*((cell.n_components, -cell.log_likelihood / len(page["x"])) for cell in cells), strict=True)
    right.plot(k, fitted, color=INK, linewidth=1.2, linestyle=(0, (1, 1)))
    right.annotate(
        "full, the fitted rows:\nalways better with more", (k[3], fitted[3]), (-6, -6), textcoords="offset points",
        ha="right", va="top", color=INK,
    )  # fmt: skip
    right.set_ylim(bottom=min(fitted) - 0.03)
    found.set_ylabel("−score, nats per row (lower is better)")
    found.get_legend().remove()  # that of the left one serves both
    return figure


def anomalies(page: Page) -> Figure:
    """The contour at τ, and the rows outside."""
    figure, axes = panels(1, 1, width=5.8, height=4.1)
    ax = plot_density(page["usual"], page["log"], ax=axes[0, 0], shares=(0.5, 0.9), threshold=page["tau"])
    ax.plot(*page["false"].T, "o", color=INK, markersize=10, markerfacecolor="none", markeredgewidth=0.9)
    ax.set(xlabel=DURATION, ylabel=WAITING)
    caught = int(page["odd"][272:].sum())
    title(ax, f"× below τ = {page['tau']:.2f} nats (dashed): {caught} of the 12 false entries (○)".replace("-", "−"))
    return figure


def collapse(page: Page) -> Figure:
    """A spike on one row, what the likelihood thinks of it, and how EM falls."""
    figure, axes = panels(1, 2, width=4.6, height=3.6)
    left, right = axes[0]
    shown = page["spiked"](0.02)
    plot_mixture(shown, page["sample"], ax=left)
    left.set_xlabel("x")
    title(left, "One component on one row …")

    sigma = np.geomspace(0.3, 1e-9, 200)
    right.plot(sigma, page["spiked"](sigma).log_likelihood(page["sample"]), color=PALE, linewidth=2)
    held = page["sound"].log_likelihood[page["sound"].best]
    right.axhline(held, color=INK, linewidth=1.4, linestyle=(0, (5, 2)))
    right.annotate("the sound optimum", (0.3, held), (0, 5), textcoords="offset points", color=INK)
    falls = [fall for fall in page["falls"] if fall.status[0] != page["jaxgmm"].Status.DEGENERATE]
    path = [(float(f.mixture.covariances[1, 0]) ** 0.5, float(f.log_likelihood[0])) for f in falls]
    right.plot(*zip(*path, strict=True), "o-", color=ACCENT, linewidth=1, markersize=5, zorder=3)
    right.annotate(
        "EM, step by step; the next\nleaves no width at all", path[-1], (8, 2), textcoords="offset points", va="top",
        color=ACCENT, fontweight="bold",
    )  # fmt: skip
    right.set_xscale("log")
    right.invert_xaxis()
    right.minorticks_off()
    right.set(xlabel="σ of the component on one row", ylabel="log-likelihood, nats, 60 rows")
    title(tidy(right), "… is worth any likelihood, if it is narrow enough")
    return figure
