"""Pages as programs: the code blocks of a page, run one after the other in one namespace."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
#: what pages find in the folder they run in
DATA = (ROOT / "tests" / "data" / "faithful.csv",)

_BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A block of code, and what stands below it as its output, if anything does; `line` is where the code begins."""

    code: str
    output: str | None
    line: int


def blocks(page: Path) -> list[Block]:
    """The ```python blocks of `page`, each with the ```text block right below it."""
    text = page.read_text()
    return [Block(*found.groups(), text.count("\n", 0, found.start(1))) for found in _BLOCK.finditer(text)]


def run(page: Path, heard: Callable[[Block, str], None] = lambda block, printed: None) -> dict[str, Any]:
    """Runs `page` in a folder of its own and returns the names it leaves; `heard` is told what each block prints."""
    names: dict[str, Any] = {"__name__": "__main__"}
    # Blank lines first, so that errors name the page's own lines.
    program = [
        (block, compile("\n" * block.line + block.code, str(page), "exec", dont_inherit=True)) for block in blocks(page)
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for file in DATA:
            shutil.copy(file, folder)
        for block, code in program:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, names)
            heard(block, printed.getvalue())
    return names
