"""The page on the command line: its commands run as they stand, and print what it shows, but for the numbers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from commands import CSV
from typer.testing import CliRunner

from jaxgmm.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"


def run(command: str, last_code: int) -> tuple[str, int]:
    """What a line of shell prints, and its exit code; `jaxgmm` runs in this process."""
    if command == "echo $?":
        return f"{last_code}\n", 0
    ours, pipe, rest = re.match(r"(.*?)(?: (\||>) (.*))?$", command).groups()
    if not ours.startswith("jaxgmm "):
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        return done.stdout, 0
    done = CliRunner().invoke(app, shlex.split(ours)[1:])
    if not pipe:
        return done.output, done.exit_code
    rest = f"cat > {rest}" if pipe == ">" else rest
    return subprocess.run(rest, shell=True, input=done.output, capture_output=True, text=True, check=True).stdout, 0


def words(text: str) -> list[str]:
    """The words of a text; numbers are all alike, as they depend on the machine."""
    return re.sub(r"[-−]?\d[\d.]*(e[+-]\d+)?[kM]?", "#", text).split()


def test_the_pages_commands_print_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(CSV, tmp_path)
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) >= 5
    code = 0
    for block in blocks:
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            printed, code = run(command, code)
            assert words(printed) == words(shown), f"{command}\n{printed}"
    assert {path.name for path in tmp_path.iterdir()} >= {
        "best.safetensors",
        "labelled.parquet",
        "densities.npy",
        "odd.csv",
    }


def test_the_page_names_files_that_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target
