"""`check_data`: what it says of rows, given a summary worked out by NumPy."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import jaxgmm
from jaxgmm.families import FAMILIES
from jaxgmm.problem.checks import DataWarning, check_data, distinct_rows
from jaxgmm.rows import ArraySource

RNG = np.random.default_rng(0)
GOOD = RNG.normal(size=(40, 3))
WEIGHTS = np.r_[np.ones(20), np.zeros(20)]


def summarised(x, w=None):
    kept = np.asarray(x, np.float64)[slice(None) if w is None else w > 0]
    lowest, highest = kept.min(0), kept.max(0)
    middle = lowest / 2 + highest / 2
    size = np.maximum(highest - middle, 1e-300)
    scale = np.where(lowest < highest, ((kept - middle) / size).std(0) * size, 0.0)
    return SimpleNamespace(mean=middle + (kept - middle).mean(0), scale=scale, lowest=lowest, highest=highest)


def said(x, w=None, *, family="full", k=2, ridge="auto", dtype="float64"):
    """The warnings, none of them ours twice."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_data(ArraySource(x, w), summarised(x, w), FAMILIES[family], k, ridge, np.dtype(dtype))
    assert all(issubclass(one.category, DataWarning) for one in caught), [str(one.message) for one in caught]
    return [str(one.message) for one in caught]


def column(values):
    """Good rows with their last column replaced."""
    x = GOOD.copy()
    x[:, 2] = values
    return x


def offset(dtype, by, scale=1.0):
    return (RNG.normal(size=(400, 2)) * [1, scale] + [0, by]).astype(dtype)


QUIET = {
    "ordinary rows": (GOOD, {}),
    "as many components as rows": (GOOD, {"k": 40}),
    "no ridge": (GOOD, {"ridge": 0.0}),
    "float32": (GOOD.astype(np.float32), {"dtype": "float32"}),
    "bfloat16": (GOOD.astype(ml_dtypes.bfloat16), {"dtype": "float32"}),
    "float16 counts": (RNG.integers(0, 200, (40, 2)).astype(np.float16), {"dtype": "float32"}),
    "rare zeros among ones in bfloat16": (np.eye(400)[:, :1].astype(ml_dtypes.bfloat16) * -1 + np.ones((), ml_dtypes.bfloat16), {"dtype": "float32"}),
    "a column about zero": (column(np.tile([-1e-8, 1e-8], 20)).astype(np.float32), {"dtype": "float32"}),
    "float32 with an offset it can bear": (offset(np.float32, 1e4), {"dtype": "float32"}),
    "float64 with an offset, computed in float32": (offset(np.float64, 1e8), {"dtype": "float32"}),
    "one far row": (column(np.r_[1e8, GOOD[1:, 2]]).astype(np.float32), {"dtype": "float32"}),
    "tiny units, scale-free ridge": (GOOD * 1e-8, {}),
    "float32 at 1e20": ((GOOD * 1e20).astype(np.float32), {"dtype": "float32"}),
    "float32 at 1e-20": ((GOOD * 1e-20).astype(np.float32), {"dtype": "float32"}),
    "float64 at 1e100": (GOOD * 1e100, {}),
    "large integers in float64": (np.arange(40)[:, None] * 2**30, {}),
    "a narrow diag": (RNG.normal(size=(10, 30)), {"family": "diag"}),
    "constant bits": (np.c_[GOOD[:, :2] > 0, np.ones(40)], {"family": "bernoulli", "ridge": 0.0}),
    "a huge row without weight": (np.r_[GOOD[:20], GOOD[:20] * 1e200], {"w": WEIGHTS}),
}  # fmt: skip


@pytest.mark.parametrize(("x", "options"), QUIET.values(), ids=QUIET.keys())
def test_nothing_is_said_of(x, options):
    assert said(x, **options) == []


