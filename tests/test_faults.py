"""The table of faults: one row each of what goes into `fit`, and what must come out.

Files have tables of their own: rows from files in `test_cli_data.py` and `test_cli_errors.py`, models in
`test_model_files.py`.
"""

from __future__ import annotations

import decimal
import re
import warnings
from dataclasses import dataclass, replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import jaxgmm
from jaxgmm import Mixture
from jaxgmm.families import FullGaussian
from jaxgmm.problem.checks import DataWarning
from jaxgmm.rows import ArrayRows

RNG = np.random.default_rng(0)
GOOD = RNG.normal(size=(20, 3))
SINGLE = GOOD.astype(np.float32)
BITS = GOOD > 0


# ---- what may come out --------------------------------------------------------------------------------------


@dataclass
class Refused:
    """Raises before any row is laid out for the device."""

    error: type[Exception]
    message: str


@dataclass
class Warned:
    """Fits, with one warning about the data."""

    message: str


@dataclass
class Survives:
    """Fits without a word about the data; as `like`, if that is given, to the order in which sums are taken."""

    like: Any = None


FITS = Survives()


# ---- what goes in -------------------------------------------------------------------------------------------


def with_entry(value, dtype=np.float64, row=7, column=2):
    x = GOOD.astype(dtype)
    x[row, column] = value
    return x


def with_column(values):
    x = GOOD.copy()
    x[:, 2] = values
    return x


def weights(value, row=3):
    w = np.ones(20)
    w[row] = value
    return w


def frame(**columns):
    return pandas.DataFrame(GOOD, columns=["a", "b", "c"]).assign(**columns)


def torch(make):
    """Rows that need torch, made when the test runs."""
    return lambda: make(pytest.importorskip("torch"))


class OnlyDLPack:
    """An array of a library that knows nothing else; `shy` ones do not speak to NumPy, as those on other devices."""

    def __init__(self, array, shy=False):
        self.array, self.shy = array, shy

    def __dlpack__(self, **options):
        if self.shy:
            self.shy = False
            raise BufferError("not in host memory")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def memmap(tmp):
    np.save(tmp / "x.npy", GOOD)
    return np.load(tmp / "x.npy", mmap_mode="r")


SOUND = Mixture.create([0.5, 0.5], GOOD[:2], np.tile(np.eye(3), (2, 1, 1)))


def start(**leaves):
    """A start, spoiled after it was made."""
    components = replace(SOUND.components, **{name: leaf for name, leaf in leaves.items() if name != "weights"})
    return Mixture(leaves.get("weights", SOUND.weights), components)


BATCH = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), SOUND)
SPOILED_BATCH = Mixture(BATCH.weights, replace(BATCH.components, scale_tril=BATCH.components.scale_tril * np.array([1, -1]).reshape(2, 1, 1, 1)))  # fmt: skip
TEN = np.repeat(GOOD[:10], 2, axis=0)

