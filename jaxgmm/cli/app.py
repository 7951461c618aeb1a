"""The command line: its commands, and what they share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Annotated

import typer

import jaxgmm
from jaxgmm.cli.commands.anomalies import anomalies_command
from jaxgmm.cli.commands.demo import demo_command
from jaxgmm.cli.commands.fit import fit_command
from jaxgmm.cli.commands.info import info_command
from jaxgmm.cli.commands.predict import predict_command
from jaxgmm.cli.commands.sample import sample_command
from jaxgmm.cli.commands.score import score_command
from jaxgmm.cli.commands.select import select_command
from jaxgmm.cli.errors import Commands
from jaxgmm.cli.manual import Page

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Gaussian mixtures by expectation-maximisation: the best of hundreds of starts.\n\n"
    "Every failure is one line on stderr; files are written whole or not at all. `jaxgmm COMMAND --help` has the page "
    "of a command.",
    epilog="jaxgmm fit rows.csv -k 3 --out model.safetensors\njaxgmm predict model.safetensors rows.csv",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"jaxgmm {jaxgmm.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep compiled programs in the user's cache folder.")
    ] = True,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Shared by all commands."""
    if cache and "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # else they are kept where that says
        with contextlib.suppress(OSError):  # a home that cannot be written to is no reason to fail
            jaxgmm.enable_compilation_cache()


def _add(name: str, command: Callable[..., None], examples: str) -> None:
    app.command(name, cls=Page, epilog=examples)(command)


_add("fit", fit_command, """\
jaxgmm fit rows.csv -k 8 --restarts 128 --out model.safetensors
jaxgmm fit rows.parquet --columns height,weight --weights w -k 3 --out model.safetensors --report fit.png
jaxgmm fit rows.npy -k 3 --labels labels.npy --prior default --out model.safetensors
""")  # fmt: skip
_add("select", select_command, """\
jaxgmm select rows.csv -k 1:12 --report bic.png
jaxgmm select rows.parquet -k 2:6 --types diag,full --criterion cv --out model.safetensors
""")  # fmt: skip
_add("predict", predict_command, """\
jaxgmm predict model.safetensors rows.csv > labels.csv
jaxgmm predict model.safetensors rows.parquet --responsibilities --with-rows --out labelled.parquet
""")  # fmt: skip
_add("score", score_command, """\
jaxgmm score model.safetensors rows.csv
jaxgmm score model.safetensors rows.parquet --rows --out densities.npy
""")  # fmt: skip
_add("anomalies", anomalies_command, """\
jaxgmm anomalies model.safetensors rows.csv --only
jaxgmm anomalies model.safetensors rows.parquet --quantile mixture --contamination 0.001 --out anomalies.parquet
""")  # fmt: skip
_add("sample", sample_command, "jaxgmm sample model.safetensors -n 1000 --seed 1 --out drawn.csv")
_add("info", info_command, "jaxgmm info model.safetensors --json")
_add("demo", demo_command, "jaxgmm demo --out china")
