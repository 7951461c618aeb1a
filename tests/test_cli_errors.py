"""How commands fail: always one line, and the code that says what kind of failure it was."""

from __future__ import annotations

import ast
import errno
import os
import pickle
import re
import shlex
import string
import subprocess
import sys
import warnings
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from commands import CSV, jax_gmm

import jaxgmm
from jaxgmm.cli import PIPE_CLOSED
from jaxgmm.cli.errors import _MEMORY, _OPTIONS, in_options
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.wording import InPython, Wording


def _bad_files(folder: Path) -> None:
    whole = np.arange(40.0).reshape(-1, 2)
    np.save(folder / "good.npy", whole)
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:-9])
    np.save(folder / "objects.npy", np.array([[1, "a"]], object), allow_pickle=True)
    np.savez(folder / "objects.npz", np.array([[1, "a"]], object))
    (folder / "pickle.npy").write_bytes(pickle.dumps(whole))
    (folder / "garbage.npy").write_bytes(b"no such thing")
    np.savez(folder / "two.npz", a=whole, b=whole)
    (folder / "cut.npz").write_bytes((folder / "two.npz").read_bytes()[:100])
    np.save(folder / "flat.npy", np.arange(3.0))
    np.save(folder / "nan.npy", np.where(whole == 3, np.nan, whole))
    np.save(folder / "wide.npy", np.ones((4, 3)))
    (folder / "garbage.parquet").write_bytes(b"no such thing")
    (folder / "ragged.csv").write_text("1,2\n3\n")
    (folder / "latin.csv").write_bytes(b"1,2\n3,\xe9\n")
    (folder / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    for name, k in (("one", 1), ("two", 2)):
        mixture = jaxgmm.Mixture.create(np.full(k, 1 / k), whole[:k], np.tile(np.eye(2), (k, 1, 1)))
        jaxgmm.save(folder / f"{name}.safetensors", mixture)
    twice = jaxgmm.Mixture.create(np.ones((2, 1)), np.zeros((2, 1, 2)), np.tile(np.eye(2), (2, 1, 1, 1)))
    jaxgmm.save(folder / "batch.safetensors", twice)
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
        ("fit folder.npy -k 2 -o m.safetensors", "folder.npy: holds no file whose name ends in"),
        ("fit good.dat -k 2 -o m.safetensors", "must end in"),
        (
            "fit cut.npy -k 2 -o m.safetensors",
            "cut.npy: is truncated: shape (20, 2) of float64 takes 320 bytes, there are 311",
        ),
        ("fit objects.npy -k 2 -o m.safetensors", "holds Python objects, which are never unpickled"),
        ("fit objects.npz -k 2 -o m.safetensors", "holds Python objects, which are never unpickled"),
        ("fit garbage.npy -k 2 -o m.safetensors", "garbage.npy: cannot be read as .npy"),
        ("fit pickle.npy -k 2 -o m.safetensors", "pickle.npy: cannot be read as .npy"),
        ("fit cut.npz -k 2 -o m.safetensors", "cut.npz: cannot be read"),
        ("fit two.npz -k 2 -o m.safetensors", "--array; it holds a, b"),
        ("fit two.npz --array c -k 2 -o m.safetensors", "no array 'c'"),
        ("fit good.npy --array c -k 2 -o m.safetensors", "--array names an array in a .npz"),
        ("fit nan.npy -k 2 -o m.safetensors", "got nan at row 1, column 1"),
        ("fit ragged.csv -k 2 -o m.safetensors", "ragged.csv:2:2"),
        ("fit latin.csv -k 2 -o m.safetensors", "not text in UTF-8"),
        ("fit good.npy -k 99 -o m.safetensors", "--components (-k) must be at most the number of rows, 20; got 99"),
        ("fit good.npy -k 0 -o m.safetensors", "--components"),
        ("fit good.npy -k two -o m.safetensors", "--components"),
        ("fit good.npy -o m.safetensors", "--components"),
        ("fit good.npy -k 2", "--out"),
        (f"{FIT} --covariance ful", "did you mean 'full'?"),
        (f"{FIT} --covariance bernoulli", "the data must hold only 0 and 1 for --covariance bernoulli"),
        (f"{FIT} --driver sgd", "--driver must be one of"),
        (f"{FIT} --kernel fast", "--kernel must be one of"),
        (f"{FIT} --dtype float16", "--dtype must be one of"),
        (f"{FIT} --init kmean", "did you mean 'kmeans'?"),
        (f"{FIT} --init absent.safetensors", "absent.safetensors: No such file or directory"),
        (f"{FIT} --checkpoint .", ".: cannot be written: it is a folder"),
        (f"{FIT} --checkpoint no/c", "no/c: cannot be written: No such file or directory"),
        (f"{FIT} --checkpoint good.npy", "good.npy: would be written over, but it is read"),
        (
            f"{FIT} --init two.safetensors --checkpoint two.safetensors",
            "two.safetensors: would be written over, but it is read",
        ),
        (f"{FIT} --checkpoint ./m.safetensors", "--checkpoint and --out must be different files"),
        (f"{FIT} --every inf", "--every must be a finite number of at least 0, got inf"),
        (f"{FIT} --weights two.npz", "two.npz: must hold one array, got a, b; save the one that is meant as a .npy"),
        (f"{FIT} --labels two.npz", "two.npz: must hold one array, got a, b; save the one that is meant as a .npy"),
        (f"{FIT} --init batch.safetensors", "holds a batch"),
        (f"{FIT} --tol -1", "--tol"),
        (f"{FIT} --tol nan", "--tol"),
        (f"{FIT} --tol inf", "--tol must be a finite number"),
        (f"{FIT} --max-iter 3000000000", "--max-iter must be at most 2147483647"),
        (
            f"{FIT} --init one.safetensors",
            "--init must be a full mixture with 2 components and 2 features, got full with 1",
        ),
        (
            f"{FIT} --init two.safetensors -r 3",
            "--restarts must be left out or be 1, the starts that --init holds; got 3",
        ),
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
        ("predict good.safetensors good.npy -o folder.npy", "cannot be written: it is a folder"),
        ("predict good.safetensors good.npy -o labels.txt", "must end in"),
        ("sample good.safetensors -n 0", "'-n'"),
        ("score good.safetensors wide.npy --columns 0,3", "wide.npy: has no column '3'; it has 3 columns, 0 to 2"),
        ("score good.safetensors good.npy --weights cut.npy", "cut.npy: is truncated"),
        ("score good.safetensors good.npy --weights nan.npy", "nan.npy: must hold one column, the weights; got 2"),
        ("score good.safetensors good.npy --weights flat.npy", "flat.npy: holds 3 rows, where good.npy holds 20"),
        ("predict good.safetensors garbage.parquet", "garbage.parquet: cannot be read as .parquet"),
        ("anomalies good.safetensors nan.npy", "nan.npy: must be finite, got nan at row 1, column 1"),
        (f"{FIT} --labels nan.npy", "nan.npy: must hold one column, the labels"),
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
    ("error", "naming"),
    [
        (
            MemoryError(),
            "out of memory: lower --restarts or -k, use --dtype float32 or --covariance diag, or fit to fewer",
        ),
        (
            MemoryError(Wording("no room: lower {n_init}, or {dtype:'float32'}")),
            "no room: lower --restarts, or --dtype float32",
        ),
        (MemoryError("Unable to allocate 74.5 GiB for an array"), "out of memory (74.5 GiB wanted): lower --restarts"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 800 bytes."),
            "out of memory (800 bytes wanted): lower",
        ),
    ],
)
def test_out_of_memory_says_what_to_change(error, naming, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(jaxgmm, "fit", fail)
    found = jax_gmm("fit", CSV, "-k", 2, "-o", tmp_path / "m.safetensors", code=3)
    assert found.stderr.startswith(f"jaxgmm: {naming}")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("librarys", "command_lines"),
    [
        (ArgumentError("n_init", "be at least 1", "0"), "--restarts must be at least 1, got 0"),
        (ArgumentError("x", "be finite", "nan at row 7", "drop rows"), "the data must be finite, got nan at row 7; drop rows"),
        (ArgumentError("n_init", Wording("be 2, as {init} holds"), "3", Wording("raise {tol}")), "--restarts must be 2, as --init holds; got 3; raise --tol"),
        (ArgumentError("--tol", "be at least 0", "-1"), "--tol must be at least 0, got -1"),
        (ArgumentError("component_labels", "be left out"), "component_labels must be left out"),
        (jaxgmm.FitError(Wording("use {prior:'default'}, {covariance_type:\"diag\" or \"tied\"}")), "use --prior default, --covariance diag or tied"),
        (jaxgmm.FitWarning(Wording("fewer than {n_components:5}")), "fewer than --components 5"),
        (Wording("raise {n_components}, {fixed}{see}", see=InPython("; see result.components()")), "raise --components (-k), fixed"),
        (Wording("use {component_labels:[0]}"), "use component_labels=[0]"),
        (jaxgmm.Status.STOPPED.advice, "Ctrl-C asked to stop."),
        (jaxgmm.Status.MAX_ITER.advice, "--max-iter was reached first: raise --max-iter, or loosen --tol."),
        (jaxgmm.Status.OUTRUN.advice, "Other restarts were ahead when it was left behind: --search all runs every one to its end."),
        (jaxgmm.Status.DEGENERATE.advice, "A component lost its rows or collapsed onto a few of them; the mixture before that was kept: raise --reg-covar, lower --components (-k), or start more restarts."),
        ("the key to a kernel, tol and n_init=3; raise x", "the key to a kernel, tol and n_init=3; raise x"),
        (ValueError("n_init", "of two"), "('n_init', 'of two')"),
    ],
)  # fmt: skip
def test_messages_speak_of_the_command_lines_options(librarys, command_lines):
    assert in_options(librarys) == command_lines


