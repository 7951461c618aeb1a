"""Bytes of every kind into everything that reads files: rows, a mixture, or one of our errors; nothing else.

`JAXGMM_FUZZ_EXAMPLES=100000 pytest tests/test_fuzz.py` fuzzes for longer, each time with other inputs.
"""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from commands import read
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.numpy import save as encode

import jaxgmm
from jaxgmm import Mixture, ModelFileError
from jaxgmm.cli.data import DataError
from jaxgmm.mixture import integrity

_LONG = int(os.environ.get("JAXGMM_FUZZ_EXAMPLES", "0"))
fuzzed = settings(
    max_examples=_LONG or 300,
    deadline=None,
    derandomize=not _LONG,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# ---- what goes in -------------------------------------------------------------------------------------------

INTERESTING = [0, 1, -1, 2, 7, 8, 127, 128, 255, 2**15, 2**16, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def mutated(draw, originals: list[bytes]) -> bytes:
    """A valid file with a few bytes flipped, cut, doubled, moved or overwritten by a telling number."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(1, 40))
        match draw(st.sampled_from(["flip", "cut", "end", "double", "insert", "number", "swap"])):
            case "flip" if content:
                content[at] = draw(st.integers(0, 255))
            case "cut":
                del content[at : at + length]
            case "end":
                del content[at:]
            case "double":
                content[at:at] = content[at : at + length]
            case "insert":
                content[at:at] = draw(st.binary(max_size=20))
            case "number":
                width = draw(st.sampled_from([1, 2, 4, 8]))
                value = draw(st.sampled_from(INTERESTING)) % 2 ** (8 * width)
                content[at : at + width] = value.to_bytes(width, "little")
            case "swap":
                part = content[at : at + length]
                del content[at : at + length]
                content.extend(part)
    return bytes(content)


def model_files() -> list[bytes]:
    ours = {"format": "jaxgmm.mixture", "version": "1"}
    weights, means = np.array([0.25, 0.75]), np.full((2, 3), 0.5)
    leaves = {
        "full": {"scale_tril": np.tile(np.eye(3), (2, 1, 1))},
        "tied": {"scale_tril": np.eye(3)},
        "diag": {"scale": np.ones((2, 3))},
        "spherical": {"scale": np.ones((2, 1))},
        "bernoulli": {},
    }
    return [
        encode({"weights": weights.astype(t), "means": means.astype(t), **{n: a.astype(t) for n, a in more.items()}}, ours | {"covariance_type": kind})
        for kind, more in leaves.items()
        for t in (np.float32, np.float64)
    ]  # fmt: skip


@st.composite
def described(draw) -> bytes:
    """A safetensors file whose header is well formed, and says anything."""
    number = st.one_of(st.integers(0, 4), st.sampled_from(INTERESTING))
    tensor = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "X"]),
            "shape": st.lists(number, max_size=4),
            "data_offsets": st.lists(number, min_size=1, max_size=3),
        }
    )
    names = st.sampled_from(["weights", "means", "scale", "scale_tril", "other", ""])
    metadata = {
        "format": "jaxgmm.mixture",
        "version": draw(st.sampled_from(["1", "1", "1", "2", 1])),
        "covariance_type": draw(st.sampled_from(["diag", "full", "tied", "spherical", "bernoulli", "x"])),
    }
    header = json.dumps({"__metadata__": metadata, **draw(st.dictionaries(names, tensor, max_size=4))}).encode()
    return struct.pack("<Q", len(header)) + header + draw(st.binary(max_size=200))


def _saved(save, *args, **kwargs) -> bytes:
    content = io.BytesIO()
    save(content, *args, **kwargs)
    return content.getvalue()


NPY = [
    _saved(np.save, array)
    for array in (np.arange(6.0).reshape(3, 2), np.eye(2, dtype=">f4"), np.ones((2, 1), bool), np.asfortranarray(np.ones((2, 2), np.int8)))
]  # fmt: skip
NPZ = [
    _saved(np.savez, np.arange(6.0).reshape(3, 2)),
    _saved(np.savez_compressed, a=np.arange(60.0).reshape(30, 2)),
    _saved(np.savez, a=np.eye(2), b=np.eye(3)),
]


def _parquet(columns, **options) -> bytes:
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), content, **options)
    return content.getvalue()


PARQUET = [
    _parquet({"a": np.arange(50.0), "b": np.arange(50, dtype=np.int32)}, row_group_size=20),
    _parquet({"a": [1.5, 2.5] * 20, "b": [True, False] * 20}, compression="zstd", write_page_checksum=True),
    _parquet({"a": np.float32([1, 2, 3])}, use_dictionary=False, compression="none", store_schema=False),
    _parquet({"a": pyarrow.array([1, 2, None]), "b": ["x", "y", "z"]}, compression="gzip"),
]
CSV = [
    b"1,2\n3,4\n",
    b"a,b\r\n1,2\r\n3,4e-3\r\n",
    '\ufeff"x; y"\t"z"\n1\t-2\n\n3\tinf\n'.encode(),
    b'1;2;3\n"4";"5";"6"\n',
]
_CELL = st.one_of(
    st.floats().map(repr), st.integers().map(str), st.text(max_size=5),
    st.sampled_from(["", " ", "nan", "-inf", '"', '""', "'", "1e999", "1_0", "0x1", "#", "\\N", "+.5", "1.", "\0", "\ufeff", "\u2028", "\x1c", "\x85"]),
)  # fmt: skip


@st.composite
def tables(draw) -> bytes:
    mark = draw(st.sampled_from([",", ";", "\t", " "]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    lines = draw(st.lists(st.lists(_CELL, max_size=4).map(mark.join), max_size=6))
    return end.join(lines).encode("utf-8", "surrogatepass")


# ---- what must come out -------------------------------------------------------------------------------------


def attempt(function, path: Path, ours: type[Exception]):
    """What `function` makes of the file, or what it complains of."""
    try:
        return function(path), None
    except ours as error:
        return None, str(error)


def load(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    found, complaint = attempt(jaxgmm.load, path, ModelFileError)
    if complaint is None:
        assert isinstance(found, Mixture)
        integrity.sound_mixture("found", found)
    else:
        assert complaint.startswith(str(path))


def read_rows(path: Path, content: bytes, **options: str) -> None:
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be a line that nobody asked for
        found, complaint = attempt(partial(read, **options), path, DataError)
    if complaint is not None:
        assert complaint.startswith(f"{path}:")
        return
    assert found.ndim == 2
    assert found.size
    assert found.dtype.kind in "biuf"
    assert np.isfinite(found).all()


@fuzzed
@given(content=st.one_of(st.binary(max_size=300), mutated(model_files()), described()))
@example(content=b"PK\x03\x04" + bytes(100))
def test_load(folder, content):
    load(folder / "m.safetensors", content)


@fuzzed
@given(
    content=st.one_of(
        st.binary(max_size=200), mutated(NPY), st.binary(max_size=60).map(lambda tail: NPY[0][:10] + tail)
    )
)
def test_npy(folder, content):
    read_rows(folder / "x.npy", content)


@fuzzed
@given(content=st.one_of(st.binary(max_size=200), mutated(NPZ)))
def test_npz(folder, content):
    read_rows(folder / "x.npz", content)


@st.composite
def wrapped(draw) -> bytes:
    """A sound archive of a spoiled member: what a checksum would otherwise hide."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", draw(st.sampled_from([0, 8, 12, 14]))) as archive:
        archive.writestr(draw(st.sampled_from(["a.npy", "a", ".npy", "../a.npy"])), draw(mutated(NPY)))
    return content.getvalue()


@fuzzed
@given(content=wrapped())
def test_npz_of_spoiled_members(folder, content):
    read_rows(folder / "x.npz", content)


@fuzzed
@given(content=st.one_of(st.binary(max_size=200), mutated(PARQUET)))
def test_parquet(folder, content):
    read_rows(folder / "x.parquet", content)


@fuzzed
@given(
    content=st.one_of(st.binary(max_size=100), mutated(CSV), tables()),
    columns=st.sampled_from(["a", "0", "1:2", "0:1"]),
)
def test_some_columns_of_csv(folder, content, columns):
    read_rows(folder / "x.csv", content, columns=columns, labels="3")


@fuzzed
@given(content=st.one_of(st.binary(max_size=100), mutated(CSV), tables()))
@example(content=b'"1\n2')
@example(content=b'a"b\n1\n"')
def test_csv(folder, content):
    read_rows(folder / "x.csv", content)
