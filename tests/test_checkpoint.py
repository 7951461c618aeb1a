import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxgmm
from jaxgmm import CheckpointError, Status
from jaxgmm.run.checkpoint import fingerprints

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    centres = rng.normal(0, 3, (6, 2))
    return (centres[rng.integers(0, 6, 3000)] + rng.normal(size=(3000, 2))).astype(np.float32)


def same(a, b):
    for name in ("log_likelihood", "status", "n_iter", "history", "passes", "revivals"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(a.mixtures.weights, b.mixtures.weights)
    np.testing.assert_array_equal(a.mixtures.means, b.mixtures.means)
    np.testing.assert_array_equal(a.mixtures.covariances, b.mixtures.covariances)


def killed_after(blocks, path, rows, **options):
    """A fit that dies between two blocks."""
    seen = []

    def die(info):
        seen.append(info)
        if len(seen) == blocks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jaxgmm.fit(0, rows, 6, checkpoint=path, every=0.0, on_block=die, **options)
    assert path.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"n_init": 6, "tol": 0, "max_iter": 150, "search": "all"},
        {"n_init": 40, "search": "race"},
        {"n_init": 3, "tol": 0, "max_iter": 100, "driver": jaxgmm.Gradient("lbfgs")},
        {"n_init": 3, "max_iter": 90, "driver": jaxgmm.Gradient("adam", batch_size=256)},
    ],
    ids=["all", "race", "lbfgs", "mini-batches"],
)
def test_a_killed_fit_goes_on_to_the_same_answer(tmp_path, rows, options):
    whole = jaxgmm.fit(0, rows, 6, **options)
    path = tmp_path / "fit.ckpt"
    for blocks in (2, 2, 1):
        try:
            killed_after(blocks, path, rows, **options)
        except pytest.fail.Exception:  # so little was left that it ended first
            break
    resumed = jaxgmm.fit(0, rows, 6, checkpoint=path, every=0.0, **options)
    same(whole, resumed)
    assert not path.exists()


