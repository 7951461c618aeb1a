"""Model files that are damaged, foreign or hostile; and saves that are killed half way."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import chex
import jax
import numpy as np
import pytest
from create import NAMES, batch, data, mixture
from safetensors.numpy import save as encode

import jaxgmm
from jaxgmm import Mixture, ModelFileError
from jaxgmm.families import FAMILIES, DiagGaussian, FullGaussian
from jaxgmm.mixture import integrity

RNG = np.random.default_rng(5)


class _Bomb:
    def __reduce__(self):
        return (os._exit, (1,))


def file(kind="diag", header=None, **changes) -> bytes:
    """A model file of two components and three features, with changes."""
    tensors = {"weights": np.array([0.5, 0.5]), "means": np.full((2, 3), 0.5)}
    tensors |= {"full": {"scale_tril": np.tile(np.eye(3), (2, 1, 1))}, "tied": {"scale_tril": np.eye(3)}, "diag": {"scale": np.ones((2, 3))}, "spherical": {"scale": np.ones((2, 1))}}.get(kind, {})  # fmt: skip
    tensors = {name: leaf for name, leaf in (tensors | changes).items() if leaf is not None}
    return encode(tensors, {"format": "jaxgmm.mixture", "version": "1", "covariance_type": kind} | (header or {}))


def forged(body: bytes = b"", **tensors) -> bytes:
    """A file whose header says what it likes of its tensors."""
    ours = {"format": "jaxgmm.mixture", "version": "1", "covariance_type": "diag"}
    header = json.dumps({"__metadata__": ours, **tensors}).encode()
    return struct.pack("<Q", len(header)) + header + body


def tensor(shape, start, stop, dtype="F64"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.npy", bytes(50_000_000))
    return content.getvalue()


def npz() -> bytes:
    content = io.BytesIO()
    np.savez(content, weights=np.ones(1), means=np.zeros((1, 3)), scale=np.ones((1, 3)))
    return content.getvalue()


def changed(value, index, shape=(2, 3)):
    leaf = np.ones(shape)
    leaf[index] = value
    return leaf


SKEWED = np.tile(np.eye(3) + np.triu(np.ones((3, 3)), 1), (2, 1, 1))
DAMAGED = "not a jaxgmm model file, or is damaged"
FAULTS = {
    "empty": (b"", DAMAGED),
    "seven bytes": (b"\0" * 7, DAMAGED),
    "a header of no length": (bytes(8), DAMAGED),
    "garbage": (b"\x07" * 1000, DAMAGED),
    "text": (b"weights: [0.5, 0.5]\n", DAMAGED),
    "a pickle": (pickle.dumps(_Bomb()), DAMAGED),
    "an .npz": (npz(), DAMAGED),
    "a zip bomb": (bomb(), DAMAGED),
    "truncated in the header": (file()[:60], DAMAGED),
    "truncated by one number": (file()[:-8], DAMAGED),
    "with a tail": (file() + b"\0", DAMAGED),
    "a header as long as memory": (struct.pack("<Q", 2**63) + file()[8:], DAMAGED),
    "a header longer than any of ours": (struct.pack("<Q", 1 << 20) + b"{" + b" " * (1 << 20), DAMAGED),
    "a header nested without end": (struct.pack("<Q", 60_000) + b"[" * 60_000, DAMAGED),
    "a header that is no JSON": (struct.pack("<Q", 4) + b"{,,}", DAMAGED),
    "a header that is no object": (struct.pack("<Q", 2) + b"[]", DAMAGED),
    "a huge shape": (forged(weights=tensor([10**12], 0, 8 * 10**12)), DAMAGED),
    "a huge shape of little": (forged(b"\0" * 16, weights=tensor([10**12], 0, 16)), DAMAGED),
    "a shape beyond 64 bits": (forged(weights=tensor([2**40, 2**40], 0, 8)), DAMAGED),
    "a negative shape": (forged(bytes(8), weights=tensor([-1], 0, 8)), DAMAGED),
    "overlapping tensors": (forged(bytes(24), weights=tensor([2], 0, 16), means=tensor([1, 2], 8, 24)), DAMAGED),
    "a gap between tensors": (forged(bytes(40), weights=tensor([2], 0, 16), means=tensor([1, 2], 24, 40)), DAMAGED),
    "offsets turned round": (forged(bytes(16), weights=tensor([2], 16, 0)), DAMAGED),
    "no numbers at all": (forged(weights=tensor([0], 0, 0), means=tensor([0, 0], 0, 0), scale=tensor([0, 0], 0, 0)), "must have means of shape"),
    "someone else's safetensors": (encode({"weights": np.ones(2)}), "header lacks format"),
    "an unknown version": (file(header={"version": "2"}), "has version '2', this jaxgmm reads version 1: upgrade"),
    "no version": (encode({"weights": np.ones(2)}, {"format": "jaxgmm.mixture"}), "has version None"),
    "an unknown family": (file(header={"covariance_type": "cauchy"}), "unknown covariance_type 'cauchy'"),
    "another family": (file(header={"covariance_type": "full"}), r"must hold \['means', 'scale_tril', 'weights'\] .*, got \['means', 'scale'"),
    "a missing tensor": (file(scale=None), r"must hold \['means', 'scale', 'weights'\]"),
    "an extra tensor": (file(extra=np.ones(2)), r"got \['extra', 'means'"),
    "integers": (file(means=np.zeros((2, 3), int)), "must hold float32 or float64 throughout, got F64, I64"),
    "half precision": (file(**{name: np.ones((1, 1), np.float16)[:n] for name, n in (("weights", 0), ("means", 1), ("scale", 1))}), "throughout, got F16"),
    "mixed precision": (file(scale=np.ones((2, 3), np.float32)), "throughout, got F32, F64"),
    "scales for fewer features": (file(scale=np.ones((2, 2))), r"must have scale of shape \(2, 3\), got \(2, 2\)"),
    "a factor for all in full": (file("full", scale_tril=np.eye(3)), r"must have scale_tril of shape \(2, 3, 3\), got \(3, 3\)"),
    "weights of another length": (file(weights=np.ones(3) / 3), r"weights of shape \(..., k\), got means of shape \(2, 3\) and weights of shape \(3,\)"),
    "flat means": (file(means=np.zeros(2)), "must have means of shape"),
    "NaN": (file(means=changed(np.nan, (1, 2))), "must have finite means, got nan in component 1$"),
    "infinity": (file(scale=changed(np.inf, (0, 1))), "must have finite scale, got inf in component 0"),
    "weights above 1": (file(weights=np.ones(2)), "must have weights that sum to 1, got 2$"),
    "a negative weight": (file(weights=np.array([1.5, -0.5])), "must have weights of at least 0, got -0.5 in component 1"),
    "a negative scale": (file(scale=changed(-1, (1, 0))), "must have scale above 0, got -1 in component 1"),
    "no scale": (file("spherical", scale=changed(0, 1, (2, 1))), "must have scale above 0, got 0 in component 1"),
    "a negative factor": (file("full", scale_tril=np.tile(np.diag([1, -1, 1.0]), (2, 1, 1))), "must have scale_tril above 0 on its diagonal and 0 above it, got -1 in component 0"),
    "a singular shared factor": (file("tied", scale_tril=np.diag([1, 0, 1.0])), "must have scale_tril above 0 on its diagonal and 0 above it, got 0$"),
    "a factor that is none": (file("full", scale_tril=SKEWED), "must have scale_tril above 0 on its diagonal and 0 above it, got 1 in component 0"),
    "rates beyond 1": (file("bernoulli", means=changed(1.5, (1, 1))), r"must have means in \[0, 1\], got 1.5 in component 1"),
    "rates below 0": (file("bernoulli", means=changed(-0.5, (0, 1))), r"must have means in \[0, 1\], got -0.5"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_load_refuses(content, message, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        jaxgmm.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a zip bomb", "a huge shape", "a huge shape of little", "a header as long as memory"])
def test_nothing_is_allocated_for_what_is_promised(name, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(FAULTS[name][0])
    tracemalloc.start()
    with pytest.raises(ModelFileError):
        jaxgmm.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_the_fault_is_found_in_a_batch(tmp_path):
    means = np.zeros((4, 2, 3))
    means[2, 1, 0] = np.nan
    content = file(weights=np.full((4, 2), 0.5), means=means, scale=np.ones((4, 2, 3)))
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelFileError, match="finite means, got nan in component 1 of restart 2"):
        jaxgmm.load(tmp_path / "m")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="pipe is not a plain file"):
        jaxgmm.load(tmp_path / "pipe")  # which nobody writes to: opening it would wait for ever
    with pytest.raises(IsADirectoryError, match="folder"):
        jaxgmm.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        jaxgmm.load(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop"):
        jaxgmm.load(tmp_path / "loop")


@pytest.mark.parametrize("kind", NAMES)
def test_whole_files_load(kind, tmp_path):
    (tmp_path / "m").write_bytes(file(kind))
    found = jaxgmm.load(tmp_path / "m")
    assert (found.covariance_type, found.n_components, found.n_features) == (kind, 2, 3)
    np.testing.assert_array_equal(found.means, 0.5)


@pytest.mark.parametrize(
    ("kind", "driver"), [("full", jaxgmm.EM()), ("tied", jaxgmm.EM()), ("full", jaxgmm.Gradient("adam"))]
)
def test_factors_stay_triangular_through_a_fit(kind, driver, tmp_path):
    fitted = jaxgmm.fit(0, data(kind, RNG), 2, covariance_type=kind, driver=driver, max_iter=5, tol=0)
    jaxgmm.save(tmp_path / "m", fitted.mixture)
    chex.assert_trees_all_equal(jaxgmm.load(tmp_path / "m"), fitted.mixture)


# ---- mixtures built by hand ---------------------------------------------------------------------------------


def test_every_parameter_of_every_family_is_looked_at():
    """A family with a parameter of another name needs a check of its own in `sound_mixture`."""
    for kind in NAMES:
        assert {*vars(mixture(kind, RNG).components)} <= {"means", "scale", "scale_tril"}, kind
        for leaves in (mixture(kind, RNG), batch(kind, RNG, 3), mixture(kind, RNG, dtype="float32")):
            integrity.sound_mixture("init", leaves)
    assert set(NAMES) == set(FAMILIES)


@pytest.mark.parametrize("kind", NAMES)
def test_a_fault_in_any_parameter_names_restart_and_component(kind):
    sound = batch(kind, RNG, 3)
    for leaf in ["weights", *vars(sound.components)]:

        def spoiled(path, array, leaf=leaf):
            array = np.array(array)
            if path[-1].name == leaf:
                array[(1, *[-1] * (array.ndim - 1))] = -5
            return array

        if leaf == "means" and kind != "bernoulli":
            continue
        with pytest.raises(ValueError, match=r"^init .*-5.* restart 1$") as caught:
            integrity.sound_mixture("init", jax.tree_util.tree_map_with_path(spoiled, sound))
        assert ("component 2 of" in str(caught.value)) == (not (kind == "tied" and leaf == "scale_tril"))


HAND_BUILT = {
    "factors of other width": (np.ones(2) / 2, FullGaussian(np.zeros((2, 3)), np.tile(np.eye(2), (2, 1, 1))), "scale_tril of shape"),
    "weights that sum to 2": (np.ones(2), DiagGaussian(np.zeros((2, 3)), np.ones((2, 3))), "weights that sum to 1, got 2"),
    "NaN": (np.ones(2) / 2, DiagGaussian(np.full((2, 3), np.nan), np.ones((2, 3))), "means, got nan in component 0"),
    "a batch of weights, one of means": (np.ones((2, 2)) / 2, DiagGaussian(np.zeros((2, 3)), np.ones((2, 3))), "got means of shape"),
}  # fmt: skip


@pytest.mark.parametrize(("weights", "components", "message"), HAND_BUILT.values(), ids=HAND_BUILT.keys())
def test_mixtures_built_by_hand(weights, components, message):
    with pytest.raises(ValueError, match=f"^init .*{message}"):
        integrity.sound_mixture("init", Mixture(weights, components))


def test_looking_at_a_mixture_compiles_nothing(caplog):
    looked_at = batch("full", RNG, 7, k=5, d=11)
    with jax.log_compiles(), caplog.at_level("DEBUG", logger="jax"):
        integrity.sound_mixture("init", looked_at)
        assert not [record for record in caplog.records if "XLA compilation" in record.getMessage()]
        jax.jit(lambda x: x + 7.25)(1.0)
        assert [record for record in caplog.records if "XLA compilation" in record.getMessage()]


# ---- saves that are killed ----------------------------------------------------------------------------------

# One process pays for the imports and forks a saver for every round, which is then killed without warning.
_SAVER = """
import os, signal, sys, time
import numpy as np
import jaxgmm
from jaxgmm.families import DiagGaussian
k, d = 40, 500
weights = np.full(k, 1 / k)
mixtures = [jaxgmm.Mixture(weights, DiagGaussian(np.full((k, d), float(i)), np.ones((k, d)))) for i in (0, 1)]
for line in sys.stdin:
    pause = float(line)
    child = os.fork()
    if not child:
        while True:
            for mixture in mixtures:
                jaxgmm.save(sys.argv[1], mixture)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status), flush=True)
"""


def test_a_save_that_is_killed_leaves_a_whole_file(tmp_path):
    path = tmp_path / "m.safetensors"
    moments, interrupted, seen = random.Random(3), 0, set()
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", _SAVER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as saver:  # fmt: skip
        for _ in range(15):
            saver.stdin.write(f"{moments.uniform(0.02, 0.12)}\n")
            saver.stdin.flush()
            assert saver.stdout.readline() == "9\n"
            if path.exists():
                found = jaxgmm.load(path).means
                assert found.shape == (40, 500)
                assert found.min() == found.max()
                seen.add(float(found[0, 0]))
            interrupted += any(other != path for other in tmp_path.iterdir())
            for other in tmp_path.iterdir():
                if other != path:
                    other.unlink()
        saver.stdin.close()
    assert seen  # some save was complete
    assert interrupted  # and some was not
