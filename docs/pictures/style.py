"""What the pictures of the pages share: sizes, titles, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from jaxgmm.plotting.style import INK

FOLDER = Path(__file__).parent
PAIR = np.array([-1, 1])
DURATION, WAITING = "eruption lasts, minutes", "until the next, minutes"

mpl.rcParams.update({"font.size": 10, "axes.titlesize": 10.5, "axes.titlepad": 7, "axes.labelsize": 9.5})


def panels(rows: int, columns: int, *, width: float = 3.5, height: float = 2.9, **options: Any) -> tuple[Figure, Any]:
    """A figure with a grid of axes, sizes in inches for each."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.07)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def title(ax: Any, text: str) -> None:
    """What to see, in ink, flush left."""
    ax.set_title(text, color=INK, loc="left")


def only_points(ax: Any, rows: Any, shape: float) -> None:
    """Made-up data: no ticks, as there are no units; x and y to one scale; a frame `shape` times as wide as high."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    half = 0.54 * max(high[1] - low[1], (high[0] - low[0]) / shape)
    middle = (low + high) / 2
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="", aspect="equal")
    ax.set(xlim=middle[0] + shape * half * PAIR, ylim=middle[1] + half * PAIR)
    ax.spines[["left", "bottom"]].set_visible(False)


def write(figure: Figure, name: str) -> Path:
    """Writes the picture beside this file."""
    path, drawn = FOLDER / f"{name}.png", io.BytesIO()
    figure.savefig(drawn, dpi=150, facecolor="white")
    # Few colours, small files.
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
