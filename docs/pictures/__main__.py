"""Draws the pictures of the pages: `python docs/pictures [NAME ...]`, all of them without a name.

Every picture is drawn from what the code of its page computes, so that pages and pictures cannot part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

sys.path.insert(0, str(Path(__file__).parent.parent))

import clusters
import judging
import pages
import steps
from style import write

#: what is drawn from which page
PICTURES: dict[str, dict[str, Callable[[dict[str, Any]], Any]]] = {
    "quickstart": {"eruptions": steps.eruptions},
    "em": {
        "line": steps.line,
        "steps": steps.six_steps,
        "bound": steps.bound,
        "shapes": clusters.shapes,
        "limit": clusters.limit,
        "starts": clusters.starts,
        "choose": judging.choose,
        "anomalies": judging.anomalies,
        "collapse": judging.collapse,
    },
}


def main() -> None:
    names = [name for drawn in PICTURES.values() for name in drawn]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(names)}")
    wanted = parser.parse_args().name or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    mpl.use("Agg")
    for page, drawn in PICTURES.items():
        if set(drawn) & set(wanted):
            left_by_page = pages.run(pages.ROOT / "docs" / f"{page}.md")
            for name in drawn.keys() & set(wanted):
                print(f"written: {write(drawn[name](left_by_page), name)}")


if __name__ == "__main__":
    main()
