"""The commands' arguments and options, with the text that `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jaxgmm import validation
from jaxgmm.initialization import METHODS

DTYPES = ("float32", "float64")


def ridge(value: str) -> Any:
    """--reg-covar as a number, where it is one."""
    try:
        number = float(value)
    except ValueError:
        return validation.real_or_word("--reg-covar", value, ("auto",))
    return validation.real("--reg-covar", number)


Data = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="Rows: .npy, .npz, or text (.csv, .tsv, .txt) with or without a header."),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, as `jaxgmm fit` writes it.")]
ArrayName = Annotated[
    str | None, typer.Option("--array", metavar="NAME", help="Which array of a .npz; needed if it holds several.")
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="COLUMNS",
        show_default="all",
        help="Which columns of DATA are features, in which order: names from its header, numbers from 0, or ranges of "
        "either with both ends included, as in height,3,5:7. Others may hold anything.",
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
    ),
]
WithRows = Annotated[bool, typer.Option("--with-rows", help="Put the features of every row before what is said of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        show_default="CSV on stdout",
        help="Write to a .csv, .parquet, .npy or .npz file.",
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same draws.")]

# ---- fit ----------------------------------------------------------------------------------------------------

Components = Annotated[int, typer.Option("--components", "-k", metavar="K", min=1, help="How many components to fit.")]
ModelOut = Annotated[
    Path, typer.Option("--out", "-o", metavar="MODEL", help="Where the best mixture goes; ends in .safetensors.")
]
Restarts = Annotated[
    int | None,
    typer.Option(
        "--restarts",
        "-r",
        metavar="N",
        min=1,
        show_default="16",
        help="Random starts, run side by side; the best wins.",
    ),
]
Covariance = Annotated[
    str,
    typer.Option(
        metavar="TYPE",
        help="The components' shape: full (a covariance matrix each), tied (one for all), diag (a variance per "
        "feature), spherical (one variance each); or bernoulli, for rows of zeros and ones.",
    ),
]
Driver = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How parameters move: em (expectation-maximisation), adam or lbfgs (gradient ascent of the likelihood).",
    ),
]
Init = Annotated[
    str,
    typer.Option(metavar="START", help=f"How to start: {', '.join(METHODS)}; or a model file to go on from."),
]
Tol = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=0,
        help="A restart has converged when its mean log-likelihood, in nats per row, changes by less in one iteration. "
        "0 means never: all take --max-iter iterations.",
    ),
]
MaxIter = Annotated[int, typer.Option(metavar="N", min=0, help="The most iterations a restart may take.")]
MaxSeconds = Annotated[
    float | None,
    typer.Option(metavar="S", min=0, show_default="none", help="End soon after, with the best so far."),
]
Stopping = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="What --tol is compared with: log_likelihood (its change), aitken (what it is predicted still to rise by) "
        "or parameters (the largest move, in standard deviations).",
    ),
]
RegCovar = Annotated[
    str,
    typer.Option(
        metavar="X",
        help="Added to the diagonal of every covariance, in squared units of the data; auto adds 1e-6 of each "
        "feature's variance. Raise it when components collapse onto single points.",
    ),
]
PriorName = Annotated[
    str | None,
    typer.Option(
        "--prior",
        metavar="NAME",
        show_default="none",
        help="default: a weak conjugate prior that follows from the data, as mclust's; keeps components from "
        "collapsing.",
    ),
]
Search = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="race (all start on samples, the leaders jump out of poor optima, the best few run to the end) or all. "
        "By default a race from 5000 rows on.",
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="Keep the fit's state in this file; killed, the same command goes on from it."),
]
Every = Annotated[float, typer.Option(help="Seconds between two writings of --checkpoint.")]
OnDegenerate = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="When a component loses its rows or collapses: reinit (put it elsewhere), stop (the restart) or keep.",
    ),
]
DType = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        show_default="as the data",
        help="Precision to compute in: float32 or float64. Text is read as float64; float32 is about twice as fast.",
    ),
]
KernelName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How a pass is computed: shared_feature (fast), centred (accurate however tight the clusters), or auto, "
        "which chooses for each restart.",
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        show_default="0.05",
        help="Step size of --driver adam, relative to the start: in standard deviations of each component.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="PICTURE",
        help="Draw the fit, its convergence and the spread over restarts: .png, .pdf or .svg. Needs the extra plot.",
    ),
]

# ---- select -------------------------------------------------------------------------------------------------

Sizes = Annotated[
    str,
    typer.Option(
        "--components", "-k", metavar="RANGE", help="Which K to try: 1:12 (both ends included), 1:20:3, or 2,3,5."
    ),
]
Types = Annotated[
    str,
    typer.Option(metavar="TYPES", help="Which covariance types, of full,tied,diag,spherical; or bernoulli alone."),
]
Criterion = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What decides, lower is better: bic, aic, icl, heldout (minus the mean log-likelihood of a fifth of the "
        "rows, kept back) or cv (the same over five folds).",
    ),
]
SelectOut = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="MODEL", help="Where the winner goes; ends in .safetensors.")
]
SelectRestarts = Annotated[
    int, typer.Option("--restarts", "-r", metavar="N", min=1, help="Random starts for every K and type, side by side.")
]
SelectReport = Annotated[
    Path | None,
    typer.Option(
        metavar="PICTURE",
        help="Draw the criterion against K, and the winner: .png, .pdf or .svg. Needs the extra plot.",
    ),
]

# ---- the others ---------------------------------------------------------------------------------------------

Responsibilities = Annotated[
    bool, typer.Option("--responsibilities", help="Every component's share of every row, beside its label.")
]
EachRow = Annotated[bool, typer.Option("--rows", help="Print the log-density of every row instead.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="TAU",
        show_default="see --contamination",
        help="Rows with log p(x) below TAU are anomalies, in nats. Densities have units: in other units of the data it "
        "is another number.",
    ),
]
Contamination = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        show_default="0.05",
        help="The share of rows that lie below the threshold, above 0 and at most 0.5; of which rows, says --quantile.",
    ),
]
Quantile = Annotated[
    str | None,
    typer.Option(
        metavar="OF",
        show_default="rows",
        help="rows: that share of DATA is called anomalous. mixture: that share of 10 000 rows drawn from MODEL would "
        "be, so about that of sound rows; none of DATA need be.",
    ),
]
QuantileSeed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="For the rows of --quantile mixture.")]
Only = Annotated[bool, typer.Option("--only", help="Leave out the rows that are no anomalies.")]
HowMany = Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many rows.")]
Folder = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="The folder for the model and the picture; made if missing.")
]
