"""`jaxgmm anomalies`: which rows it calls anomalous, and what it writes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import CSV, jax_gmm
from pyarrow import parquet
from scipy.stats import chi2

import jaxgmm
from jaxgmm import GaussianMixture, GaussianMixtureOutlierDetector
from jaxgmm.cli.commands import common

# The standard normal in the plane, where log p(x) = −log 2π − |x|²/2.
ROUND = jaxgmm.Mixture.create([1.0], [[0.0, 0.0]], [np.eye(2)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model, rows, and their log-densities by the formula."""
    folder = tmp_path_factory.mktemp("anomalies")
    x = np.random.default_rng(3).normal(size=(1000, 2))
    jaxgmm.save(folder / "m.safetensors", ROUND)
    np.savetxt(folder / "x.csv", x, "%.17g", ",", header="a,label", comments="")
    return folder / "m.safetensors", folder / "x.csv", x, -np.log(2 * np.pi) - (x**2).sum(axis=1) / 2


def table(text: str) -> np.ndarray:
    header, *lines = text.splitlines()
    return np.array(
        [tuple(map(float, line.split(","))) for line in lines], [(name, float) for name in header.split(",")]
    )


def test_below_a_threshold_is_an_anomaly(files):
    model, path, _, density = files
    found = table(jax_gmm("anomalies", model, path, "--threshold", -5).stdout)
    np.testing.assert_array_equal(found["row"], np.arange(1000))
    np.testing.assert_allclose(found["log_density"], density, rtol=1e-12)
    np.testing.assert_array_equal(found["anomaly"], density < -5)
    assert 0 < found["anomaly"].sum() < 100


@pytest.mark.parametrize("block", [1 << 16, 256])
@pytest.mark.parametrize(
    ("options", "share"), [([], 0.05), (["--contamination", 0.013], 0.013), (["--quantile", "rows"], 0.05)]
)
def test_a_share_of_the_rows(options, share, block, files, monkeypatch):
    monkeypatch.setattr(common, "_LARGEST_BLOCK", block)
    model, path, _, density = files
    found = table(jax_gmm("anomalies", model, path, *options).stdout)
    assert found["anomaly"].sum() == round(1000 * share)
    np.testing.assert_array_equal(found["anomaly"], density < np.sort(density)[round(1000 * share)])


def test_a_share_of_sound_rows(files):
    model, path, _, density = files
    args = ["anomalies", model, path, "--contamination", 0.01, "--quantile", "mixture", "--seed", 5, "--json"]
    facts = json.loads(jax_gmm(*args).stdout)
    assert facts["threshold"] == pytest.approx(-np.log(2 * np.pi) - chi2(2).isf(0.01) / 2, abs=0.3)
    assert facts["n_anomalies"] == (density < facts["threshold"]).sum()
    assert facts["share"] == facts["n_anomalies"] / 1000
    assert facts["n_rows"] == 1000


def test_the_detector_says_the_same(tmp_path, faithful):
    detector = GaussianMixtureOutlierDetector(GaussianMixture(2, random_state=0), contamination=0.1).fit(faithful)
    detector.mixture_.save(tmp_path / "m.safetensors")
    found = table(jax_gmm("anomalies", tmp_path / "m.safetensors", CSV, "--contamination", 0.1).stdout)
    np.testing.assert_array_equal(found["anomaly"] == 1, detector.predict(faithful) == -1)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz", "npy"])
def test_files(suffix, files, tmp_path):
    model, path, x, density = files
    out = tmp_path / f"a.{suffix}"
    told = jax_gmm("anomalies", model, path, "--threshold", -5, "--with-rows", "--only", "-o", out).stdout
    rows = np.flatnonzero(density < -5)
    assert told == f"{len(rows)} of 1000 rows are anomalies: log p(x) < -5\nwritten  {out}\n"
    if suffix == "npy":
        np.testing.assert_array_equal(np.load(out), rows)
        return
    if suffix == "npz":
        with np.load(out) as held:
            got = [held["row"], held["log_density"], *held["x"].T]
    elif suffix == "csv":
        got = list(np.loadtxt(out, delimiter=",", skiprows=1).T)
        assert out.read_text().startswith("row,log_density,a,label\n")
    else:
        held = parquet.read_table(out)
        assert held.column_names == ["row", "log_density", "a", "label"]
        got = [held[name].to_numpy() for name in held.column_names]
    for column, wanted in zip(got, [rows, density[rows], *x[rows].T], strict=True):
        np.testing.assert_allclose(column, wanted, rtol=1e-12)


def test_none_at_all_is_a_table_all_the_same(files, tmp_path):
    model, path, _, _ = files
    for suffix in ("csv", "parquet", "npy", "npz"):
        jax_gmm("anomalies", model, path, "--threshold", -999, "--only", "-o", tmp_path / f"a.{suffix}")
    assert (tmp_path / "a.csv").read_text() == "row,log_density\n"
    assert parquet.read_table(tmp_path / "a.parquet").num_rows == 0
    assert np.load(tmp_path / "a.npy").shape == (0,)
    assert jax_gmm("anomalies", model, path, "--threshold", -999, "--only").stdout == "row,log_density\n"


def test_json_beside_a_file(files, tmp_path):
    model, path, _, density = files
    facts = json.loads(jax_gmm("anomalies", model, path, "--threshold", -5, "-o", tmp_path / "a.npy", "--json").stdout)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), density < -5)
    assert facts == {
        "threshold": -5.0,
        "n_rows": 1000,
        "n_anomalies": (density < -5).sum(),
        "out": str(tmp_path / "a.npy"),
        "share": (density < -5).mean(),
    }


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--threshold -5 --contamination 0.1", "--threshold leaves nothing to --contamination"),
        ("--threshold -5 --quantile rows", "--threshold leaves nothing to"),
        ("--threshold nan", "--threshold must be a number, got nan"),
        ("--contamination 0", "--contamination must be above 0 and at most 0.5, got 0"),
        ("--contamination 0.6", "--contamination must be above 0 and at most 0.5, got 0.6"),
        ("--contamination nan", "--contamination must be above 0"),
        ("--quantile row", "did you mean 'rows'?"),
        ("-o a.txt", "must end in .csv or .parquet"),
        ("--columns a", "must have 2 columns, as the mixture has features; got 1"),
    ],
)
def test_bad_options_are_one_line_and_code_2(options, complaint, files):
    found = jax_gmm("anomalies", *files[:2], *options.split(), code=2)
    assert complaint in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert found.stdout == ""
