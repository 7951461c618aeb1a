"""Parquet in: what its columns become, and where exactly they go wrong."""

from __future__ import annotations

import datetime
import decimal
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from commands import jax_gmm, read
from pyarrow import parquet

import jaxgmm
from jaxgmm.cli.data import DataError, Source

STATUS = Path("/proc/self/status")


def written(path, row_group_size=None, **columns):
    parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)
    return path


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": np.float32([1, 2]), "b": np.float32([3, 4])}, "float32"),
        ({"a": np.float32([1, 2]), "b": np.float64([3, 4])}, "float64"),
        ({"a": np.int64([1, 2]), "b": np.uint8([3, 4])}, "int64"),
        ({"a": np.int64([1, 2]), "b": np.float32([3, 4])}, "float64"),
        ({"a": np.float16([1, 2]), "b": np.array([True, False])}, "float16"),
        ({"a": [decimal.Decimal("1.25"), decimal.Decimal("2")], "b": np.float32([3, 4])}, "float64"),
        ({"a": pyarrow.array([1.5, 2.5]).dictionary_encode(), "b": np.float32([3, 4])}, "float64"),
    ],
)
def test_numbers_of_every_kind(columns, dtype, tmp_path):
    found = read(written(tmp_path / "x.parquet", **columns))
    assert found.dtype == dtype
    want = [[float(entry) for entry in pyarrow.array(column).to_pylist()] for column in columns.values()]
    np.testing.assert_array_equal(found, np.transpose(want))


@pytest.mark.parametrize("group", [1, 7, 100, 1000])
@pytest.mark.parametrize("size", [1, 8, 64, 1024])
def test_blocks_do_not_depend_on_row_groups(group, size, tmp_path):
    x = np.random.default_rng(0).normal(size=(203, 2))
    path = written(tmp_path / "x.parquet", group, a=x[:, 0], b=x[:, 1])
    blocks = list(Source(path, columns="b,a").blocks(size))
    assert {len(block) for block in blocks[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate([block.x for block in blocks]), x[:, ::-1])


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"a": [1.0, 2.0], "b": [1.0, None]}, "must be finite, got null at row 1, column 1 ('b'); drop or fill such rows first"),
        ({"a": [1.0, np.nan], "b": [1.0, None]}, "must be finite, got null at row 1, column 1 ('b')"),
        ({"a": [1.0, np.inf]}, "must be finite, got inf at row 1, column 0 ('a')"),
        ({"a": [1, None]}, "must be finite, got null at row 1, column 0 ('a')"),
        ({"a": [True, None]}, "must be finite, got null at row 1, column 0 ('a')"),
        ({"a": [1, 2], "b": ["x", "y"]}, "column 1 ('b') holds string, not numbers; choose others with --columns"),
        ({"a": [datetime.date(2026, 1, 1)]}, "column 0 ('a') holds date32[day], not numbers"),
        ({"a": [[1.0], [2.0]]}, "column 0 ('a') holds list<"),
        ({"a": [{"b": 1.0}]}, "column 0 ('a') holds struct<"),
        ({"a": [None, None]}, "column 0 ('a') holds null, not numbers"),
        ({"a": pyarrow.array([], "float64")}, "must hold at least one row and one column, got shape (0, 1)"),
        ({}, "must hold at least one row and one column, got shape (0, 0)"),
    ],
)  # fmt: skip
def test_what_is_not_rows_of_numbers(columns, complaint, tmp_path):
    path = written(tmp_path / "x.parquet", **columns)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")


def test_the_row_of_a_fault_counts_from_the_files_beginning(tmp_path):
    x = np.zeros(100_000)
    x[70_001] = np.nan
    path = written(tmp_path / "x.parquet", 1000, a=x)
    with pytest.raises(DataError, match="got nan at row 70001, column 0"):
        list(Source(path).blocks(256))
    with pytest.raises(DataError, match="got null at row 70001, column 0"):
        read(written(path, 1000, a=pyarrow.array(x, from_pandas=True)))


def test_columns_of_the_same_name_are_refused(tmp_path):
    table = pyarrow.Table.from_arrays([pyarrow.array([1.0])] * 2, names=["a", "a"])
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match="holds two columns 'a'"):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b"",
        lambda b: b"a,b\n1,2\n",
        lambda b: b[:-20],
        lambda b: b[:200] + b[260:],
        lambda b: b"PAR1" + bytes(len(b) - 8) + b"PAR1",
    ],
)
def test_foreign_and_damaged_files(spoil, tmp_path):
    path = written(tmp_path / "x.parquet", a=np.arange(100.0))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as \.parquet: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_fits_score_as_rows_in_csv_do(tmp_path, faithful):
    written(tmp_path / "x.parquet", 50, a=faithful[:, 0], b=faithful[:, 1])
    np.savetxt(tmp_path / "x.csv", faithful, "%.17g", ",")
    for name in ("x.parquet", "x.csv"):
        jax_gmm("fit", tmp_path / name, "-k", 2, "-r", 2, "-o", tmp_path / f"{name}.safetensors")
    models = [jaxgmm.load(tmp_path / f"{name}.safetensors") for name in ("x.parquet", "x.csv")]
    np.testing.assert_array_equal(models[0].means, models[1].means)
    found = [
        jax_gmm("score", tmp_path / "x.csv.safetensors", tmp_path / name).stdout for name in ("x.parquet", "x.csv")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("command", ["fit x.parquet -k 2 -o m.safetensors", "sample m.safetensors -n 2 -o x.parquet"])
def test_without_pyarrow_the_extra_is_named(command, tmp_path):
    code = f"import sys; sys.modules['pyarrow'] = None; sys.argv[1:] = {shlex.split(command)!r}\n"
    code += "from jaxgmm.cli import main; main()"
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "jaxgmm: Parquet files need pyarrow: pip install 'jaxgmm[parquet]'\n"


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux to tell addresses")
def test_reading_takes_no_addresses_that_the_rows_may_need(tmp_path):
    written(tmp_path / "x.parquet", x=np.zeros(10))
    jaxgmm.save(tmp_path / "m.safetensors", jaxgmm.Mixture.create([1.0], [[0.0]], [[[1.0]]]))
    code = f"""
import sys
from jaxgmm.cli import main
sys.argv[1:] = ["score", "m.safetensors", "x.parquet"]
try:
    main()
finally:
    print(next(line.split()[1] for line in open("{STATUS}") if line.startswith("VmData")), file=sys.stderr)
"""
    env = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env=env
    )
    assert int(done.stderr.split()[-1]) < 1 << 20, done.stderr
