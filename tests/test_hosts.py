"""A fit by several processes together: each finds what one would, and none waits for one that is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

SCRIPT = """
    import json, sys, time, warnings
    warnings.simplefilter("ignore")
    rank, n, port, options = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
    import jax
    if n > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{port}", n, rank, heartbeat_timeout_seconds=10)
    import numpy as np
    import jaxgmm
    rng = np.random.default_rng(0)
    roots, z = rng.normal(size=(3, 3, 3)) / np.sqrt(3), rng.integers(0, 3, 2001)
    x = rng.normal(size=(3, 3))[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(2001, 3)))
    pause, stop = options.pop("pause", 0), options.pop("stop", None)
    def told(info):
        print("block", info.n_iter, flush=True)
        time.sleep(pause)
        return rank == 0 and info.n_iter == stop
    options = {"n_init": 3, "search": "all", "engine": "jax", "every": 0.0} | options
    try:
        result = jaxgmm.fit(0, x, 3, devices="all" if n > 1 else None, on_block=told, **options)
    except RuntimeError as error:
        print(type(error).__name__, error, flush=True)
        raise
    found = {"score": result.score, "n_iter": result.restarts.n_iter.tolist(), "means": result.mixture.means.tolist()}
    print(json.dumps(found | {"status": result.restarts.status.tolist(), "devices": len(jax.devices())}), flush=True)
"""


def begun(n, tmp_path, **options):
    """So many processes that compute together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"NPROC": "8", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script)]
    return [
        subprocess.Popen(
            [*command, str(rank), str(n), str(port), json.dumps(options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment,
        )
        for rank in range(n)
    ]  # fmt: skip


def ended(processes):
    """What each printed last."""
    found = []
    for process in processes:
        out, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors[-2000:]
        found.append(json.loads(out.splitlines()[-1]))
    return found


@pytest.mark.parametrize("n", [2, 4])
def test_every_process_finds_what_one_finds(n, tmp_path):
    (alone,) = ended(begun(1, tmp_path, max_iter=60))
    found = ended(begun(n, tmp_path, max_iter=60))
    assert [one["devices"] for one in found] == [n] * n
    assert all(one == found[0] for one in found)  # bit for bit
    assert found[0]["n_iter"] == alone["n_iter"]
    assert found[0]["score"] == pytest.approx(alone["score"], abs=1e-10)


def test_a_race_and_an_end_that_one_process_asks_for(tmp_path):
    found = ended(begun(2, tmp_path, n_init=8, search="race", max_iter=60))
    assert found[0] == found[1]
    found = ended(begun(2, tmp_path, tol=0.0, max_iter=400, stop=64))
    assert found[0] == found[1]
    assert set(found[0]["n_iter"]) == {64}


def killed(tmp_path, after):
    """Two processes, one of which is killed; what the other one says, and how many seconds it takes to end."""
    options = {"tol": 0.0, "max_iter": 2000, "pause": 0.05, "checkpoint": str(tmp_path / "fit.ck")}
    one, other = begun(2, tmp_path, **options)
    while one.stdout.readline().strip() != f"block {after}":
        assert one.poll() is None, one.stderr.read()[-2000:]
    os.kill(other.pid, signal.SIGKILL)
    time_of_death = time.perf_counter()
    said, _ = one.communicate(timeout=120)
    other.communicate()
    assert one.returncode != 0
    return said, time.perf_counter() - time_of_death


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_dies_ends_the_others_and_the_fit_goes_on_with_another_number(tmp_path):
    said, seconds = killed(tmp_path, 96)
    assert "PeerError another process of this fit has ended" in said
    assert seconds < 30  # the error comes at once; JAX then waits for its heartbeat, here 10 s
    assert (tmp_path / "fit.ck").exists()
    options = {"tol": 0.0, "max_iter": 200}
    (alone,) = ended(begun(1, tmp_path, **options))
    # With other options it would be another fit: that to 2000 steps is taken up, and goes on from there.
    (rest,) = ended(begun(1, tmp_path, tol=0.0, max_iter=2000, checkpoint=str(tmp_path / "fit.ck")))
    assert set(rest["n_iter"]) == {2000}
    assert rest["score"] >= alone["score"] - 1e-9
    assert not (tmp_path / "fit.ck").exists()


@pytest.mark.slow
@pytest.mark.parametrize("after", range(32, 32 * 21, 32))
def test_a_process_may_die_at_any_time(after, tmp_path):
    said, seconds = killed(tmp_path, after)
    assert "PeerError" in said
    assert seconds < 30
