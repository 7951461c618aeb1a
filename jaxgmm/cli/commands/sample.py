"""`jaxgmm sample`: new rows from a mixture."""

from __future__ import annotations

import numpy as np

from jaxgmm.cli import options, output, tables
from jaxgmm.cli.commands.common import load_one
from jaxgmm.cli.tables import Part


def sample_command(
    model: options.Model,
    n: options.HowMany,
    seed: options.Seed = 0,
    out: options.Out = None,
) -> None:
    """Draws rows from MODEL.

    The table has columns x0, x1, …; a .npz holds `x`, and `labels`, the components that rows came from.
    """
    output.check_writable(out, tables.SUFFIXES, inputs=[model])
    mixture = load_one(model)
    parts = [Part("x", [f"x{j}" for j in range(mixture.n_features)], mixture.dtype)]
    labelled = out is not None and out.suffix.lower() == ".npz"
    if labelled:
        parts.append(Part("labels", ["label"], np.int32))
    with tables.writing(out, parts, alone="x") as write:
        for rows, labels in mixture.sample_blocks(seed, n):
            write(*([rows, labels] if labelled else [rows]))
