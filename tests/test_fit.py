"""`fit` against implementations we did not write, and against its own symmetries."""

from __future__ import annotations

import warnings

import chex
import jax
import numpy as np
import pytest
from conftest import load_rows
from create import GAUSSIANS, NAMES, data
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import Mixture, Status


def sklearn_fit(x, k, kind, start: Mixture, iterations: int, ridge: float) -> GaussianMixture:
    precisions = {
        "full": lambda c: np.linalg.inv(c), "tied": lambda c: np.linalg.inv(c),
        "diag": lambda c: 1 / c, "spherical": lambda c: 1 / c,
    }[kind](start.covariances)  # fmt: skip
    model = GaussianMixture(
        k, covariance_type=kind, tol=0, max_iter=iterations, reg_covar=ridge,
        weights_init=start.weights, means_init=start.means, precisions_init=precisions,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x)


@pytest.mark.parametrize("kernel", ["shared_feature", "centred"])
@pytest.mark.parametrize("kind", GAUSSIANS)
@pytest.mark.parametrize("rows", ["iris", "wine", "faithful"])
def test_same_start_same_iterations_as_scikit_learn(rows, kind, kernel):
    x, k = load_rows(rows), 3
    start = jaxgmm.fit(5, x, k, covariance_type=kind, max_iter=2, init="kmeans").mixture
    theirs = sklearn_fit(x, k, kind, start, 20, 1e-4)
    ours = jaxgmm.fit(0, x, k, covariance_type=kind, init=start, tol=0, max_iter=20, reg_covar=1e-4, kernel=kernel)
    assert ours.n_iter[0] == 20
    np.testing.assert_allclose(ours.mixture.weights, theirs.weights_, rtol=1e-8)
    np.testing.assert_allclose(ours.mixture.means, theirs.means_, rtol=1e-8)
    size = np.abs(theirs.covariances_).max()
    np.testing.assert_allclose(ours.mixture.covariances, theirs.covariances_, rtol=1e-8, atol=1e-8 * size)
    assert ours.score == pytest.approx(theirs.score(x), rel=1e-10)
    assert ours.mixture.bic(x) == pytest.approx(theirs.bic(x), rel=1e-10)
    assert ours.mixture.aic(x) == pytest.approx(theirs.aic(x), rel=1e-10)
    np.testing.assert_allclose(ours.mixture.responsibilities(x), theirs.predict_proba(x), atol=1e-8)
    np.testing.assert_array_equal(ours.mixture.predict(x), theirs.predict(x))


REFERENCES = [
    (rows, int(k), kind)
    for rows, ks in {
        "faithful": {1: GAUSSIANS, 2: GAUSSIANS, 3: ("tied", "spherical")},
        "iris": {1: ("full", "diag", "spherical"), 2: GAUSSIANS, 3: ("full", "tied", "spherical")},
    }.items()
    for k, kinds in ks.items()
    for kind in kinds
]


IN_CI = [("faithful", 2, "full"), ("faithful", 3, "tied"), ("iris", 2, "diag"), ("iris", 3, "spherical")]


@pytest.mark.parametrize(
    ("rows", "k", "kind"), [pytest.param(*r, marks=[pytest.mark.slow] * (r not in IN_CI)) for r in REFERENCES]
)
def test_mclusts_optima_are_reached(rows, k, kind, reference_values):
    """The best non-degenerate of 200 restarts reaches the published maximum."""
    x = load_rows(rows)
    want = reference_values[rows]["loglik"][str(k)][kind]
    result = jaxgmm.fit(
        1, x, k, covariance_type=kind, n_init=1 if k == 1 else 200, reg_covar=0, tol=1e-10, max_iter=5000
    )
    sound = np.isin(result.status, (Status.CONVERGED, Status.MAX_ITER))
    assert sound[result.best]
    # where spurious optima lie above the reference, the reference itself is found as well
    reached = result.log_likelihood[sound] - want
    assert reached.max() >= -1e-5
    assert np.abs(reached).min() <= 1e-5
    bic = reference_values[rows]["bic"].get(str(k), {}).get(kind)
    if bic is not None:
        nearest = int(np.flatnonzero(sound)[np.abs(reached).argmin()])
        assert result.mixtures[nearest].bic(x) == pytest.approx(bic, abs=1e-4)


