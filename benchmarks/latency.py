"""How long a person waits: importing, the first fit of iris in a fresh process, and the second fit; by NumPy, as
`engine="auto"` chooses, and by programs.

A program's first fit holds its own compilation; the second finds everything compiled. NumPy compiles nothing, whatever
the number of rows: 321 to 340 of 4 columns after one of 320 (float64, 3 components, one start). Medians over fresh
processes, without a persistent compilation cache; and with one that an earlier process has filled. And, in processes of
their own, fits that programs are for: 100 000 rows × 8 of ordinary clusters, 12 components, 32 starts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from typing import Any

from common import Spread, in_a_process, number, parser, provenance, record, table, write

#: the figures to stay under, in seconds
TARGETS = {"import jaxgmm": 0.25, "import and first fit": 1.2, "second fit": 0.015}
TARGETS |= {"fit of another number of rows": 0.015, "second fit, compiled": 0.020}

STAGES = (
    *("import jaxgmm", "first fit", "import and first fit", "second fit", "fit of another number of rows"),
    *("first fit, compiled", "second fit, compiled", "sample of another number of rows"),
)
WARM = "first fit, compiled before"
LARGE = ("first fit of 100 000 × 8", "again", "then of 101 000 × 8")


def child(restarts: int, iterations: int, folder: str | None) -> None:
    """One process's waits, printed as JSON; programs are kept in `folder`, if any."""
    begun = time.perf_counter()
    import jaxgmm

    with_jaxgmm = time.perf_counter()
    light = not {"jax", "sklearn", "optax", "matplotlib"} & set(sys.modules)
    if folder:
        jaxgmm.enable_compilation_cache(folder)
    # Reading the rows is nobody's latency but scikit-learn's.
    from sklearn.datasets import load_iris

    x = load_iris().data.astype("float32")

    def fit(engine: str) -> float:
        started = time.perf_counter()
        jaxgmm.fit(0, x, 3, n_init=restarts, tol=0, max_iter=iterations, engine=engine)
        return time.perf_counter() - started

    first = fit("auto")
    later = sorted(fit("auto") for _ in range(5))
    others, samples = others_of_a_size()
    compiling = fit("jax")
    compiled = sorted(fit("jax") for _ in range(5))
    taken = {
        "import jaxgmm": with_jaxgmm - begun,
        "first fit": first,
        "import and first fit": with_jaxgmm - begun + first,
        "second fit": later[len(later) // 2],
        "fit of another number of rows": others,
        "first fit, compiled": compiling,
        "second fit, compiled": compiled[len(compiled) // 2],
        "sample of another number of rows": samples,
    }
    print(json.dumps({"seconds": taken, "light_import": light}))


def large_child() -> None:
    """The waits of one process for fits of many rows, printed as JSON; and how many programs the last one compiled."""
    import jax
    from em_cases import Case, rows

    import jaxgmm

    n, k = 101_000, 12
    x = rows(Case("", n, 8, k, (32,)))
    compiled = 0

    def heard(event: str, duration_secs: float, **_: str | int) -> None:
        nonlocal compiled
        compiled += event.endswith("backend_compile_duration")

    jax.monitoring.register_event_duration_secs_listener(heard)
    seconds = {}
    for stage, some in zip(LARGE, (x[:100_000], x[:100_000], x), strict=True):
        before, begun = compiled, time.perf_counter()
        jaxgmm.fit(0, some, k, n_init=32)
        seconds[stage] = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "compiled": compiled - before}))


def others_of_a_size() -> tuple[float, float]:
    """What a fit and a sample take of a number of rows that there was none of before: medians, s."""
    import numpy as np

    import jaxgmm

    rows = np.random.default_rng(0).normal(size=(340, 4))
    fits, samples = [], []
    for n in (320, *range(321, 341)):
        begun = time.perf_counter()
        mixture = jaxgmm.fit(0, rows[:n], 3).mixture
        fitted = time.perf_counter()
        mixture.sample(0, n)
        fits.append(fitted - begun)
        samples.append(time.perf_counter() - fitted)
    return sorted(fits[1:])[10], sorted(samples[1:])[10]


def run(restarts: int, iterations: int, folder: str = "") -> dict[str, Any]:
    """`child` in a process of its own."""
    return in_a_process(__file__, str(restarts), str(iterations), folder)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    options.add_argument("--repeats", type=int, default=7, help="fresh processes (default: %(default)s)")
    options.add_argument("--restarts", type=int, default=8, help="default: %(default)s")
    options.add_argument("--iterations", type=int, default=50, help="default: %(default)s")
    arguments = options.parse_args()
    if arguments.child == []:
        large_child()
        return
    if arguments.child:
        restarts, iterations, folder = arguments.child
        child(int(restarts), int(iterations), folder or None)
        return
    repeats = 2 if arguments.quick else arguments.repeats
    where = record(repeats=repeats, restarts=arguments.restarts, iterations=arguments.iterations)
    # One process first, unrecorded: it brings the packages' files into memory.
    run(arguments.restarts, arguments.iterations)
    runs = [run(arguments.restarts, arguments.iterations) for _ in range(repeats)]
    spreads = {stage: Spread.of([one["seconds"][stage] for one in runs]) for stage in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        run(arguments.restarts, arguments.iterations, folder)
        warm = [run(arguments.restarts, arguments.iterations, folder)["seconds"] for _ in range(repeats)]
    spreads[WARM] = Spread.of([one["first fit, compiled"] for one in warm])
    large = [] if arguments.quick else [in_a_process(__file__) for _ in range(repeats)]
    if large:
        spreads |= {stage: Spread.of([one["seconds"][stage] for one in large]) for stage in LARGE}
    body = []
    for stage, spread in spreads.items():
        ms = spread.scaled(1e3)
        target = TARGETS.get(stage)
        limit = "" if target is None else f"{1e3 * target:.0f}"
        body.append([stage, number(ms.median), f"{number(ms.low)} – {number(ms.high)}", limit])
    light = all(one["light_import"] for one in runs)
    title = (
        f"# Latency\n\nIris (150 × 4) in float32, 3 full components, {arguments.restarts} restarts × "
        f"{arguments.iterations} iterations; median of {repeats} fresh processes."
    )
    foot = f"`import jaxgmm` loads JAX, scikit-learn, optax or matplotlib: {'no' if light else 'yes'}."
    if large:
        foot += f" Programs compiled for 101 000 rows after 100 000: {max(one['compiled'] for one in large)}."
    markdown = "\n\n".join([title, table(["wait", "ms", "range", "to stay under"], body), foot, provenance(where)])
    print(markdown)
    seconds = {stage: spread.json() for stage, spread in spreads.items()}
    write(arguments.out, "latency", {"record": where, "seconds": seconds, "light_import": light}, markdown)


if __name__ == "__main__":
    main()