def test_every_argument_that_a_text_speaks_of_is_one():
    """A field of a `Wording` that has no value is an argument's name: a misspelt value would be taken for one."""
    texts = {}
    for path in Path(jaxgmm.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "Wording":
                continue
            if isinstance(text := call.args[0], ast.Constant):
                named = {name for _, name, _, _ in string.Formatter().parse(text.value) if name}
                texts[text.value] = named - {keyword.arg for keyword in call.keywords}
    functions = (jaxgmm.fit, jaxgmm.select, jaxgmm.fit_many)
    arguments = {name for function in functions for name in signature(function).parameters} | {"arguments"}
    assert len(texts) > 20
    assert {text: names - arguments for text, names in texts.items() if names - arguments} == {}


def test_a_checkpoint_of_another_fit_is_told_of_in_options(tmp_path):
    path = tmp_path / "n_init"
    rows = np.random.default_rng(0).normal(size=(200, 2))

    def stop(info):
        if path.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jaxgmm.fit(0, rows, 2, tol=0, max_iter=200, checkpoint=path, every=0.0, on_block=stop)
    with pytest.raises(jaxgmm.CheckpointError) as caught:
        jaxgmm.fit(1, rows + 1, 2, n_init=3, tol=0, max_iter=200, checkpoint=path)
    told = f"--checkpoint {path} is of a fit with other --seed, the data, --restarts: give the same options to go on"
    assert in_options(caught.value).startswith(told)
    assert str(caught.value).startswith(f"checkpoint {path} is of a fit with other key, x, n_init: give the same arg")


def test_the_options_spoken_of_exist():
    text = jax_gmm("fit", "--help").stdout + jax_gmm("select", "--help").stdout
    named = {option for words in (*_OPTIONS.values(), _MEMORY) for option in re.findall(r"--[\w-]+", words)}
    assert len(named) > 10
    for option in named:
        assert re.search(rf"{option}\b", text), option


def test_a_file_named_like_an_argument_keeps_its_name(tmp_path):
    path = tmp_path / "n_init n_components.npy"
    np.save(path, np.full((4, 2), np.nan))
    found = jax_gmm("fit", path, "-k", 2, "-o", tmp_path / "m.safetensors", code=2)
    assert f"{path}: must be finite, got nan at row 0, column 0" in found.stderr


def test_warnings_speak_of_options_too(tmp_path, monkeypatch):
    def fit(*args, **options):
        warnings.warn(Wording("lower {n_components}"), stacklevel=1)
        raise jaxgmm.FitError(Wording("raise {reg_covar}"))

    monkeypatch.setattr(jaxgmm, "fit", fit)
    found = jax_gmm("fit", CSV, "-k", 2, "-o", tmp_path / "m.safetensors", code=3)
    assert found.stderr == "jaxgmm: warning: lower --components (-k)\njaxgmm: raise --reg-covar\n"


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_unwritable_output_is_found_before_the_rows_are_read(option, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxgmm, "fit", lambda *_, **__: pytest.fail("fitted first"))
    monkeypatch.setattr("jaxgmm.cli.data.Source", lambda *_, **__: pytest.fail("read first"))

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    # Permissions do not stop root, whom tests may run as: the file system refuses instead.
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    others = [] if option == "-o" else ["-o", tmp_path / "m.safetensors"]
    name = "m.safetensors" if option == "-o" else "r.png"
    found = jax_gmm("fit", CSV, "-k", 2, *others, option, tmp_path / name, code=2)
    assert "cannot be written: Read-only file system" in found.stderr


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


def test_every_argument_of_the_library_that_is_an_option_is_spoken_of_as_one():
    arguments = {**signature(jaxgmm.fit).parameters, **signature(jaxgmm.select).parameters}
    # What the command line has no option for, and what it checks itself.
    apart = {"component_labels", "fixed", "progress", "n_folds", "held_out", "every"}
    assert set(arguments) - apart == set(_OPTIONS) & set(arguments)


def test_notes_speak_of_options_too(tmp_path, monkeypatch):
    found = jax_gmm("fit", CSV, "-k", 2, "-r", 2, "--max-iter", 1, "-o", tmp_path / "m.safetensors")
    assert "note     --max-iter was reached first: raise --max-iter, or loosen --tol." in found.stdout
    select = jaxgmm.select

    def noted(*args, **options):
        result = select(*args, **options)
        return replace(result, table=[replace(cell, note=Wording("lower {n_init}")) for cell in result.table])

    monkeypatch.setattr(jaxgmm, "select", noted)
    found = jax_gmm("select", CSV, "-k", 1, "--types", "tied", "-r", 1)
    assert "note     tied, 1: lower --restarts\n" in found.stdout


def test_a_checkpoint_is_looked_at_before_the_rows_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxgmm.cli.data.Source", lambda *_, **__: pytest.fail("read first"))
    args = ["fit", CSV, "-k", 2, "-o", tmp_path / "m.safetensors", "--checkpoint"]
    assert "it is a folder" in jax_gmm(*args, tmp_path, code=2).stderr
    assert "must be different files" in jax_gmm(*args, tmp_path / "m.safetensors", code=2).stderr


@pytest.mark.parametrize("command", ["info m.safetensors", "sample m.safetensors -n 100000", "--version"])
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(command, tmp_path):
    jaxgmm.save(tmp_path / "m.safetensors", jaxgmm.Mixture.create([1.0], [[0.0]], [[[1.0]]]))
    reads, writes = os.pipe()
    os.close(reads)
    code = f"import sys; sys.argv[1:] = {shlex.split(command)!r}\nfrom jaxgmm.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=writes, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (PIPE_CLOSED, "")
