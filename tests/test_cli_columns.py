"""`--columns`, `--weights`, `--labels`: which columns are what, in every kind of file."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow
import pytest
from commands import block, jax_gmm
from pyarrow import parquet

import jaxgmm
from jaxgmm.cli.data import DataError, Source
from jaxgmm.inputs.wording import Wording

NAMES = ["name", "height", "weight", "w", "group"]
ROWS = [["a", 1.5, 60, 1, 0], ["b,c", 1.75, 70, 0, None], ["d", 2.0, 80, 2.5, 1]]
X = np.array([[1.5, 60], [1.75, 70], [2.0, 80]])


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """A table with text, weights and labels beside the features."""
    path = tmp_path / f"rows.{request.param}"
    if request.param == "csv":
        lines = [
            ",".join("" if cell is None else f'"{cell}"' if cell == "b,c" else str(cell) for cell in row)
            for row in [NAMES, *ROWS]
        ]
        path.write_text("\n".join(lines))
    else:
        parquet.write_table(
            pyarrow.table(dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))), path, row_group_size=2
        )
    return path


def numpys_file(folder, suffix):
    x = np.column_stack([np.arange(3), X, [1, 0, 2.5], [0, -1, 1]])
    path = folder / f"rows.{suffix}"
    np.save(path, x) if suffix == "npy" else np.savez_compressed(path, x)
    return path


@pytest.mark.parametrize(
    ("columns", "wanted", "names"),
    [
        ("height,weight", X, ["height", "weight"]),
        ("weight,height", X[:, ::-1], ["weight", "height"]),
        ("2", X[:, 1:], ["weight"]),
        ("1:2", X, ["height", "weight"]),
        ("height:2", X, ["height", "weight"]),
        (' "height" ', X[:, :1], ["height"]),
        ("3,height", np.column_stack([[1, 0, 2.5], X[:, 0]]), ["w", "height"]),
    ],
)
def test_columns_by_name_number_and_range(table, columns, wanted, names):
    found = Source(table, columns=columns)
    np.testing.assert_array_equal(found.read().x, wanted)
    assert found.n_features == wanted.shape[1]
    assert found.feature_names == names


def test_weights_and_labels_are_no_features(table):
    found = block(table, columns="height,weight", weights="w", labels="group")
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.weights, [1, 0, 2.5])
    np.testing.assert_array_equal(found.labels, [0, -1, 1])


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_numpys_files_by_number(suffix, tmp_path):
    path = numpys_file(tmp_path, suffix)
    np.testing.assert_array_equal(block(path, columns="2,1").x, X[:, ::-1])
    np.testing.assert_array_equal(block(path, columns="1:2").x, X)
    found = block(path, weights="3", labels="4")
    np.testing.assert_array_equal(found.x, np.column_stack([np.arange(3), X]))
    np.testing.assert_array_equal(found.weights, [1, 0, 2.5])
    np.testing.assert_array_equal(found.labels, [0, -1, 1])


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet"])
def test_weights_and_labels_from_files_of_their_own(suffix, tmp_path):
    path, beside = numpys_file(tmp_path, "npy"), tmp_path / f"w.{suffix}"
    if suffix in ("npy", "npz"):
        (np.save if suffix == "npy" else np.savez)(beside, np.array([1, 0, 2]))
    elif suffix == "csv":
        beside.write_text("w\n1\n0\n2\n")
    else:
        parquet.write_table(pyarrow.table({"w": [1, 0, 2]}), beside)
    found = block(path, weights=str(beside), labels=str(beside))
    np.testing.assert_array_equal(found.weights, [1, 0, 2])
    np.testing.assert_array_equal(found.labels, [1, 0, 2])
    assert found.x.shape == (3, 5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"columns": "heigth"}, "has no column 'heigth'; it has 5 columns, 0 to 4: name, height, weight, w, group; did you mean 'height'?"),
        ({"columns": "5"}, "has no column '5'; it has 5 columns, 0 to 4"),
        ({"columns": "1:7"}, "has no column '7'"),
        ({"columns": "-1"}, "has no column '-1'"),
        ({"columns": "2:1"}, "must count upwards"),
        ({"columns": "1,,2"}, "must be a list such as"),
        ({"columns": ""}, "--columns must name a column at least"),
        ({"columns": "0", "weights": ""}, "--weights must name a column of DATA or a file, got ''"),
        ({"columns": "height,1"}, "must name a column once, got 'height' twice"),
        ({"columns": "height,w", "weights": "w"}, "--columns and --weights must name different columns; both name column 3"),
        ({"columns": "height", "weights": "w", "labels": "w"}, "must name different columns; both name column 3"),
        ({"columns": "height", "weights": "wiehgt"}, "did you mean 'weight'?"),
        ({"columns": "height", "n_features": 2}, "must have 2 columns, as the mixture has features; got 1"),
    ],
)  # fmt: skip
def test_columns_that_are_not_there(table, options, complaint):
    with pytest.raises(ValueError, match="column") as caught:
        block(table, **options)
    assert complaint in str(caught.value)


def test_columns_without_names_go_by_number(tmp_path):
    (tmp_path / "x.csv").write_text("a,1,2\nb,3,4\n")
    np.testing.assert_array_equal(block(tmp_path / "x.csv", columns="1:2").x, [[1, 2], [3, 4]])
    for path in (tmp_path / "x.csv", numpys_file(tmp_path, "npy")):
        with pytest.raises(
            DataError, match=r"has no column 'height'; it has .* columns, 0 to .*, and no names for them"
        ):
            block(path, columns="height")


def test_a_header_may_hold_numbers_if_a_name_in_it_is_asked_for(tmp_path):
    (tmp_path / "x.csv").write_text("height,2020\n1,2\n3,4\n")
    np.testing.assert_array_equal(block(tmp_path / "x.csv", columns="height").x, [[1], [3]])
    with pytest.raises(DataError, match=r":1:1: 'height' is not a number; if the line is a header"):
        block(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "options", "where"),
    [
        ("a,b\nx,1\ny,z\n", {"columns": "b"}, r"x.csv:3:2: 'z' is not a number"),
        ("a,b\nx,1\ny,inf\n", {"columns": "b"}, r"x.csv:3:2: 'inf' is not finite"),
        ("a,b\nx,1\ny\n", {"columns": "a"}, r"x.csv:2:1: 'x' is not a number"),
        ("a,b\n3,1\n4\n", {"columns": "a"}, r"x.csv:3:2: 1 field, where earlier rows have 2"),
        ("a,b\n3,1\n4,5,6\n", {"columns": "a"}, r"x.csv:3:3: 3 fields, where earlier rows have 2"),
        ("a,b\n3,1\n4,-2\n", {"weights": "b"}, r"x.csv:3:2: '-2' is not a weight, which is finite and at least 0"),
        ("a,b\n3,1\n4,\n", {"weights": "b"}, r"x.csv:3:2: an empty field is not a number"),
        ("a,b\n3,1\n4,1.5\n", {"labels": "b"}, r"x.csv:3:2: '1.5' is not a label"),
        ("a,b\n3,1\n4,red\n", {"labels": "b"}, r"x.csv:3:2: 'red' is not a label"),
        ("a,b\n3,1\n4,-2\n", {"labels": "b"}, r"x.csv:3:2: '-2' is not a label"),
        ("a,b\n3,1\n4,1_0\n", {"labels": "b"}, r"x.csv:3:2: '1_0' is not a label"),
        ("a,b\n3,1\n,2\n", {"labels": "b"}, r"x.csv:3:1: an empty field is not a number"),
        ("a\n3\n", {"labels": "a"}, r"x.csv: has no column that is left as a feature"),
    ],
)
def test_faults_of_text_in_the_columns_that_are_read(text, options, where, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=where):
        block(tmp_path / "x.csv", **options)


@pytest.mark.parametrize(
    ("column", "options", "where"),
    [
        (
            [1.0, np.nan, 2.0],
            {"columns": "1"},
            "must be finite, got nan at row 1, column 1; drop or fill such rows first",
        ),
        ([1.0, 2.0, -1.0], {"weights": "1"}, "weights must be finite and at least 0, got -1.0 at row 2, column 1"),
        (
            [1.0, 0.5, -1.0],
            {"labels": "1"},
            "labels must be integers of at least 0, or -1 where unknown, got 0.5 at row 1",
        ),
    ],
)
def test_faults_of_numpys_files(column, options, where, tmp_path):
    np.save(tmp_path / "x.npy", np.column_stack([np.arange(3), column]))
    with pytest.raises(DataError) as caught:
        block(tmp_path / "x.npy", **options)
    assert str(caught.value).startswith(f"{tmp_path / 'x.npy'}: {where}")


def test_files_of_weights_that_do_not_fit(tmp_path):
    path = numpys_file(tmp_path, "npy")
    np.save(tmp_path / "w.npy", np.ones(4))
    with pytest.raises(DataError, match=rf"w.npy: holds 4 rows, where {path} holds 3"):
        block(path, weights=str(tmp_path / "w.npy"))
    np.save(tmp_path / "w.npy", np.ones((3, 2)))
    with pytest.raises(DataError, match=r"w.npy: must hold one column, the weights; got 2"):
        block(path, weights=str(tmp_path / "w.npy"))
    with pytest.raises(FileNotFoundError):
        block(path, weights=str(tmp_path / "absent.csv"))


# ---- commands -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weighted(tmp_path_factory, faithful):
    """Old Faithful with weights 0, 1, 2, … and labels for some rows, and the rows that this amounts to."""
    folder = tmp_path_factory.mktemp("weighted")
    w, labels = np.arange(len(faithful)) % 3, np.where(np.arange(len(faithful)) % 5, -1, faithful[:, 0] > 3)
    names = "eruptions,waiting,w,known"
    np.savetxt(folder / "rows.csv", np.column_stack([faithful, w, labels]), "%.17g", ",", header=names, comments="")
    return folder, w, labels


def test_fit_with_weights_is_the_librarys(weighted, faithful, tmp_path):
    folder, w, _ = weighted
    np.save(tmp_path / "w.npy", w)
    args = ["fit", folder / "rows.csv", "-k", 2, "-r", 2, "--columns", "0:1", "--json"]
    facts = json.loads(jax_gmm(*args, "--weights", "w", "-o", tmp_path / "m.safetensors").stdout)
    other = json.loads(jax_gmm(*args, "--weights", tmp_path / "w.npy", "-o", tmp_path / "n.safetensors").stdout)
    want = jaxgmm.fit(0, faithful, 2, n_init=2, sample_weight=w)
    np.testing.assert_array_equal(jaxgmm.load(tmp_path / "m.safetensors").means, want.mixture.means)
    assert facts["bic"] == pytest.approx(want.mixture.bic(faithful, w), rel=1e-6)
    assert other["score"] == facts["score"] == want.score


def test_score_with_weights_is_the_librarys(weighted, faithful, tmp_path):
    folder, w, _ = weighted
    mixture = jaxgmm.Mixture.create([0.4, 0.6], [[2, 54], [4.3, 80]], [np.diag([0.1, 30]), np.diag([0.2, 30])])
    jaxgmm.save(tmp_path / "m.safetensors", mixture)
    args = [
        "score",
        tmp_path / "m.safetensors",
        folder / "rows.csv",
        "--columns",
        "eruptions,waiting",
        "--weights",
        "w",
    ]
    facts = json.loads(jax_gmm(*args, "--json").stdout)
    for name in ("score", "log_likelihood", "bic"):
        assert facts[name] == pytest.approx(getattr(mixture, name)(faithful, w), rel=1e-12)
    assert facts["total_weight"] == w.sum()
    assert f"over 272 rows of total weight {w.sum()}" in jax_gmm(*args).stdout
    np.save(tmp_path / "none.npy", np.zeros(272))
    refused = jax_gmm(
        "score",
        tmp_path / "m.safetensors",
        folder / "rows.csv",
        "--columns",
        "0:1",
        "--weights",
        tmp_path / "none.npy",
        code=2,
    )
    assert "at least one row of positive weight" in refused.stderr


def test_select_with_weights_is_the_librarys(weighted, faithful):
    folder, w, _ = weighted
    args = [
        "select",
        folder / "rows.csv",
        "--columns",
        "0:1",
        "--weights",
        "w",
        "-k",
        "1:2",
        "--types",
        "tied",
        "-r",
        2,
        "--json",
    ]
    facts = json.loads(jax_gmm(*args).stdout)
    want = jaxgmm.select(0, faithful, (1, 2), covariance_types="tied", n_init=2, sample_weight=w)
    assert facts["table"][1]["criterion"] == pytest.approx(want.cell("tied", 2).criterion)


def test_fit_with_labels_is_the_librarys(weighted, faithful, tmp_path):
    folder, _, labels = weighted
    args = ["fit", folder / "rows.csv", "-k", 2, "-r", 2, "--columns", "0:1", "-o", tmp_path / "m.safetensors"]
    jax_gmm(*args, "--labels", "known")
    want = jaxgmm.fit(0, faithful, 2, n_init=2, labels=labels)
    np.testing.assert_array_equal(jaxgmm.load(tmp_path / "m.safetensors").means, want.mixture.means)


def test_labels_reach_the_library(weighted, tmp_path, monkeypatch):
    folder, _, labels = weighted

    def fit(*_, **options):
        np.testing.assert_array_equal(options["labels"], labels)
        raise jaxgmm.FitError(Wording("{labels} came"))

    monkeypatch.setattr(jaxgmm, "fit", fit)
    args = [
        "fit",
        folder / "rows.csv",
        "-k",
        2,
        "--columns",
        "0:1",
        "--labels",
        "known",
        "-o",
        tmp_path / "m.safetensors",
    ]
    assert jax_gmm(*args, code=3).stderr == "jaxgmm: --labels came\n"


@pytest.mark.parametrize(
    ("text", "columns", "complaint"),
    [
        ('a,t\n1,x\n2,"y\n3,z\n', "a", ":3: a quotation mark is not closed"),
        ("name,1,a\n3,1,2\n4,2,3\n", "1", ":1:1: text where the next line has a number"),
        ("a,a,b\n1,2,3\n", "a,b", ": holds two columns 'a'"),
        ("0,1\n1.5,2\n", "0", ":1: 0,1 may be a header or a row"),
        (",0\n0,1.5\n", "1", ":1: ,0 may be a header or a row"),
        ("a,b,c\n1,2\n", "0", ":1: a header must have a name for each column, got 3 fields where line 2 has 2"),
        ("title\n\n1,2\n", None, ":1: a header must have a name for each column, got 1 field where line 3 has 2"),
    ],
)
def test_nothing_is_lost_or_taken_for_something_else_silently(text, columns, complaint, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{path}{complaint}")):
        block(path, columns=columns)
