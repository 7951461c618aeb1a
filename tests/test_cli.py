"""The command line: what it reads, writes and prints, and how it fails."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import CSV, jax_gmm, read
from rich.console import Console
from typer.testing import CliRunner

import jaxgmm
from jaxgmm import BlockInfo, cli
from jaxgmm.cli.app import app
from jaxgmm.fit import progress


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    jax_gmm("fit", CSV, "-k", 2, "--restarts", 4, "--out", path)
    return path


def test_fit_is_the_librarys(model, faithful):
    expected = jaxgmm.fit(0, faithful, 2, n_init=4).mixture
    np.testing.assert_array_equal(jaxgmm.load(model).means, expected.means)


def test_fit_json_and_report(tmp_path, faithful):
    np.save(tmp_path / "x.npy", faithful.astype(np.float32))
    out, report = tmp_path / "m.safetensors", tmp_path / "r.png"
    found = jax_gmm("fit", tmp_path / "x.npy", "-k", 2, "-r", 3, "-o", out, "--report", report, "--json")
    facts = json.loads(found.stdout)
    assert found.stderr == ""
    assert facts["dtype"] == "float32"
    assert facts["restarts"]["n"] == len(facts["restarts"]["scores"]) == 3
    assert facts["score"] == pytest.approx(jaxgmm.load(out).score(faithful), abs=1e-5)
    assert facts["bic"] == pytest.approx(jaxgmm.load(out).bic(faithful), rel=1e-5)
    assert report.read_bytes().startswith(b"\x89PNG")


def test_fit_in_words(tmp_path):
    found = jax_gmm("fit", CSV, "-k", 2, "-r", 2, "--max-iter", 2, "--tol", 0, "-o", tmp_path / "m.safetensors")
    assert "nats per row" in found.stdout
    assert "raise --max-iter" in found.stdout
    assert str(tmp_path / "m.safetensors") in found.stdout


@pytest.mark.parametrize("driver", ["squarem", "hard-em", "adam", "lbfgs"])
def test_fit_by_any_driver_from_a_model(driver, tmp_path, model):
    rate = ["--learning-rate", 0.01] if driver == "adam" else []
    out = tmp_path / "m.safetensors"
    args = ["--driver", driver, *rate, "--init", model, "--max-iter", 3, "--tol", 0, "--json"]
    facts = json.loads(jax_gmm("fit", CSV, "-k", 2, "-o", out, *args).stdout)
    assert facts["restarts"]["n"] == 1
    assert facts["n_iter"] == 3
    assert facts["driver"] == driver
    assert facts["score"] == pytest.approx(jaxgmm.load(out).score(np.loadtxt(CSV, delimiter=",", skiprows=1)), abs=1e-6)


@pytest.mark.parametrize("covariance", ["tied", "diag", "spherical", "bernoulli"])
def test_every_covariance_fits_reports_and_shows(covariance, tmp_path, faithful):
    x = (faithful > faithful.mean(0)).astype(np.uint8) if covariance == "bernoulli" else faithful
    np.savez(tmp_path / "x.npz", x=x, other=x)
    out = tmp_path / "m.safetensors"
    args = ["--array", "x", "--covariance", covariance, "--report", tmp_path / "r.png", "--max-iter", 5, "-r", 2]
    jax_gmm("fit", tmp_path / "x.npz", "-k", 2, "-o", out, *args)
    assert covariance in jax_gmm("info", out).stdout
    assert json.loads(jax_gmm("info", out, "--json").stdout)["covariance_type"] == covariance


def test_predict_to_stdout_and_files(model, tmp_path, faithful):
    mixture = jaxgmm.load(model)
    lines = jax_gmm("predict", model, CSV).stdout.splitlines()
    assert lines[0] == "label"
    np.testing.assert_array_equal([int(line) for line in lines[1:]], mixture.predict(faithful))
    jax_gmm("predict", model, CSV, "--responsibilities", "--out", tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz") as held:
        np.testing.assert_array_equal(held["labels"], mixture.predict(faithful))
        np.testing.assert_array_equal(held["responsibilities"], mixture.responsibilities(faithful))
    jax_gmm("predict", model, CSV, "--responsibilities", "--out", tmp_path / "r.csv")
    table = np.loadtxt(tmp_path / "r.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table[:, 1:], mixture.responsibilities(faithful))
    jax_gmm("predict", model, CSV, "--out", tmp_path / "r.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), mixture.predict(faithful))


def test_score(model, faithful):
    mixture = jaxgmm.load(model)
    facts = json.loads(jax_gmm("score", model, CSV, "--json").stdout)
    for name in ("score", "log_likelihood", "bic", "aic"):
        assert facts[name] == pytest.approx(getattr(mixture, name)(faithful), rel=1e-12)
    assert "nats per row" in jax_gmm("score", model, CSV).stdout
    lines = jax_gmm("score", model, CSV, "--rows").stdout.splitlines()
    np.testing.assert_array_equal([float(line) for line in lines[1:]], mixture.score_samples(faithful))
    assert len(json.loads(jax_gmm("score", model, CSV, "--rows", "--json").stdout)["log_density"]) == len(faithful)


def test_sample_reads_back(model, tmp_path):
    jax_gmm("sample", model, "-n", 5, "--seed", 3, "--out", tmp_path / "s.csv")
    rows, labels = jaxgmm.load(model).sample(3, 5)
    np.testing.assert_array_equal(read(tmp_path / "s.csv"), rows)
    jax_gmm("sample", model, "-n", 5, "--seed", 3, "--out", tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as held:
        np.testing.assert_array_equal(held["labels"], labels)


def test_help_and_version():
    assert "--restarts" in jax_gmm("fit", "--help").stdout
    assert "Commands" in jax_gmm().stdout
    assert jax_gmm("--version").stdout == f"jaxgmm {jaxgmm.__version__}\n"


COMMAND = [sys.executable, "-c", "from jaxgmm.cli import main; main()"]


def test_the_real_command_is_quiet_when_piped(tmp_path):
    env = os.environ | {"FORCE_COLOR": "1"}  # which makes rich take any pipe for a terminal
    args = ["fit", CSV, "-k", "2", "-r", "2", "-o", str(tmp_path / "m.safetensors"), "--json"]
    done = subprocess.run([*COMMAND, *args], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "CONVERGED"
    wrong = subprocess.run([*COMMAND, "fit", "none.npy", "-k", "2", "-o", "m.safetensors"], capture_output=True,
                           text=True, check=False, cwd=tmp_path)  # fmt: skip
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "jaxgmm: none.npy: No such file or directory\n"


def test_interrupted_before_the_fit_is_130_and_nothing_written(tmp_path):
    code = (
        "import signal, time\nfrom jaxgmm.cli import app, data, main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # in the background it is ignored at first
        "data.Source = lambda *_, **__: print('reading', flush=True) or time.sleep(60)\nmain()"
    )
    command = [sys.executable, "-c", code, "fit", "x.npy", "-k", "8", "-o", "m.safetensors"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, text=True, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    assert complaint == "jaxgmm: interrupted; nothing was written\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupted_fit(presses, tmp_path, monkeypatch):
    """The first Ctrl-C ends the fit with the best so far, saved; the second ends the program."""
    heard = []

    @contextlib.contextmanager
    def pressing():
        def on_block(info):
            heard.append(info.block)
            if info.block == 2:
                for _ in range(presses):
                    signal.raise_signal(signal.SIGINT)

        yield on_block

    monkeypatch.setattr(progress, "bar", pressing)
    heeded = signal.signal(signal.SIGINT, signal.default_int_handler)
    out = tmp_path / "m.safetensors"
    args = ["fit", CSV, "-k", "2", "-r", "2", "--tol", "0", "--max-iter", "100000", "-o", str(out), "--json"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == cli.INTERRUPTED
    assert heard == [1, 2]
    assert "ending with the best so far" in done.stderr
    assert out.exists() == (presses == 1)
    assert signal.signal(signal.SIGINT, heeded) is signal.default_int_handler
    if presses == 1:
        assert json.loads(done.stdout)["status"] == "STOPPED"
        assert jaxgmm.load(out).n_components == 2
    else:
        assert "nothing was written" in done.stderr


def test_progress_on_a_terminal_only(monkeypatch):
    with progress.bar() as on_block:
        assert on_block is None
    stream = io.StringIO()
    with progress.bar("EM", Console(file=stream, force_terminal=True, width=120)) as on_block:
        assert on_block is not None
        on_block(BlockInfo(1, 8, 100, 16, 12, -1.5, 1e6))
        on_block(BlockInfo(2, 16, 100, 16, 4, -1.25, 2e6))
    shown = stream.getvalue()
    for part in ("EM", "block 2", "4/16 active", "best -1.2500", "rows/s", "ETA"):
        assert part in shown


def test_pace():
    pace = progress.Throughput(begun=10.0)
    assert "100k rows/s  ETA 1:30" in pace.describe(BlockInfo(1, 10, 100, 4, 4, 0.0, 1e6), now=20.0)
    assert "500k rows/s  ETA 0:20" in pace.describe(BlockInfo(2, 20, 100, 4, 2, 0.0, 6e6), now=30.0)
