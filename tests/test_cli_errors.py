"""How commands fail: always one line, and the code that says what kind of failure it was."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from typer.testing import CliRunner

import jaxgmm
from jaxgmm.cli.app import app

CSV = str(DATA / "faithful.csv")


def jax_gmm(*args: object, code: int = 0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


def _bad_files(folder: Path) -> None:
    whole = np.arange(40.0).reshape(-1, 2)
    np.save(folder / "good.npy", whole)
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:-9])
    np.save(folder / "objects.npy", np.array([[1, "a"]], object), allow_pickle=True)
    (folder / "garbage.npy").write_bytes(b"no such thing")
    np.savez(folder / "two.npz", a=whole, b=whole)
    (folder / "cut.npz").write_bytes((folder / "two.npz").read_bytes()[:100])
    np.save(folder / "flat.npy", np.arange(3.0))
    np.save(folder / "nan.npy", np.where(whole == 3, np.nan, whole))
    np.save(folder / "wide.npy", np.ones((4, 3)))
    (folder / "ragged.csv").write_text("1,2\n3\n")
    (folder / "latin.csv").write_bytes(b"1,2\n3,\xe9\n")
    (folder / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    jaxgmm.save(folder / "batch.safetensors", jaxgmm.fit(0, whole, 1, n_init=2, max_iter=1).mixtures)
    (folder / "folder.npy").mkdir()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    _bad_files(folder)
    return folder


FIT = "fit good.npy -k 2 -o m.safetensors"


@pytest.mark.parametrize(
    ("command", "naming"),
    [
        ("fit absent.npy -k 2 -o m.safetensors", "absent.npy: No such file"),
        ("fit folder.npy -k 2 -o m.safetensors", "folder.npy: is a folder"),
        ("fit good.dat -k 2 -o m.safetensors", "must end in"),
        ("fit cut.npy -k 2 -o m.safetensors", "cut.npy: cannot be read"),
        ("fit objects.npy -k 2 -o m.safetensors", "never unpickled"),
        ("fit garbage.npy -k 2 -o m.safetensors", "never unpickled"),
        ("fit cut.npz -k 2 -o m.safetensors", "cut.npz: cannot be read"),
        ("fit two.npz -k 2 -o m.safetensors", "--array; it holds a, b"),
        ("fit two.npz --array c -k 2 -o m.safetensors", "no array 'c'"),
        ("fit good.npy --array c -k 2 -o m.safetensors", "--array names an array in a .npz"),
        ("fit flat.npy -k 2 -o m.safetensors", "flat.npy must have shape (n, d)"),
        ("fit nan.npy -k 2 -o m.safetensors", "got nan at row 1, column 1"),
        ("fit ragged.csv -k 2 -o m.safetensors", "ragged.csv:2:2"),
        ("fit latin.csv -k 2 -o m.safetensors", "not text in UTF-8"),
        ("fit good.npy -k 99 -o m.safetensors", "n_components must be at most the number of rows"),
        ("fit good.npy -k 0 -o m.safetensors", "--components"),
        ("fit good.npy -k two -o m.safetensors", "--components"),
        ("fit good.npy -o m.safetensors", "--components"),
        ("fit good.npy -k 2", "--out"),
        (f"{FIT} --covariance ful", "did you mean 'full'?"),
        (f"{FIT} --covariance bernoulli", "only 0 and 1"),
        (f"{FIT} --driver sgd", "--driver must be one of"),
        (f"{FIT} --kernel fast", "--kernel must be one of"),
        (f"{FIT} --dtype float16", "--dtype must be one of"),
        (f"{FIT} --init kmean", "did you mean 'kmeans'?"),
        (f"{FIT} --init batch.safetensors", "holds a batch"),
        (f"{FIT} --tol -1", "--tol"),
        (f"{FIT} --tol nan", "tol"),
        (f"{FIT} --learning-rate 0.1", "--learning-rate is for --driver adam"),
        (f"{FIT} --bogus", "--bogus"),
        ("fit good.npy -k 2 -o m.pickle", "must end in .safetensors"),
        ("fit good.npy -k 2 -o no/where/m.safetensors", "cannot be written: No such file or directory"),
        (f"{FIT} --report r.txt", "must end in .png"),
        (f"{FIT} --report no/r.png", "cannot be written"),
        ("info absent.safetensors", "absent.safetensors: No such file"),
        ("info bad.safetensors", "not a jaxgmm model file"),
        ("info batch.safetensors", "holds a batch"),
        ("score good.safetensors wide.npy", "must have 2 columns"),
        ("predict good.safetensors wide.npy", "must have 2 columns"),
        ("predict good.safetensors good.npy -o good.npy", "would be written over"),
        ("predict good.safetensors good.npy -o folder.npy", "not a plain file"),
        ("predict good.safetensors good.npy -o labels.txt", "must end in"),
        ("sample good.safetensors -n 0", "'-n'"),
        ("nonsense", "nonsense"),
        ("demo --out good.npy", "good.npy"),
    ],
)
def test_bad_input_is_one_line_and_code_2(command, naming, files, monkeypatch):
    monkeypatch.chdir(files)
    jaxgmm.save("good.safetensors", jaxgmm.load("batch.safetensors")[0])
    found = jax_gmm(*command.split(), code=2)
    assert found.stdout == ""
    lines = found.stderr.splitlines()
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("jaxgmm: ")
    assert naming in lines[0]
    assert not Path("m.safetensors").exists()


def test_a_fit_that_fails_is_code_3(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise jaxgmm.FitError("no restart stayed finite")

    monkeypatch.setattr(jaxgmm, "fit", fail)
    found = jax_gmm("fit", CSV, "-k", 2, "-o", tmp_path / "m.safetensors", code=3)
    assert found.stderr == "jaxgmm: no restart stayed finite\n"


def test_what_nobody_foresaw_is_still_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxgmm, "fit", lambda *args, **options: 1 / 0)
    found = jax_gmm("fit", CSV, "-k", 2, "-o", tmp_path / "m.safetensors", code=1)
    assert found.stderr == "jaxgmm: unexpected ZeroDivisionError: division by zero\n"


@pytest.mark.parametrize(
    ("absent", "command", "extra"),
    [
        ("typer", "--help", "cli"),
        ("rich", "--help", "cli"),
        ("matplotlib", f"fit '{CSV}' -k 2 -o m.safetensors --report r.png", "plot"),
        ("matplotlib", "demo", "plot"),
    ],
)
def test_missing_extras_are_named(absent, command, extra, tmp_path):
    # None in sys.modules is what makes Python say that there is no such module.
    code = f"import sys; sys.modules[{absent!r}] = None; sys.argv[1:] = {shlex.split(command)!r}\n"
    code += "from jaxgmm.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"pip install 'jaxgmm[{extra}]'" in done.stderr
    assert not list(tmp_path.glob("*"))
