"""The picture of `ladder.py`: error against rung, one column for each axis of hardness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ladder_data import AXES, BOUNDS
from pictures import COLOURS, figure, save

DTYPE = "float32"
# gmmx has no other structures, and all are to be shown on the same data.
SHOWN = ("full", "diag")
_BLUE, _ORANGE, _GREEN = COLOURS
_STYLES: dict[str, dict[str, Any]] = {
    "jaxgmm shared_feature": {"color": "#7fa8cc", "ls": (0, (1.2, 1.4)), "lw": 2.0, "marker": "v", "ms": 4},
    "jaxgmm centred": {"color": "#7fa8cc", "ls": (0, (5, 1.5)), "lw": 2.0, "marker": "^", "ms": 4},
    "scikit-learn float32": {"color": _ORANGE, "ls": "-", "lw": 1.6, "marker": "s", "ms": 4},
    "scikit-learn float64": {
        "color": _ORANGE,
        "ls": (0, (4, 1.5)),
        "lw": 1.2,
        "marker": "s",
        "ms": 3.5,
        "mfc": "white",
    },
    "gmmx float32": {"color": _GREEN, "ls": "-", "lw": 1.6, "marker": "D", "ms": 3.8},
    "jaxgmm cells": {"color": "#1b3a57", "ls": "-", "lw": 2.0, "marker": "P", "ms": 5},
    "jaxgmm auto": {"color": _BLUE, "ls": "-", "lw": 2.6, "marker": "o", "ms": 5},
}
_PANELS = (("log_likelihood", "log-likelihood error,\nnats per row"), ("covariance", "covariance error,\nrelative"))
_TITLES = {
    "width": "cluster width,\nin spreads of the centres",
    "anisotropy": "condition number\nof a component",
    "offset": "offset,\nin spreads of the centres",
    "scale": "overall scale\n",
}
# Errors are drawn between the first two; what is not a number, or did not run, lies on a shelf of its own above.
_FLOOR, _CEILING, _SHELF = 1e-9, 1e4, 1e6
_TICKS = {_FLOOR: "≤ $10^{-9}$", 1e-7: "$10^{-7}$", 1e-5: "$10^{-5}$", 1e-3: "$10^{-3}$", 1e-1: "0.1", 1e1: "10",
          _CEILING: "≥ $10^4$", _SHELF: "failed"}  # fmt: skip


def _label(value: float) -> str:
    if value == 0:
        return "0"
    power = round(math.log10(value))
    return {0: "1", 1: "10"}.get(power, f"$10^{{{power}}}$")


def _error(entries: Sequence[dict[str, Any]], name: str, what: str) -> float:
    """The worst family's error; NaN where one of them has none."""
    values = [entry["contenders"].get(name, {}).get(what, math.nan) for entry in entries]
    return math.nan if any(math.isnan(value) for value in values) else max(values, default=math.nan)


def _lines(ax: Any, results: Sequence[dict[str, Any]], axis: str, what: str) -> None:
    values = AXES[axis]
    rungs = [[e for e in results if e["axis"] == axis and e[axis] == value] for value in values]
    present = [name for name in _STYLES if any(name in e["contenders"] for rung in rungs for e in rung)]
    for number, name in enumerate(present):
        found = [_error(rung, name, what) for rung in rungs]
        style = _STYLES[name]
        drawn = [min(max(value, _FLOOR), _CEILING) for value in found]
        ax.plot(range(len(values)), drawn, label=name, zorder=3 + number, **style)
        # Side by side on the shelf, so that none hides another.
        shift = (number - (len(present) - 1) / 2) * 0.13
        failed = [i + shift for i, value in enumerate(found) if math.isnan(value)]
        ax.plot(failed, [_SHELF] * len(failed), "x", color=style["color"], ms=6, mew=2, zorder=5)


def draw(results: Sequence[dict[str, Any]], folder: Path) -> None:
    """Both errors against each axis, logarithmic, under the bounds that float32 is held to."""
    shown = [entry for entry in results if entry["dtype"] == DTYPE and entry["family"] in SHOWN]
    pictured, axes = figure(2, len(AXES), (13.5, 6.6), sharey="row")
    for row, (what, label), bound in zip(axes, _PANELS, BOUNDS[DTYPE], strict=True):
        for ax, axis in zip(row, AXES, strict=True):
            _lines(ax, shown, axis, what)
            ax.axhline(bound, color="#333333", lw=1.1, ls=":", zorder=2)
            ax.axhspan(bound, _SHELF * 8, color="#b03030", alpha=0.045, lw=0, zorder=0)
            ax.set_yscale("log")
            ax.set_ylim(_FLOOR / 2, _SHELF * 8)
            ax.set_yticks(list(_TICKS), list(_TICKS.values()))
            ax.minorticks_off()
            every = 2 if len(AXES[axis]) > 7 else 1
            ticks = range(0, len(AXES[axis]), every)
            ax.set_xticks(ticks, [_label(AXES[axis][i]) for i in ticks])
            ax.set_xlim(-0.5, len(AXES[axis]) - 0.5)
        row[0].set_ylabel(label)
        row[0].text(-0.4, bound * 1.4, f"bound {_label(bound)}", fontsize=8.5, color="#333333", va="bottom")
    for ax, axis in zip(axes[0], AXES, strict=True):
        ax.set_title(_TITLES[axis], fontweight="bold")
    handles, labels = axes[0][0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: (labels[i] != "jaxgmm auto", labels[i]))
    pictured.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside lower center",
        ncols=len(order),
        fontsize=9,
    )
    save(pictured, folder, "ladder")
