"""One look for all benchmark pictures; lines differ in dash and width too, so that they hold in greyscale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

#: blue, orange, green: apart for colour-blind eyes, and in lightness
COLOURS = ("#0b4f8a", "#e0851b", "#2f9e77")

_LOOK: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "figure.dpi": 110,
}


def figure(rows: int, columns: int, size: tuple[float, float], **settings: Any) -> tuple[Any, Any]:
    """Axes on a figure with the house look, as (figure, array of axes)."""
    mpl.use("Agg")
    mpl.rcParams.update(_LOOK)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **settings)


def save(drawn: Any, folder: Path, name: str) -> None:
    """Writes `name`.png and closes the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn.savefig(folder / f"{name}.png", dpi=150)
    plt.close(drawn)
    print(f"written: {folder / name}.png")
