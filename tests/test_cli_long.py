"""Long fits on the command line: races, checkpoints."""

import json

import numpy as np
import pytest
from commands import jax_gmm

import jaxgmm


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, (6 * rng.integers(0, 3, (900, 2)) + rng.normal(size=(900, 2))).astype(np.float32))
    return path


def test_a_race_on_demand(rows, tmp_path):
    out = tmp_path / "m.safetensors"
    done = jax_gmm("fit", rows, "-k", 9, "--restarts", 9, "--search", "race", "-o", out, "--json")
    told = json.loads(done.stdout)
    assert sum(told["restarts"]["statuses"].values()) == 9
    assert jaxgmm.load(out).score(np.load(rows)) == pytest.approx(told["score"], abs=1e-4)


def test_a_checkpoint_is_gone_when_the_fit_has_ended(rows, tmp_path):
    checkpoint = tmp_path / "c"
    options = ("-k", 3, "--restarts", 2, "--checkpoint", checkpoint, "-o", tmp_path / "m.safetensors")
    jax_gmm("fit", rows, *options, "--every", 0)
    assert not checkpoint.exists()
    checkpoint.write_bytes(b"something else")
    refused = jax_gmm("fit", rows, *options, code=2)
    assert "checkpoint" in refused.stderr
    assert checkpoint.read_bytes() == b"something else"


def test_unknown_searches_are_named(rows, tmp_path):
    refused = jax_gmm("fit", rows, "-k", 3, "--search", "rase", "-o", tmp_path / "m.safetensors", code=2)
    assert "--search" in refused.stderr
    assert "did you mean 'race'" in refused.stderr
