"""Processes forked from one that has computed with JAX: an error where a computation would never end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Programs run in folders of their own, with this tree's library whichever is installed.
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")

# What children are asked to do: to compute with JAX, or not to.
COMPUTE = {
    "fit": "jaxgmm.fit(0, x, 2, max_iter=3, engine='jax')",
    "fit of data frames": "jaxgmm.fit(0, pandas.DataFrame(x), 2, max_iter=3, engine='jax')",
    "fit_many": "jaxgmm.fit_many(0, x[None], 2, max_iter=3, engine='jax')",
    "select": "jaxgmm.select(0, x, [1, 2], max_iter=3, engine='jax')",
    "many rows": "m.predict(np.zeros((300_000, 3)))",
    "sample": "m.sample(0, 3)",
    "estimator fit": "jaxgmm.GaussianMixture(2).fit(x)",
    "detector": "jaxgmm.GaussianMixtureOutlierDetector().fit(x)",
    "e_step": "jaxgmm.em.e_step(m, laid)",
}
IDLE = {
    "load": "jaxgmm.load('m.safetensors').weights",
    "load a batch": "jaxgmm.load('batch.safetensors')[1].means",
    "save": "jaxgmm.save('again.safetensors', m)",
    "pickle": "pickle.loads(pickle.dumps(result)).mixture.means",
    "covariances": "[batches[name].covariances for name in batches]",
    "matrices": "m.covariance_matrices()",
    "attributes": "(m.means, m.n_parameters, repr(result), result.score, result.counts(), m.astype('float32'))",
    "estimator attributes": "(estimator.means_, estimator.get_params(), estimator.sample(3))",
    "numbers": "m.criteria(result.log_likelihood[0], 500)",
    "components": "result.components()",
    "create": "jaxgmm.Mixture.create(m.weights, m.means, m.covariances)",
    "a small fit": "jaxgmm.fit(0, x, 2, max_iter=3)",
    "a small selection": "jaxgmm.select(0, x, [1, 2], max_iter=3)",
    "small data sets": "jaxgmm.fit_many(0, x[None], 2, max_iter=3)",
    "few rows": "(m.score_samples(x), m.predict(x), m.score(x), estimator.predict(x))",
}

# The parent; PARENT stands for what it does before it forks. A child that hangs is ended by its alarm.
PROGRAM = """
import json, os, pickle, signal, sys
import jax, numpy as np, pandas
import jaxgmm, jaxgmm.em, jaxgmm.sklearn

x = np.random.default_rng(0).normal(size=(500, 3))
PARENT

def asked(code):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            eval(code)
            said = "done"
        except BaseException as error:
            said = f"{type(error).__module__}.{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    return os.read(reader, 10_000).decode() if status == 0 else f"ended by signal {status}"

def passed_on(said):
    raise RuntimeError(said)

print(json.dumps({name: asked(code) for name, code in json.loads(sys.argv[1]).items()}))
"""
FITTED = """
jax.numpy.ones(3).block_until_ready()
laid = jaxgmm.rows.ArrayRows.from_array(jax.numpy.asarray(x))
result = jaxgmm.fit(0, x, 2, max_iter=3)
m = result.mixture
jaxgmm.save("m.safetensors", m)
jaxgmm.save("batch.safetensors", jaxgmm.fit(0, x, 2, n_init=2, max_iter=3).mixtures)
batches = {name: jaxgmm.fit(0, x, 2, covariance_type=name, n_init=2, max_iter=0).mixtures
           for name in ("full", "tied", "diag", "spherical")}
estimator = jaxgmm.GaussianMixture(2, random_state=0, tol=1).fit(x)
"""


def children(parent: str, asked: dict[str, str], folder: Path, seconds: int = 10) -> dict[str, str]:
    """What a child says to each piece of code, forked after `parent` has run."""
    program = PROGRAM.replace("PARENT", parent).replace("SECONDS", str(seconds))
    command = [sys.executable, "-W", "ignore", "-c", program, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=ENV, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_children_of_a_parent_that_has_computed(tmp_path):
    said = children(FITTED, COMPUTE | IDLE, tmp_path)
    assert {name: said[name] for name in IDLE} == dict.fromkeys(IDLE, "done")
    for name in COMPUTE:
        assert said[name].startswith("jaxgmm.inputs.forking.ForkError: "), f"{name}: {said[name]}"
        assert "'spawn'" in said[name]
        assert "loky" in said[name]


def test_it_does_not_matter_who_computed(tmp_path):
    """Nor that what is asked for is the first that the library is asked for."""
    asked = {"fit": COMPUTE["fit"]}
    assert "ForkError" in children("jax.numpy.ones(3).block_until_ready()", asked, tmp_path)["fit"]


def test_children_of_a_parent_that_has_not_computed(tmp_path):
    """They fit, and then their own children do not."""
    asked = {
        "fit": COMPUTE["fit"],
        "a grandchild": f"[jaxgmm.fit(0, x, 2, max_iter=3, engine='jax'), passed_on(asked({COMPUTE['fit']!r}))]",
    }
    said = children("", asked, tmp_path, seconds=120)
    assert said["fit"] == "done"
    assert "jaxgmm.inputs.forking.ForkError" in said["a grandchild"]


def test_without_a_look_at_jax_its_own_use_counts(tmp_path):
    """As with a later JAX that keeps its backends elsewhere."""
    hidden = "from jax._src import xla_bridge\nhas_begun = jaxgmm.inputs.forking._has_begun\n"
    code = hidden + "assert not has_begun()\n" + FITTED + "assert has_begun()\ndel sys.modules['jax._src.xla_bridge']"
    assert "ForkError" in children(code, {"many rows": COMPUTE["many rows"]}, tmp_path)["many rows"]


WORKERS = """
import concurrent.futures, multiprocessing, sys, warnings
import joblib, numpy as np
import jaxgmm

def score(seed):
    x = np.random.default_rng(seed).normal(size=(100, 2))
    return jaxgmm.fit(0, x, 2, max_iter=3, engine="jax").score

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    here = score(0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(score, [0]) == [here]
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(score)(seed) for seed in (0, 0)) == [here, here]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            pool.map_async(score, [0]).get(timeout=60)
        except jaxgmm.ForkError as error:
            print(error)
"""


def test_spawn_and_loky_work_and_a_forked_pool_hands_the_error_on(tmp_path):
    program = tmp_path / "workers.py"
    program.write_text(WORKERS)
    command = [sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, env=ENV, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "get_context('spawn')" in done.stdout


def test_the_command_line_says_it_in_one_line(tmp_path, monkeypatch):
    from commands import CSV, jax_gmm

    from jaxgmm.inputs import forking

    monkeypatch.setattr(forking, "_stranded", True)
    said = jax_gmm("fit", CSV, "-k", 2, "--engine", "jax", "-o", tmp_path / "m.safetensors", code=3).stderr
    assert said.startswith("jaxgmm: this process was forked")
    assert said.count("\n") == 1
