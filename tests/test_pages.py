"""Every page's code runs as it stands and prints what the page says, and every link leads somewhere."""

from __future__ import annotations

import re
import runpy
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import pages
import pytest
from docstrings import to_rst

import jaxgmm
import jaxgmm.plotting
from jaxgmm.families import FAMILIES

mpl.use("Agg")
every_page = pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.stem)
CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(autouse=True)
def _as_it_was():
    """A page may register a family, leave figures open, and keep compiled programs in its folder."""
    families, options = dict(FAMILIES), {name: jax.config.values[name] for name in CACHE}
    yield
    FAMILIES.clear()
    FAMILIES.update(families)
    plt.close("all")
    for name, value in options.items():
        jax.config.update(name, value)


def differences(printed: str, wanted: str) -> list[str]:
    """Where two outputs differ: in words, in whole numbers, or in the last digit shown by more than one and a half."""
    words, wanted_words = ("".join(NUMBER.sub("#", text).split()) for text in (printed, wanted))
    if words != wanted_words:
        return [f"{words} is not {wanted_words}"]
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(wanted), strict=True)
    return [f"{got} is not {want}" for got, want in pairs if not near(got, want)]


def near(got: str, want: str) -> bool:
    a, b = (Decimal(number.replace("−", "-")) for number in (got, want))
    whole = b == b.to_integral_value() and "." not in want and "e" not in want
    return abs(a - b) <= (0 if whole else Decimal("1.5").scaleb(b.as_tuple().exponent))


@pytest.mark.parametrize(
    ("printed", "wanted", "same"),
    [
        ("score −4.1551 of 64", "score  -4.1550 of 64", True),
        ("[0.12 -3.00]", "[ 0.12 -3.01]", True),
        ("0.12", "0.14", False),
        ("1.2e-05", "1.3e-05", True),
        ("64 restarts", "63 restarts", False),
        ("64 restarts", "64 starts", False),
        ("2314.30", "2314.3", True),
    ],
)
def test_outputs_are_compared_to_the_digits_shown(printed, wanted, same):
    assert (not differences(printed, wanted)) == same


@cache
def outcome(page: Path) -> tuple[dict[str, Any], list[tuple[pages.Block, str]]]:
    """The names that a page leaves, and what each of its blocks printed."""
    printed: list[tuple[pages.Block, str]] = []
    return pages.run(page, lambda block, text: printed.append((block, text))), printed


@every_page
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page):
    for block, printed in outcome(page)[1]:
        shown = f"{page.name}, line {block.line + 1}"
        if block.output is not None:
            assert not differences(printed, block.output), f"{shown}:\n{printed}"
        else:
            assert not printed or page.stem == "README", f"{shown} prints what the page does not show:\n{printed}"


@every_page
def test_a_page_links_to_files_that_exist(page):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_every_output_stands_below_its_code():
    for page in pages.PAGES:
        shown = sum(block.output is not None for block in pages.blocks(page))
        assert page.read_text().count("\n```text\n") == shown, page.name


def test_the_glossary_points_at_what_is_there():
    words, places = [], []
    for line in (pages.ROOT / "docs" / "glossary.md").read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| word"):
            word, _, place = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            words.append(word)
            places += re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", place)
    assert len(words) > 50
    assert sorted(set(words)) == sorted(words)
    assert [place for place in places if not (pages.ROOT / "jaxgmm" / place).exists()] == []


def test_the_readmes_code_does_what_it_says():
    names, _ = outcome(pages.PAGES[0])
    assert len(names["labels"]) == 150
    assert 0 < names["outliers"].sum() < 30
    assert "64 restarts" in repr(names["result"])


def test_the_api_page_has_every_public_name():
    documented = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", (pages.ROOT / "docs" / "api.md").read_text(), re.M))
    public = {f"jaxgmm.{name}" for name in jaxgmm.__all__}
    public |= {f"jaxgmm.plotting.{name}" for name in jaxgmm.plotting.__all__}
    public |= {f"jaxgmm.sources.{name}" for name in jaxgmm.sources.__all__}
    inside = ("jaxgmm.em.", "jaxgmm.rows.")
    assert public == {name for name in documented if not name.startswith(inside)}


def test_every_picture_is_drawn_from_what_its_page_computes():
    pictures = runpy.run_path(str(pages.ROOT / "docs" / "pictures"), run_name="pictures")["PICTURES"]
    for page, drawn in pictures.items():
        text, names = (pages.ROOT / "docs" / f"{page}.md").read_text(), outcome(pages.ROOT / "docs" / f"{page}.md")[0]
        for name, draw in drawn.items():
            assert f"](pictures/{name}.png)" in text
            assert all(ax.has_data() and ax.get_title(loc="left") for ax in draw(names).axes), name
    made = {path.stem for path in pages.ROOT.glob("docs/pictures/*.png")}
    assert made == {name for drawn in pictures.values() for name in drawn}


def test_docstrings_become_definitions():
    lines = [
        "Does it.",
        "",
        "Args:",
        "    a, b: both",
        "        of them: yes.",
        "",
        "Returns:",
        "    A sum.",
        "",
        "More.",
    ]
    to_rst(None, "", "", None, None, lines)
    assert "\n".join(lines).splitlines() == [
        "Does it.", "", ".. rubric:: Parameters", "", "", "``a, b``", "    both", "    of them: yes.", "",
        ".. rubric:: Returns", "", "A sum.", "", "More.",
    ]  # fmt: skip


def test_all_results_of_benchmarks_have_their_place():
    included = re.findall(r"^```\{include\} (\S+)$", (pages.ROOT / "docs" / "results.md").read_text(), re.M)
    results = {path.name for path in pages.ROOT.glob("benchmarks/results/*.md")}
    assert {Path(target).name for target in included} == results


def test_pictures_are_small():
    assert {p.name: size for p in pages.ROOT.glob("docs/pictures/*.png") if (size := p.stat().st_size) > 150_000} == {}
