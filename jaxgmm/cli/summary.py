"""A fit or a model in brief: a dictionary for programs; a few lines or a table for people."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from jaxgmm import FitResult, Mixture, Status
from jaxgmm.cli.errors import in_options
from jaxgmm.fit.progress import compact

_FEATURES_SHOWN = 6


def of_fit(result: FitResult, n_rows: int) -> dict[str, Any]:
    """A `FitResult` as a dictionary."""
    best, mixture = result.best, result.mixture
    return {
        "covariance_type": mixture.covariance_type,
        "n_components": mixture.n_components,
        "n_features": mixture.n_features,
        "n_rows": n_rows,
        "dtype": str(mixture.dtype),
        "score": result.score,
        "log_likelihood": result.log_likelihood[best],
        **mixture.criteria(float(result.log_likelihood[best]), result.total_weight),
        "status": Status(int(result.status[best])).name,
        "n_iter": result.n_iter[best],
        "kernel": str(result.kernel[best]),
        "seconds": result.seconds,
        "restarts": {
            "n": len(result.status),
            "best": best,
            "statuses": result.counts(),
            "scores": result.log_likelihood / result.total_weight,
            "n_iter": result.n_iter,
            "passes": result.passes,
        },
    }


def fit_lines(result: FitResult, n_rows: int) -> list[str]:
    """The same in a few lines."""
    facts = of_fit(result, n_rows)
    scores = facts["restarts"]["scores"]
    finite = scores[np.isfinite(scores)]
    status = Status(int(result.status[result.best]))
    ended = ", ".join(f"{n} {name.lower()}" for name, n in result.counts().items())
    lines = [
        f"best     {result.score:.6g} nats per row: restart {result.best}, {status.name.lower()} "
        f"after {facts['n_iter']} iterations",
        f"others   median {np.median(finite):.6g}, worst {np.min(finite):.6g}; {len(scores)} restarts: {ended}",
        f"criteria BIC {facts['bic']:.8g}, AIC {facts['aic']:.8g}",
        f"time     {result.seconds:.1f} s, {speed(result, n_rows)}",
    ]
    if status is not Status.CONVERGED:
        lines.append(f"note     {in_options(status.advice)}")
    elif result.unfinished[result.best]:
        left = float(result.remaining[result.best])
        much = f"about {left:.2g}" if np.isfinite(left) else "many"
        lines.append(f"note     {much} nats in total are still to gain: lower --tol")
    return lines


def speed(result: FitResult, n_rows: int) -> str:
    """Rows × restarts × iterations per second, compilation included."""
    return f"{compact(n_rows * float(np.sum(result.n_iter)) / result.seconds)} rows × restarts × iterations per second"


def of_model(mixture: Mixture) -> dict[str, Any]:
    """A `Mixture` as a dictionary; covariances in scikit-learn's shapes."""
    return {
        "covariance_type": mixture.covariance_type,
        "n_components": mixture.n_components,
        "n_features": mixture.n_features,
        "n_parameters": mixture.n_parameters,
        "dtype": str(mixture.dtype),
        "weights": mixture.weights,
        "means": mixture.means,
        "covariances": mixture.covariances,
    }


def print_model(mixture: Mixture, title: str) -> None:
    """A table on stdout: components in the model's order, their means and standard deviations."""
    d = mixture.n_features
    traits = mixture.components.traits
    table = Table(
        caption="mean ± standard deviation, by feature" if traits.has_width else f"{traits.means_called}, by feature",
        box=box.SIMPLE_HEAD,
        caption_justify="left",
    )
    table.add_column("component", justify="right")
    table.add_column("weight", justify="right")
    shown = min(d, _FEATURES_SHOWN)
    for feature in range(shown):
        table.add_column(f"x{feature}", justify="right", no_wrap=True)
    if d > shown:
        table.add_column(f"… {d - shown} more")
    deviations = np.sqrt(np.einsum("kdd->kd", mixture.covariance_matrices())) if traits.has_width else None
    for k in range(mixture.n_components):
        cells = [
            f"{mixture.means[k, j]:.4g}" + ("" if deviations is None else f" ± {deviations[k, j]:.3g}")
            for j in range(shown)
        ]
        table.add_row(str(k), f"{mixture.weights[k]:.4f}", *cells)
    print(
        f"{title}: {mixture.covariance_type}, {mixture.n_components} components, {d} features, "
        f"{mixture.n_parameters} parameters, {mixture.dtype}"
    )
    # a pipe has no width; 80 columns would cut the numbers short
    Console(width=None if sys.stdout.isatty() else 240).print(table)
