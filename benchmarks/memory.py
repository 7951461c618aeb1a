"""How much memory a large fit of many restarts takes: its peak, less that of a process that has fitted a tiny one.

Both are peak resident sizes of fresh processes. The rows themselves (`data`) are part of the first.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from typing import Any

from common import in_a_process, number, parser, provenance, record, table, write

#: what a fit may take beyond the rows
ALLOWANCE = 2**30


def peak_bytes() -> int:
    """This process's largest resident size so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def child(n: int, d: int, k: int, restarts: int, iterations: int, kernel: str) -> None:
    """Fits random rows and prints what it took."""
    import numpy as np

    import jaxgmm

    # Straight into float32: a detour through float64 would raise the peak that is to be measured.
    x = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    x[: n // 2] += 2
    result = jaxgmm.fit(
        0, x, k, n_init=restarts, init="random_from_data", tol=0, max_iter=iterations, kernel=kernel, engine="jax"
    )
    print(json.dumps({"peak": peak_bytes(), "seconds": result.seconds, "kernel": str(result.kernel[0])}))


def run(n: int, d: int, k: int, restarts: int, iterations: int, kernel: str) -> dict[str, Any]:
    """`child` in a process of its own."""
    return in_a_process(__file__, *map(str, (n, d, k, restarts, iterations, kernel)))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    for name, value in {"n": 1_000_000, "d": 16, "k": 16, "restarts": 32, "iterations": 3}.items():
        options.add_argument(f"--{name}", type=int, default=value, help="default: %(default)s")
    arguments = options.parse_args()
    if arguments.child:
        n, d, k, restarts, iterations = map(int, arguments.child[:5])
        child(n, d, k, restarts, iterations, arguments.child[5])
        return
    n = arguments.n // 10 if arguments.quick else arguments.n
    shape = (n, arguments.d, arguments.k, arguments.restarts, arguments.iterations)
    where = record(n=n, d=shape[1], k=shape[2], restarts=shape[3], iterations=shape[4])
    data = 4 * n * arguments.d
    tiny = run(256, 2, 2, 1, 2, "shared_feature")
    lines, body = [], []
    for kernel in ("shared_feature", "centred"):
        large = run(*shape, kernel)
        extra = large["peak"] - tiny["peak"]
        within = extra < data + ALLOWANCE
        lines.append(large | {"extra": extra, "beyond_data": extra - data, "within": within})
        sizes = [f"{number(size / 2**20, 4)}" for size in (large["peak"], extra, data, extra - data)]
        body.append([kernel, *sizes, "yes" if within else "NO", number(large["seconds"])])
    sizes_used = f"N = {n}, D = {shape[1]}, K = {shape[2]}, {shape[3]} restarts, {shape[4]} iterations"
    title = f"# Memory\n\nPeak resident size in MiB: {sizes_used}, float32."
    header = ["kernel", "peak", "less a tiny fit's", "rows", "beyond the rows", "under 1 GiB", "seconds"]
    foot = f"A process that has fitted a tiny mixture peaks at {number(tiny['peak'] / 2**20, 4)} MiB."
    markdown = "\n\n".join([title, table(header, body), foot, provenance(where)])
    print(markdown)
    write(arguments.out, "memory", {"record": where, "data": data, "tiny": tiny, "large": lines}, markdown)


if __name__ == "__main__":
    main()