DATA = {
    "NaN": ({"x": with_entry(np.nan)}, Refused(ValueError, "x must be finite, got nan at row 7, column 2; drop or fill")),
    "infinity": ({"x": with_entry(-np.inf)}, Refused(ValueError, "x must be finite, got -inf at row 7, column 2")),
    "NaN in bfloat16": ({"x": with_entry(np.nan, ml_dtypes.bfloat16)}, Refused(ValueError, "x must be finite, got nan at row 7, column 2")),
    "0-D": ({"x": 3.0}, Refused(ValueError, r"x must have shape \(n, d\), got \(\)")),
    "1-D": ({"x": GOOD[:, 0]}, Refused(ValueError, r"x must have shape \(n, d\), got \(20,\); np.reshape\(x, \(-1, 1\)\)")),
    "3-D": ({"x": GOOD[None]}, Refused(ValueError, r"x must have shape \(n, d\), got \(1, 20, 3\)")),
    "0 rows": ({"x": GOOD[:0]}, Refused(ValueError, r"x must have at least one row and one column, got shape \(0, 3\)")),
    "0 columns": ({"x": GOOD[:, :0]}, Refused(ValueError, r"x must have at least one row and one column, got shape \(20, 0\)")),
    "nothing": ({"x": None}, Refused(TypeError, "x must be an array of numbers, got NoneType")),
    "a path": ({"x": "rows.csv"}, Refused(FileNotFoundError, "rows.csv")),
    "a generator": ({"x": lambda: (row for row in GOOD)}, Refused(TypeError, "x must be rows that can be read again, got generator, an iterator; .*from_blocks")),
    "one row": ({"x": GOOD[:1], "k": 1}, Warned("x has equal rows")),
    "one row, no ridge": ({"x": GOOD[:1], "k": 1, "reg_covar": 0}, Refused(ValueError, "x must have rows that differ where reg_covar is 0, got equal rows")),
    "rows < components": ({"x": GOOD[:3], "k": 4}, Refused(ValueError, "n_components must be at most the number of rows, 3; got 4")),
    "rows with weight < components": ({"sample_weight": np.eye(20)[0]}, Refused(ValueError, "the number of rows with weight, 1; got 2")),
    "rows = components": ({"x": GOOD[:5], "k": 5, "reg_covar": 1e-3}, FITS),
    "distinct rows < components": ({"x": TEN[:6], "k": 5}, Warned("x has 3 distinct rows, fewer than n_components=5: at most 3 components can differ")),
    "distinct bits < components": ({"x": np.eye(3)[[0, 1] * 5], "k": 3, "covariance_type": "bernoulli"}, Warned("x has 2 distinct rows, fewer than n_components=3")),
    "all rows equal": ({"x": np.ones((20, 3))}, Warned("x has 1 distinct row, fewer than n_components=2")),
    "all rows equal, no ridge": ({"x": np.ones((20, 3)), "reg_covar": 0}, Refused(ValueError, "x must have rows that differ where reg_covar is 0, got equal rows")),
    "a constant column": ({"x": with_column(7)}, Warned("x is constant in column 2")),
    "a constant column, tied": ({"x": with_column(7), "covariance_type": "tied"}, Warned("x is constant in column 2")),
    "a constant column, diag": ({"x": with_column(7), "covariance_type": "diag"}, Warned("x is constant in column 2")),
    "a constant column, spherical": ({"x": with_column(7), "covariance_type": "spherical"}, Warned("x is constant in column 2")),
    "a constant column, no ridge": ({"x": with_column(7), "reg_covar": 0}, Refused(ValueError, "x must have columns that vary where reg_covar is 0, got column 2 constant")),
    "a constant bit": ({"x": np.c_[BITS, np.ones(20)], "covariance_type": "bernoulli"}, FITS),
    "D > N, full": ({"x": RNG.normal(size=(10, 30))}, Warned('x has more columns than rows, 30 and 10: .* use covariance_type="diag"')),
    "D > N, diag": ({"x": RNG.normal(size=(10, 30)), "covariance_type": "diag"}, FITS),
    "float64, offset 1e8": ({"x": GOOD + 1e8, "covariance_type": "diag"}, FITS),
    "float32, offset 1e4": ({"x": (GOOD + 1e4).astype(np.float32), "covariance_type": "diag"}, FITS),
    "float32, offset 1e6": ({"x": (GOOD + 1e6).astype(np.float32)}, Warned("lost digits to its offset when it was rounded to float32, in columns 0, 1, 2: .* pass float64 rows")),
    "float32, offset 1e8": ({"x": (3 * GOOD + 1e8).astype(np.float32)}, Refused(ValueError, "x must carry its spread in the digits of float32, got .* pass float64 rows, or subtract the offset")),
    "scale 1e-8": ({"x": GOOD * 1e-8}, FITS),
    "scale 1e-8, absolute ridge": ({"x": GOOD * 1e-8, "reg_covar": 1e-6}, Warned('reg_covar=1e-06 is large beside the variance of x, .* in columns 0, 1, 2: .* reg_covar="auto"')),
    "float32 at 1e20": ({"x": (GOOD * 1e20).astype(np.float32)}, FITS),
    "float32 at 1e-20": ({"x": (GOOD * 1e-20).astype(np.float32)}, FITS),
    "float32 at 1e30": ({"x": (GOOD * 1e30).astype(np.float32)}, FITS),
    "float32 at its end": ({"x": (GOOD * 1e38).astype(np.float32)}, Refused(ValueError, r"x must have magnitudes of at most 1e\+37 to compute in float32, got up to .* rescale x")),
    "float64 at 1e200": ({"x": GOOD * 1e200}, Refused(ValueError, r"x must have magnitudes of at most 1e\+150 to compute in float64, got up to .* rescale x")),
    "float64 at 1e-200": ({"x": GOOD * 1e-200}, Refused(ValueError, "x must vary by at least 1e-150 to compute in float64, got .* rescale x")),
    "float64 at 1e60 in float32": ({"x": GOOD * 1e60, "dtype": "float32"}, Refused(ValueError, 'compute in float32, .* or use dtype="float64"')),
    "complex": ({"x": GOOD + 1j}, Refused(TypeError, "x must hold real numbers, got dtype complex128")),
    "dates": ({"x": GOOD.astype("M8[s]")}, Refused(TypeError, r"x must hold real numbers, got dtype datetime64\[s\]")),
    "fields": ({"x": np.zeros((20, 1), [("a", float), ("b", float)])}, Refused(TypeError, "x must hold real numbers, got dtype .*structured_to_unstructured")),
    "strings": ({"x": [["a", "b"]] * 4}, Refused(TypeError, "x must hold real numbers, got 'a' at row 0, column 0")),
    "numbers as text": ({"x": GOOD.astype(str)}, Refused(TypeError, r"x must hold real numbers, got '0.12\d+' at row 0, column 0")),
    "text among numbers": ({"x": [[1.0, 2.0], [3.0, "b"]]}, Refused(TypeError, "x must hold real numbers, got 'b' at row 1, column 1")),
    "objects that are text": ({"x": with_entry("2", object)}, Refused(TypeError, "x must hold real numbers, got '2' at row 7, column 2")),
    "objects that are nothing": ({"x": with_entry(None, object)}, Refused(ValueError, "x must be finite, got None at row 7, column 2")),
    "objects that are lists": ({"x": with_entry([1, 2], object)}, Refused(TypeError, r"x must hold real numbers, got \[1, 2\] at row 7, column 2")),
    "objects that are complex": ({"x": with_entry(1j, object)}, Refused(TypeError, "x must hold real numbers, got 1j at row 7, column 2")),
    "integers beyond float64": ({"x": with_entry(10**400, object)}, Refused(ValueError, "x must be finite, got a number beyond float64 at row 7, column 2")),
    "longdouble beyond float64": ({"x": with_entry(np.longdouble(1e300) ** 2, np.longdouble)}, Refused(ValueError, "x must be finite, got inf at row 7, column 2")),
    "ragged lists": ({"x": [[1.0, 2.0], [3.0, 4.0], [5.0]]}, Refused(ValueError, "x must be a rectangular array; row 2 has 1 entries, where row 0 has 2")),
    "sparse": ({"x": scipy.sparse.csr_matrix(GOOD)}, Refused(TypeError, r"x must be a dense array, got a sparse csr_matrix; use x.toarray\(\)")),
    "sparse of JAX": ({"x": BCOO.fromdense(SINGLE)}, Refused(TypeError, r"x must be a dense array, got a sparse BCOO; use x.todense\(\)")),
    "sparse of torch": ({"x": torch(lambda t: t.tensor(GOOD).to_sparse())}, Refused(TypeError, r"x must be a dense array, got a sparse Tensor; use x.to_dense\(\)")),
    "masked": ({"x": np.ma.masked_greater(GOOD, 1)}, Refused(ValueError, "x must not be a masked array; the mask would be ignored")),
    "masked rows": ({"x": list(np.ma.masked_greater(GOOD, 1))}, Refused(ValueError, "x must not be a masked array")),
    "a frame with NaN": ({"x": frame().mask(GOOD[7, 1] == GOOD)}, Refused(ValueError, r"x must be finite, got nan at row 7, column 1 \('b'\)")),
    "a frame with NA": ({"x": frame(n=pandas.array([1, 2, None] + [3] * 17, dtype="Int64"))}, Refused(ValueError, r"x must be finite, got <NA> at row 2, column 3 \('n'\)")),
    "a frame with text": ({"x": frame(name="iris")}, Refused(TypeError, r"x must hold real numbers, got 'iris' at row 0, column 3 \('name'\)")),
    "a frame with dates": ({"x": frame(when=pandas.Timestamp(0))}, Refused(TypeError, r"x must hold real numbers, got Timestamp.* at row 0, column 3 \('when'\)")),
    "a frame of polars with null": ({"x": polars.DataFrame({"a": [1, 2], "b": [3, None]})}, Refused(ValueError, r"x must be finite, got nan at row 1, column 1 \('b'\)")),
    "a frame of polars with text": ({"x": polars.DataFrame({"a": [1, 2], "b": ["x", "y"]})}, Refused(TypeError, r"x must hold real numbers, got 'x' at row 0, column 1 \('b'\)")),
    "a lazy frame": ({"x": polars.DataFrame(GOOD).lazy()}, Refused(TypeError, "x must be an array of numbers, got LazyFrame")),
    "a column of a frame": ({"x": frame()["a"]}, Refused(ValueError, r"x must have shape \(n, d\), got \(20,\)")),
    "a tensor without memory": ({"x": torch(lambda t: t.zeros(9, 2, device="meta"))}, Refused(TypeError, "x must be an array of numbers, got Tensor; .*cpu")),
    "JAX keys": ({"x": jax.random.split(jax.random.key(0), 9)}, Refused(TypeError, "x must be an array of numbers, got PRNGKeyArray")),
    "large integers in float32": ({"x": np.arange(60).reshape(20, 3) + 2**25, "dtype": "float32"}, Warned(r'x holds integers up to 33554491 in columns 0, 1, 2, beyond 2\*\*24, .* dtype="float64"')),
    "large integers in float64": ({"x": np.arange(60).reshape(20, 3) + 2**25, "dtype": "float64"}, FITS),
    "counts for Bernoulli": ({"covariance_type": "bernoulli"}, Refused(ValueError, "x must hold only 0 and 1")),
    "bits": ({"x": BITS}, Survives(BITS.astype(np.float32))),
    "bits for Bernoulli": ({"x": BITS, "covariance_type": "bernoulli"}, Survives(BITS.astype(np.float32))),
    "int8": ({"x": np.round(9 * GOOD).astype(np.int8)}, Survives(np.round(9 * GOOD).astype(np.float32))),
    "uint16": ({"x": np.abs(99 * GOOD).astype(np.uint16)}, Survives(np.abs(99 * GOOD).astype(np.uint16).astype(np.float32))),
    "int4 of JAX": ({"x": jnp.asarray(np.clip(np.round(3 * GOOD), -8, 7), jnp.int4)}, Survives(np.clip(np.round(3 * GOOD), -8, 7).astype(np.float32))),
    "float16": ({"x": GOOD.astype(np.float16)}, Survives(GOOD.astype(np.float16).astype(np.float32))),
    "bfloat16": ({"x": GOOD.astype(ml_dtypes.bfloat16)}, Survives(GOOD.astype(ml_dtypes.bfloat16).astype(np.float32))),
    "longdouble": ({"x": GOOD.astype(np.longdouble)}, Survives(GOOD)),
    "objects that are numbers": ({"x": GOOD.astype(object)}, Survives(GOOD)),
    "decimals": ({"x": np.vectorize(decimal.Decimal, otypes=[object])(GOOD)}, Survives(GOOD)),
    "lists": ({"x": GOOD.tolist()}, Survives(GOOD)),
    "tuples": ({"x": tuple(map(tuple, GOOD.tolist()))}, Survives(GOOD)),
    "a matrix": ({"x": np.asmatrix(GOOD)}, Survives(GOOD)),
    "a buffer": ({"x": memoryview(GOOD)}, Survives(GOOD)),
    "non-contiguous": ({"x": np.repeat(np.repeat(GOOD, 2, axis=0), 2, axis=1)[::2, ::2]}, Survives(GOOD)),
    "negative strides": ({"x": GOOD[::-1, ::-1].copy()[::-1, ::-1]}, Survives(GOOD)),
    "Fortran order": ({"x": np.asfortranarray(GOOD)}, Survives(GOOD)),
    "big-endian": ({"x": GOOD.astype(">f8")}, Survives(GOOD)),
    "big-endian integers": ({"x": np.round(9 * GOOD).astype(">i2")}, Survives(np.round(9 * GOOD).astype(np.float32))),
    "a read-only memory map": ({"x": memmap}, Survives(GOOD)),
    "JAX": ({"x": jnp.asarray(SINGLE)}, Survives(SINGLE)),
    "pandas": ({"x": frame()}, Survives(GOOD)),
    "pandas, nullable": ({"x": frame().convert_dtypes()}, Survives(GOOD)),
    "pandas, mixed": ({"x": frame(a=BITS[:, 0])}, Survives(np.c_[BITS[:, 0], GOOD[:, 1:]])),
    "polars": ({"x": polars.DataFrame(GOOD)}, Survives(GOOD)),
    "torch": ({"x": torch(lambda t: t.tensor(GOOD))}, Survives(GOOD)),
    "torch with gradients": ({"x": torch(lambda t: t.tensor(GOOD, requires_grad=True))}, Survives(GOOD)),
    "torch in bfloat16": ({"x": torch(lambda t: t.tensor(GOOD, dtype=t.bfloat16))}, Survives(GOOD.astype(ml_dtypes.bfloat16).astype(np.float32))),
    "nothing but DLPack": ({"x": OnlyDLPack(GOOD)}, Survives(GOOD)),
    "DLPack that only JAX can read": ({"x": lambda: OnlyDLPack(jnp.asarray(SINGLE), shy=True)}, Survives(SINGLE)),
    "float64 while x64 is off": ({"x": GOOD + 1e12}, FITS),
    "weights that are a list": ({"sample_weight": [1.0] * 20}, FITS),
    "weights that are bits": ({"sample_weight": np.arange(20) < 9}, FITS),
    "weights of pandas": ({"sample_weight": pandas.Series(np.ones(20))}, FITS),
    "weights below 0": ({"sample_weight": weights(-1)}, Refused(ValueError, "sample_weight must be finite and at least 0, got -1.0 at row 3")),
    "weights that are NaN": ({"sample_weight": weights(np.nan)}, Refused(ValueError, "sample_weight must be finite and at least 0, got nan at row 3")),
    "weights that are infinite": ({"sample_weight": weights(np.inf)}, Refused(ValueError, "sample_weight must be finite and at least 0, got inf at row 3")),
    "weights that are zero": ({"sample_weight": np.zeros(20)}, Refused(ValueError, "sample_weight must have at least one positive weight, got only zeros")),
    "weights too few": ({"sample_weight": np.ones(3)}, Refused(ValueError, r"sample_weight must have shape \(20,\), one weight a row; got \(3,\)")),
    "weights in a column": ({"sample_weight": np.ones((20, 1))}, Refused(ValueError, r"sample_weight must have shape \(20,\), one weight a row; got \(20, 1\)")),
    "one weight": ({"sample_weight": 2.0}, Refused(ValueError, r"sample_weight must have shape \(20,\), one weight a row; got \(\)")),
    "weights that are ragged": ({"sample_weight": [[1.0], [1.0, 2.0]]}, Refused(ValueError, "sample_weight must be a rectangular array; row 1 has 2 entries")),
    "weights that are complex": ({"sample_weight": np.ones(20, complex)}, Refused(TypeError, "sample_weight must hold real numbers, got dtype complex128")),
    "weights that are text": ({"sample_weight": ["a"] * 20}, Refused(TypeError, "sample_weight must hold real numbers, got 'a' at row 0")),
    "weights that are masked": ({"sample_weight": np.ma.masked_less(np.ones(20), 0)}, Refused(ValueError, "sample_weight must not be a masked array")),
    "weights too large": ({"sample_weight": weights(1e300), "x": SINGLE}, Refused(ValueError, r"sample_weight must have .* a sum of at most 1e\+30 in float32, got 1e\+300 and 1e\+300")),
}  # fmt: skip

