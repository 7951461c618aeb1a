"""What commands write of rows: the library's answers, block by block, in every format; whole or not at all."""

from __future__ import annotations

import io

import numpy as np
import pytest
from commands import jax_gmm
from pyarrow import parquet

import jaxgmm
from jaxgmm.cli.commands import common
from jaxgmm.tables import spool

FORMATS = ["csv", "parquet", "npz", "npy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two thousand rows in three features, the same ones as text and as numbers, and a model of them."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2000, 3)) + 3 * rng.integers(0, 2, (2000, 1))).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "x.csv", x, "%.17g", ",", header="a,b,label", comments="")
    np.savetxt(folder / "bad.csv", np.where(np.arange(2000)[:, None] == 1999, np.nan, x), "%.9g", ",")
    scales = np.tile(np.eye(3), (2, 1, 1))
    for dtype in ("float32", "float64"):
        mixture = jaxgmm.Mixture.create([0.5, 0.5], [[0.0] * 3, [3.0] * 3], scales, dtype=dtype)
        jaxgmm.save(folder / f"{dtype}.safetensors", mixture)
    return folder


@pytest.fixture(params=[256, 1 << 16], ids=["many blocks", "one block"])
def small_blocks(request, monkeypatch):
    monkeypatch.setattr(common, "_LARGEST_BLOCK", request.param)
    monkeypatch.setattr(spool, "_IN_MEMORY", 4 * request.param)


