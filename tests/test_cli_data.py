"""Rows from text files, and where exactly they go wrong."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from commands import read

from jaxgmm.cli.data import DataError
from jaxgmm.tables import spool


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a;b\n1;2\n", [[1, 2]]),
        ("\ufeffa\tb\r\n1\t2e3\r\n\r\n", [[1, 2000]]),
        ('\n"x, in\nmm","y"\n"1","2"\n', [[1, 2]]),
        ("1\n2\n", [[1], [2]]),
        ("0\n1\n", [[0], [1]]),
        ("0,2\n1,3\n", [[0, 2], [1, 3]]),
        ("long name\n2\n", [[2]]),
        ("0.1,-.5", [[0.1, -0.5]]),
        ("1,2\r3,4\r", [[1, 2], [3, 4]]),
        ("\n\n1, 2\n\n 3 ,4", [[1, 2], [3, 4]]),
        ('"a;b"\t"c,d"\n1\t2\n', [[1, 2]]),
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
        ("1,2\n3\n", r":2:2: 1 field, where earlier rows have 2"),
        ("1,two\n3,4\n", r":1:2: 'two' is not a number"),
        ("a,b\n1,nan\n", r":2:2: 'nan' is not finite"),
        ("1,2\n1,1e999\n", r":2:2: '1e999' is not finite"),
        ("1;5\n2,5;1\n", r":2:1: '2,5' is not a number"),
        ("1,2\n1_0,3\n", r":2:1: '1_0' is not a number"),
        ("1,2\n\u0661,3\n", r":2:1: '\u0661' is not a number"),
        ("a,b\n1,2,\n3,4,\n", r":1: a header must have a name for each column, got 2 fields where line 2 has 3"),
        ("a,b,\n1,2,\n3,4,\n", r":2:3: an empty field is not a number"),
        ("\n0,1,2\n3,4,5\n", r":2: 0,1,2 may be a header or a row"),
        ("1.5 2\n3 4\n", r":1: numbers must stand apart by commas, semicolons or tabs, got spaces"),
        ("a b\n1e3 2 3\n", r":2: numbers must stand apart by commas, semicolons or tabs, got spaces"),
        ("1,2\n3,4\n,\n", r":3:1: an empty field"),
        ('a,b\n"x\ny",1\n2,z\n', r":3:1: 'x\\ny' is not a number"),
        ("1,2\n3,0x10\n", r":2:2: '0x10' is not a number"),
        ("1,2\n3,4#5\n", r":2:2: '4#5' is not a number"),
        ("1,2\n3,4\0\n", r"rows.csv"),
        ("\n \n\n", "holds no rows"),
        ("a,b\n", "holds no rows"),
        ("", "holds no rows"),
    ],
)
def test_text_files_that_are_not_rows(text, where, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(DataError, match=where):
        read(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"1,2\n3,\xff\n", "not text in UTF-8"),
        ("1,2\n3,4\n".encode("utf-16"), "not text in UTF-8"),
        (pickle.dumps([[1.0]]), "rows.csv"),
        (b"1," + b"9" * 200_000 + b"\n2,a\n", "rows.csv"),
    ],
)
def test_files_that_are_not_text(content, why, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match=why):
        read(tmp_path / "rows.csv")


# ---- NumPy's files ------------------------------------------------------------------------------------------


class _Bomb:
    def __reduce__(self):
        return (os._exit, (1,))


def npy(array) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def header(shape: str, descr: str = "<f8", version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(118).encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def archive(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, member in members.items():
            file.writestr(f"{name}.npy", member)
    return content.getvalue()


GOOD = npy(np.arange(6.0).reshape(3, 2))
HUGE = header("(1000000000, 1000000)")
FOREIGN = {
    "empty.npy": (b"", "cannot be read as .npy"),
    "empty.npz": (b"", "cannot be read as .npz"),
    "garbage.npy": (b"no such thing", "cannot be read as .npy"),
    "pickle.npy": (pickle.dumps(_Bomb()), "cannot be read as .npy"),
    "objects.npy": (npy(np.array([[_Bomb()]])), "Python objects, which are never unpickled"),
    "objects.npz": (archive(a=npy(np.array([[_Bomb()]]))), "Python objects, which are never unpickled"),
    "zip.npy": (archive(a=GOOD), "cannot be read as .npy"),
    "npy.npz": (GOOD, "not a zip file"),
    "cut.npy": (GOOD[:-9], r"is truncated: shape \(3, 2\) of float64 takes 48 bytes, there are 39"),
    "cut-header.npy": (GOOD[:30], "cannot be read as .npy"),
    "cut.npz": (archive(a=GOOD)[:-40], "cannot be read as .npz"),
    "huge.npy": (HUGE + b"12345678", "takes 8000000000000000 bytes, there are 8"),
    "huge.npz": (archive(a=HUGE + bytes(10**6)), "takes 8000000000000000 bytes, there are 1000000"),
    "overflow.npy": (header("(9223372036854775807, 3)"), "takes 221360928884514619368 bytes, there are 0"),
    "negative.npy": (header("(-1, 3)") + bytes(48), "cannot be read as .npy"),
    "none.npz": (archive(), "choose one of its arrays with --array; it holds none"),
    "two.npz": (archive(a=GOOD, b=GOOD), "choose one .* it holds a, b"),
    "text-member.npz": (archive(a=b"1,2"), "cannot be read as .npz"),
    "lzma.npz": (archive(zipfile.ZIP_LZMA, a=GOOD), "compressed in a way that NumPy does not write"),
    "no-rows.npy": (npy(np.zeros((0, 3))), r"at least one row and one column, got shape \(0, 3\)"),
    "no-rows.npz": (archive(a=npy(np.zeros((0, 3)))), r"at least one row and one column, got shape \(0, 3\)"),
    "scalar.npy": (npy(np.float64(3)), r"rows of shape \(n, d\) or \(n,\), got an array of shape \(\)"),
    "cube.npz": (archive(a=npy(np.zeros((3, 1, 1)))), r"shape \(n, d\) or \(n,\), got an array of shape \(3, 1, 1\)"),
    "complex.npy": (npy(np.ones((2, 2), complex)), "must hold real numbers, got dtype complex128"),
    "strings.npy": (npy(np.array([["a"]])), "must hold real numbers, got dtype <U1"),
    "fields.npy": (npy(np.zeros((2, 1), [("a", "f8")])), "must hold real numbers"),
    "version.npy": (header("(1, 1)", version=b"\3\0"), r"version \(3, 0\)"),
    "inf.npz": (archive(a=npy(np.array([[1.0], [np.inf]]))), "must be finite, got inf at row 1, column 0"),
    "rows.dat": (GOOD, r"must end in \.npy, \.npz, \.csv"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_one_error_and_no_memory(name, tmp_path):
    content, why = FOREIGN[name]
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=why) as caught:
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert peak < 4 << 20


def test_an_archive_that_lies_about_its_sizes_is_not_believed(tmp_path):
    content = bytearray(archive(a=HUGE))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        (info,) = file.infolist()
        size = struct.pack("<I", info.file_size)
    for at in (22, content.rindex(size)):  # the member's own header, and the list at the end
        content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    (tmp_path / "lie.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"lie.npz: is truncated: .* there are \d{5,6}$"):
        read(tmp_path / "lie.npz")


@pytest.mark.parametrize(
    "x",
    [np.arange(6.0).reshape(3, 2), np.arange(6, dtype=">i2").reshape(2, 3), np.eye(2) > 0, np.ones((2, 2), np.float16)],
)
def test_numpys_files_of_every_kind(x, tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    np.savez(tmp_path / "x.npz", x=x, other=0)
    np.savez_compressed(tmp_path / "y.npz", x)
    for found in (read(tmp_path / "x.npy"), read(tmp_path / "x.npz", "x"), read(tmp_path / "y.npz")):
        np.testing.assert_array_equal(found, x)
        assert found.dtype == x.dtype.newbyteorder("=")
    assert not read(tmp_path / "x.npy").flags.writeable or x.dtype.byteorder == ">"


def test_a_flat_array_is_one_feature(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(5.0))
    np.savez(tmp_path / "x.npz", np.arange(5.0))
    for name in ("x.npy", "x.npz"):
        np.testing.assert_array_equal(read(tmp_path / name), np.arange(5.0)[:, None])


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_archives_are_unpacked_into_a_temporary_file(order, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_IN_MEMORY", 100)
    x = np.asarray(np.random.default_rng(0).normal(size=(50, 3)), order=order)
    np.savez_compressed(tmp_path / "x.npz", x)
    found = read(tmp_path / "x.npz")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, x)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read(tmp_path / "x.npz")


def test_what_is_no_file_of_rows(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv: is not a plain file"):
        read(tmp_path / "pipe.csv")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="holds no file whose name ends in"):
        read(tmp_path / "folder.npy")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.csv")


@pytest.mark.parametrize("name", ["x.csv", "x.npy", "x.npz"])
def test_widths_must_agree_with_the_model(name, tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n")
    np.save(tmp_path / "x.npy", np.ones((1, 2)))
    np.savez(tmp_path / "x.npz", np.ones((1, 2)))
    with pytest.raises(DataError, match=rf"{name}: must have 3 columns, as the mixture has features; got 2"):
        read(tmp_path / name, n_features=3)
