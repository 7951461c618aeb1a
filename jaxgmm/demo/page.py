"""The demonstration's page: the image, its segmentation, EM beside gradients, and how the starts fared."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxgmm import FitResult, Mixture
from jaxgmm.plotting import plot_convergence, plot_race, plot_restarts
from jaxgmm.plotting.style import INK


def draw_page(image: Any, em: FitResult, plain: FitResult, gradients: dict[str, FitResult]) -> Figure:
    """One page; see `jaxgmm.demo.demo.run_demo` for what goes in."""
    figure = Figure(figsize=(14, 10.4), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1, 0.11, 0.95))
    n, k = image.shape[0] * image.shape[1], em.mixture.n_components
    pictures = (
        (image / 255, f"the image: {n:,} pixel colours".replace(",", " ")),
        (segmentation(em.mixture, image), f"soft segmentation: {k} mean colours, mixed by responsibility"),
    )
    for column, (pixels, title) in enumerate(pictures):
        ax = figure.add_subplot(grid[0, column])
        ax.imshow(np.clip(pixels, 0, 1), interpolation="none")
        ax.set_title(title, color=INK)
        ax.set_axis_off()
    _palette(figure.add_subplot(grid[1, :]), em.mixture)

    ax = figure.add_subplot(grid[2, 0])
    # All from the same starts on the same rows; the mixture of the other panels is no part of it.
    best = max(result.score for result in (plain, *gradients.values()))
    plot_convergence(plain, ax=ax, against="passes", reference=best, label="EM")
    for name, result in gradients.items():
        plot_convergence(
            result, ax=ax, against="passes", reference=best, label=name, color="#1d4e89", linestyle=(0, (4, 1.5))
        )
    ax.set_title(f"EM and gradients from the same {len(plain.status)} starts, none of them chosen", color=INK)
    ax.set_ylabel("nats per row below the best of these")
    ax = figure.add_subplot(grid[2, 1])
    if em.rounds:
        plot_race(em, ax=ax)
        ax.set_title(f"the race between {len(em.status)} starts; triangles are jumps that were kept", color=INK, pad=48)
    else:
        plot_restarts(em, ax=ax)
        ax.set_title(f"where the {len(em.status)} restarts of EM ended", color=INK)
    return figure


def _palette(ax: Any, mixture: Mixture) -> None:
    """Mean colours, as wide as their weights, dark to light."""
    means, weights = np.asarray(mixture.means), np.asarray(mixture.weights)
    luminance = means @ (0.2126, 0.7152, 0.0722)
    left = 0.0
    for k in np.argsort(luminance):
        ax.barh(0, weights[k], left=left, color=np.clip(means[k] / 255, 0, 1), edgecolor="white", linewidth=1.5)
        ax.annotate(
            f"{weights[k]:.0%}", (left + weights[k] / 2, 0), ha="center", va="center",
            color="white" if luminance[k] < 128 else INK,
        )  # fmt: skip
        left += weights[k]
    ax.set_xlim(0, left)
    ax.set_title("the components' mean colours and weights", color=INK)
    ax.set_axis_off()


def segmentation(mixture: Mixture, image: Any) -> Any:
    """Each pixel in its components' mean colours, mixed by responsibility: (height, width, 3) in 0 … 1."""
    shares = mixture.responsibilities(image.reshape(-1, 3))
    return np.clip(shares @ np.asarray(mixture.means) / 255, 0, 1).reshape(image.shape)
