"""Where a whole fit's time goes, part by part; and what starts cost beside steps of EM.

The first table is the demonstration's own fit, 128 starts on a photograph's colours, from checks to the result. Parts
are timed inside one call, waiting for the device after each; what compiling took is taken out of every part and shown
as one of its own. The second table holds the starts of as many restarts on a million rows against ten steps.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from common import number, parser, provenance, record, table, write

import jaxgmm
from jaxgmm.demo import demo
from jaxgmm.drivers import EM
from jaxgmm.families import FAMILIES
from jaxgmm.fit import diagnostics
from jaxgmm.inputs import precision
from jaxgmm.problem import pose as posing
from jaxgmm.rows import ArraySource
from jaxgmm.run import lanes, loop, options
from jaxgmm.run.search import Task
from jaxgmm.starts.given import make_starts

fit: Any = importlib.import_module("jaxgmm.fit.fit")  # the module, which the package hides

#: (module, function, what it does); a part inside another is taken out of the outer one
PARTS: tuple[tuple[Any, str, str], ...] = (
    (fit, "checked_rows", "looking for bad values"),
    (posing, "summarise", "means and variances of the features"),
    (posing, "check_data", "checks of the data as a whole"),
    (posing, "coordinates", "coordinates"),
    (posing, "placed", "laying rows out"),
    (fit, "make_starts", "starts"),
    (loop, "start", "steps: the first pass"),
    (loop, "block", "steps"),
    (loop, "renew", "steps: again by the other kernel"),
    (lanes, "revive", "revivals"),
    (lanes, "drive", "host between blocks"),
    (fit, "diagnose", "diagnosis"),
    (diagnostics.Diagnosis, "spurious", "diagnosis"),
)


METHODS = ("k-means++", "kmeans")


class Clock:
    """Seconds by part, nested parts and compilation taken out."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inner = [0.0]
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            self.seconds["compilation"] += duration_secs
            self.inner[-1] += duration_secs

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        self.inner.append(0.0)
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            self.seconds[name] += taken - self.inner.pop()
            self.inner[-1] += taken

    def around(self, function: Any, name: str) -> Any:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            with self.part(name):
                return jax.block_until_ready(function(*args, **options))

        return timed


@contextlib.contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Every part of a fit reports to `clock`."""
    kept = [(where, name, where.__dict__[name]) for where, name, _ in PARTS]
    for where, name, what in PARTS:
        own = where.__dict__[name]
        inner = own.__func__ if isinstance(own, classmethod) else own
        timed = clock.around(inner, what)
        setattr(where, name, classmethod(timed) if isinstance(own, classmethod) else timed)
    try:
        yield
    finally:
        for where, name, own in kept:
            setattr(where, name, own)


def profile(x: Any, starts: int, **options: Any) -> dict[str, float]:
    clock = Clock()
    with watched(clock), clock.part("the rest"):
        jaxgmm.fit(0, x, demo.N_COMPONENTS, n_init=starts, **options)
    return dict(clock.seconds)


def starts_against_steps(n: int, d: int, k: int, starts: int, steps: int) -> dict[str, float]:
    """Seconds for starts by each method, and for so many steps of that batch; compiled before."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (k, d))
    x = (centres[rng.integers(0, k, n)] + rng.standard_normal((n, d))).astype(np.float32)
    taken = {}
    with precision.scope(np.dtype(np.float32)):
        posed = posing.pose(ArraySource(x), FAMILIES["full"], k, "auto", None, np.dtype(np.float32))
        for method in METHODS:
            for seed in (0, 1):  # the first compiles
                begun = time.perf_counter()
                made = jax.block_until_ready(make_starts(np.array([0, seed], np.uint32), posed, method, starts))
                taken[method] = time.perf_counter() - begun
        chosen = options.Settings.checked(
            tol=0, stopping="log_likelihood", max_iter=steps, max_seconds=None, reg_covar="auto",
            on_degenerate="keep", kernel="shared_feature", on_block=None,
        )  # fmt: skip
        for _ in range(2):
            begun = time.perf_counter()
            Task(np.zeros(2, np.uint32), posed, EM(), made, chosen).run()
            taken["steps"] = time.perf_counter() - begun
    return taken


def main() -> None:
    options = parser(__doc__)
    chosen = options.parse_args()
    where = record(quick=chosen.quick)
    x = demo.load_image(8 if chosen.quick else 1).reshape(-1, 3)
    starts = 8 if chosen.quick else 128
    fitted = {"max_iter": 300, "tol": demo.TOL, "reg_covar": demo.REG_COVAR}
    parts = {search: profile(x, starts, search=search, **fitted) for search in ("all", "race")}
    names = sorted(set().union(*parts.values()), key=lambda name: -parts["all"].get(name, 0.0))
    totals = {search: sum(found.values()) for search, found in parts.items()}

    def cell(name: str, search: str) -> str:
        seconds = parts[search].get(name, 0.0)
        return f"{number(seconds)} ({seconds / totals[search]:.1%})"

    cells = [[name, *(cell(name, search) for search in parts)] for name in names]
    cells.append(["all", *map(number, totals.values())])
    size = (20_000, 16, 16, 8, 10) if chosen.quick else (1_000_000, 16, 16, 128, 10)
    against = starts_against_steps(*size)
    n, d, k, r, steps = size

    def share(name: str) -> str:
        return f"{against[name] / against['steps']:.1%}"

    markdown = "\n\n".join([
        f"# Where a whole fit's time goes\n\nThe demonstration's fit: {len(x)} × 3 colours, {demo.N_COMPONENTS} full "
        f"components, {starts} starts, float32. Seconds, and shares of the whole.",
        table(["part", *(f'search="{search}"' for search in parts)], cells),
        f"## Starts\n\n{n} × {d} rows, {k} full components, {r} starts, float32, compiled before; {steps} steps of EM "
        f"of that batch take {number(against['steps'])} s.",
        table(["starts by", "s", f"of {steps} steps"], [[m, number(against[m]), share(m)] for m in METHODS]),
        provenance(where),
    ])  # fmt: skip
    print(markdown)
    write(chosen.out, "whole_fit", {"record": where, "parts": parts, "starts": against}, markdown)


if __name__ == "__main__":
    main()
