"""Cases under a clock: each is tried, timed and written down at once, and none can end the run."""

from __future__ import annotations

import json
import math
import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import cores, cpu_model, number, table, versions

_ROOT = Path(__file__).resolve().parents[2]
#: an error's text is cut here: XLA's may go on for pages
_LONGEST = 2000


@dataclass
class Case:
    """One thing that was tried.

    Attributes:
        status: "passed", "failed" (a wrong result), "measured", "error" (an exception), "running", or
            "not run: out of time".
        seconds: that it took, compilation included.
        figures: what it found.
    """

    part: str
    name: str
    status: str
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def where(**settings: Any) -> dict[str, Any]:
    """What is needed to judge the figures."""
    import jax

    device = jax.devices()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "platform": device.platform,
        "device": device.device_kind,
        "devices": len(jax.devices()),
        "memory": (device.memory_stats() or {}).get("bytes_limit"),
        "host": f"{cpu_model()}, {cores()} cores, {platform.platform()}",
        "flags": os.environ.get("XLA_FLAGS", ""),
        "versions": versions(),
        "settings": settings,
    }


class Report:
    """What has been found so far, in `folder`.

    Args:
        begun: the `time.monotonic()` from which seconds count.
        deadline: the one after which no case begins.
    """

    def __init__(self, folder: Path, record: dict[str, Any], begun: float, deadline: float) -> None:
        self.folder, self.record, self.begun, self.deadline = folder, record, begun, deadline
        self.cases: list[Case] = []
        folder.mkdir(parents=True, exist_ok=True)

    def attempt(self, part: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Tries a case: `measure` returns figures, among them "ok" where there is a right answer."""
        case = Case(part, name, "running")
        self.cases.append(case)
        begun = time.monotonic()
        if begun > self.deadline:
            case.status = "not run: out of time"
        else:
            self.write()  # a crash of the whole process leaves the name of what was running
            try:
                case.figures = measure()
                case.status = {True: "passed", False: "failed", None: "measured"}[case.figures.get("ok")]
            except Exception as error:  # whatever it is, the cases after it are still worth their time
                case.status, case.error = "error", f"{type(error).__name__}: {error}"[:_LONGEST]
                case.figures = {"raised": _places(error)}
        case.seconds = time.monotonic() - begun
        self.write()
        print(f"{case.part:11} {case.name:44} {case.status:8} {case.seconds:6.1f} s  {told(case)}", flush=True)

    @property
    def wrong(self) -> list[str]:
        """The correctness cases that did not pass, less those for which there was no time."""
        return [c.name for c in self.cases if c.part == "correctness" and c.status in ("failed", "error", "running")]

    def write(self, finished: bool = False) -> None:
        """`gpu.json` and `gpu.md`, each whole or as it was before."""
        record = self.record | {"seconds": round(time.monotonic() - self.begun, 1), "finished": finished}
        data = {"record": record, "cases": [asdict(case) for case in self.cases]}
        self._put("gpu.json", json.dumps(_plain(data), indent=1, ensure_ascii=False, allow_nan=False))
        self._put("gpu.md", text(record, self.cases))

    def _put(self, name: str, content: str) -> None:
        beside = self.folder / f".{name}.part"
        beside.write_text(content.rstrip() + "\n", encoding="utf-8")
        beside.replace(self.folder / name)


def _places(error: BaseException) -> list[str]:
    """Where it came from, in this project's own files, the innermost place last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(f.filename).relative_to(_ROOT)}:{f.lineno}" for f in frames if _ROOT in Path(f.filename).parents]


def _plain(value: Any) -> Any:
    """JSON has no numbers that are not finite: they become words."""
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---- the table ----------------------------------------------------------------------------------------------


def told(case: Case) -> str:
    """What a case found, in a line."""
    if case.error is not None:
        return case.error.split("\n")[0][:160]
    if "ms" in case.figures:
        return f"{number(case.figures['ms']['median'])} ms"
    return str(case.figures.get("found", ""))


_SPEED = {
    "rows a chunk": lambda f: str(f["chunk"]),
    "ms a step": lambda f: number(f["ms"]["median"]),
    "range": lambda f: f"{number(f['ms']['low'])} – {number(f['ms']['high'])}",
    "compiling, s": lambda f: number(f["compile_seconds"], 2),
    "scratch, MB": lambda f: number(f["scratch_bytes"] / 1e6),
    "nats off": lambda f: number(f["nats_off"], 2),
    "of the product's rate": lambda f: f"{100 * f['share_of_product']:.0f} %",
    "product, TFLOP/s": lambda f: number(f["product_flops"] / 1e12),
    "copy, GB/s": lambda f: number(f["copy_bytes"] / 1e9),
    "crossings": lambda f: number(f["crossings"]),
}
_FOOT = """\
*of the product's rate*: the operations of the step's two products, 4·N·F·K·R, in the time that one of them alone would
take for as many; *crossings*: how often the (R·K, N) array could have crossed memory in a step, at the copy's rate;
*nats off*: the largest difference of a restart's log-likelihood per row from that by `HIGHEST` and jaxgmm's chunks."""


def _cell(figures: dict[str, Any], column: Callable[[dict[str, Any]], str]) -> str:
    try:
        return column(figures)
    except (KeyError, TypeError):  # a yardstick that could not be had
        return "–"


def text(record: dict[str, Any], cases: list[Case]) -> str:
    """The report as Markdown."""
    packages = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    ended = "" if record["finished"] else " **The run did not end.**"
    parts = [
        f"# jaxgmm on {record['device']}",
        f"{record['date']} UTC, {record['platform']}, {record['devices']} device(s); {record['host']}. {packages}. "
        f"{number(record['seconds'])} s.{ended}",
    ]
    if record["flags"]:
        parts.append(f"`XLA_FLAGS={record['flags']}`")
    checked = [c for c in cases if c.part == "correctness"]
    if checked:
        lines = [[c.name, c.status, number(c.seconds, 2), told(c).replace("|", "\\|")] for c in checked]
        parts += ["## Correctness", table(["case", "outcome", "seconds", "found"], lines)]
    timed = [c for c in cases if c.part == "speed" and "ms" in c.figures]
    if timed:
        lines = [[c.name, *(_cell(c.figures, column) for column in _SPEED.values())] for c in timed]
        parts += ["## Speed", table(["step", *_SPEED], lines), _FOOT]
    rest = [c for c in cases if c.part == "speed" and c.status not in ("measured", "running")]
    if rest:
        lines = [[c.name, c.status, told(c).replace("|", "\\|")] for c in rest]
        parts += ["Without figures:", table(["step", "outcome", "why"], lines)]
    return "\n\n".join(parts)
