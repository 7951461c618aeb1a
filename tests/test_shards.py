"""Rows over many devices: the same answers as on one, however the rows divide. Devices are emulated, in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

import jaxgmm
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.shards import checked_mesh

PREAMBLE = """
    import json, sys, warnings
    warnings.simplefilter("ignore")
    import numpy as np
    import jax
    import jaxgmm

    def clusters(n, spread=4, k=3, d=3):
        rng = np.random.default_rng(0)
        roots, z = rng.normal(size=(k, d, d)) / np.sqrt(d), rng.integers(0, k, n)
        return spread * rng.normal(size=(k, d))[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(n, d))), z

    def compared(n, **options):
        x, z = clusters(n, options.pop("spread", 4))
        if options.pop("labelled", False):
            options["labels"] = np.where(np.arange(n) % 40 == 0, z, -1)
        if options.pop("weighted", False):
            options["sample_weight"] = np.arange(n) % 3.0
        if options.pop("given", False):
            options["init"], options["n_init"] = np.eye(3)[z] * 0.8 + 0.2 / 3, None
        options = {"n_init": 3, "search": "all", "engine": "jax", "max_iter": 40} | options
        one = jaxgmm.fit(0, x, 3, **options)
        many = jaxgmm.fit(0, x, 3, devices="all", **options)
        assert (one.restarts.n_iter == many.restarts.n_iter).all(), (one.restarts.n_iter, many.restarts.n_iter)
        assert (one.restarts.kernel == many.restarts.kernel).all()
        off = np.abs(one.restarts.log_likelihood - many.restarts.log_likelihood).max() / n
        means = [np.sort(result.mixture.means, axis=0) for result in (one, many)]
        return float(off), float(np.abs(means[0] - means[1]).max())
"""


def on_devices(code, n=8):
    """What `code` prints last, as JSON, in a process with so many emulated devices."""
    flags = f"--xla_force_host_platform_device_count={n} --xla_backend_optimization_level=0"
    environment = os.environ | {"XLA_FLAGS": flags, "NPROC": "8"}
    whole = textwrap.dedent(PREAMBLE) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_find_what_one_finds():
    found = on_devices(
        """
        cases = {
            "even": {"n": 4000}, "uneven": {"n": 4001}, "empty shards": {"n": 9}, "tied": {"n": 999, "covariance_type": "tied"},
            "diag": {"n": 999, "covariance_type": "diag"}, "weights": {"n": 999, "weighted": True},
            "labels": {"n": 999, "labelled": True}, "given": {"n": 999, "given": True},
            "squarem": {"n": 999, "driver": jaxgmm.Squarem()}, "random": {"n": 999, "init": "random", "max_iter": 4},
            "centred": {"n": 999, "kernel": "centred"}, "prior": {"n": 999, "prior": "default"},
        }
        print(json.dumps({name: compared(**case) for name, case in cases.items()}))
        """
    )
    assert len(found) == 12
    assert {name: off for name, off in found.items() if off[0] > 1e-10 or off[1] > 1e-7} == {}


def test_cells_and_other_drivers_on_devices():
    """Enough rows for cells, in float32; searches and mini-batches, which look at single rows."""
    found = on_devices(
        """
        from jaxgmm.problem import pose
        made, sharded = [], pose.sharded
        pose.sharded = lambda *args, **options: made.append(sharded(*args, **options)) or made[-1]
        off = {"cells": compared(20_000, dtype="float32", max_iter=8, spread=100)}
        cells = made[-1].frames is not None
        off["lbfgs"] = compared(999, driver=jaxgmm.Gradient("lbfgs"), max_iter=5)
        off["batches"] = compared(999, driver=jaxgmm.Gradient("adam", batch_size=64), max_iter=5, tol=0.0)
        off["race"] = compared(999, n_init=8, search="race")
        print(json.dumps({"off": off, "cells": cells, "devices": len(made[-1].x.devices())}))
        """
    )
    assert found["cells"]
    assert found["devices"] == 8
    assert found["off"].pop("cells")[0] < 1e-5
    assert {name: off for name, off in found["off"].items() if off[0] > 1e-10} == {}


def test_only_sums_go_between_devices():
    """Of a pass over eight devices: one reduction of statistics, whatever the number of rows, and no rows."""
    found = on_devices(
        """
        from jaxgmm.em import e_step
        from jaxgmm.families import FAMILIES
        from jaxgmm.inputs.precision import scope
        from jaxgmm.problem.pose import pose
        from jaxgmm.rows import ArraySource
        from jaxgmm.shards import checked_mesh
        from jaxgmm.starts.methods import initialize
        import re
        numbers = []
        for n in (4000, 16000):
            dtype = np.dtype(np.float64)
            with scope(dtype):
                posed = pose(ArraySource(clusters(n)[0]), FAMILIES["full"], 3, "auto", None, dtype, mesh=checked_mesh("all"))
                starts = initialize(np.zeros(2, np.uint32), posed, 3, 2, "k-means++")
                program = jax.jit(lambda mixture, rows: e_step(mixture, rows, kernel="shared_feature"))
                text = program.lower(starts, posed.rows).compile().as_text()
            shapes = re.findall(r"= (.*) all-reduce\\(", text)
            assert not re.search(r"all-gather|all-to-all|collective-permute", text)
            numbers.append(sum(int(np.prod([int(x) for x in dims.split(",") if x])) for shape in shapes for dims in re.findall(r"f64\\[([\\d,]*)\\]", shape)))
        print(json.dumps(numbers))
        """
    )
    assert found[0] == found[1] > 0


def test_devices_that_are_none_are_refused():
    assert checked_mesh(None) is None
    assert checked_mesh(1) is None
    for devices, error, said in (
        (0, ArgumentError, "devices must be at least 1"),
        (10**6, ArgumentError, "devices must be at most the number of devices"),
        ("some", ArgumentError, "devices must be"),
        ([1, 2], TypeError, "devices must be None, 'all'"),
    ):
        with pytest.raises(error, match=said):
            jaxgmm.fit(0, [[0.0], [1.0]], 1, devices=devices)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_cores_can_be_devices():
    code = """
        import warnings, numpy as np, jaxgmm, jax
        from jaxgmm.shards.meshes import make_of_cores
        warnings.simplefilter("ignore")
        make_of_cores(10**6), make_of_cores(2)
        x = np.random.default_rng(0).normal(size=(301, 2)) + 5.0 * (np.arange(301) % 2)[:, None]
        scores = [jaxgmm.fit(0, x, 2, engine="jax", devices=devices).score for devices in (None, "all")]
        make_of_cores(2)  # too late: they stay what they are
        print(len(jax.devices()), abs(scores[0] - scores[1]) < 1e-12)
    """
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["2", "True"], done.stderr[-2000:]
