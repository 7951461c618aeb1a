"""Rows from files, sliced arrays and functions: the same rows whatever they come from, and what is wrong with them."""

from __future__ import annotations

import errno
import itertools
import os

import numpy as np
import pandas as pd
import pytest

import jaxgmm
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.rows import Block, RowSource
from jaxgmm.sources import files, from_blocks, sliced
from jaxgmm.sources.opening import opened
from jaxgmm.tables import DataError, numpy_files

RNG = np.random.default_rng(3)
N = 500
X = (RNG.normal(size=(N, 3)) + 5 * RNG.integers(0, 2, size=(N, 1))).astype(np.float32)
W, LABEL = RNG.integers(1, 4, N), np.where(np.arange(N) % 5 == 0, np.arange(N) % 2, -1)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(times=W, kind=LABEL, note="text")
CUTS = [0, 120, 121, 300, N]


class Sliced:
    """An array that is read by slices alone, as those of HDF5 files are."""

    def __init__(self, x, shape=None):
        self.x, self.shape, self.dtype = x, x.shape if shape is None else shape, x.dtype

    def __getitem__(self, own):
        assert isinstance(own, slice)
        return self.x[own]


def written(folder, suffix="parquet", shuffled=True, frame=FRAME):
    """A folder of four files, columns in other orders in some."""
    folder.mkdir(exist_ok=True)
    for i, (start, stop) in enumerate(itertools.pairwise(CUTS)):
        part = frame.iloc[start:stop]
        part = part[sorted(part, reverse=True)] if shuffled and i % 2 else part
        if suffix == "parquet":
            part.to_parquet(folder / f"part-{i}.parquet", row_group_size=70)
        else:
            part.to_csv(folder / f"part-{i}.csv", index=False)
    return folder


def made(name, tmp_path) -> RowSource:
    """The same rows from everywhere."""
    columns = ["a", "b", "c"]
    beside = {"weight": "times", "label": "kind"}
    if name in ("parquet", "csv"):
        return files(written(tmp_path / name, name), columns, **beside)
    if name == "pattern":
        return files(str(written(tmp_path / name) / "part-*.parquet"), columns, **beside)
    if name == "list":
        folder = written(tmp_path / name)
        return files([folder / f"part-{i}.parquet" for i in range(4)], columns, **beside)
    if name == "npy":
        np.save(tmp_path / "x.npy", np.c_[X, W, LABEL].astype(np.float32))
        return files(tmp_path / "x.npy", [0, 1, 2], weight=3, label=4)
    if name == "sliced":
        return sliced(Sliced(X), W, LABEL)
    return from_blocks(lambda: (Block(X[a:b], W[a:b], LABEL[a:b]) for a, b in itertools.pairwise(CUTS)))


NAMES = ["parquet", "csv", "pattern", "list", "npy", "sliced", "made"]