OPTIONS = {
    "components below 1": ({"k": 0}, Refused(ValueError, "n_components must be at least 1, got 0")),
    "half a component": ({"k": 1.5}, Refused(TypeError, "n_components must be an integer, got 1.5 of type float$")),
    "components as a float": ({"k": 2.0}, Refused(TypeError, "n_components must be an integer, got 2.0 of type float; use 2$")),
    "components as truth": ({"k": True}, Refused(TypeError, "n_components must be an integer, got True of type bool")),
    "components as text": ({"k": "2"}, Refused(TypeError, "n_components must be an integer, got '2' of type str")),
    "components of NumPy": ({"k": np.int8(2)}, FITS),
    "unknown covariance": ({"covariance_type": "Fulll"}, Refused(ValueError, "covariance_type must be one of 'full', .*; got 'Fulll'; did you mean 'full'")),
    "covariance of another type": ({"covariance_type": FullGaussian}, Refused(ValueError, "covariance_type must be one of .*; got <class")),
    "unknown init": ({"init": "kmeans++"}, Refused(ValueError, r"init must be one of .*; got 'kmeans\+\+'; did you mean 'k-means\+\+'")),
    "unknown kernel": ({"kernel": "CENTERED"}, Refused(ValueError, "kernel must be one of .*; got 'CENTERED'; did you mean 'centred'")),
    "unknown dtype": ({"dtype": "float16"}, Refused(ValueError, "dtype must be None, 'float32' or 'float64'; got float16")),
    "nonsense dtype": ({"dtype": "single-ish"}, Refused(ValueError, "dtype must be None, 'float32' or 'float64'; got 'single-ish'")),
    "an option that is none": ({"n_starts": 3}, Refused(TypeError, "unexpected keyword argument 'n_starts'")),
    "tol below 0": ({"tol": -1e-3}, Refused(ValueError, "tol must be a finite number of at least 0, got -0.001")),
    "tol NaN": ({"tol": np.nan}, Refused(ValueError, "tol must be a finite number of at least 0, got nan")),
    "tol infinite": ({"tol": np.inf}, Refused(ValueError, "tol must be a finite number of at least 0, got inf")),
    "tol beyond float64": ({"tol": 10**400}, Refused(ValueError, "tol must be a finite number of at least 0, got one beyond float64")),
    "tol as text": ({"tol": "small"}, Refused(TypeError, "tol must be a number, got 'small' of type str")),
    "tol as truth": ({"tol": True}, Refused(TypeError, "tol must be a number, got True of type bool")),
    "tol complex": ({"tol": 1j}, Refused(TypeError, "tol must be a number, got 1j of type complex")),
    "many tols": ({"tol": [1e-3, 1e-4]}, Refused(TypeError, r"tol must be a number, got \[0.001, 0.0001\] of type list")),
    "no tol": ({"tol": None}, Refused(TypeError, "tol must be a number, got None of type NoneType")),
    "tol of NumPy": ({"tol": np.array(1e-3)}, FITS),
    "ridge below 0": ({"reg_covar": -1}, Refused(ValueError, "reg_covar must be a finite number of at least 0, got -1")),
    "ridge NaN": ({"reg_covar": np.nan}, Refused(ValueError, "reg_covar must be a finite number of at least 0, got nan")),
    "ridge by another word": ({"reg_covar": "Auto"}, Refused(ValueError, "reg_covar must be a number or 'auto', got 'Auto'; did you mean 'auto'")),
    "many ridges": ({"reg_covar": np.ones(3)}, Refused(TypeError, r"reg_covar must be a number, got array\(\[1., 1., 1.\]\) of type ndarray")),
    "max_iter below 0": ({"max_iter": -1}, Refused(ValueError, "max_iter must be at least 0, got -1")),
    "max_iter as a float": ({"max_iter": 1e3}, Refused(TypeError, "max_iter must be an integer, got 1000.0 of type float; use 1000")),
    "max_iter infinite": ({"max_iter": np.inf}, Refused(TypeError, "max_iter must be an integer, got inf of type float$")),
    "max_iter beyond 32 bits": ({"max_iter": 2**31}, Refused(ValueError, "max_iter must be at most 2147483647, got 2147483648")),
    "max_seconds below 0": ({"max_seconds": -1}, Refused(ValueError, "max_seconds must be a finite number of at least 0, got -1")),
    "n_init below 1": ({"n_init": 0}, Refused(ValueError, "n_init must be at least 1, got 0")),
    "n_init against init": ({"init": np.zeros((3, 20), int), "n_init": 5}, Refused(ValueError, "n_init must be left out or be 3, the starts that init holds; got 5")),
    "a driver's name": ({"driver": "em"}, Refused(TypeError, r"driver must be a driver such as EM\(\) or Gradient\(...\), got 'em'")),
    "a driver's class": ({"driver": jaxgmm.EM}, Refused(TypeError, r"driver must be a driver such as EM\(\)")),
    "unknown stopping": ({"stopping": "loglikelihood"}, Refused(ValueError, "stopping must be one of .*; got 'loglikelihood'; did you mean 'log_likelihood'")),
    "unknown cure": ({"on_degenerate": "restart"}, Refused(ValueError, "on_degenerate must be one of 'reinit', 'stop', 'keep'; got 'restart'")),
    "unknown prior": ({"prior": "defualt"}, Refused(ValueError, r"prior must be None, 'default' or a Prior\(...\); got 'defualt'; did you mean 'default'")),
    "a prior with text": ({"prior": jaxgmm.Prior(concentration="weak")}, Refused(TypeError, "prior.concentration must be a number, got 'weak' of type str")),
    "a prior that is NaN": ({"prior": jaxgmm.Prior(scale=np.nan * np.eye(3))}, Refused(ValueError, "prior.scale must be finite, got nan")),
    "a prior that is not symmetric": ({"prior": jaxgmm.Prior(scale=np.triu(np.ones((3, 3))))}, Refused(ValueError, "prior.scale must be symmetric")),
    "a prior that is ragged": ({"prior": jaxgmm.Prior(mean=[[1], [2, 3]])}, Refused(ValueError, "prior.mean must be a rectangular array")),
    "a prior of another type": ({"prior": 3}, Refused(TypeError, r"prior must be None, 'default' or a Prior\(...\); got 3")),
    "on_block of another type": ({"on_block": True}, Refused(TypeError, "on_block must be callable, got True")),
    "a key as text": ({"key": "seed"}, Refused(TypeError, r"key must be a JAX key \(jax.random.key\(0\)\) or an integer seed, got 'seed' of type str")),
    "a key as a float": ({"key": 3.0}, Refused(TypeError, "key must be a JAX key .*, got 3.0 of type float")),
    "a key as truth": ({"key": True}, Refused(TypeError, "key must be a JAX key .*, got True of type bool")),
    "no key": ({"key": None}, Refused(TypeError, "key must be a JAX key .*, got None of type NoneType")),
    "a generator for a key": ({"key": np.random.default_rng(0)}, Refused(TypeError, "key must be a JAX key .* of type Generator")),
    "a seed below 0": ({"key": -1}, Refused(ValueError, "key must be a JAX key or a seed of at least 0, got -1")),
    "many keys": ({"key": jax.random.split(jax.random.key(0), 2)}, Refused(ValueError, r"key must be one key, got an array of keys of shape \(2,\)")),
    "many legacy keys": ({"key": jax.random.split(jax.random.PRNGKey(0), 2)}, Refused(ValueError, r"key must be one key, got an array of keys of shape \(2,\)")),
    "a legacy key too long": ({"key": np.zeros(3, np.uint32)}, Refused(ValueError, r"key must be one key, got uint32 of shape \(3,\)")),
    "a typed key": ({"key": jax.random.key(0)}, Survives(GOOD)),
    "a legacy key": ({"key": jax.random.PRNGKey(0)}, Survives(GOOD)),
    "a legacy key of NumPy": ({"key": np.asarray(jax.random.PRNGKey(0))}, Survives(GOOD)),
    "a seed of NumPy": ({"key": np.int64(0)}, Survives(GOOD)),
    "a seed of 200 bits": ({"key": 2**200 + 1}, FITS),
    "a start of another structure": ({"init": SOUND, "covariance_type": "tied"}, Refused(ValueError, "init must be a tied mixture with 2 components and 3 features, got full with 2 and 3")),
    "a start of another width": ({"init": SOUND, "x": GOOD[:, :2]}, Refused(ValueError, "init must be a full mixture with 2 components and 2 features, got full with 2 and 3")),
    "a start of other components": ({"init": SOUND, "k": 3}, Refused(ValueError, "init must be a full mixture with 3 components")),
    "starts with two leading axes": ({"init": jax.tree.map(lambda leaf: leaf[None], BATCH)}, Refused(ValueError, r"init must be a mixture with at most one leading axis, got \(1, 2\)")),
    "a start with factors of another shape": ({"init": start(scale_tril=np.eye(3))}, Refused(ValueError, r"init must have scale_tril of shape \(2, 3, 3\), got \(3, 3\)")),
    "a start with NaN": ({"init": start(means=SOUND.means * np.nan)}, Refused(ValueError, "init must have finite means, got nan in component 0")),
    "a start with weights off the simplex": ({"init": start(weights=np.ones(2))}, Refused(ValueError, "init must have weights that sum to 1, got 2")),
    "a start with a weight below 0": ({"init": start(weights=np.array([1.5, -0.5]))}, Refused(ValueError, "init must have weights of at least 0, got -0.5 in component 1")),
    "a start that is not positive definite": ({"init": SPOILED_BATCH}, Refused(ValueError, "init must have scale_tril above 0 on its diagonal and 0 above it, got -1 in component 0 of restart 1")),
    "a sound start": ({"init": SOUND}, FITS),
    "labels out of range": ({"init": np.full(20, 2)}, Refused(ValueError, "init must hold labels in 0 … 1, got 2 … 2")),
    "no labels": ({"init": np.zeros((0, 20), int)}, Refused(ValueError, r"init must (be one of|hold) .*\(0, 20\)")),
    "labels too few": ({"init": np.zeros(3, int)}, Refused(ValueError, r"init must be one of .* got dtype int64, shape \(3,\)")),
    "shares off the simplex": ({"init": np.ones((20, 2))}, Refused(ValueError, "init must hold responsibilities of at least 0 that sum to 1 over components")),
    "shares that are NaN": ({"init": np.full((20, 2), np.nan)}, Refused(ValueError, "init must hold responsibilities of at least 0 that sum to 1 over components")),
    "a start of another type": ({"init": {"means": GOOD[:2]}}, Refused(ValueError, "init must be one of .*, a Mixture, integer labels")),
    "a ragged start": ({"init": [[0, 1], [1]]}, Refused(ValueError, "init must be a rectangular array")),
}  # fmt: skip

