"""Bad input: one row each of what goes in and what must come out, before anything is compiled."""

from __future__ import annotations

import sys

import jax
import numpy as np
import pytest
import scipy.sparse

import jaxgmm
from jaxgmm import Mixture, validation

GOOD = np.random.default_rng(0).normal(size=(20, 3))


def hole(value):
    x = GOOD.copy()
    x[7, 2] = value
    return x


OTHER = Mixture.create([1.0], np.zeros((1, 2)), np.eye(2)[None])
FAULTS = {
    "NaN": ({"x": hole(np.nan)}, ValueError, "x must be finite, got nan at row 7, column 2"),
    "infinity": ({"x": hole(-np.inf)}, ValueError, "x must be finite, got -inf at row 7, column 2"),
    "0-D": ({"x": 3.0}, ValueError, r"x must have shape \(n, d\), got \(\)"),
    "1-D": ({"x": GOOD[:, 0]}, ValueError, r"got \(20,\); use x.reshape\(-1, 1\)"),
    "3-D": ({"x": GOOD[None]}, ValueError, r"x must have shape \(n, d\), got \(1, 20, 3\)"),
    "no rows": ({"x": GOOD[:0]}, ValueError, "at least one row"),
    "no columns": ({"x": GOOD[:, :0]}, ValueError, "at least one row and one column"),
    "fewer rows than components": ({"x": GOOD[:1]}, ValueError, "n_components must be at most the number of rows, 1; got 2"),
    "complex": ({"x": GOOD + 1j}, TypeError, "x must hold real numbers, got dtype complex128"),
    "text": ({"x": [["a", "b"]] * 4}, TypeError, "x must hold real numbers, got dtype <U1"),
    "objects": ({"x": np.array([[1, "b"]] * 4, object)}, TypeError, "x must be numeric, got objects"),
    "ragged": ({"x": [[1.0], [1.0, 2.0]]}, ValueError, "x must be a rectangular array"),
    "sparse": ({"x": scipy.sparse.csr_matrix(GOOD)}, TypeError, r"got a sparse csr_matrix; use x.toarray\(\)"),
    "masked": ({"x": np.ma.masked_invalid(hole(np.nan))}, ValueError, "x must not be a masked array"),
    "no components": ({"n_components": 0}, ValueError, "n_components must be at least 1, got 0"),
    "half a component": ({"n_components": 1.5}, TypeError, "n_components must be an integer, got 1.5"),
    "components as truth": ({"n_components": True}, TypeError, "n_components must be an integer, got True"),
    "unknown covariance": ({"covariance_type": "fulll"}, ValueError, "did you mean 'full'"),
    "unknown init": ({"init": "kmeans++"}, ValueError, "did you mean 'k-means\\+\\+'"),
    "unknown kernel": ({"kernel": "centered"}, ValueError, "did you mean 'centred'"),
    "unknown dtype": ({"dtype": "float16"}, ValueError, "dtype must be None, 'float32' or 'float64', got float16"),
    "nonsense dtype": ({"dtype": "single-ish"}, ValueError, "dtype must be None"),
    "negative tol": ({"tol": -1e-3}, ValueError, "tol must be a finite number of at least 0, got -0.001"),
    "NaN tol": ({"tol": np.nan}, ValueError, "tol must be a finite number"),
    "tol as text": ({"tol": "small"}, TypeError, "tol must be a number, got 'small'"),
    "negative ridge": ({"reg_covar": -1}, ValueError, "reg_covar must be a finite number of at least 0, got -1"),
    "negative max_iter": ({"max_iter": -1}, ValueError, "max_iter must be at least 0, got -1"),
    "no starts": ({"n_init": 0}, ValueError, "n_init must be at least 1, got 0"),
    "key as text": ({"key": "seed"}, TypeError, "key must be a JAX key .* or an integer seed, got str"),
    "negative seed": ({"key": -1}, ValueError, "a seed of at least 0, got -1"),
    "many keys": ({"key": jax.random.split(jax.random.key(0), 2)}, ValueError, "key must be one key"),
    "not a driver": ({"driver": "em"}, TypeError, r"driver must be a driver such as EM\(\)"),
    "weights too short": ({"sample_weight": np.ones(3)}, ValueError, r"sample_weight must have shape \(20,\)"),
    "negative weight": ({"sample_weight": np.r_[np.ones(19), -1]}, ValueError, "at least 0, got -1.0 at row 19"),
    "NaN weight": ({"sample_weight": np.r_[np.nan, np.ones(19)]}, ValueError, "got nan at row 0"),
    "all weights zero": ({"sample_weight": np.zeros(20)}, ValueError, "at least one positive weight"),
    "weights for one row": ({"sample_weight": np.eye(20)[0]}, ValueError, "number of rows with weight, 1; got 2"),
    "a start of other width": ({"init": OTHER}, ValueError, "init must be a full mixture with 2 components and 3 features"),
    "labels out of range": ({"init": np.full(20, 2)}, ValueError, "init labels must lie in 0 … 1, got 2 … 2"),
    "labels too short": ({"init": np.zeros(3, int)}, ValueError, r"init must be one of .* shape \(3,\)"),
    "shares off the simplex": ({"init": np.ones((20, 2))}, ValueError, "init responsibilities must be .* sum to 1"),
    "n_init against init": (
        {"init": np.zeros((3, 20), int), "n_init": 5}, ValueError, "n_init must be left out or be 3, .* got 5"
    ),
    "counts for Bernoulli": ({"covariance_type": "bernoulli"}, ValueError, "x must hold only 0 and 1"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_fit_refuses_before_compiling(change, error, message, monkeypatch):
    module = sys.modules["jaxgmm.fit"]  # the name jaxgmm.fit is the function's
    for step in ("run", "initialize", "from_assignments", "coordinates"):
        monkeypatch.setattr(module, step, lambda *_, **__: pytest.fail("got past the checks"))
    options = {"key": 0, "x": GOOD, "n_components": 2} | change
    with pytest.raises(error, match=message):
        jaxgmm.fit(options.pop("key"), options.pop("x"), options.pop("n_components"), **options)


@pytest.mark.parametrize("method", ["score_samples", "predict", "responsibilities", "score", "bic"])
def test_mixtures_refuse_rows_of_another_width(method):
    with pytest.raises(ValueError, match="x must have 2 columns, as the mixture has features; got 3"):
        getattr(OTHER, method)(GOOD)
    with pytest.raises(ValueError, match="x must be finite, got nan at row 7, column 1"):
        getattr(OTHER, method)(hole(np.nan)[:, 1:])


ACCEPTED = {
    "lists": GOOD.tolist(),
    "negative strides": GOOD[::-1][::-1],
    "Fortran order": np.asfortranarray(GOOD),
    "big-endian": GOOD.astype(">f8"),
    "numeric objects": GOOD.astype(object),
    "JAX arrays": jax.numpy.asarray(GOOD),
    "every other row of more": np.repeat(GOOD, 2, axis=0)[::2],
}


@pytest.mark.parametrize("x", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_arrays_of_every_make_fit_alike(x):
    got, want = (jaxgmm.fit(0, rows, 2, max_iter=5, tol=0) for rows in (x, GOOD))
    np.testing.assert_allclose(got.mixture.means, want.mixture.means, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint16", "bool"])
def test_narrow_dtypes_compute_in_float32(dtype):
    x = np.asarray(jax.numpy.asarray(np.round(GOOD * 3)).astype(dtype))
    result = jaxgmm.fit(0, x, 2, max_iter=5, tol=0)
    want = jaxgmm.fit(0, x.astype(np.float32), 2, max_iter=5, tol=0)
    assert result.mixture.dtype == np.float32
    np.testing.assert_array_equal(result.mixture.means, want.mixture.means)


def test_read_only_memory_maps_fit(tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        jaxgmm.fit(0, x, 2, max_iter=3).mixture.means, jaxgmm.fit(0, GOOD, 2, max_iter=3).mixture.means
    )


def test_seeds_do_not_alias():
    keys = [validation.random_key(seed) for seed in (0, 1, 2**32, 2**32 + 1, 2**40, 2**70)]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == len(keys)
    legacy = jax.random.PRNGKey(3)
    np.testing.assert_array_equal(jax.random.key_data(validation.random_key(legacy)), legacy)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scale_is_no_obstacle(scale):
    plain = jaxgmm.fit(0, GOOD.astype(np.float32), 2, reg_covar=0, max_iter=10, tol=0)
    scaled = jaxgmm.fit(0, (GOOD * scale).astype(np.float32), 2, reg_covar=0, max_iter=10, tol=0)
    np.testing.assert_allclose(scaled.mixture.means / scale, plain.mixture.means, rtol=2e-3, atol=1e-4)


def test_a_constant_column_survives():
    x = np.c_[GOOD, np.full(20, 7.0)]
    for kind in ("full", "tied", "diag", "spherical"):
        result = jaxgmm.fit(0, x, 2, covariance_type=kind, reg_covar=1e-6)
        assert np.isfinite(result.mixture.score(x)), kind
        np.testing.assert_allclose(result.mixture.means[:, 3], 7.0)


def test_more_features_than_rows_survive_with_a_ridge():
    x = np.random.default_rng(0).normal(size=(10, 30))
    result = jaxgmm.fit(0, x, 2, reg_covar=0.1)
    assert np.isfinite(result.mixture.score(x))


def test_as_many_components_as_rows_survive():
    result = jaxgmm.fit(0, GOOD[:5], 5, reg_covar=1e-3)
    assert np.isfinite(result.mixture.score_samples(GOOD)).all()
