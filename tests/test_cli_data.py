"""Rows from text files, and where exactly they go wrong."""

from __future__ import annotations

import numpy as np
import pytest

from jaxgmm.cli.data import DataError, read


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a;b\n1;2\n", [[1, 2]]),
        ("\ufeffa\tb\r\n1\t2e3\r\n\r\n", [[1, 2000]]),
        ('\n"x, in\nmm","y"\n"1","2"\n', [[1, 2]]),
        ("1\n2\n", [[1], [2]]),
        ("0.1,-.5", [[0.1, -0.5]]),
    ],
)
def test_text_files(text, rows, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8", newline="")
    found = read(path)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a,b\n1,2\n3,x\n", r":3:2: 'x' is not a number"),
        ("1,2\n3,\n", r":2:2: an empty field is not a number"),
        ("1,2\n\n3,4,5\n", r":3:3: 3 fields, where earlier rows have 2"),
        ("1,2\n3\n", r":2:2: 1 fields, where earlier rows have 2"),
        ("1,two\n3,4\n", r":1:2: 'two' is not a number"),
        ("a,b\n1,nan\n", r":2:2: 'nan' is not finite"),
        ("1,2\n1,1e999\n", r":2:2: '1e999' is not finite"),
        ("1;5\n2,5;1\n", r":2:1: '2,5' is not a number"),
        ("1,2\n1_0,3\n", r"rows.csv"),
        ("a,b\n", "holds no rows"),
        ("", "holds no rows"),
    ],
)
def test_text_files_that_are_not_rows(text, where, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=where):
        read(path)
