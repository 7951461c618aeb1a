"""How many components: the criterion against K."""

from __future__ import annotations

from typing import Any, Protocol

import matplotlib as mpl
import numpy as np

from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.plotting.style import ACCENT, HALO, INK, new_or_given, tidy

_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
_MARKERS = "os^D"
# A cell is left outside the picture if it is more than so many times as far above the winner as the median cell.
_REACH = 4.0


class Table(Protocol):
    """What a picture needs of a `SelectionResult`."""

    @property
    def table(self) -> Any: ...

    @property
    def winner(self) -> Any: ...

    @property
    def covariance_types(self) -> tuple[str, ...]: ...

    @property
    def axis_label(self) -> str: ...


def plot_selection(result: Table, *, ax: Any = None) -> Any:
    """The criterion against K, a line for each covariance type, with bars of a standard error where there is one.

    The winner is ringed and named; crosses are cells that cannot win. Cells far above all others are cut off, so that
    differences among the good ones show.

    Args:
        result: what `select` returned.
        ax: matplotlib axes.

    Raises:
        ValueError: not a `SelectionResult`.
    """
    if not hasattr(result, "axis_label"):
        raise ArgumentTypeError("result", "be a SelectionResult", type(result).__name__)
    ax, kinds, won = new_or_given(ax), result.covariance_types, result.winner
    colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.8, len(kinds)))[:, :3]
    low, high = _limits(np.array([c.criterion for c in result.table if np.isfinite(c.criterion)]), won.criterion)
    for number, kind in enumerate(kinds):
        cells = [cell for cell in result.table if cell.covariance_type == kind and np.isfinite(cell.criterion)]
        if not cells:
            continue
        k, values, errors = np.array([(c.n_components, c.criterion, c.standard_error) for c in cells]).T
        sound = np.array([cell.eligible for cell in cells])
        style = {"color": colors[number], "linestyle": _DASHES[number % 4], "marker": _MARKERS[number % 4]}
        label = f"{kind} (above)" if values.min() > high else kind
        ax.plot(k, np.where(sound, values, np.nan), markersize=4.5, linewidth=1.6, label=label, zorder=3, **style)
        ax.plot(k[~sound], values[~sound], "x", color=colors[number], markersize=6, zorder=3)
        if np.isfinite(errors).any():
            ax.errorbar(k, values, errors, fmt="none", ecolor=colors[number], elinewidth=0.9, alpha=0.5, capsize=2)
    if any(np.isfinite(cell.criterion) and not cell.eligible for cell in result.table):
        ax.plot([], [], "x", color=INK, markersize=6, label="cannot win")
    ax.plot(won.n_components, won.criterion, "o", markersize=13, markerfacecolor="none", color=ACCENT, mew=2, zorder=4)
    text = f"{won.covariance_type}, {won.n_components}: {won.criterion:.6g}".replace("-", "−")
    ax.annotate(
        text, (won.n_components, won.criterion), xytext=(0, -18), textcoords="offset points", ha="center",
        color=ACCENT, fontweight="bold", path_effects=HALO, zorder=5,
    )  # fmt: skip
    ax.set_ylim(low, high)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set_xlabel("components")
    ax.set_ylabel(f"{result.axis_label} (lower is better)")
    ax.legend(frameon=False)
    return tidy(ax)


def _limits(values: Any, won: float) -> tuple[float, float]:
    """Where the axis begins and ends. Cells far above the winner are cut off."""
    above = values - won
    span = above[above <= _REACH * max(float(np.median(above)), 1e-12)].max(initial=0.0) or 1.0
    return won + min(1.08 * float(above.min()), -0.16 * span), won + 1.08 * span
