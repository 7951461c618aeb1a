"""What every benchmark shares: the record of where it ran, timing that survives a noisy machine, and tables."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

_PACKAGES = (
    "jaxgmm",
    "jax",
    "jaxlib",
    "optax",
    "numpy",
    "scipy",
    "scikit-learn",
    "gmmx",
    "pomegranate",
    "tgmm",
    "torch",
)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options all scripts have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="small sizes and few repeats: a check that it runs")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    return options


def in_a_process(script: str, *words: str, **variables: str) -> Any:
    """What `script --child WORDS` prints last, as JSON, in a process of its own that finds no compiled programs.

    `variables` are set in its environment.
    """
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= variables
    command = [sys.executable, "-W", "ignore", script, "--child", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


# ---- where it ran -------------------------------------------------------------------------------------------


def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Versions of what takes part; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def record(**settings: Any) -> dict[str, Any]:
    """Everything needed to repeat a run and to judge its figures."""
    import jax

    return {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "cpu": cpu_model(),
        "cores": cores(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "load_average_at_start": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "versions": versions(),
        "settings": settings,
    }


# ---- timing -------------------------------------------------------------------------------------------------


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call; `function` must not return before its work is done."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds per call of each function, `repeats` rounds of all of them in turn.

    In turn, so that whatever else the machine does in the meantime falls on all alike; every second round runs
    backwards, so that nobody always follows the same neighbour.
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(repeats):
        for name in list(functions)[:: 1 if number % 2 == 0 else -1]:
            taken[name].append(seconds(functions[name]))
    return taken


def slope(run: Callable[[int], float], few: int, many: int) -> float:
    """Seconds per iteration: `run(m)` gives the seconds of m iterations, of which what is done once drops out."""
    short = run(few)
    return (run(many) - short) / (many - few)


def iterations_for(budget: float, step: float, least: int, most: int = 100) -> int:
    """How many iterations of about `step` seconds take about `budget` seconds."""
    return min(max(math.ceil(budget / max(step, 1e-5)), least), most)


@dataclass(frozen=True)
class Spread:
    """Repeats of one figure: the median is the figure, the rest says how far to trust it."""

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))

    def scaled(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.repeats)

    def json(self) -> dict[str, float]:
        return asdict(self)


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times `fast` goes into `slow`: the ratio of medians, and the range of ratios within rounds."""
    rounds = [a / b for a, b in zip(slow, fast, strict=True)]
    return Spread(statistics.median(slow) / statistics.median(fast), min(rounds), max(rounds), len(rounds))


# ---- writing ------------------------------------------------------------------------------------------------


def number(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits and no exponent where it can be helped."""
    if value != value:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{max(0, digits - 1 - _exponent(value))}f}"
    return f"{value:,.0f}" if 10**digits <= abs(value) < 1e7 else f"{value:.{digits - 1}e}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1]) if value else 0


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned so that it also reads as plain text."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        # The first column names things; the others are numbers and stand on the right.
        body = [cells[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells[1:], widths[1:], strict=True))]
        return "| " + " | ".join(body) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def provenance(where: Mapping[str, Any]) -> str:
    """The record in two lines, for the foot of a table."""
    packages = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return f"`{where['command']}`, {where['date']}, {where['cpu']}, {where['cores']} cores.\n{packages}."


def write(folder: Path, name: str, data: Mapping[str, Any], markdown: str | None = None) -> None:
    """`name`.json, and `name`.md where there is a table."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    if markdown is not None:
        (folder / f"{name}.md").write_text(markdown.rstrip() + "\n", encoding="utf-8")
    print(f"\nwritten: {folder / name}.*")
