"""Files larger than memory: what a command holds does not grow with the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

import jaxgmm

COLUMNS = 16
#: as numbers the larger file takes 64 MiB more than the smaller
SMALL, LARGE = 1 << 18, 3 << 18
_ALLOWED = 32  # MiB
# Not `resource.getrusage`, which counts the process that this one was forked from.
_STATUS = Path("/proc/self/status")
_PEAK = f"""print(next(line.split()[1] for line in open("{_STATUS}") if line.startswith("VmHWM")), file=sys.stderr)"""
_RUN = f"""
import sys
from jaxgmm.cli import main
try:
    main()
finally:
    {_PEAK}
"""
_READ = f"""
import sys
from pathlib import Path
from jaxgmm.cli.data import Source
from jaxgmm.tables import spool
spool._IN_MEMORY = 1 << 24
x = Source(Path(sys.argv[1])).read().x
{_PEAK}
"""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not _STATUS.exists(), reason="needs Linux to tell peaks")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same rows over and over, as text and as a Parquet file of one row group; and a model of them."""
    folder = tmp_path_factory.mktemp("memory")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 10, (1 << 10, COLUMNS)).astype(float)
    lines = "".join(",".join(f"{number:.0f}" for number in row) + "\n" for row in x)
    for name, n in (("small", SMALL), ("large", LARGE)):
        times = n // len(x)
        (folder / f"{name}.csv").write_text(lines * times)
        noise = rng.normal(size=n)  # numbers that no encoding makes small
        table = pyarrow.table({f"x{j}": np.tile(x[:, j], times) + noise for j in range(COLUMNS)})
        parquet.write_table(table, folder / f"{name}.parquet", row_group_size=n, use_dictionary=False)
    mixture = jaxgmm.Mixture.create([1.0], [[5.0] * COLUMNS], [np.eye(COLUMNS)])
    jaxgmm.save(folder / "m.safetensors", mixture)
    return folder


def peak(folder, code: str, *args: str) -> int:
    """MiB that a program holds at most."""
    # An allocator that gives back what is freed, so that only what is in use is seen.
    env = os.environ | {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=env)
    return int(done.stderr.split()[-1]) >> 10


@pytest.mark.parametrize(
    ("suffix", "command"),
    [
        ("csv", "score m.safetensors"),
        ("parquet", "score m.safetensors"),
        ("csv", "predict m.safetensors --with-rows -o p.parquet"),
        ("parquet", "predict m.safetensors --with-rows -o p.csv"),
        ("parquet", "anomalies m.safetensors --only --with-rows -o a.npz"),
    ],
)
def test_peak_memory_does_not_grow_with_the_file(suffix, command, folder):
    small, large = (peak(folder, _RUN, *command.split(), f"{size}.{suffix}") for size in ("small", "large"))
    assert large < small + _ALLOWED, (small, large)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_reading_for_a_fit_holds_no_rows(suffix, folder):
    """What a fit itself holds is its own affair: here only the reader runs."""
    small, large = (peak(folder, _READ, f"{size}.{suffix}") for size in ("small", "large"))
    assert large < small + _ALLOWED, (small, large)