def columns(path) -> dict[str, np.ndarray]:
    """A table's columns by their names; those of a .npy have none."""
    match path.suffix:
        case ".csv":
            with open(path) as file:
                names = file.readline().strip().split(",")
                return dict(zip(names, np.loadtxt(file, delimiter=",", ndmin=2).T, strict=True))
        case ".parquet":
            held = parquet.read_table(path)
            return {name: held[name].to_numpy() for name in held.column_names}
        case ".npz":
            with np.load(path) as held:
                return dict(held)
    return {"": np.load(path)}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("rows", ["x.npy", "x.csv"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_predict(suffix, rows, folder, tmp_path):
    x = np.load(folder / "x.npy").astype(np.float32 if rows == "x.npy" else np.float64)
    mixture = jaxgmm.load(folder / "float32.safetensors")
    out = tmp_path / f"p.{suffix}"
    jax_gmm("predict", folder / "float32.safetensors", folder / rows, "-o", out)
    labels, shares = mixture.predict(x), mixture.responsibilities(x)
    np.testing.assert_array_equal(columns(out)[{"npz": "labels", "npy": ""}.get(suffix, "label")], labels)
    jax_gmm("predict", folder / "float32.safetensors", folder / rows, "--responsibilities", "--with-rows", "-o", out)
    found = columns(out)
    if suffix == "npy":
        np.testing.assert_allclose(found[""], shares, rtol=1e-6)
    elif suffix == "npz":
        for name, want in (("labels", labels), ("responsibilities", shares), ("x", x)):
            np.testing.assert_allclose(found[name], want, rtol=1e-6)
            assert found[name].dtype == (np.int32 if name == "labels" else want.dtype)
    else:
        names = (
            ["x0", "x1", "x2", "label", "r0", "r1"] if rows == "x.npy" else ["a", "b", "label", "label_", "r0", "r1"]
        )
        assert list(found) == names
        for column, want in zip(found.values(), [*x.T, labels, *shares.T], strict=True):
            np.testing.assert_allclose(column.astype(want.dtype), want, rtol=1e-6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", FORMATS)
def test_scores_of_rows(suffix, folder, tmp_path):
    out, mixture = tmp_path / f"s.{suffix}", jaxgmm.load(folder / "float64.safetensors")
    jax_gmm("score", folder / "float64.safetensors", folder / "x.csv", "--rows", "-o", out)
    (found,) = columns(out).values()
    assert found.dtype == np.float64
    want = mixture.score_samples(np.load(folder / "x.npy").astype(np.float64))
    np.testing.assert_allclose(found, want, rtol=1e-13)


@pytest.mark.parametrize("suffix", FORMATS)
def test_samples(suffix, folder, tmp_path):
    out, mixture = tmp_path / f"s.{suffix}", jaxgmm.load(folder / "float32.safetensors")
    jax_gmm("sample", folder / "float32.safetensors", "-n", 50, "--seed", 3, "-o", out)
    rows, labels = mixture.sample(3, 50)
    found = columns(out)
    if suffix == "npz":
        np.testing.assert_array_equal(found.pop("labels"), labels)
    x = np.column_stack(list(found.values())).astype(np.float32)
    np.testing.assert_array_equal(x, rows)


def test_samples_in_blocks_are_those_drawn_at_once():
    mixture = jaxgmm.Mixture.create([0.5, 0.5], np.zeros((2, 1000)), np.ones((2, 1000)), covariance_type="diag")
    parts = list(mixture.sample_blocks(0, 10))
    assert [len(rows) for rows, _ in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in parts]), mixture.sample(0, 10)[0])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("command", [["predict"], ["score", "--rows"], ["anomalies", "--threshold", 0]])
def test_a_fault_in_the_last_row_leaves_what_was_there(command, suffix, folder, tmp_path):
    out = tmp_path / f"p.{suffix}"
    out.write_text("precious")
    name, *options = command
    found = jax_gmm(name, folder / "float64.safetensors", folder / "bad.csv", *options, "-o", out, code=2)
    assert found.stderr == f"jaxgmm: {folder / 'bad.csv'}:2000:1: 'nan' is not finite\n"
    assert out.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_interrupted_there_is_no_file(suffix, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "_LARGEST_BLOCK", 256)
    asked = []

    def predict(mixture, x):
        asked.append(len(x))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return np.zeros(len(x), int)

    monkeypatch.setattr(jaxgmm.Mixture, "predict", predict)
    out = tmp_path / f"p.{suffix}"
    found = jax_gmm("predict", folder / "float32.safetensors", folder / "x.npy", "-o", out, code=130)
    assert found.stderr == "jaxgmm: interrupted; nothing was written\n"
    assert asked == [256] * 3
    assert not list(tmp_path.iterdir())


def test_densities_keep_their_width_however_far_a_row(folder, tmp_path):
    """float32 cannot say how unlikely the last row is; the first block does not know that yet."""
    x = np.zeros((300, 3), np.float32)
    x[299] = 1e25
    np.save(tmp_path / "x.npy", x)
    for suffix in FORMATS:
        out = tmp_path / f"s.{suffix}"
        jax_gmm("score", folder / "float32.safetensors", tmp_path / "x.npy", "--rows", "-o", out)
        (found,) = columns(out).values()
        np.testing.assert_array_equal(found, jaxgmm.load(folder / "float32.safetensors").score_samples(x))
        assert found[299] < -1e49


def test_bernoulli_rows_at_fault_count_from_the_files_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "_LARGEST_BLOCK", 256)
    mixture = jaxgmm.Mixture.create([1.0], [[0.5]], covariance_type="bernoulli")
    jaxgmm.save(tmp_path / "m.safetensors", mixture)
    np.save(tmp_path / "x.npy", np.where(np.arange(600) == 555, 2, 1)[:, None])
    found = jax_gmm("score", tmp_path / "m.safetensors", tmp_path / "x.npy", code=2)
    assert (
        found.stderr
        == f"jaxgmm: {tmp_path / 'x.npy'}: must hold only 0 and 1 for --covariance bernoulli, got 2 at row 555, column 0\n"
    )


def test_a_spool_in_a_file_is_the_array(monkeypatch):
    x = np.random.default_rng(0).normal(size=(100, 3))
    held = spool.Spool(in_memory=500)
    for start in range(0, 100, 7):
        held.append(np.asfortranarray(x[start : start + 7]))
    assert isinstance(held.array(), np.memmap)
    np.testing.assert_array_equal(held.array(), x)


def test_a_full_disk_names_what_to_change(monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    held = spool.Spool(in_memory=10)
    with pytest.raises(OSError, match=r"No space left on device.* TMPDIR names another"):
        held.append(np.zeros(10))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [("-o s.csv", "--out is for --rows"), ("--rows --weights 0", "--weights has no part in --rows"), ("--rows --json -o s.csv", "--json prints what --out would write")],
)  # fmt: skip
def test_options_of_score_that_contradict_each_other(options, complaint, folder):
    found = jax_gmm("score", folder / "float32.safetensors", folder / "x.npy", *options.split(), code=2)
    assert complaint in found.stderr
