"""The pages that `jaxgmm fit --report` and `jaxgmm select --report` draw."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxgmm import FitResult, SelectionResult
from jaxgmm.mixture.whole_files import write_whole
from jaxgmm.plotting import plot_convergence, plot_mixture, plot_restarts, plot_selection
from jaxgmm.plotting.mixture import has_picture


def write_report(path: Path, result: FitResult, x: Any, title: str) -> None:
    """The mixture over its rows, every restart's convergence, and where the restarts ended.

    Args:
        path: `.png`, `.pdf` or `.svg`.
        result: what `fit` returned.
        x: the rows, (n, d); of more than two features the first two are shown.
        title: what the page is about.
    """
    mixture = result.mixture
    features = None if mixture.n_features <= 2 else (0, 1)
    drawn = has_picture(mixture, features)
    climbed = result.history.shape[1] > 1
    panels = [drawn, climbed, True]
    figure = Figure(figsize=(5.2 * sum(panels), 4.4), layout="constrained")
    axes = iter(figure.subplots(1, sum(panels), squeeze=False)[0])
    if drawn:
        plot_mixture(mixture, x, ax=next(axes), features=features)
    if climbed:
        plot_convergence(result, ax=next(axes))
    plot_restarts(result, ax=next(axes))
    score = f"{result.score:.6g}".replace("-", "−")
    figure.suptitle(
        f"{title}: {mixture.n_components} {mixture.covariance_type} components, best of {len(result.status)} restarts, "
        f"{score} nats per row"
    )
    save_figure(path, figure)


def write_selection(path: Path, result: SelectionResult, x: Any, title: str) -> None:
    """The criterion against K, and the winner over its rows.

    Args:
        path: `.png`, `.pdf` or `.svg`.
        result: what `select` returned.
        x: the rows, (n, d); of more than two features the first two are shown.
        title: what the page is about.
    """
    mixture = result.best.mixture
    features = None if mixture.n_features <= 2 else (0, 1)
    drawn = has_picture(mixture, features)
    figure = Figure(figsize=(6.2 + 5.2 * drawn, 4.4), layout="constrained")
    axes = figure.subplots(1, 1 + drawn, squeeze=False)[0]
    plot_selection(result, ax=axes[0])
    if drawn:
        plot_mixture(mixture, x, ax=axes[1], features=features)
    figure.suptitle(f"{title}: {mixture.n_components} {mixture.covariance_type} components")
    save_figure(path, figure)


def save_figure(path: Path, figure: Figure) -> None:
    """Writes a figure in the format its path's suffix names, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
    write_whole(path, content.getvalue())
