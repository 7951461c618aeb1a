"""A step over rows on eight emulated devices beside the same step on one, with the same threads in all.

Eight devices of one machine share its cores, so nothing can be gained here: what is measured is what dividing costs.
Both run in processes of their own with the same number of cores; a step is one pass of `em_step`'s kind, compiled, the
median of many, rounds taken in turn. Log-likelihoods must agree.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from common import Spread, cores, in_a_process, number, parser, provenance, record, table, write

#: n, d, k, restarts
SHAPES = [(131_072, 16, 16, 8), (1_000_000, 4, 8, 16), (300_000, 8, 8, 4)]
DEVICES = 8


def child(n: int, d: int, k: int, restarts: int, devices: int) -> None:
    """Seconds of steps, printed as JSON."""
    import jax
    from em_cases import Case, rows

    import jaxgmm
    from jaxgmm.em import e_step, m_step
    from jaxgmm.families import FAMILIES
    from jaxgmm.inputs.precision import scope
    from jaxgmm.problem.pose import pose
    from jaxgmm.rows import ArraySource
    from jaxgmm.shards import checked_mesh
    from jaxgmm.starts.methods import initialize

    x = rows(Case("", n, d, k, (restarts,)))
    dtype = np.dtype(np.float32)
    with scope(dtype):
        mesh = checked_mesh(None if devices == 1 else devices)
        posed = pose(ArraySource(x), FAMILIES["full"], k, "auto", None, dtype, mesh=mesh)
        starts = initialize(np.zeros(2, np.uint32), posed, k, restarts, "k-means++")

        def step(mixtures: Any, rows: Any) -> Any:
            statistics = e_step(mixtures, rows, kernel="shared_feature")
            ahead = jax.vmap(lambda mixture, own: m_step(mixture, own, posed.penalty.ridge))(mixtures, statistics)
            return ahead, statistics.log_likelihood

        program = jax.jit(step)
        mixtures, _ = jax.block_until_ready(program(starts, posed.rows))
        times = []
        for _ in range(9):
            begun = time.perf_counter()
            _, value = jax.block_until_ready(program(mixtures, posed.rows))
            times.append(time.perf_counter() - begun)
    assert len(jax.devices()) == devices, jaxgmm
    print(json.dumps({"seconds": sorted(times)[4], "log_likelihood": np.asarray(value, float).tolist()}))


def run(shape: tuple[int, ...], devices: int) -> dict[str, Any]:
    """`child` in a process of its own."""
    threads = {} if devices == 1 else {"NPROC": str(max(devices, cores()))}
    flags = f"--xla_force_host_platform_device_count={devices}"
    return in_a_process(__file__, *map(str, (*shape, devices)), XLA_FLAGS=flags, **threads)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--child", nargs=5, type=int, help=argparse.SUPPRESS)
    options.add_argument("--repeats", type=int, default=5, help="processes (default: %(default)s)")
    arguments = options.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    shapes, repeats = ([(20_000, 4, 3, 2)], 1) if arguments.quick else (SHAPES, arguments.repeats)
    where = record(repeats=repeats, devices=DEVICES)
    body, found = [], []
    for shape in shapes:
        runs = [(run(shape, 1), run(shape, DEVICES)) for _ in range(repeats)]
        one, many = (Spread.of([pair[i]["seconds"] for pair in runs]) for i in range(2))
        values = [np.asarray(runs[0][i]["log_likelihood"]) for i in range(2)]
        off = float(np.max(np.abs(values[0] - values[1])) / shape[0])
        body.append(
            [
                *map(str, shape),
                number(1e3 * one.median),
                number(1e3 * many.median),
                number(many.median / one.median),
                f"{off:.1e}",
            ]
        )
        found.append({"shape": shape, "one": one.json(), "many": many.json(), "nats_off": off})
    head = ["rows", "features", "components", "restarts", "one device, ms", "eight, ms", "eight / one", "nats apart"]
    about = f"float32, full covariances, ordinary clusters; medians of {repeats} processes; nats a row."
    title = f"# A step on eight emulated devices\n\n{about}"
    markdown = "\n\n".join([title, table(head, body), provenance(where)])
    print(markdown)
    write(arguments.out, "sharding", {"record": where, "shapes": found}, markdown)


if __name__ == "__main__":
    main()
