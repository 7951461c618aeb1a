"""A mixture over its rows: outlines of components in the plane, densities on the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.mixture import Mixture
from jaxgmm.plotting.components import Densities, Gaussians
from jaxgmm.plotting.style import HALO, INK, new_or_given, tidy


def component_colors(mixture: Mixture) -> Any:
    """A colour for every component, RGB in 0 … 1, (k, 3), each of its own lightness.

    Components that are neighbours along the means' longest axis get colours far apart.
    """
    k = mixture.n_components
    means = np.asarray(mixture.means, np.float64)
    means = means - means.mean(axis=0)
    along = means @ np.linalg.svd(means)[2][0]
    stride = next(s for s in range(max(1, round(0.38 * k)), k + 1) if math.gcd(s, k) == 1) if k > 2 else 1
    rank = np.empty(k, int)
    rank[np.argsort(along, kind="stable")] = np.arange(k) * stride % k
    return mpl.colormaps["viridis"](np.linspace(0.02, 0.84, k) if k > 1 else [0.3])[rank, :3]


def plot_mixture(
    mixture: Mixture, x: Any = None, *, ax: Any = None, features: int | Sequence[int] | None = None,
    colors: Any = None, max_points: int = 20_000,
) -> Any:  # fmt: skip
    """Components at 1 and 2 standard deviations over the rows, coloured by responsibility.

    Two features: ellipses over points. One feature: densities over a histogram, and bars beneath it. Components that
    are not Gaussian are drawn by their own densities: as contours around the densest 39 and 86 % of each, which is what
    such ellipses hold, and as bars with the middle 68 and 95 %, by draws that are the same every time.

    Args:
        mixture: a single mixture of densities; all its features must be shown if it is not Gaussian.
        x: rows, (n, d); none by default.
        ax: matplotlib axes.
        features: which one or two features to show; all by default, if there are no more than two.
        colors: of the components, RGB in 0 … 1, (k, 3); by default `component_colors(mixture)`. Give those of one
            mixture to several, and components keep their colours from picture to picture.
        max_points: of more rows than these a random choice is drawn, the same every time.

    Raises:
        ValueError: a batch of mixtures, one of rows with discrete values, too many features, colours of the wrong
            shape, or rows that do not fit the mixture.
    """
    mixture = drawable(mixture)
    shown = _features(features, mixture)
    if not has_picture(mixture, shown):
        wants = f"be all {mixture.n_features} of a mixture that is not Gaussian"
        hint = "its densities in some features are not known"
        raise ArgumentError("features", wants, f"{shown} for {mixture.covariance_type!r}", hint)
    colors = component_colors(mixture) if colors is None else arrays.finite("colors", colors, np.float64)
    if colors.shape != (mixture.n_components, 3):
        wants = f"have shape ({mixture.n_components}, 3), a row a component"
        raise ArgumentError("colors", wants, str(colors.shape))
    points = shares = None
    if x is not None:
        x = some_rows(x, mixture, max_points)
        points, shares = np.asarray(x, np.float64)[:, shown], mixture.responsibilities(x)
    ax = new_or_given(ax)
    gaussian = mixture.components.traits.gaussian
    parts: Any = Gaussians.of(mixture, shown) if gaussian else Densities.of(mixture, shown)
    (_draw_line if len(shown) == 1 else _draw_plane)(ax, parts, colors, points, shares)
    ax.set_xlabel(f"feature {shown[0]}")
    ax.set_ylabel(f"feature {shown[1]}" if len(shown) == 2 else "density")
    return tidy(ax)


def _draw_plane(ax: Any, parts: Any, colors: Any, points: Any, shares: Any) -> None:
    if points is not None:
        size, alpha = (14, 0.75) if len(points) < 3000 else (4, 0.45)
        ax.scatter(*points.T, s=size, c=np.clip(shares @ colors, 0, 1), alpha=alpha, linewidths=0, rasterized=True)
    for k in np.argsort(-parts.weights, kind="stable"):
        for sigmas, width, style in ((1, 1.8, "-"), (2, 1.0, (0, (4, 2)))):
            for color, extra in (("white", 1.6), (colors[k] * 0.75, 0.0)):
                parts.outline(ax, k, sigmas, color=color, width=width + extra, style="-" if extra else style)
        ax.annotate(
            str(k), parts.means[k], ha="center", va="center", color=INK, fontweight="bold", path_effects=HALO, zorder=4
        )
    ax.autoscale_view()
    ax.margins(0.04)


def _draw_line(ax: Any, parts: Any, colors: Any, points: Any, shares: Any) -> None:
    low, high = parts.span()
    if points is not None:
        low, high = min(low, points.min()), max(high, points.max())
        bins = np.linspace(points.min(), points.max(), int(np.clip(2 * math.sqrt(len(points)), 8, 80)) + 1)
        if bins[0] < bins[-1]:
            scale = 1 / (len(points) * (bins[1] - bins[0]))
            ax.hist(
                [points[:, 0]] * len(parts.weights), bins, weights=list(shares.T * scale), stacked=True,
                color=list(colors), alpha=0.45, edgecolor="white", linewidth=0.3,
            )  # fmt: skip
    grid = np.linspace(low, high, 800)
    heights = parts.weights[:, None] * parts.density(grid)
    ax.plot(grid, heights.sum(axis=0), color=INK, linewidth=2.2)
    step = 0.035 * heights.sum(axis=0).max()
    for k in range(len(parts.weights)):
        color = colors[k] * 0.75
        ax.plot(grid, heights[k], color=color, linewidth=1.4, linestyle=(0, (4, 1.5)))
        height = -(k + 1) * step
        for sigmas, width in ((2, 1.2), (1, 3.5)):
            ax.plot(parts.interval(k, sigmas), [height] * 2, color=color, linewidth=width)
        ax.annotate(
            str(k), (parts.means[k, 0], height), ha="center", va="center", color=INK, fontweight="bold",
            fontsize="small", path_effects=HALO,
        )  # fmt: skip
    ax.set_ylim(bottom=-(len(parts.weights) + 1) * step)


def some_rows(x: Any, mixture: Mixture, max_points: int) -> Any:
    """The rows to draw of `x`, checked: all, or a random choice of `max_points`."""
    x = arguments.rows("x", x, mixture.n_features)
    max_points = arguments.integer("max_points", max_points, 1)
    if len(x) <= max_points:
        return x
    return x[np.sort(np.random.default_rng(0).choice(len(x), max_points, replace=False))]


def drawable(mixture: Any) -> Mixture:
    """`mixture`, if it is a single one of densities.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(mixture, Mixture):
        hint = "pass result.mixture" if hasattr(mixture, "mixture") else ""
        raise ArgumentTypeError("mixture", "be a Mixture", type(mixture).__name__, hint)
    if mixture.batch_shape:
        raise ArgumentError("mixture", "be a single one", f"leading axes {mixture.batch_shape}", "index it first")
    support = mixture.components.traits.support
    if support.discrete:
        got = f"{mixture.covariance_type!r}, whose rows hold {support.words}"
        raise ArgumentError("mixture", "have densities to draw", got)
    return mixture


def has_picture(mixture: Mixture, features: Any) -> bool:
    """Whether `plot_mixture` can show a single mixture in these one or two features, or in all if None."""
    traits = mixture.components.traits
    whole = mixture.n_features <= 2 and (features is None or len(features) == mixture.n_features)
    return not traits.support.discrete and (traits.gaussian or whole)


def _features(features: int | Sequence[int] | None, mixture: Mixture) -> list[int]:
    d = mixture.n_features
    if features is None:
        if d > 2:
            raise ArgumentError("features", f"name one or two of the {d} features to show", "None")
        return list(range(d))
    chosen = [features] if isinstance(features, int | np.integer) else list(features)
    whole = all(isinstance(f, int | np.integer) and not isinstance(f, bool) for f in chosen)
    if not (whole and len(chosen) in (1, 2) and len(set(chosen)) == len(chosen) and all(0 <= f < d for f in chosen)):
        wants = f"be one or two different numbers in 0 … {d - 1}"
        raise ArgumentError("features", wants, arguments.shown(features))
    return [int(f) for f in chosen]
