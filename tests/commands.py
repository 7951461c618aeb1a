"""The command line as tests call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import DATA
from typer.testing import CliRunner

from jaxgmm.cli.app import app
from jaxgmm.cli.data import Source

CSV = str(DATA / "faithful.csv")


def jax_gmm(*args: object, code: int = 0) -> Any:
    """Runs `jaxgmm` with these words, which must end with `code`; what it printed is in `.stdout` and `.stderr`."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


def block(path: Path, **options: Any) -> Any:
    """All rows of a file, with weights and labels."""
    return Source(path, **options).read()


def read(path: Path, array: str | None = None, **options: Any) -> Any:
    """The rows in a file, (n, d)."""
    return block(path, array=array, **options).x
