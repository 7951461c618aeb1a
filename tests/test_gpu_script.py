"""`scripts/gpu`: here it runs on the CPU, on small shapes; what it would say of a device that errs is tried on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm.em.choice import KERNEL_NAMES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from gpu import fits, host, room, speed, steps  # noqa: E402
from gpu.report import Report  # noqa: E402

# What a machine with jax, and nothing that it does not bring along, has not got.
WITHOUT = """
import importlib.abc, runpy, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ModuleNotFoundError("hidden", name=name)
sys.meta_path.insert(0, Hidden())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
HIDDEN = (
    "jaxtyping",
    "safetensors",
    "typer",
    "rich",
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "hypothesis",
    "torch",
)


def run(folder: Path, *options: str, hidden: tuple[str, ...] = ()) -> tuple[subprocess.CompletedProcess, dict, str]:
    """The script with results in `folder`, from there; what it said, and both files."""
    script = [str(ROOT / "scripts" / "gpu"), *options, "--out", str(folder / "found")]
    command = ["-c", WITHOUT.format(hidden=hidden), *script] if hidden else script
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    assert (folder / "found" / "gpu.json").exists(), done.stderr
    found = json.loads((folder / "found" / "gpu.json").read_text())
    return done, found, (folder / "found" / "gpu.md").read_text()


def test_all_is_right_on_this_machine_where_nothing_optional_is_installed(tmp_path):
    done, found, table = run(tmp_path, "--quick", hidden=HIDDEN)
    checked = {c["name"]: c["status"] for c in found["cases"] if c["part"] == "correctness"}
    assert {name: status for name, status in checked.items() if status != "passed"} == {}, done.stdout
    assert done.returncode == 0, done.stderr
    names = " ".join(checked)
    wanted = [*steps.KINDS, "float32", "float64", "centred", "shared_feature", *(f"width {w:g}" for w in fits.WIDTHS)]
    assert [word for word in [*wanted, "race", "fit_many", "without room"] if word not in names] == []
    assert found["record"]["finished"]

    timed = [c for c in found["cases"] if c["part"] == "speed" and "ms" in c["figures"]]
    assert len(timed) >= 2
    for case in timed:
        assert case["figures"]["ms"]["median"] > 0
        assert case["figures"]["share_of_product"] > 0
        assert case["figures"]["crossings"] > 0
        assert case["figures"]["nats_off"] < 1e-4
        assert f"| {case['name']} " in table
    assert all(f"| {name} " in table for name in checked)


def test_what_there_is_no_time_for_is_said_to_be_missing(tmp_path):
    done, found, table = run(tmp_path, "--quick", "--seconds", "0")
    assert done.returncode == 0
    assert {c["status"] for c in found["cases"]} == {"not run: out of time"}
    assert "not run: out of time" in table


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path, {"device": "d", "date": "t", "platform": "cpu", "devices": 1, "host": "h", "flags": "",
                             "versions": {}}, time.monotonic(), time.monotonic() + 99)  # fmt: skip


def test_neither_a_wrong_result_nor_an_exception_ends_the_run(report):
    def broken():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no | room\nand more")

    report.attempt("correctness", "first", lambda: {"ok": False, "found": "far off", "errors": {"means": float("nan")}})
    report.attempt("correctness", "second", broken)
    report.attempt("speed", "third", broken)
    report.attempt("correctness", "fourth", lambda: {"ok": True})
    assert report.wrong == ["first", "second"]
    cases = json.loads((report.folder / "gpu.json").read_text())["cases"]
    assert [c["status"] for c in cases] == ["failed", "error", "error", "passed"]
    assert "and more" in cases[1]["error"]
    assert cases[1]["figures"]["raised"][-1].startswith("tests/test_gpu_script.py:")
    table = (report.folder / "gpu.md").read_text()
    assert table.count("no \\| room") == 2
    assert "did not end" in table


def test_a_run_that_is_killed_leaves_the_name_of_what_was_running(report):
    seen = []
    report.attempt("speed", "whole", lambda: {"ms": {"median": 1.0, "low": 1.0, "high": 1.0}})
    report.attempt("speed", "killed", lambda: seen.append((report.folder / "gpu.json").read_text()) or {})
    cases = json.loads(seen[0])["cases"]
    assert [(c["name"], c["status"]) for c in cases] == [("whole", "measured"), ("killed", "running")]


# ---- what is wrong is noticed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", ["log_likelihood", "counts", "means", "covariances"])
def test_a_step_that_errs_in_one_statistic_is_wrong(dtype, part):
    x, w = steps.data("full", dtype)
    mixtures = steps.starts("full", x, dtype)
    want = [host.step(host.Parameters.of(mixtures[i]), x, w) for i in range(steps.R)]
    assert steps.judged(want, want, dtype)["ok"]
    bound = host.BOUNDS[dtype][part]
    for off in (1 + 30 * bound, np.nan):
        # One restart errs, the last: as far as the others are concerned all is well.
        erring = [*want[:-1], replace(want[-1], **{part: getattr(want[-1], part) * off})]
        found = steps.judged(erring, want, dtype)
        assert not found["ok"]
        assert not found["errors"][part] <= bound


def test_the_host_agrees_with_scipy():
    from reference import em_iteration

    x, w = steps.data("tied", "float64")
    at = host.Parameters.of(steps.starts("tied", x, "float64")[0])
    got = host.step(at, x, w)
    total, weights, means, covariance = em_iteration("tied", at.weights, at.means, at.covariances[0], x, w, 0.0)
    np.testing.assert_allclose(got.log_likelihood, total / w.sum(), rtol=1e-12)
    np.testing.assert_allclose(got.counts / w.sum(), weights, rtol=1e-10)
    np.testing.assert_allclose(got.means, means, rtol=1e-10)
    np.testing.assert_allclose(got.covariances, np.broadcast_to(covariance, got.covariances.shape), rtol=1e-9)


def test_a_fast_kernel_where_it_cannot_be_trusted_is_wrong(monkeypatch):
    monkeypatch.setattr("ladder_steps.choose_kernels", lambda *_: KERNEL_NAMES.index("shared_feature"))
    assert not fits.rung(1e-3, "float32")["ok"]


def test_starts_that_held_no_race_are_no_race():
    found = fits.race(300, 2, 2, 4)
    assert found["score"] > found["score_of_truth"]
    assert not found["ok"]


def test_data_sets_that_are_left_where_they_start_are_wrong(monkeypatch):
    monkeypatch.setattr(jaxgmm, "fit_many", partial(jaxgmm.fit_many, max_iter=0))
    found = fits.many(2, 100, 2, 2, 1, 1)
    assert not found["ok"]
    assert found["errors"]["not at rest"] > found["bounds"]["not at rest"]


def test_a_pass_that_is_never_refused_does_not_count_as_halved(monkeypatch):
    monkeypatch.setattr(room, "_REFUSALS", 0)
    assert not room.halved()["ok"]


def test_the_precision_of_products_is_changed_while_tracing_and_only_then():
    mixtures, rows = speed.problem(speed.Shape(256, 2, 2, 2))
    with speed.products_in(speed.PRECISIONS["TF32_TF32_F32_X3"]):
        changed = str(speed.fresh_step(64).trace(mixtures, rows).jaxpr)
    usual = str(speed.fresh_step(64).trace(mixtures, rows).jaxpr)
    # θφ and rφᵀ, each once in the loop over chunks.
    assert changed.count("precision=TF32_TF32_F32_X3") >= 2
    assert "TF32" not in usual
