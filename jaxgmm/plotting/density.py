"""A mixture's density in the plane, and the rows that are below a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.mixture import Mixture
from jaxgmm.plotting.mixture import drawable, some_rows
from jaxgmm.plotting.style import ACCENT, HALO, INK, PALE, new_or_given, tidy

_DRAWS = 20_000
_GRID = 240


def plot_density(
    mixture: Mixture, x: Any = None, *, ax: Any = None, shares: Sequence[float] = (0.5, 0.9, 0.99),
    threshold: float | None = None, max_points: int = 20_000,
) -> Any:  # fmt: skip
    """Where a mixture of two features has its mass, and which rows lie outside.

    Contours of the log-density, each around the densest region that holds a share of the mixture (by 20 000 draws from
    it, the same every time). With a threshold also the contour there, and rows below it as crosses.

    Args:
        mixture: a single mixture of densities, of two features.
        x: rows, (n, 2); none by default.
        ax: matplotlib axes.
        shares: of the mixture, inside each contour, in (0, 1).
        threshold: a log-density, nats.
        max_points: of more rows than these a random choice is drawn, the same every time.

    Raises:
        ValueError: a batch of mixtures, one of rows with discrete values, not of two features, shares out of range, or
            rows that do not fit the mixture.
    """
    mixture = drawable(mixture)
    if mixture.n_features != 2:
        raise ArgumentError("mixture", "have two features", str(mixture.n_features))
    shares = sorted({arguments.real("shares", share) for share in shares})
    if not shares or not 0 < shares[0] <= shares[-1] < 1:
        raise ArgumentError("shares", "lie between 0 and 1", arguments.shown(shares))
    rows = np.empty((0, 2)) if x is None else np.asarray(some_rows(x, mixture, max_points), np.float64)
    ax = new_or_given(ax)

    drawn = mixture.sample(0, _DRAWS)[0]
    span = np.concatenate([rows, np.quantile(drawn, (0.0005, 0.9995), axis=0)])
    margin = 0.06 * np.ptp(span, axis=0)
    support = mixture.components.traits.support
    low, high = np.clip([span.min(axis=0) - margin, span.max(axis=0) + margin], support.low, support.high)
    lines = np.linspace(low, high, _GRID).T
    grid = np.stack(np.meshgrid(*lines), axis=-1).reshape(-1, 2)
    height = np.asarray(mixture.score_samples(grid), np.float64).reshape(_GRID, _GRID)
    levels = np.quantile(mixture.score_samples(drawn), 1 - np.asarray(shares))
    for level in levels:  # one upon the other: the denser, the darker
        ax.contourf(*lines, height, [level, np.inf], colors=PALE, alpha=0.16)
    names = {level: f"{100 * share:.4g} %" for level, share in zip(levels, shares, strict=True)}
    contours = ax.contour(*lines, height, sorted(names), colors=PALE, linewidths=0.8, linestyles="solid")
    for text in ax.clabel(contours, fmt=names, fontsize="small", colors=INK, inline=False):
        text.set(rotation=0, path_effects=HALO)
    below = np.zeros(len(rows), bool)
    if threshold is not None:
        below = np.asarray(mixture.score_samples(rows) < threshold) if len(rows) else below
        ax.contour(*lines, height, [threshold], colors=ACCENT, linewidths=1.8, linestyles="dashed")
    size = 12 if len(rows) < 3000 else 3
    ax.scatter(*rows[~below].T, s=size, color=INK, alpha=0.55, linewidths=0, rasterized=True)
    ax.scatter(*rows[below].T, s=42, color=ACCENT, marker="x", linewidths=1.8, zorder=3)
    ax.set_xlabel("feature 0")
    ax.set_ylabel("feature 1")
    return tidy(ax)
