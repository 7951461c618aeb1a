"""`Mixture`: making one, asking it, keeping it."""

from __future__ import annotations

import tracemalloc

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import DTYPES, NAMES, batch, data, mixture, parameters
from scipy.special import logsumexp

import jaxgmm
from jaxgmm import Mixture
from jaxgmm.rows import blocks as block_module


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("name", NAMES)
def test_create_and_read_back(name, rng):
    weights, means, covariances = parameters(name, rng)
    m = Mixture.create(weights, means, covariances, covariance_type=name)
    np.testing.assert_allclose(m.weights, weights)
    np.testing.assert_allclose(m.means, means)
    if covariances is not None:
        np.testing.assert_allclose(m.covariances, covariances, rtol=1e-12, atol=1e-12)
    assert (m.n_components, m.n_features, m.covariance_type, m.dtype) == (3, 4, name, np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_answered_alike_in_blocks_of_any_size(name, rng, monkeypatch):
    m, x = batch(name, rng, 2), data(name, rng, n=1000)
    methods = ("score_samples", "joint_log_prob", "responsibilities", "predict", "log_likelihood")
    whole = {method: getattr(m, method)(x) for method in methods}
    monkeypatch.setattr(block_module, "_BLOCK_ELEMENTS", 1)
    for method, want in whole.items():
        np.testing.assert_allclose(getattr(m, method)(x), want, rtol=1e-12)
    assert whole["score_samples"].shape == (2, 1000)
    assert whole["responsibilities"].shape == whole["joint_log_prob"].shape == (2, 1000, 3)
    np.testing.assert_allclose(whole["responsibilities"].sum(-1), 1)
    np.testing.assert_allclose(logsumexp(whole["joint_log_prob"], axis=-1), whole["score_samples"])
    np.testing.assert_array_equal(whole["responsibilities"].argmax(-1), whole["predict"])


def test_long_arrays_are_read_block_by_block(tmp_path, rng):
    """What scoring a memory-mapped file allocates is far less than the file."""
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (1_000_000, 8))
    x[:] = rng.normal(size=8)
    m = mixture("full", rng, d=8)
    tracemalloc.start()
    labels = m.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(labels) == 1_000_000
    assert peak < x.nbytes / 2


def test_weighted_scores(rng):
    m, x, w = mixture("full", rng), data("full", rng), rng.uniform(0, 2, 157)
    assert m.score(x) == pytest.approx(m.score_samples(x).mean())
    assert m.log_likelihood(x, w) == pytest.approx(w @ m.score_samples(x))
    assert m.score(x, w) == pytest.approx(w @ m.score_samples(x) / w.sum())
    assert m.bic(x, w) == pytest.approx(-2 * m.log_likelihood(x, w) + m.n_parameters * np.log(w.sum()))


def test_leading_axes_are_indexed(rng):
    many, x = batch("diag", rng, 5), data("diag", rng)
    np.testing.assert_allclose(many[3].score_samples(x), many.score_samples(x)[3])
    assert many[1:3].batch_shape == (2,)
    assert "batch_shape=(5,)" in repr(many)
    with pytest.raises(TypeError, match="single mixture"):
        many[0][0]
    with pytest.raises(ValueError, match="single mixture, got leading axes"):
        many.sample(0, 3)


def test_a_mixture_is_a_pytree(rng):
    m = mixture("full", rng, dtype="float32")
    doubled = jax.jit(lambda m: jax.tree.map(lambda a: 2 * a, m))(m)
    assert isinstance(doubled, Mixture)
    chex.assert_trees_all_close(doubled.components.means, 2 * m.means)


def test_sampling_repeats_from_its_key(rng):
    m = mixture("tied", rng)
    x, labels = m.sample(5, 100)
    again, _ = m.sample(jax.random.key(5), 100)
    np.testing.assert_array_equal(x, again)
    assert x.dtype == np.float64
    assert labels.shape == (100,)


CREATE_FAULTS = {
    "weights off the simplex": (([0.5, 0.6], np.zeros((2, 3)), np.ones((2, 3))), "weights must be at least 0 and sum to 1"),
    "a negative weight": (([1.5, -0.5], np.zeros((2, 3)), np.ones((2, 3))), "weights must be at least 0"),
    "weights of another length": (([0.5, 0.5], np.zeros((3, 3)), np.ones((3, 3))), r"weights must have shape .* got \(2,\)"),
    "covariances of another shape": (([0.5, 0.5], np.zeros((2, 3)), np.ones((2, 2))), r"covariances must have shape .*\(2, 3\)"),
    "no covariances": (([0.5, 0.5], np.zeros((2, 3)), None), "covariances must be given"),
    "a negative variance": (([0.5, 0.5], np.zeros((2, 3)), -np.ones((2, 3))), r"covariances must be positive, got -1 at \(0, 0\)"),
    "NaN": (([0.5, 0.5], np.full((2, 3), np.nan), np.ones((2, 3))), "means must be finite, got nan"),
    "flat means": (([0.5, 0.5], np.zeros(2), np.ones(2)), "means must have shape|weights must have shape"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), CREATE_FAULTS.values(), ids=CREATE_FAULTS.keys())
def test_create_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Mixture.create(*arguments, covariance_type="diag")


def test_create_refuses_matrices_that_are_no_covariances():
    eye = np.eye(2)
    with pytest.raises(ValueError, match=r"covariances\[1\] must be positive definite, got smallest eigenvalue -1"):
        Mixture.create([0.5, 0.5], np.zeros((2, 2)), np.stack([eye, np.diag([1.0, -1.0])]))
    with pytest.raises(ValueError, match="covariances must be symmetric"):
        Mixture.create([1.0], np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.0, 1.0]]]))
    with pytest.raises(ValueError, match="did you mean 'full'"):
        Mixture.create([1.0], np.zeros((1, 2)), eye[None], covariance_type="ful")
    with pytest.raises(ValueError, match=r"means must lie in \[0, 1\]"):
        Mixture.create([1.0], np.full((1, 2), 1.5), covariance_type="bernoulli")


# ---- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_save_and_load_round_trip_to_the_bit(name, dtype, tmp_path, rng):
    for m in (mixture(name, rng, dtype=dtype), batch(name, rng, 3, dtype=dtype)):
        jaxgmm.save(tmp_path / "m.safetensors", m)
        back = jaxgmm.load(tmp_path / "m.safetensors")
        chex.assert_trees_all_equal(back, m)
        assert back.dtype == dtype
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path, rng, monkeypatch):
    path = tmp_path / "m.safetensors"
    old = mixture("full", rng)
    jaxgmm.save(path, old)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(OSError, match="disk gone"):
        jaxgmm.save(path, mixture("full", rng))
    chex.assert_trees_all_equal(jaxgmm.load(path), old)
    assert len(list(tmp_path.iterdir())) == 1


def test_files_that_are_not_there(tmp_path, rng):
    with pytest.raises(FileNotFoundError):
        jaxgmm.load(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError, match="folder"):
        jaxgmm.load(tmp_path)
    with pytest.raises(OSError, match="none"):
        jaxgmm.save(tmp_path / "none" / "m.safetensors", mixture("full", rng))
    with pytest.raises(TypeError, match=r"pass result\.mixture"):
        jaxgmm.save(tmp_path / "m", jaxgmm.fit(0, data("diag", rng), 1, max_iter=0))


def test_float64_results_are_safe_outside_x64(rng):
    m = mixture("full", rng)
    for value in (m.means, m.covariances, m.score_samples(data("full", rng)), m.sample(0, 3)[0]):
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64
    assert jnp.ones(1).dtype == jnp.float32
