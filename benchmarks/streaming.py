"""Rows larger than memory: a step over a file that is read block by block, beside reading it and computing it alone.

10⁸ rows × 8 of ordinary clusters in float32, 3.2 GB, as `.npy` and as Parquet (`--rows` for others). Every figure
comes from a process of its own that may not take more address space than `--limit` GiB (`ulimit -v`), so the rows never
are in memory as a whole; the files lie in the page cache where there is room, as for whoever reads them twice.

*reading*: every block read, checked and laid out for the device, nothing computed. *computing*: as many passes over one
block that stays where it is as the file has blocks, by the kernel that the fit chose. *a step*: one iteration of `fit`,
between two of its reports. *memory*: the largest resident size beyond that of a process that has fitted 4096 rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import Spread, in_a_process, number, parser, provenance, record, table, write

K, D, RESTARTS = 8, 8, 4
_BLOCK = 1 << 20


def block_of_rows(start: int, size: int) -> Any:
    """Rows that follow from their numbers: K ordinary clusters."""
    shared, own = np.random.default_rng(0), np.random.default_rng([1, start])
    roots, centres = shared.normal(size=(K, D, D)) / np.sqrt(D), 4 * shared.normal(size=(K, D))
    z = own.integers(0, K, size)
    return (centres[z] + np.einsum("nij,nj->ni", roots[z], own.normal(size=(size, D)))).astype(np.float32)


def make(folder: Path, n: int) -> dict[str, Path]:
    """The files, made once: the same rows in both."""
    paths = {"npy": folder / f"rows-{n}.npy", "parquet": folder / f"rows-{n}.parquet"}
    if not paths["npy"].exists():
        rows = np.lib.format.open_memmap(paths["npy"], "w+", np.float32, (n, D))
        for start in range(0, n, _BLOCK):
            rows[start : start + _BLOCK] = block_of_rows(start, min(_BLOCK, n - start))
        rows.flush()
    if not paths["parquet"].exists():
        import pyarrow
        from pyarrow import parquet

        rows = np.load(paths["npy"], mmap_mode="r")
        schema = pyarrow.schema([(f"x{j}", pyarrow.float32()) for j in range(D)])
        with parquet.ParquetWriter(paths["parquet"], schema, compression="none") as file:
            for start in range(0, n, _BLOCK):
                some = np.asarray(rows[start : start + _BLOCK])
                columns = [pyarrow.array(np.ascontiguousarray(some[:, j])) for j in range(D)]
                file.write_table(pyarrow.table(columns, schema=schema), row_group_size=_BLOCK)
    return paths


def child(path: str, limit: float, what: str, kernel: str) -> None:
    """One figure, printed as JSON."""
    import jaxgmm

    small = block_of_rows(0, 4096)
    options: dict[str, Any] = {"n_init": RESTARTS, "search": "all", "engine": "jax", "tol": 0.0, "max_iter": 2}
    jaxgmm.fit(0, small, K, cache="none", **options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit * 2**30), resource.RLIM_INFINITY))
    source = jaxgmm.sources.files(path)
    if what != "step":
        print(json.dumps(alone(source, what, kernel)))
        return
    times: list[float] = []

    def heard(info: jaxgmm.BlockInfo) -> None:
        if len(times) < info.n_iter:
            times.append(time.perf_counter())

    begun = time.perf_counter()
    options |= {"max_iter": 4}
    result = jaxgmm.fit(0, source, K, cache="none", on_block=heard, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps = [float(step) for step in np.diff(times)] or [(times[0] - begun) / 4]
    found = {"step": float(np.median(steps)), "steps": steps, "before": times[0] - begun, "score": result.score}
    found["kernel"] = str(result.restarts.kernel[0])
    print(json.dumps(found | {"memory": (peak - before) / 2**20}))


def alone(source: Any, what: str, kernel: str) -> dict[str, Any]:
    """Seconds of one pass that only reads, or only computes; both by the fit's own parts."""
    import jax

    import jaxgmm
    from jaxgmm.em import e_step
    from jaxgmm.families import FAMILIES
    from jaxgmm.inputs.precision import scope
    from jaxgmm.problem import pose as module
    from jaxgmm.rows import ArraySource
    from jaxgmm.starts.methods import initialize
    from jaxgmm.streams import reader

    dtype, family = np.dtype(np.float32), FAMILIES["full"]
    with scope(dtype):
        if what == "reading":
            posed = module.pose(source, family, K, "auto", None, dtype, cache="none")
            held = reader.numbered(posed.rows.reader)  # type: ignore[attr-defined]
            begun = time.perf_counter()
            for i in range(held.n_blocks):
                held.block(i)
            return {"seconds": time.perf_counter() - begun}
        size = 1 << 19
        cells, module.cells_for = module.cells_for, lambda *_: None  # one frame, as rows that are read anew have
        posed = module.pose(ArraySource(block_of_rows(0, size)), family, K, "auto", None, dtype, cache="all")
        module.cells_for = cells
        starts = initialize(jaxgmm.inputs.arguments.random_key(0), posed, K, RESTARTS, "k-means++")
        program = jax.jit(lambda mixture, rows: e_step(mixture, rows, kernel=kernel))
        jax.block_until_ready(program(starts, posed.rows))
        begun = time.perf_counter()
        passes = max(1, source.shape[0] // size)
        for _ in range(passes):
            jax.block_until_ready(program(starts, posed.rows))
        return {"seconds": (time.perf_counter() - begun) * source.shape[0] / (passes * size)}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options.add_argument("--rows", type=int, default=100_000_000, help="default: %(default)s")
    options.add_argument(
        "--limit", type=float, default=2.5, help="GiB of address space, 0 for none (default: %(default)s)"
    )
    options.add_argument("--folder", type=Path, help="where the files are kept; by default they are made anew")
    options.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    arguments = options.parse_args()
    if arguments.child:
        path, limit, what, kernel = arguments.child
        child(path, float(limit), what, kernel)
        return
    n, repeats = (200_000, 1) if arguments.quick else (arguments.rows, arguments.repeats)
    where = record(rows=n, repeats=repeats, limit_gib=arguments.limit)
    with tempfile.TemporaryDirectory() as made:
        paths = make(arguments.folder or Path(made), n)
        body, found = [], {}
        for name, path in paths.items():
            runs: dict[str, list[Any]] = {what: [] for what in ("step", "reading", "computing")}
            for _ in range(repeats):
                for what, results in runs.items():
                    kernel = runs["step"][0]["kernel"] if what == "computing" else ""
                    results.append(in_a_process(__file__, str(path), str(arguments.limit), what, kernel))
            reading, computing = (
                Spread.of([run["seconds"] for run in runs[what]]) for what in ("reading", "computing")
            )
            step = Spread.of([run["step"] for run in runs["step"]])
            memory = max(run["memory"] for run in runs["step"])
            share = max(reading.median, computing.median) / step.median
            body.append(
                [
                    name,
                    *map(number, (reading.median, computing.median, step.median, share, n / step.median / 1e6, memory)),
                ]
            )
            found[name] = runs
    head = ["file", "reading, s", "computing, s", "a step, s", "of the slower", "million rows/s", "memory, GiB"]
    title = (
        f"# Rows larger than memory\n\n{n:,} × {D} float32 rows ({n * D * 4 / 2**30:.2f} GiB), {K} full components, "
        f"{RESTARTS} restarts; address space limited to {arguments.limit} GiB; medians of {repeats} processes."
    )
    markdown = "\n\n".join([title, table(head, body), provenance(where)])
    print(markdown)
    write(arguments.out, "streaming", {"record": where, "files": found}, markdown)


if __name__ == "__main__":
    main()
