"""Arguments and options that several commands have, or small ones, with the text that `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Rows: .npy, .npz, .parquet, or text (.csv, .tsv, .txt) with commas, semicolons or tabs between the "
        "fields, with or without a header.",
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, as `jaxgmm fit` writes it.")]
ArrayName = Annotated[
    str | None,
    typer.Option(
        "--array", metavar="NAME", help="Which array of a .npz; needed if it holds several.", rich_help_panel="Rows"
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="COLUMNS",
        show_default="all",
        help="Which columns of DATA are features, in which order: names from its header, numbers from 0, or ranges of "
        "either with both ends included, as in height,3,5:7. Others may hold anything.",
        rich_help_panel="Rows",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="WEIGHTS",
        show_default="1",
        help="How often each row counts. A column of DATA, by name or number, which then is no feature; or, if it ends "
        "like a data file (w.npy, w.csv, w.parquet), a file of one column.",
        rich_help_panel="Rows",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="LABELS",
        show_default="none known",
        help="The component each row belongs to, counted from 0, where it is known; -1 or nothing where it is not. "
        "A column or a file, as for --weights.",
        rich_help_panel="Rows",
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same draws.", rich_help_panel="Starts")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        show_default="CSV on stdout",
        help="Write to a .csv, .parquet, .npy or .npz file.",
        rich_help_panel="Output",
    ),
]
WithRows = Annotated[
    bool,
    typer.Option("--with-rows", help="Write the features of every row, too.", rich_help_panel="Output"),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of text.", rich_help_panel="Output")
]

# ---- predict, score, sample, demo ---------------------------------------------------------------------------

Responsibilities = Annotated[
    bool,
    typer.Option(
        "--responsibilities", help="Every component's share of every row, beside its label.", rich_help_panel="Output"
    ),
]
EachRow = Annotated[
    bool, typer.Option("--rows", help="Print the log-density of every row instead.", rich_help_panel="Output")
]
HowMany = Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many rows.", rich_help_panel="Output")]
Folder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="The folder for the model and the picture; made if missing.",
        rich_help_panel="Output",
    ),
]

DemoSearch = Annotated[
    str,
    typer.Option(
        "--search",
        metavar="HOW",
        help="race (all start on samples, the leaders jump out of poor optima, the best few run to the end) or all.",
        rich_help_panel="Starts",
    ),
]

# ---- anomalies ----------------------------------------------------------------------------------------------

Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="TAU",
        show_default="see --contamination",
        help="Rows with log p(x) below TAU are anomalies, in nats. Densities have units: in other units of the data it "
        "is another number.",
        rich_help_panel="Threshold",
    ),
]
Contamination = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        show_default="0.05",
        help="The share of rows that lie below the threshold, above 0 and at most 0.5; of which rows, says --quantile.",
        rich_help_panel="Threshold",
    ),
]
Quantile = Annotated[
    str | None,
    typer.Option(
        metavar="OF",
        show_default="rows",
        help="rows: that share of DATA is called anomalous. mixture: that share of 10000 rows drawn from MODEL would "
        "be, so about that of sound rows; none of DATA need be.",
        rich_help_panel="Threshold",
    ),
]
QuantileSeed = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, help="For the rows of --quantile mixture.", rich_help_panel="Threshold"),
]
Only = Annotated[
    bool, typer.Option("--only", help="Leave out the rows that are no anomalies.", rich_help_panel="Output")
]
