"""`jaxgmm select`: what it prints and writes, and how it fails."""

from __future__ import annotations

import json
from functools import partial

import commands
import numpy as np
import pytest
from commands import CSV

import jaxgmm
from jaxgmm.cli.commands.select import component_range

jax_gmm = partial(commands.jax_gmm, "select")


def test_table_model_and_picture(tmp_path, faithful):
    out, report = tmp_path / "m.safetensors", tmp_path / "s.png"
    found = jax_gmm(CSV, "-k", "2:3", "--types", "tied,diag", "-r", 6, "-o", out, "--report", report)
    assert "SelectionResult(tied, 3 components, BIC 2314.3" in found.stdout
    assert str(out) in found.stdout
    assert jaxgmm.load(out).bic(faithful) == pytest.approx(2314.2957, abs=5e-2)
    assert report.read_bytes().startswith(b"\x89PNG")


def test_json_is_the_librarys(faithful):
    found = jax_gmm(CSV, "-k", "1,2,300", "--types", "tied", "-r", 2, "--criterion", "heldout", "--seed", 4, "--json")
    facts = json.loads(found.stdout)
    want = jaxgmm.select(4, faithful, (1, 2, 300), covariance_types="tied", n_init=2, criterion="heldout")
    assert facts["winner"] == {"covariance_type": "tied", "n_components": want.n_components}
    assert [cell["n_components"] for cell in facts["table"]] == [1, 2, 300]
    assert facts["table"][1]["criterion"] == pytest.approx(want.cell("tied", 2).criterion)
    assert facts["table"][1]["standard_error"] == pytest.approx(want.cell("tied", 2).standard_error)
    assert facts["table"][2]["criterion"] is None
    assert "distinct rows" in facts["table"][2]["note"]
    assert facts["best"]["n_components"] == want.n_components


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("1:4", [1, 2, 3, 4]), ("1:9:3", [1, 4, 7]), ("2,5:6", [2, 5, 6])],
)
def test_ranges(text, numbers):
    assert component_range(text) == numbers


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["-k", "5:1"], "--components (-k) must count upwards"),
        (["-k", "0:3"], "--components (-k) must count upwards"),
        (["-k", "1:2:3:4"], "--components (-k) must count upwards"),
        (["-k", "many"], "--components (-k) must be such as 1:12"),
        (["--types", "full,round"], "--types must be one of"),
        (["--types", "full,bernoulli"], "--types must name types with densities, or types with probabilities"),
        (["--criterion", "bicc"], "did you mean 'bic'?"),
        (["--report", "s.bmp"], "must end in .png"),
        (["-o", "m.txt"], "must end in .safetensors"),
        (["-k", "300"], "--components (-k) must hold a number of at most the distinct rows"),
    ],
)
def test_failures_are_one_line_and_code_2(args, complaint):
    found = jax_gmm(CSV, *args, code=2)
    assert complaint in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert found.stdout == ""


def test_rows_from_a_file_of_their_own(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32))
    facts = json.loads(jax_gmm(tmp_path / "x.npy", "-k", "1:2", "--types", "spherical", "-r", 2, "--json").stdout)
    assert facts["winner"]["n_components"] == 1
    assert facts["best"]["dtype"] == "float32"