def test_every_reference_value_is_tested(reference_values):
    held = {
        (r, int(k), kind) for r, v in reference_values.items() for k, kinds in v["loglik"].items() for kind in kinds
    }
    assert held == set(REFERENCES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GAUSSIANS)
def test_float32_reaches_the_optimum_of_float64(kind, iris):
    wide = jaxgmm.fit(0, iris, 3, covariance_type=kind, n_init=40, tol=1e-7)
    narrow = jaxgmm.fit(0, iris.astype(np.float32), 3, covariance_type=kind, n_init=40, tol=1e-7)
    assert narrow.mixture.dtype == np.float32
    assert narrow.mixture.score(iris) == pytest.approx(wide.score, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_permuted_rows_features_and_components_permute_the_answer(kind):
    rng = np.random.default_rng(0)
    x = data(kind, rng, n=400)
    start = jaxgmm.fit(2, x, 3, covariance_type=kind, max_iter=1, init="random").mixture
    options = {"covariance_type": kind, "tol": 0, "max_iter": 15}
    plain = jaxgmm.fit(0, x, 3, init=start, **options).mixture
    shuffled = jaxgmm.fit(0, x[rng.permutation(400)], 3, init=start, **options).mixture
    chex.assert_trees_all_close(shuffled, plain, rtol=1e-8, atol=1e-10)

    order = np.array([2, 0, 1])
    reordered = jax.tree.map(lambda a: a[order] if a.shape[0] == 3 else a, start)
    got = jaxgmm.fit(0, x, 3, init=reordered, **options).mixture
    np.testing.assert_allclose(got.means, plain.means[order], rtol=1e-8)
    np.testing.assert_allclose(got.weights, plain.weights[order], rtol=1e-8)

    turned = np.array([3, 1, 0, 2])
    covariances = start.covariances
    if kind in ("full", "tied"):
        covariances = covariances[..., turned, :][..., turned]
    elif kind == "diag":
        covariances = covariances[:, turned]
    given = None if kind == "bernoulli" else covariances
    moved = Mixture.create(start.weights, start.means[:, turned], given, covariance_type=kind)
    got = jaxgmm.fit(0, x[:, turned], 3, init=moved, **options).mixture
    np.testing.assert_allclose(got.means, plain.means[:, turned], rtol=1e-7)


@pytest.mark.parametrize("kind", GAUSSIANS)
def test_moved_and_stretched_rows_give_the_moved_mixture(kind, iris):
    shift, scale = np.array([3.0, -2.0, 100.0, 0.5]), np.array([1.0, 10.0, 0.01, 3.0])
    if kind == "spherical":
        scale = np.full(4, 7.0)
    options = {"covariance_type": kind, "tol": 0, "max_iter": 25, "reg_covar": 0.0}
    start = jaxgmm.fit(2, iris, 3, covariance_type=kind, max_iter=1, init="kmeans").mixture
    moved = Mixture(start.weights, start.components.affine(shift, scale))
    plain = jaxgmm.fit(0, iris, 3, init=start, **options)
    got = jaxgmm.fit(0, iris * scale + shift, 3, init=moved, **options)
    np.testing.assert_allclose(got.mixture.means, plain.mixture.means * scale + shift, rtol=1e-8)
    assert got.score == pytest.approx(plain.score - np.log(scale).sum(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_integer_weights_repeat_rows_and_zero_removes_them(kind):
    rng = np.random.default_rng(1)
    x, w = data(kind, rng, n=300), rng.integers(0, 3, 300)
    start = jaxgmm.fit(2, x, 2, covariance_type=kind, max_iter=1, init="random").mixture
    options = {"covariance_type": kind, "init": start, "tol": 0, "max_iter": 20}
    weighted = jaxgmm.fit(0, x, 2, sample_weight=w, **options)
    repeated = jaxgmm.fit(0, np.repeat(x, w, axis=0), 2, **options)
    chex.assert_trees_all_close(weighted.mixture, repeated.mixture, rtol=1e-9, atol=1e-11)
    assert weighted.log_likelihood[0] == pytest.approx(repeated.log_likelihood[0], rel=1e-11)
    assert weighted.mixture.bic(x, w) == pytest.approx(repeated.mixture.bic(np.repeat(x, w, axis=0)))


@pytest.mark.parametrize("init", ["k-means++", "kmeans", "random_from_data", "random"])
def test_rows_without_weight_change_no_start(init, iris):
    w = (np.arange(150) % 3 > 0).astype(float)
    with_them = jaxgmm.fit(0, iris, 3, sample_weight=w, init=init, n_init=3, max_iter=0)
    if init == "random":  # drawn by row number, which removing rows changes
        wild = np.where(w[:, None] > 0, iris, 1e3)
        without = jaxgmm.fit(0, wild, 3, sample_weight=w, init=init, n_init=3, max_iter=0)
    else:
        without = jaxgmm.fit(0, iris[w > 0], 3, init=init, n_init=3, max_iter=0)
    chex.assert_trees_all_close(with_them.mixtures, without.mixtures, rtol=1e-9, atol=1e-12)


def test_bernoulli_separates_binarised_digits():
    """Through the same passes, drivers and restarts: digits 0, 1 and 4 by their strokes."""
    from sklearn.datasets import load_digits
    from sklearn.metrics import adjusted_rand_score

    images, digits = load_digits(return_X_y=True)
    keep = np.isin(digits, (0, 1, 4))
    x = (images[keep] > 8).astype(np.float32)
    result = jaxgmm.fit(0, x, 3, covariance_type="bernoulli", n_init=20)
    assert adjusted_rand_score(digits[keep], result.mixture.predict(x)) > 0.85
    gains = np.diff(result.history[result.best][: result.n_iter[result.best] + 1])
    assert (gains > -1e-5).all()


def test_float64_rows_compute_in_float64_and_leave_jax_alone(iris):
    before = jax.config.jax_enable_x64
    result = jaxgmm.fit(0, iris, 2)
    assert jax.config.jax_enable_x64 == before
    assert result.mixture.dtype == np.float64
    assert result.mixture.score_samples(iris.astype(np.float32)).dtype == np.float64
    assert jaxgmm.fit(0, iris, 2, dtype="float32").mixture.dtype == np.float32
    assert jaxgmm.fit(0, iris.astype(np.float32), 2, dtype="float64").mixture.dtype == np.float64
    assert jaxgmm.fit(0, (iris * 10).astype(int), 2).mixture.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("kind", GAUSSIANS)
@pytest.mark.parametrize(("dtype", "offset"), [("float64", 1e8), ("float32", 1e4)])
def test_an_offset_costs_no_more_than_the_rows_rounding(kind, dtype, offset, iris):
    x = (iris + offset).astype(dtype)
    held = x.astype(np.float64) - offset  # what rounding left of the rows
    options = {"covariance_type": kind, "n_init": 5, "dtype": dtype, "tol": 1e-6}
    moved, plain = jaxgmm.fit(0, x, 3, **options), jaxgmm.fit(0, held, 3, **options)
    assert moved.score == pytest.approx(plain.score, abs=2e-3)


def test_the_result_says_what_happened(iris):
    result = jaxgmm.fit(0, iris, 3, n_init=6, tol=1e-4, max_iter=30)
    assert result.log_likelihood.shape == result.status.shape == result.n_iter.shape == result.kernel.shape == (6,)
    assert result.log_likelihood[result.best] == result.log_likelihood.max()
    assert result.mixture.log_likelihood(iris) == pytest.approx(result.log_likelihood.max(), rel=1e-10)
    for i in range(6):
        curve = result.history[i][np.isfinite(result.history[i])]
        assert len(curve) == result.n_iter[i] + 1
        assert curve[-1] * 150 == pytest.approx(result.log_likelihood[i], rel=1e-12)
        assert result.passes[i] == result.n_iter[i] + 1
        if result.status[i] == Status.CONVERGED:
            assert abs(curve[-1] - curve[-2]) < 1e-4
            assert (np.abs(np.diff(curve))[:-1] >= 1e-4).all()
    text = repr(result)
    assert "6 restarts" in text
    assert "nats per row" in text