TABLE = DATA | OPTIONS

# What `Mixture.create` is given; the other parameters are right.
PARAMETERS = {
    "weights that sum to 2": ({"weights": [1.0, 1.0]}, ValueError, r"weights must be at least 0 and sum to 1, got \[1.0, 1.0\]"),
    "a weight below 0": ({"weights": [1.5, -0.5]}, ValueError, "weights must be at least 0 and sum to 1"),
    "weights that are NaN": ({"weights": [np.nan, 1]}, ValueError, "weights must be finite, got nan"),
    "weights of another length": ({"weights": [1.0]}, ValueError, r"weights must have shape \(..., k\) = \(2,\) as means do, got \(1,\)"),
    "complex means": ({"means": GOOD[:2] + 1j}, TypeError, "means must hold real numbers, got dtype complex128"),
    "means as text": ({"means": [["a", "b", "c"]] * 2}, TypeError, "means must hold real numbers, got 'a' at row 0, column 0"),
    "ragged means": ({"means": [[1.0], [1.0, 2.0]]}, ValueError, "means must be a rectangular array; row 1 has 2 entries, where row 0 has 1"),
    "masked means": ({"means": np.ma.masked_greater(GOOD[:2], 1)}, ValueError, "means must not be a masked array"),
    "no means": ({"means": None}, TypeError, "means must be an array of numbers, got NoneType"),
    "means beyond float32": ({"means": GOOD[:2] * 1e200, "dtype": "float32"}, ValueError, "means must be finite in float32, got"),
    "no covariances": ({"covariances": None}, ValueError, "covariances must be given"),
    "covariances of another shape": ({"covariances": np.eye(3)}, ValueError, r"covariances must have shape \(..., k, d, d\) = \(2, 3, 3\), got \(3, 3\)"),
    "covariances that are not positive definite": ({"covariances": np.stack([np.eye(3), -np.eye(3)])}, ValueError, r"covariances\[1\] must be positive definite, got smallest eigenvalue -1"),
    "covariances that are not symmetric": ({"covariances": np.triu(np.ones((2, 3, 3)))}, ValueError, "covariances must be symmetric"),
    "variances that are zero": ({"covariances": np.zeros((2, 3)), "covariance_type": "diag"}, ValueError, r"covariances must be positive, got 0 at \(0, 0\)"),
    "rates beyond 1": ({"means": np.full((2, 3), 2.0), "covariances": None, "covariance_type": "bernoulli"}, ValueError, r"means must lie in \[0, 1\], got 2"),
    "unknown structure": ({"covariance_type": "diagnoal"}, ValueError, "covariance_type must be one of .* did you mean 'diag'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_parameters_refused(change, error, message):
    right = {"weights": [0.5, 0.5], "means": GOOD[:2], "covariances": np.tile(np.eye(3), (2, 1, 1))}
    with pytest.raises(error, match=f"^{message}"):
        Mixture.create(**right | change)


def fitted(change, tmp_path):
    """`fit` of a row of the table, and what it says of the data."""
    options = {"key": 0, "x": GOOD, "k": 2, "max_iter": 3} | change
    if callable(options["x"]):
        options["x"] = options["x"](tmp_path) if options["x"] is memmap else options["x"]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = jaxgmm.fit(options.pop("key"), options.pop("x"), options.pop("k"), **options)
    return result, [one for one in caught if issubclass(one.category, DataWarning)]


def rows_of(outcome):
    return [pytest.param(*row, id=name) for name, row in TABLE.items() if isinstance(row[1], outcome)]


@pytest.mark.parametrize(("change", "outcome"), rows_of(Refused))
def test_refused(change, outcome, monkeypatch, tmp_path):
    monkeypatch.setattr(ArrayRows, "from_source", lambda *_, **__: pytest.fail("got past the checks"))
    with pytest.raises(outcome.error, match=outcome.message) as caught:
        fitted(change, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("change", "outcome"), rows_of(Warned))
def test_warned(change, outcome, tmp_path):
    result, (warning,) = fitted(change, tmp_path)
    assert re.search(outcome.message, str(warning.message)), warning.message
    assert warning.filename == __file__
    assert np.isfinite(result.log_likelihood).all()
    assert np.isfinite(result.mixture.score_samples(np.asarray(change["x"]))).all()


@pytest.mark.parametrize(("change", "outcome"), rows_of(Survives))
def test_survives(change, outcome, tmp_path):
    result, said = fitted(change, tmp_path)
    assert [str(one.message) for one in said] == []
    assert np.isfinite(result.log_likelihood).all()
    if outcome.like is not None:
        like, _ = fitted(
            {name: option for name, option in change.items() if name != "key"} | {"x": outcome.like}, tmp_path
        )
        double = outcome.like.dtype == np.float64
        assert result.mixture.dtype == (np.float64 if double else np.float32)
        chex.assert_trees_all_close(
            result.mixture, like.mixture, rtol=1e-10 if double else 1e-5, atol=1e-12 if double else 1e-6
        )
    assert jnp.ones(1).dtype == jnp.float32  # x64 is off, as it was


def test_an_offset_in_float64_survives_while_x64_is_off(tmp_path):
    moved, _ = fitted(DATA["float64 while x64 is off"][0], tmp_path)
    plain, _ = fitted({}, tmp_path)
    np.testing.assert_allclose(moved.mixture.means - 1e12, plain.mixture.means, atol=2e-3)
