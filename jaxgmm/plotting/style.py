"""What all pictures share."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patheffects import withStroke

from jaxgmm.inputs.errors import ArgumentTypeError

INK = "#1f2430"
ACCENT = "#b5123e"
PALE = "#8b93a3"
HALO = [withStroke(linewidth=2.5, foreground="white")]


def new_or_given(ax: Any) -> Any:
    """`ax`, or axes on a new figure."""
    if ax is None:
        return plt.subplots(figsize=(6, 4), layout="constrained")[1]
    if not hasattr(ax, "add_collection"):
        raise ArgumentTypeError("ax", "be matplotlib axes", type(ax).__name__)
    return ax


def tidy(ax: Any) -> Any:
    """`ax` without the lines that do not help, in muted colours."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.tick_params(color=PALE, labelcolor=INK)
    return ax
