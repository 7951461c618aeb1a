"""A bar on the terminal while a fit runs, and silence everywhere else. It is drawn by rich, loaded when asked for."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from jaxgmm.run.record import BlockInfo, OnBlock


@contextlib.contextmanager
def bar(title: str = "fit", console: Any = None) -> Iterator[OnBlock | None]:
    """Shows a bar on stderr until the `with` ends; yields what to give to `fit(on_block=...)`.

    Where stderr is not a terminal nothing is shown, and None is yielded.

    Raises:
        ImportError: rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    except ImportError as error:
        raise ImportError("a progress bar needs rich: pip install 'jaxgmm[cli]'") from error
    if console is None:
        # Not `Console.is_terminal`: environment variables can make that true of a pipe.
        if not sys.stderr.isatty():
            yield None
            return
        console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(16), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        task = progress.add_task(title, total=1.0, state="compiling …")
        pace = Throughput(time.perf_counter())

        def on_block(info: BlockInfo) -> None:
            state = pace.describe(info, time.perf_counter())
            progress.update(task, completed=fraction(info), state=state)

        yield on_block


def both(first: OnBlock | None, second: OnBlock | None) -> OnBlock | None:
    """One callback for two; it ends the fit if the second one asks for that."""
    if first is None or second is None:
        return first or second

    def told(info: BlockInfo) -> bool | None:
        first(info)
        return second(info)

    return told


class Throughput:
    """How fast blocks come."""

    def __init__(self, begun: float) -> None:
        self.begun = self.last = begun
        self.rows = 0.0

    def describe(self, info: BlockInfo, now: float) -> str:
        """The line beside the bar, at time `now` in seconds."""
        rate = (info.rows - self.rows) / max(now - self.last, 1e-9)
        self.last, self.rows = now, info.rows
        done = fraction(info)
        left = (now - self.begun) * (1 - done) / done if done > 0 else float("inf")
        return (
            f"block {info.block}  {info.n_active}/{info.n_restarts} active  best {info.best:.4f}  "
            f"{compact(rate)} rows/s  ETA {clock(left)}"
        )


def fraction(info: BlockInfo) -> float:
    """How much is surely done: of the restarts, or of the iterations allowed, whichever is further."""
    ended = 1 - info.n_active / info.n_restarts
    return max(ended, info.n_iter / info.max_iter if info.max_iter else 1.0)


def compact(number: float) -> str:
    """84 200 000 as 84M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    if seconds == float("inf"):
        return "-:--"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
