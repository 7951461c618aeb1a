"""`jaxgmm predict`: which component each row belongs to."""

from __future__ import annotations

import numpy as np

from jaxgmm.cli import options, output, tables
from jaxgmm.cli.commands.common import asked, load_one
from jaxgmm.cli.data import Source
from jaxgmm.cli.tables import Part


def predict_command(
    model: options.Model,
    path: options.Data,
    responsibilities: options.Responsibilities = False,
    with_rows: options.WithRows = False,
    columns: options.Columns = None,
    array: options.ArrayName = None,
    out: options.Out = None,
) -> None:
    """Labels each row of DATA with its most probable component, counted from 0.

    The table has a row for each row of DATA, in its order: the column label, and with --responsibilities r0, r1, … for
    the components. A .npz holds arrays `labels` and `responsibilities`, and a .npy the one that is asked for.
    """
    output.check_writable(out, tables.SUFFIXES, inputs=[model, path])
    mixture = load_one(model)
    source = Source(path, array, columns, n_features=mixture.n_features)
    parts = [Part("x", source.feature_names)] if with_rows else []
    parts.append(Part("labels", ["label"], np.int32))
    if responsibilities:
        names = [f"r{k}" for k in range(mixture.n_components)]
        parts.append(Part("responsibilities", names))
    with tables.writing(out, parts, alone=parts[-1].name) as write:
        for block, ask in asked(mixture, source):
            answers = [block.x] if with_rows else []
            if responsibilities:
                shares = ask("responsibilities")
                answers += [shares.argmax(axis=1), shares]
            else:
                answers.append(ask("predict"))
            write(*answers)
