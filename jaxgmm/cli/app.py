"""The command line: its commands, and what they share."""

from __future__ import annotations

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

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Gaussian mixtures by expectation-maximisation: the best of hundreds of starts.",
    epilog="Exit codes: 0 done, 2 bad input, 3 the fit failed, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"jaxgmm {jaxgmm.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Shared by all commands."""


app.command("fit")(fit_command)
app.command("select")(select_command)
app.command("predict")(predict_command)
app.command("score")(score_command)
app.command("anomalies")(anomalies_command)
app.command("sample")(sample_command)
app.command("info")(info_command)
app.command("demo")(demo_command)
