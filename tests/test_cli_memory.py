"""Files larger than memory: what a command holds does not grow with the file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

import jaxgmm

COLUMNS = 16
#: the larger file as numbers takes 128 MiB
SMALL, LARGE = 1 << 17, 1 << 20
_CODE = """
import resource, sys
from jaxgmm.cli.app import app
sys.argv[1:] = {args!r}
try:
    app()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


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


def peak(folder, *args: str) -> int:
    """MiB that a command holds at most."""
    code = _CODE.format(args=list(args))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) >> 10


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    "command",
    [["score"], ["predict", "--with-rows", "-o", "p.csv"], ["predict", "--responsibilities", "-o", "p.parquet"], ["anomalies", "--only", "-o", "a.parquet"]],
    ids=" ".join,
)  # fmt: skip
def test_peak_memory_does_not_grow_with_the_file(command, suffix, folder):
    name, *options = command
    small, large = (peak(folder, name, "m.safetensors", f"{size}.{suffix}", *options) for size in ("small", "large"))
    print(small, large); assert large < small + 40, (small, large)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_reading_for_a_fit_holds_no_rows(suffix, folder, monkeypatch):
    """What a fit itself holds is its own affair: here only the reader runs."""
    code = (
        "import resource, sys; from pathlib import Path; from jaxgmm.cli import data; "
        "from jaxgmm.cli.data import spool; spool._IN_MEMORY = 1 << 24; "
        "data.read(Path(sys.argv[1])).x.shape; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = [
        int(subprocess.run([sys.executable, "-c", code, f"{size}.{suffix}"], cwd=folder, capture_output=True, text=True, check=True).stdout) >> 10
        for size in ("small", "large")
    ]  # fmt: skip
    print(peaks); assert peaks[1] < peaks[0] + 80, peaks
