"""`--sort`: the order in which components are written, and all that is said of them."""

from __future__ import annotations

import json

import chex
import numpy as np
import pytest
from commands import CSV, jax_gmm

import jaxgmm


def fitted(tmp_path, *options: object, path: object = CSV) -> jaxgmm.Mixture:
    out = tmp_path / "m.safetensors"
    jax_gmm("fit", path, "-k", 3, "-r", 2, "--max-iter", 20, "-o", out, *options)
    return jaxgmm.load(out)


SORTS = {
    "weight": ([], ("weight",)),
    "mean": ([], ("mean",)),
    "mean:waiting": ([], ("mean", 1)),
    "mean:1": ([], ("mean", 1)),
    "mean: 0": (["--columns", "waiting,eruptions"], ("mean", 1)),
    "mean:eruptions": (["--columns", "waiting,eruptions"], ("mean", 1)),
}


@pytest.mark.parametrize(("sort", "columns", "wanted"), [(sort, *rest) for sort, rest in SORTS.items()])
def test_fit_writes_the_librarys_order(sort, columns, wanted, tmp_path):
    plain, found = fitted(tmp_path, *columns), fitted(tmp_path, *columns, "--sort", sort)
    chex.assert_trees_all_equal(found, plain.sorted(*wanted))


def test_not_all_orders_are_the_same(tmp_path):
    """Or the above says nothing."""
    found = fitted(tmp_path)
    assert len({tuple(found.sorted(*wanted).weights) for wanted in (("weight",), ("mean",), ("mean", 1))}) > 1
    assert any(tuple(found.sorted(*wanted).weights) != tuple(found.weights) for wanted in (("weight",), ("mean",)))


def test_labels_and_tables_are_in_that_order(tmp_path, faithful):
    found = fitted(tmp_path, "--sort", "mean:waiting")
    assert (np.diff(found.means[:, 1]) > 0).all()
    labels = jax_gmm("predict", tmp_path / "m.safetensors", CSV).stdout.splitlines()[1:]
    np.testing.assert_array_equal([int(label) for label in labels], found.predict(faithful))
    table = jax_gmm("info", tmp_path / "m.safetensors").stdout
    numbers = [
        [*map(float, line.replace("±", " ").split())]
        for line in table.splitlines()
        if "±" in line and "mean" not in line
    ]
    np.testing.assert_allclose([row[0] for row in numbers], [0, 1, 2])
    np.testing.assert_allclose([row[1] for row in numbers], found.weights, atol=1e-4)


def test_select_writes_its_winner_in_order(tmp_path):
    out = tmp_path / "m.safetensors"
    args = ["select", CSV, "-k", "2:3", "--types", "full", "-r", 2, "-o", out, "--sort", "mean:waiting", "--json"]
    facts = json.loads(jax_gmm(*args).stdout)
    found = jaxgmm.load(out)
    assert found.n_components == facts["winner"]["n_components"]
    assert (np.diff(found.means[:, 1]) > 0).all()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--sort", "wieght"], "--sort must be weight, mean or mean:FEATURE; got 'wieght'; did you mean 'weight'?"),
        (["--sort", "mean:"], "--sort must be weight, mean or mean:FEATURE; got 'mean:'"),
        (["--sort", "weight:1"], "--sort must be weight, mean or mean:FEATURE; got 'weight:1'"),
        (["--sort", "mean:2"], f"{CSV}: has no column '2'; it has 2 columns, 0 to 1: eruptions, waiting"),
        (["--sort", "mean:wating"], f"{CSV}: has no column 'wating'; it has 2 columns, 0 to 1: eruptions, waiting; did you mean 'waiting'?"),
        (["--sort", "mean:waiting", "--columns", "0"], "--sort must name a feature; column 'waiting' is none"),
        (["--sort", "mean:waiting", "--weights", "waiting"], "--sort must name a feature; column 'waiting' is none"),
        (["--sort", "mean", "--labels", "waiting"], "--sort must be left out with --labels, whose numbers are those of the components"),
    ],
)  # fmt: skip
def test_what_cannot_be_sorted_by_is_said_before_the_fit(options, complaint, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxgmm, "fit", lambda *_, **__: pytest.fail("fitted first"))
    found = jax_gmm("fit", CSV, "-k", 2, "-o", tmp_path / "m.safetensors", *options, code=2)
    assert found.stderr == f"jaxgmm: {complaint}\n"


def test_a_name_may_tell_a_header_from_a_row(tmp_path):
    """A first line with a number in it is a header if a name in it is asked for."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    (tmp_path / "x.csv").write_text("height,2020\n" + "".join(f"{a},{b}\n" for a, b in x))
    found = fitted(tmp_path, "--sort", "mean:height", path=tmp_path / "x.csv")
    assert (np.diff(found.means[:, 0]) > 0).all()


@pytest.mark.filterwarnings("default::RuntimeWarning:jaxgmm")
def test_warnings_name_components_as_they_are_written(tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(200, 2)), np.full((40, 2), 9.0), rng.normal(size=(150, 2)) - 9])
    np.save(tmp_path / "x.npy", x)
    heard = set()
    for sort in ("weight", "mean"):
        out = tmp_path / "m.safetensors"
        said = jax_gmm("fit", tmp_path / "x.npy", "-k", 3, "-r", 2, "-o", out, "--sort", sort).stderr
        assert said.count("values that repeat, or than the ridge") == 1, said
        spike = int(np.argmin(np.linalg.norm(jaxgmm.load(out).means - 9, axis=1)))
        assert f"component {spike} is no wider" in said
        heard.add(spike)
    assert heard == {2}
    said = jax_gmm("fit", tmp_path / "x.npy", "-k", 3, "-r", 2, "-o", out).stderr
    assert said.count("values that repeat, or than the ridge") == 1