@pytest.mark.parametrize("size", [7, 64, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_from_everywhere(name, size, tmp_path):
    source = made(name, tmp_path)
    assert source.shape == (N, 3)
    assert source.dtype == (np.float64 if name == "csv" else np.float32)
    for _ in range(2):
        blocks = list(source.blocks(size))
        assert max(len(block.x) for block in blocks) <= size
        np.testing.assert_allclose(np.concatenate([block.x for block in blocks]), X, rtol=1e-6)
    np.testing.assert_array_equal(source.weights, W)
    np.testing.assert_array_equal(source.labels, LABEL)
    index = np.array([0, 3, 119, 120, 121, 299, 300, N - 1])
    np.testing.assert_allclose(source.rows_at(index), X[index], rtol=1e-6)
    assert source.rows_at(index[:0]).shape == (0, 3) if name != "made" else True


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_is_the_same_from_everywhere(name, tmp_path):
    options = {"n_init": 2, "engine": "jax", "search": "all", "dtype": "float64"}
    want = jaxgmm.fit(0, X, 2, sample_weight=W, labels=LABEL, **options)
    for cache in ("all", "none"):
        got = jaxgmm.fit(0, made(name, tmp_path), 2, cache=cache, **options)
        np.testing.assert_array_equal(got.restarts.n_iter, want.restarts.n_iter)
        np.testing.assert_allclose(got.score, want.score, rtol=1e-6 if name == "csv" else 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_answers_about_a_source_are_those_about_its_rows(name, tmp_path):
    mixture = jaxgmm.fit(0, X, 2).mixture
    source = made(name, tmp_path)
    np.testing.assert_array_equal(mixture.predict(source), mixture.predict(X))
    np.testing.assert_allclose(mixture.score_samples(source), mixture.score_samples(X), rtol=1e-5)
    np.testing.assert_allclose(mixture.responsibilities(source), mixture.responsibilities(X), atol=1e-5)
    # A source says itself how often its rows count.
    assert mixture.score(source) == pytest.approx(mixture.score(X, W), rel=1e-6)
    assert mixture.bic(source) == pytest.approx(mixture.bic(X, W), rel=1e-6)


def test_paths_and_arrays_that_are_elsewhere_are_taken_as_they_are(tmp_path):
    np.save(tmp_path / "x.npy", X)
    want = jaxgmm.fit(0, X, 2)
    assert jaxgmm.fit(0, tmp_path / "x.npy", 2).score == want.score
    assert jaxgmm.fit(0, [str(tmp_path / "x.npy")], 2).score == want.score
    assert jaxgmm.select(0, str(tmp_path / "x.npy"), (1, 2), n_init=2).n_components == 2
    assert want.mixture.score(tmp_path / "x.npy") == want.mixture.score(X)

    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["rows"] = X
        assert jaxgmm.fit(0, file["rows"], 2, cache="none", engine="jax").score == pytest.approx(want.score, rel=1e-5)
    zarr = pytest.importorskip("zarr")
    rows = zarr.open(str(tmp_path / "x.zarr"), mode="w", shape=X.shape, chunks=(64, 3), dtype="f4")
    rows[:] = X
    found = jaxgmm.fit(0, rows, 2, sample_weight=np.ones(N), cache="none", engine="jax")
    assert found.score == pytest.approx(want.score, rel=1e-5)


def test_order_of_files_and_row_groups_is_the_order_of_rows(tmp_path):
    folder = written(tmp_path / "rows")
    turned = files([folder / f"part-{i}.parquet" for i in (3, 1, 0, 2)], ["a", "b", "c"])
    wanted = np.concatenate([X[CUTS[i] : CUTS[i + 1]] for i in (3, 1, 0, 2)])
    np.testing.assert_array_equal(np.concatenate([block.x for block in turned.blocks(33)]), wanted)
    straight = jaxgmm.fit(0, X, 2, init=np.arange(N) % 2, dtype="float64").score
    other = jaxgmm.fit(0, turned, 2, init=np.concatenate([np.arange(N)[CUTS[i] : CUTS[i + 1]] % 2 for i in (3, 1, 0, 2)]), dtype="float64")  # fmt: skip
    assert other.score == pytest.approx(straight, rel=1e-12)


def test_a_file_that_there_is_no_room_to_map_is_read(tmp_path, monkeypatch):
    def no_room(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(numpy_files, "_LOOKED_AT", 64)
    monkeypatch.setattr(numpy_files.npy, "open_memmap", no_room)
    source = files(tmp_path / "x.npy", [2, 0])
    np.testing.assert_array_equal(np.concatenate([block.x for block in source.blocks(77)]), X[:, [2, 0]])
    index = np.array([0, 1, 70, 71, 499])
    np.testing.assert_array_equal(source.rows_at(index), X[index][:, [2, 0]])


# ---- what is wrong ------------------------------------------------------------------------------------------------


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    folder = written(tmp_path / "rows")
    with pytest.raises(DataError, match="rows: has no column 'd'; it has 'a', 'b', 'c'"):
        files(folder, ["a", "d"])
    with pytest.raises(DataError, match=r"part-0.parquet: column 5 \('note'\) holds .*string, not numbers"):
        jaxgmm.fit(0, files(folder), 2)
    FRAME[["a", "b"]].to_parquet(folder / "part-9.parquet")
    with pytest.raises(DataError, match=r"part-9.parquet: has no column 'c'"):
        files(folder, ["a", "b", "c"])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing: holds no file"):
        files(tmp_path / "nothing")
    with pytest.raises(DataError, match="no file matches"):
        files(str(tmp_path / "*.npz"))
    with pytest.raises(FileNotFoundError, match="absent"):
        files(tmp_path / "absent.parquet")
    for where, error in (([], ArgumentError), (3, TypeError), ([3], TypeError)):
        with pytest.raises(error, match="where must"):
            files(where)


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "must be finite, got null at row 40, column 1"), (np.inf, "must be finite, got inf at row 40")],
)
def test_a_number_that_is_none_is_told_with_its_file(value, said, tmp_path):
    spoiled = FRAME[["a", "b", "c"]].copy()
    spoiled.iloc[121 + 40, 1] = value
    with pytest.raises(DataError, match=f"part-2.parquet: {said}"):
        jaxgmm.fit(0, files(written(tmp_path / "rows", shuffled=False, frame=spoiled)), 2)


def test_a_file_that_changes_between_passes_is_refused(tmp_path):
    folder = written(tmp_path / "rows")
    source = files(folder, ["a", "b", "c"])
    list(source.blocks(100))
    FRAME.iloc[:7].to_parquet(folder / "part-2.parquet")
    with pytest.raises(DataError, match=r"part-2\.parquet: has changed since it was opened"):
        list(source.blocks(100))
    with pytest.raises(DataError, match=r"part-2\.parquet: has changed"):
        source.rows_at(np.array([200]))
    os.remove(folder / "part-2.parquet")
    with pytest.raises(FileNotFoundError, match=r"part-2\.parquet"):
        list(source.blocks(100))


def test_what_can_be_read_only_once_is_refused():
    parts = np.array_split(X, 4)
    with pytest.raises(TypeError, match="x must be rows that can be read again, got list_iterator"):
        jaxgmm.fit(0, iter(parts), 2)
    with pytest.raises(TypeError, match="function must be a function that returns a fresh iterator"):
        from_blocks(iter(parts))
    once = iter(parts)
    with pytest.raises(ArgumentError, match="function must return a fresh iterator every time"):
        from_blocks(lambda: once)
    with pytest.raises(ArgumentError, match="function must give at least one row"):
        from_blocks(lambda: [])
    with pytest.raises(TypeError, match="function must return an iterator over blocks"):
        from_blocks(lambda: 3)
    with pytest.raises(ArgumentError, match="block 2 of x must have 3 columns"):
        jaxgmm.fit(0, from_blocks(lambda: [X, X, X[:, :2]], 3 * N), 2)
    with pytest.raises(ArgumentError, match="block 0 of x must have shape"):
        from_blocks(lambda: [X[0]])


def test_sliced_arrays_that_are_none_are_refused():
    with pytest.raises(TypeError, match="x must have a shape"):
        sliced([1, 2, 3])
    with pytest.raises(ArgumentError, match="x must have shape"):
        sliced(Sliced(X, (N,)))
    with pytest.raises(ArgumentError, match="as its shape says"):
        jaxgmm.fit(0, sliced(Sliced(X, (N + 5, 3))), 2)
    with pytest.raises(ArgumentError, match="sample_weight"):
        sliced(Sliced(X), W[:-1])


@pytest.mark.parametrize("name", NAMES)
def test_fingerprints_tell_sources_apart(name, tmp_path):
    one = made(name, tmp_path).fingerprint()
    assert one == made(name, tmp_path).fingerprint()
    global X
    kept, X = X, X + 1
    spoiled = FRAME.assign(a=FRAME.a + 1)
    try:
        if name in ("parquet", "csv"):
            written(tmp_path / name, name, frame=spoiled)
            other = files(tmp_path / name, ["a", "b", "c"], weight="times", label="kind")
        elif name in ("pattern", "list"):
            other = files(written(tmp_path / name, frame=spoiled), ["a", "b", "c"], weight="times", label="kind")
        else:
            other = made(name, tmp_path)
        assert other.fingerprint() != one
    finally:
        X = kept


def test_others_stay_what_they_are():
    for x in (X, X.tolist(), FRAME[["a", "b"]], 3):
        assert opened(x, W, LABEL)[0] is x


def test_blocks_of_several_dtypes_are_never_cut_short():
    whole, real = np.zeros((50, 3), int), 0.1 * X[:50].astype(np.float64)
    source = from_blocks(lambda: [whole, real])
    assert source.dtype == np.float64
    np.testing.assert_array_equal(np.concatenate([block.x for block in source.blocks(30)]), np.r_[whole, real])
    with pytest.raises(
        ArgumentError,
        match="block 1 of x must be of int64, as those before it; got float64",
    ):
        jaxgmm.fit(0, from_blocks(lambda: [whole, real], 100), 2)
    spoiled = real.copy()
    spoiled[3, 1] = np.nan
    with pytest.raises(ArgumentError, match="x must be finite, got nan at row 53"):
        jaxgmm.fit(0, from_blocks(lambda: [whole, spoiled]), 2)
    assert from_blocks(lambda: [X[:0], X]).shape == (N, 3)


def test_what_is_kept_beside_rows_is_none_of_them(tmp_path):
    folder = written(tmp_path / "rows", "csv", shuffled=False)
    for other in (".ipynb_checkpoints", "_temporary"):
        (folder / other).mkdir()
        FRAME.to_csv(folder / other / "part-9.csv")
    FRAME.to_csv(folder / "._part-0.csv")
    assert files(folder, ["a"]).shape == (N, 1)
    FRAME.to_parquet(folder / "part-0.parquet")
    with pytest.raises(DataError, match=r"holds files of several kinds \(.csv, .parquet\)"):
        files(folder, ["a"])


def test_parts_without_rows_are_left_out(tmp_path):
    folder = written(tmp_path / "rows")
    FRAME.iloc[:0].to_parquet(folder / "part-0a.parquet")
    assert files(folder, ["a", "b"]).shape == (N, 2)
    FRAME.iloc[:0].to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none\.parquet: must hold at least one row"):
        files(tmp_path / "none.parquet", ["a"])


def test_columns_may_be_any_list_of_names_or_numbers(tmp_path):
    folder = written(tmp_path / "rows")
    for columns in (["a", "c"], ("a", "c"), np.array(["a", "c"]), pd.Index(["a", "c"]), np.array([0, 2])):
        np.testing.assert_array_equal(next(files(folder, columns).blocks(1000)).x[:50], X[:50][:, [0, 2]])
    for columns in ("a", [], [True]):
        with pytest.raises((ArgumentError, DataError), match="column"):
            files(folder, columns)