SPOKEN = {
    "few distinct rows": (np.repeat(GOOD[:3], 9, axis=0), {"k": 5}, "3 distinct rows, fewer than n_components=5: at most 3 .* n_components=3 or fewer"),
    "few distinct bits": (np.eye(2)[[0, 1] * 5], {"k": 5, "family": "bernoulli"}, "2 distinct rows, fewer than n_components=5"),
    "one distinct bit": (np.ones((4, 2)), {"k": 2, "family": "bernoulli"}, "1 distinct row, .* 1 component can differ"),
    "distinct rows without weight": (np.r_[GOOD[[0] * 10 + [1] * 10], GOOD[:20]], {"k": 3, "w": WEIGHTS}, "2 distinct rows with weight"),
    "equal rows for many components": (np.ones((9, 2)), {"k": 2}, "1 distinct row, fewer"),
    "zeros of both signs": (np.array([[0.0], [-0.0], [1], [1]]), {"k": 3}, "2 distinct rows"),
    "equal rows": (np.ones((9, 2)), {"k": 1}, "x has equal rows: every component is the ridge"),
    "a constant column": (column(7), {}, "constant in column 2, .* leave such columns out"),
    "two constant columns": (np.c_[column(7), column(8)], {"family": "diag"}, "constant in columns 2, 5, "),
    "many constant columns": (np.c_[GOOD[:, :1], np.ones((40, 9))], {"family": "diag"}, "columns 1, 2, 3, 4, 5, 6 and 3 more"),
    "a constant column, spherical, no ridge": (column(7), {"family": "spherical", "ridge": 0.0}, "constant in column 2"),
    "more columns than rows": (RNG.normal(size=(10, 30)), {}, r'more columns than rows, 30 and 10: .* use covariance_type="diag"'),
    "more columns than rows, tied": (RNG.normal(size=(10, 30)), {"family": "tied"}, "30 and 10: in most directions tied"),
    "more columns than rows with weight": (RNG.normal(size=(40, 30)), {"w": WEIGHTS}, "than rows with weight, 30 and 20"),
    "float32 worn by its offset": (offset(np.float32, 1e6), {"dtype": "float32"}, "lost digits .* float32, in column 1: .* pass float64 rows, or subtract"),
    "bfloat16 worn by its offset": (offset(ml_dtypes.bfloat16, 10), {"dtype": "float32"}, "bfloat16, in column 1"),
    "float64 worn by its offset": (offset(np.float64, 1e15), {}, "float64, in column 1: .*; subtract the offset before"),
    "a heavy ridge": (column(GOOD[:, 2] * 1e-4), {"ridge": 1e-6}, r'reg_covar=1e-06 is large .* of x, down to \S*e-0[89] in column 2: .* reg_covar="auto"'),
    "a heavy ridge on a tiny scale": (GOOD * 1e-100, {"ridge": 1e-6}, "in columns 0, 1, 2"),
    "large integers": (np.arange(40)[:, None] + 2**25, {"dtype": "float32"}, r'integers up to 33554471 in column 0, beyond 2\*\*24.* dtype="float64"'),
    "integers too large for float64": (np.arange(40)[:, None] * 2**54, {}, r"beyond 2\*\*53"),
}  # fmt: skip


@pytest.mark.parametrize(("x", "options", "message"), SPOKEN.values(), ids=SPOKEN.keys())
def test_one_warning_for(x, options, message):
    (found,) = said(x, **{"k": 1} | options)
    assert re.search(message, found), found


