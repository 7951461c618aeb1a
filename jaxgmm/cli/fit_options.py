"""Options of `fit` and `select`, with the text that `--help` shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxgmm.inputs import arguments
from jaxgmm.shards import hosts, meshes
from jaxgmm.starts.methods import METHODS
from jaxgmm.streams.room import checked_cache

DTYPES = ("float32", "float64")


def cache(value: str) -> str | int:
    """A name, or a size in bytes: 500M, 2G.

    Raises:
        ArgumentError: neither.
    """
    found = re.fullmatch(r"(\d+)([KMGT]?)i?B?", value.strip(), re.IGNORECASE)
    if found:
        return int(found[1]) << 10 * ("KMGT".index(found[2].upper()) + 1 if found[2] else 0)
    return checked_cache(value)


def on_devices(devices: str | None, distributed: str | None) -> Any:
    """What `fit` is told of devices; joins the cluster first, if there is one.

    Raises:
        ArgumentError: no such number, or no such cluster.
    """
    if distributed is not None:
        hosts.join(distributed)
    if devices is None:
        return None if distributed is None else "all"
    wanted = int(devices) if devices.isdecimal() else devices
    if distributed is None:
        meshes.make_of_cores(wanted)
    return wanted


def ridge(value: str) -> Any:
    """--reg-covar as a number, where it is one."""
    try:
        number = float(value)
    except ValueError:
        return arguments.real_or_word("--reg-covar", value, ("auto",))
    return arguments.real("--reg-covar", number)


def ridge_option(beside: str = "") -> Any:
    """--reg-covar, for commands that have something to say of what lies `beside` it."""
    return typer.Option(
        metavar="X",
        help="Added to the diagonal of every covariance, in squared units of the data; auto adds 1e-6 of the "
        f"variance of each feature's densest rows{beside}. Raise it when components collapse onto single points. "
        "For bernoulli: observations of each value that are added, per row of a component.",
        rich_help_panel="Mixture",
    )


RegCovar = Annotated[str, ridge_option(", and nothing beside --prior, which keeps covariances from collapsing itself")]
Components = Annotated[
    int,
    typer.Option(
        "--components", "-k", metavar="K", min=1, help="How many components to fit.", rich_help_panel="Mixture"
    ),
]
ModelOut = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="MODEL",
        help="Where the best mixture goes; ends in .safetensors.",
        rich_help_panel="Output",
    ),
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
        rich_help_panel="Starts",
    ),
]
Covariance = Annotated[
    str,
    typer.Option(
        metavar="TYPE",
        help="The components' shape: full (a covariance matrix each), tied (one for all), diag (a variance per "
        "feature), spherical (one variance each); or bernoulli, for rows of zeros and ones.",
        rich_help_panel="Mixture",
    ),
]
Driver = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How parameters move: em (expectation-maximisation), squarem (the same in fewer passes where it is "
        "slow), hard-em (every row belongs whole to one component), adam or lbfgs (gradient ascent of the likelihood).",
        rich_help_panel="Iterations",
    ),
]
Init = Annotated[
    str,
    typer.Option(
        metavar="START",
        help=f"How to start: {', '.join(METHODS)}; or a model file to go on from.",
        rich_help_panel="Starts",
    ),
]
Tol = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=0,
        help="A restart has converged when its mean log-likelihood, in nats per row, changes by less in one iteration. "
        "0 means never: all take --max-iter iterations.",
        rich_help_panel="Iterations",
    ),
]
MaxIter = Annotated[
    int, typer.Option(metavar="N", min=0, help="The most iterations a restart may take.", rich_help_panel="Iterations")
]
MaxSeconds = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        min=0,
        show_default="none",
        help="End soon after, with the best so far.",
        rich_help_panel="Iterations",
    ),
]
Stopping = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="What --tol is compared with: log_likelihood (its change), change (the same, but going on while changes "
        "still grow, as scikit-learn does), aitken (what it is predicted still to rise by) or parameters (the largest "
        "move, in standard deviations).",
        rich_help_panel="Iterations",
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
        rich_help_panel="Mixture",
    ),
]
Search = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="race (all start on samples, the leaders jump out of poor optima, the best few run to the end) or all. "
        "By default a race where rows x starts x parameters come to 5e8.",
        rich_help_panel="Starts",
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Keep the fit's state in this file; killed, the same command goes on from it.",
        rich_help_panel="Computing",
    ),
]
Every = Annotated[
    float,
    typer.Option(metavar="S", min=0, help="Seconds between two writings of --checkpoint.", rich_help_panel="Computing"),
]
OnDegenerate = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="When a component loses its rows or collapses: reinit (put it elsewhere), stop (the restart) or keep.",
        rich_help_panel="Mixture",
    ),
]
DType = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        show_default="as the data",
        help="Precision to compute in: float32 or float64. Text is read as float64; float32 is about twice as fast.",
        rich_help_panel="Computing",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Who computes: numpy (nothing is compiled), jax (compiled programs, on a GPU where there is one), or "
        "auto, which takes numpy where it is done before a program would be compiled.",
        rich_help_panel="Computing",
    ),
]
CacheSize = Annotated[
    str,
    typer.Option(
        "--cache",
        metavar="SIZE",
        help="How much of the rows stays where they are computed with: all, none (every pass reads them anew), a size "
        "such as 2G, or auto, as much as half of the free memory holds.",
        rich_help_panel="Computing",
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="N",
        show_default="one",
        help="Divide the rows among so many devices, or all.",
        rich_help_panel="Computing",
    ),
]
Distributed = Annotated[
    str | None,
    typer.Option(
        "--distributed",
        metavar="CLUSTER",
        help="Compute together with other processes that run the same command: auto, where JAX finds the cluster "
        "(Slurm, MPI, Kubernetes, TPU pods), or HOST:PORT,COUNT,RANK. The first one writes and prints.",
        rich_help_panel="Computing",
    ),
]
KernelName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How a pass is computed: shared_feature (fastest), shared_feature_64 (its products in float64), centred "
        "(accurate however tight the clusters), or auto, which chooses for each restart.",
        rich_help_panel="Computing",
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        show_default="0.05",
        help="Step size of --driver adam, relative to the start: in standard deviations of each component.",
        rich_help_panel="Iterations",
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        show_default="as found",
        help="The order of components: weight (the heaviest first), mean (ascending in the first feature) or "
        "mean:FEATURE, a column by name or number as in --columns.",
        rich_help_panel="Output",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="PICTURE",
        help="Draw the fit, its convergence and the spread over restarts: .png, .pdf or .svg. Needs the extra plot.",
        rich_help_panel="Output",
    ),
]