def test_what_has_been_done_is_not_done_again(tmp_path, rows):
    options = {"n_init": 4, "tol": 0, "max_iter": 320, "search": "all"}
    killed_after(6, tmp_path / "c", rows, **options)
    seen = []
    jaxgmm.fit(0, rows, 6, checkpoint=tmp_path / "c", on_block=seen.append, **options)
    assert seen[0].block == 6  # the one it died after telling of was not yet on disk
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"x": 1.0}, "x"),
        ({"n_components": 5}, "n_components"),
        ({"tol": 1e-3}, "tol"),
        ({"key": 1}, "key"),
        ({"covariance_type": "diag"}, "covariance_type"),
        ({"sample_weight": np.full(3000, 2.0)}, "sample_weight"),
        ({"driver": jaxgmm.Gradient("adam")}, "driver"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_checkpoint_of_another_fit_is_refused_before_any_work(tmp_path, rows, change, named):
    options = {"n_init": 2, "tol": 0, "max_iter": 64}
    path = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        jaxgmm.fit(0, rows, 6, checkpoint=path, every=0.0, on_block=_die_at(2), **options)
    before = path.read_bytes()
    arguments = {"key": 0, "x": rows, "n_components": 6} | options
    arguments |= {name: arguments[name] + value if name == "x" else value for name, value in change.items()}
    with pytest.raises(CheckpointError, match=rf"other (\w+, )*{named}"):
        jaxgmm.fit(checkpoint=path, on_block=_die_at(1), **arguments)
    assert path.read_bytes() == before


def _die_at(block):
    def die(info):
        if info.block == block:
            raise KeyboardInterrupt

    return die


def test_damaged_files_are_refused(tmp_path, rows):
    path = tmp_path / "c"
    for content in (b"", b"garbage" * 100, b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="checkpoint"):
            jaxgmm.fit(0, rows, 2, checkpoint=path)
    jaxgmm.save(path, jaxgmm.Mixture.create([1.0], [[0.0]], [[[1.0]]]))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        jaxgmm.fit(0, rows, 2, checkpoint=path)


def test_a_folder_that_is_not_there_is_found_before_fitting(tmp_path, rows):
    with pytest.raises(OSError, match="folder"):
        jaxgmm.fit(0, rows, 2, checkpoint=tmp_path / "no" / "c")


def test_a_time_limit_leaves_the_checkpoint(tmp_path, rows):
    path = tmp_path / "c"
    options = {"n_init": 2, "tol": 0, "max_iter": 640}
    seen = []
    halted = jaxgmm.fit(
        0, rows, 6, checkpoint=path, every=0.0, on_block=lambda info: seen.append(info) or len(seen) == 4, **options
    )
    assert (halted.status == Status.STOPPED).all()
    same(jaxgmm.fit(0, rows, 6, checkpoint=path, **options), jaxgmm.fit(0, rows, 6, **options))


def test_fingerprints_are_those_of_any_process():
    ours = {"driver": jaxgmm.Gradient("lbfgs"), "prior": jaxgmm.Prior(dof=5.0), "none": None, "x": np.arange(6.0)}
    code = (
        "import jaxgmm, numpy as np; from jaxgmm.run.checkpoint import fingerprints; print(fingerprints("
        "driver=jaxgmm.Gradient('lbfgs'), prior=jaxgmm.Prior(dof=5.0), none=None, x=np.arange(6.0)))"
    )
    theirs = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert theirs.strip() == str(fingerprints(**ours))
    assert fingerprints(**ours)["driver"] != fingerprints(driver=jaxgmm.Gradient("adam"))["driver"]


def test_what_killed_writers_have_left_goes_with_the_checkpoint(tmp_path, rows):
    path, options = tmp_path / "c*", {"n_init": 2, "tol": 0, "max_iter": 40}  # a star in the name finds no others
    old, other, fresh = tmp_path / ".c*.1.part", tmp_path / ".cd.1.part", tmp_path / ".c*.2.part"
    for file in (old, other, fresh):
        file.write_bytes(b"half of a checkpoint")
    for file in (old, other):
        os.utime(file, (0, 0))
    jaxgmm.fit(0, rows, 6, checkpoint=path, every=0.0, **options)
    assert not path.exists()
    assert not old.exists()
    assert other.exists()
    assert fresh.exists(), "another process may be writing it"


_CHILD = """
import json, sys, numpy as np, jaxgmm
jaxgmm.enable_compilation_cache(sys.argv[3])
options = json.loads(sys.argv[4])
result = jaxgmm.fit(3, np.load(sys.argv[1]), 6, checkpoint=sys.argv[2], every=0.02, **options)
np.savez(sys.argv[2] + ".npz", history=result.history, means=result.mixtures.means, status=result.status)
"""


def _written(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _killed_at_random(command, path, rng, early):
    """Whether a child was killed: early, or a moment after it has written a checkpoint; or else was done before."""
    before = _written(path)
    child = subprocess.Popen(command, cwd=ROOT)
    if rng.uniform() < 0.3:
        time.sleep(rng.uniform(0, early))
    else:
        while child.poll() is None and _written(path) == before:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
    child.kill()
    assert child.wait() in (0, -signal.SIGKILL)
    return child.returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"n_init": 24, "tol": 0, "max_iter": 3000, "search": "all"},
        {"n_init": 64, "tol": 1e-7, "max_iter": 4000, "search": "race"},
    ],
    ids=["all", "race"],
)
def test_killed_at_random_many_times(tmp_path, rows, options):
    np.save(tmp_path / "x.npy", rows)

    def command(name):
        return [
            sys.executable, "-c", _CHILD, str(tmp_path / "x.npy"), str(tmp_path / name), str(tmp_path / "programs"),
            json.dumps(options),
        ]  # fmt: skip

    subprocess.run(command("whole"), check=True, cwd=ROOT)
    begun = time.perf_counter()
    subprocess.run(command("again"), check=True, cwd=ROOT)
    whole_time = time.perf_counter() - begun
    rng, path, kills = np.random.default_rng(0), tmp_path / "killed", 0
    for _ in range(40):
        kills += _killed_at_random(command("killed"), path, rng, whole_time / 4)
        left = {file.name for file in tmp_path.glob("killed*")}
        assert left <= {"killed"} or left == {"killed.npz"}, left
        if "killed.npz" in left:
            break
    assert kills >= 10
    subprocess.run(command("killed"), check=True, cwd=ROOT)
    assert not path.exists()
    whole = np.load(tmp_path / "whole.npz")
    for other in (np.load(tmp_path / "again.npz"), np.load(tmp_path / "killed.npz")):
        for name in whole:
            np.testing.assert_array_equal(whole[name], other[name], err_msg=name)


def test_labels_and_held_parameters_are_part_of_the_fit(tmp_path, rows):
    labels = np.full(len(rows), -1)
    labels[:3] = 0, 1, 2
    options = {"n_init": 4, "tol": 0, "max_iter": 320}
    killed_after(3, tmp_path / "c", rows, labels=pd.Series(labels), **options)
    other = labels.copy()
    other[1500] = 3
    with pytest.raises(CheckpointError, match="other labels"):
        jaxgmm.fit(0, rows, 6, checkpoint=tmp_path / "c", labels=pd.Series(other), **options)
    held = np.full((6, rows.shape[1]), np.nan)
    held[0] = 0
    with pytest.raises(CheckpointError, match="other fixed"):
        jaxgmm.fit(0, rows, 6, checkpoint=tmp_path / "c", labels=labels, fixed=jaxgmm.Fixed(means=held), **options)
    resumed = jaxgmm.fit(0, rows, 6, checkpoint=tmp_path / "c", labels=labels, **options)
    same(jaxgmm.fit(0, rows, 6, labels=labels, **options), resumed)