REFUSED = {
    "equal rows without a ridge": (np.ones((9, 2)), {"ridge": 0.0}, "rows that differ where reg_covar is 0, got equal rows"),
    "equal rows without a ridge, spherical": (np.ones((9, 2)), {"ridge": 0.0, "family": "spherical"}, "rows that differ"),
    "a constant column without a ridge": (column(7), {"ridge": 0.0}, 'columns that vary where reg_covar is 0, got column 2 constant; .* reg_covar="auto"'),
    "the same, tied": (column(7), {"ridge": 0.0, "family": "tied"}, "got column 2 constant"),
    "the same, diag": (column(7), {"ridge": 0.0, "family": "diag"}, "got column 2 constant"),
    "float32 lost in its offset": (offset(np.float32, 1e8, 3), {"dtype": "float32"}, "got a standard deviation of .* about 1e.08, where neighbouring numbers are 8 apart, in column 1; pass float64 rows, or subtract the offset before rounding"),
    "float16 lost in its offset": (offset(np.float16, 2e4, 9), {"dtype": "float32"}, "float16, got a standard deviation"),
    "float64 lost in its offset": (offset(np.float64, 1e17, 9), {}, "float64, got a standard deviation .*; subtract the offset before rounding to float64"),
    "float32 all lost in its offset": (np.full((9, 2), 1e9, np.float32), {"dtype": "float32"}, "got equal rows of magnitude 1e.09, .* pass float64"),
    "float64 beyond squares": (column(GOOD[:, 2] * 1e200), {}, r"at most 1e\+150 to compute in float64, got up to \S+ in column 2; squares would overflow; rescale x"),
    "float64 below squares": (column(GOOD[:, 2] * 1e-200), {}, "vary by at least 1e-150 .* in column 2; squares would vanish; rescale x"),
    "float32 near its end": ((GOOD * 5e37).astype(np.float32), {"dtype": "float32"}, r'at most 1e\+37 to compute in float32, .* or use dtype="float64"'),
    "float64 beyond float32": (GOOD * 1e60, {"dtype": "float32"}, 'in columns 0, 1, 2; .* or use dtype="float64"'),
    "float64 below float32": (GOOD * 1e-60, {"dtype": "float32"}, "at least 1e-37"),
    "weights beyond float32": (GOOD, {"dtype": "float32", "w": np.full(40, 1e38)}, r"sum of at most 1e\+30 in float32, got 1e\+38 and 4e\+39; divide the weights by their mean"),
    "weights below float32": (GOOD, {"dtype": "float32", "w": np.full(40, 1e-60)}, "largest weight of at least 1e-30"),
    "weights whose sum overflows": (GOOD, {"w": np.full(40, 1e308)}, "got 1e.308 and inf"),
}  # fmt: skip


@pytest.mark.parametrize(("x", "options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        said(x, **options)


def test_a_warning_points_at_the_line_that_fits():
    with pytest.warns(DataWarning) as caught:
        jaxgmm.fit(0, column(7), 2, max_iter=0)  # this line
    line = next(
        i for i, text in enumerate(Path(__file__).read_text().splitlines(), start=1) if text.endswith("# this line")
    )
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


@pytest.mark.parametrize("dtype", ["bool", "int16", "float16", "bfloat16", "float32", "float64", "float8_e4m3fn"])
def test_distinct_rows_are_numpys(dtype):
    x = RNG.integers(0, 2, (500, 4)).astype(getattr(ml_dtypes, dtype, dtype))
    want = len(np.unique(x.astype(np.float64), axis=0))
    assert distinct_rows(ArraySource(x), 99) == want
    assert distinct_rows(ArraySource(x[::-2]), 99) == len(np.unique(x[::-2].astype(np.float64), axis=0))
    assert distinct_rows(ArraySource(x), 3) == 3


def test_distinct_rows_of_a_million_take_no_time():
    x = np.tile(RNG.normal(size=(4, 10)), (250_000, 1))
    begun = time.perf_counter()
    assert distinct_rows(ArraySource(x), 16) == 4
    assert time.perf_counter() - begun < 10  # half a second; scheduling on a busy machine aside
    x[-1] = 0
    assert distinct_rows(ArraySource(x), 16) == 5


def test_rates_of_0_and_1_have_no_variance_to_report_on():
    x = np.array([[1.0, 0.0]] * 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxgmm.DataWarning)
        result = jaxgmm.fit(0, x, 1, covariance_type="bernoulli", reg_covar=0)
    np.testing.assert_array_equal(result.components().ridge_share, [0.0])
