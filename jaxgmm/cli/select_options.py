"""Options of `select` alone, with the text that `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jaxgmm.cli.fit_options import ridge_option
from jaxgmm.starts.methods import METHODS

Sizes = Annotated[
    str,
    typer.Option(
        "--components",
        "-k",
        metavar="RANGE",
        help="Which K to try: 1:12 (both ends included), 1:20:3, or 2,3,5.",
        rich_help_panel="Mixture",
    ),
]
Types = Annotated[
    str,
    typer.Option(
        metavar="TYPES",
        help="Which covariance types, of full,tied,diag,spherical; or bernoulli alone.",
        rich_help_panel="Mixture",
    ),
]
Criterion = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What decides, lower is better: bic, aic, icl, heldout (minus the mean log-likelihood of a fifth of the "
        "rows, kept back) or cv (the same over five folds).",
        rich_help_panel="Mixture",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="MODEL", help="Where the winner goes; ends in .safetensors.", rich_help_panel="Output"
    ),
]
Restarts = Annotated[
    int,
    typer.Option(
        "--restarts",
        "-r",
        metavar="N",
        min=1,
        help="Random starts for every K and type, side by side.",
        rich_help_panel="Starts",
    ),
]
RegCovar = Annotated[str, ridge_option()]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="PICTURE",
        help="Draw the criterion against K, and the winner: .png, .pdf or .svg. Needs the extra plot.",
        rich_help_panel="Output",
    ),
]
Method = Annotated[
    str, typer.Option("--init", metavar="START", help=f"How to start: {', '.join(METHODS)}.", rich_help_panel="Starts")
]
