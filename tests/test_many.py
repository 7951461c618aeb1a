"""`fit_many` against a loop of `fit`, and against scikit-learn."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from create import NAMES
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import Status
from jaxgmm.many import problem

KEY = jax.random.key(7)


def data_sets(p: int, n: int, d: int = 2, seed: int = 0) -> np.ndarray:
    """(p, n, d) in float64: two clusters each, some of them near."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(p, n, d))
    x[:, ::2] += rng.uniform(1, 5, (p, 1, d))
    return x


def loop(x, k: int, **options):
    weights = options.pop("sample_weight", None)
    for i, rows in enumerate(x):
        own = {} if weights is None else {"sample_weight": weights[i]}
        yield jaxgmm.fit(jax.random.fold_in(KEY, i), rows, k, **own, **options)


def assert_like_the_loop(many, singles, rtol: float = 1e-8) -> None:
    for i, want in enumerate(singles):
        got = many[i]
        np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=rtol)
        np.testing.assert_array_equal(got.status, want.status)
        assert got.best == want.best
        np.testing.assert_allclose(many.mixtures.means[i], want.mixture.means, rtol=1e3 * rtol, atol=1e3 * rtol)
        np.testing.assert_allclose(
            many.mixtures.covariances[i], want.mixture.covariances, rtol=1e4 * rtol, atol=1e3 * rtol
        )
    assert i == len(many) - 1


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in ("tied", "spherical"))) for n in NAMES]
)
def test_each_data_set_gets_what_fit_gives_it(name):
    x = data_sets(5, 60)
    x = (x > 0.5).astype(float) if name == "bernoulli" else x
    options = {"covariance_type": name, "n_init": 3, "tol": 1e-6}
    many = jaxgmm.fit_many(KEY, x, 2, **options)
    singles = list(loop(x, 2, **options))
    assert_like_the_loop(many, singles)
    for i, want in enumerate(singles):
        np.testing.assert_array_equal(many[i].n_iter, want.n_iter)
        np.testing.assert_array_equal(many[i].spurious, want.spurious)
        report, wanted = many[i].components(), want.components()
        np.testing.assert_allclose(report.counts, wanted.counts, rtol=1e-6)
        np.testing.assert_allclose(report.ridge_share, wanted.ridge_share, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("init", ["kmeans", "random_from_data", "random"])
def test_every_way_to_start_is_the_one_of_fit(init):
    x = data_sets(3, 50)
    options = {"init": init, "n_init": 2, "tol": 1e-6}
    assert_like_the_loop(jaxgmm.fit_many(KEY, x, 2, **options), loop(x, 2, **options))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["centred", "shared_feature"])
def test_kernels_can_be_forced(kernel):
    x = data_sets(3, 50)
    many = jaxgmm.fit_many(KEY, x, 2, kernel=kernel)
    assert (many.restarts.kernel == kernel).all()
    assert_like_the_loop(many, loop(x, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxgmm.FitWarning")
def test_a_prior_and_a_number_for_the_ridge():
    x = data_sets(3, 40)
    for options in ({"prior": "default"}, {"reg_covar": 1e-3}):
        many = jaxgmm.fit_many(KEY, x, 2, n_init=2, **options)
        singles = list(loop(x, 2, n_init=2, **options))
        assert_like_the_loop(many, singles)
        for i, want in enumerate(singles):
            np.testing.assert_allclose(many[i].log_prior, want.log_prior, rtol=1e-6, atol=1e-9)


def test_lists_of_different_lengths_with_weights():
    rng = np.random.default_rng(1)
    x = [data_sets(1, n, seed=n)[0] for n in (30, 200, 31, 77, 33)]
    w = [rng.integers(0, 3, len(rows)).astype(float) for rows in x]
    many = jaxgmm.fit_many(KEY, x, 2, n_init=2, sample_weight=w, tol=1e-6)
    assert_like_the_loop(many, loop(x, 2, n_init=2, sample_weight=w, tol=1e-6))
    np.testing.assert_allclose(many.total_weight, [v.sum() for v in w])


@pytest.mark.slow
def test_long_data_sets_pick_their_seeds_from_a_sample():
    x = data_sets(2, 9000)
    x = [x[0], x[1][:8000]]
    assert_like_the_loop(jaxgmm.fit_many(KEY, x, 2, tol=1e-4), loop(x, 2, tol=1e-4))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_finds_nothing_better_near_the_optima():
    x = data_sets(12, 200, seed=3)
    many = jaxgmm.fit_many(KEY, x, 2, n_init=4, tol=1e-7)
    for i, rows in enumerate(x):
        found = many.mixtures[i]
        peer = GaussianMixture(
            2, tol=1e-7, max_iter=20, weights_init=found.weights, means_init=found.means,
            precisions_init=np.linalg.inv(found.covariances),
        ).fit(rows)  # fmt: skip
        assert many.score[i] == pytest.approx(peer.score(rows), abs=1e-4)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "diag")) for n in NAMES[:4]])
def test_float32_far_from_the_origin(name):
    near = np.round(data_sets(4, 100) * 64) / 64
    far = (near + 1e4).astype(np.float32)
    many = jaxgmm.fit_many(KEY, far, 2, covariance_type=name, n_init=2, tol=1e-4)
    wide = jaxgmm.fit_many(KEY, near, 2, covariance_type=name, n_init=2, tol=1e-4)
    assert many.mixtures.dtype == np.float32
    np.testing.assert_allclose(many.score, wide.score, atol=2e-5)
    np.testing.assert_allclose(many.mixtures.means - 1e4, wide.mixtures.means, atol=5e-3)
    np.testing.assert_allclose(many.mixtures.covariances, wide.mixtures.covariances, rtol=0.02, atol=0.01)


@pytest.mark.slow
def test_tight_clusters_end_on_the_centred_kernel_beside_wide_ones():
    x = data_sets(4, 100)
    x[1, ::2] = [3, 3] + 1e-4 * x[1, ::2]
    many = jaxgmm.fit_many(KEY, x.astype(np.float32), 2, reg_covar=0.0, n_init=2)
    assert many[1].kernel[many[1].best] == "centred"
    assert many[0].kernel[many[0].best] == "shared_feature"
    assert_like_the_loop(jaxgmm.fit_many(KEY, x, 2, reg_covar=0.0), loop(x, 2, reg_covar=0.0))
    wide = jaxgmm.fit_many(KEY, x, 2, reg_covar=0.0, n_init=2)
    np.testing.assert_allclose(many.score, wide.score, atol=1e-3)


def bits(many, chosen) -> list[bytes]:
    leaves = jax.tree.leaves((many.restarts.mixtures, many.restarts.log_likelihood, many.restarts.status))
    return [np.ascontiguousarray(leaf[chosen]).tobytes() for leaf in leaves]


@pytest.mark.filterwarnings("ignore::jaxgmm.FitWarning", "ignore::jaxgmm.DataWarning")
def test_a_bad_data_set_leaves_the_others_as_they_are():
    x = data_sets(40, 60).astype(np.float32)
    spoiled = x.copy()
    spoiled[17] = 5  # no spread at all
    spoiled[18, 1:] = spoiled[18, 1] + 1e-6 * spoiled[18, 1:]  # a row, and a point
    others = np.delete(np.arange(40), [17, 18])
    options = {"n_init": 3, "on_degenerate": "stop", "reg_covar": 1e-9}
    one, two = (jaxgmm.fit_many(KEY, rows, 3, **options) for rows in (x, spoiled))
    assert bits(one, others) == bits(two, others)
    assert (two.restarts.status[18] == Status.DEGENERATE).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxgmm.FitWarning")
def test_revivals_are_those_of_fit():
    x = data_sets(3, 12)
    options = {"n_init": 4, "on_degenerate": "reinit"}
    many = jaxgmm.fit_many(KEY, x, 4, **options)
    singles = list(loop(x, 4, **options))
    assert sum(one.revivals.sum() for one in singles) > 0
    for i, want in enumerate(singles):
        np.testing.assert_array_equal(many[i].revivals, want.revivals)
        # Of twelve rows in four components little is certain: later lives may part ways by rounding.
        np.testing.assert_array_equal(many[i].status, want.status)
    np.testing.assert_allclose(many[0].log_likelihood, singles[0].log_likelihood, rtol=1e-6)


@pytest.mark.slow
def test_batches_and_waves_change_nothing(monkeypatch):
    x = data_sets(30, 40)
    whole = jaxgmm.fit_many(KEY, x, 2, n_init=4)
    monkeypatch.setattr(problem, "_WAVE_ELEMENTS", 1000)
    monkeypatch.setattr(lanes, "_LANES", 8)
    parts = jaxgmm.fit_many(KEY, x, 2, n_init=4)
    np.testing.assert_array_equal(whole.restarts.n_iter, parts.restarts.n_iter)
    np.testing.assert_allclose(whole.restarts.log_likelihood, parts.restarts.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(whole.mixtures.means, parts.mixtures.means, rtol=1e-9)


def test_the_result_is_a_sequence_of_fit_results():
    x = data_sets(4, 40)
    many = jaxgmm.fit_many(KEY, x, 2, n_init=3)
    assert len(many) == len(list(many)) == 4
    assert many.restarts.status.shape == (4, 3)
    assert isinstance(many[-1], jaxgmm.FitResult)
    assert [one.best for one in many[1:3]] == list(many.best[1:3])
    assert many[2].score == pytest.approx(many.score[2])
    assert many[2].mixture.log_likelihood(x[2]) == pytest.approx(many.log_likelihood[2])
    assert many.mixtures.score_samples(x[0]).shape == (4, 40)
    assert many.counts() == {"CONVERGED": 4}
    assert "4 data sets × 3 restarts" in repr(many)
    assert many[0].counts() == {"CONVERGED": 3}
    with pytest.raises(IndexError):
        many[4]


def test_exactly_max_iter_steps_with_tol_0():
    many = jaxgmm.fit_many(KEY, data_sets(3, 40), 2, n_init=2, tol=0, max_iter=11)
    assert (many.restarts.n_iter == 11).all()
    assert (many.restarts.status == Status.MAX_ITER).all()


def with_nan(x: np.ndarray) -> np.ndarray:
    x[3, 7, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (with_nan(data_sets(5, 20)), {}, r"x\[3\] must be finite, got nan at row 7, column 1"),
        (list(with_nan(data_sets(5, 20))), {}, r"x\[3\] must be finite, got nan at row 7, column 1"),
        (data_sets(5, 20)[0], {}, r"x must have shape \(p, n, d\).*got shape \(20, 2\)"),
        ([], {}, "at least one data set"),
        ([data_sets(1, 9)[0], data_sets(1, 9, 3)[0]], {}, r"got 3 in x\[1\], 2 in x\[0\]"),
        ([data_sets(1, 9)[0], data_sets(1, 9)[0, :1]], {}, r"n_components must be at most .*, 1 in x\[1\]; got 2"),
        (data_sets(2, 9), {"sample_weight": np.ones((3, 9))}, "weights for 2 data sets"),
        (data_sets(2, 9), {"sample_weight": -np.ones((2, 9))}, r"sample_weight\[0\] must be finite and at least 0"),
        (data_sets(2, 9), {"init": "kmean"}, "did you mean 'kmeans'"),
        (data_sets(2, 9), {"covariance_type": "bernoulli"}, r"x\[0\] must hold only 0 and 1"),
        (
            np.add(data_sets(3, 9), [[[0]], [[1e9]], [[0]]]).astype(np.float32),
            {},
            r"x\[1\] must carry",
        ),
    ],
)
def test_bad_input_names_the_data_set(x, options, message):
    with pytest.raises(ValueError, match=message):
        jaxgmm.fit_many(KEY, x, 2, **options)


def test_one_warning_for_all_data_sets():
    x = data_sets(6, 30)
    x[2, :, 1], x[4, :, 1] = 3, 4
    with pytest.warns(jaxgmm.DataWarning, match=r"x\[2\]: x is constant in column 1.*; 1 more data sets") as heard:
        jaxgmm.fit_many(KEY, x, 2)
    assert sum(issubclass(one.category, jaxgmm.DataWarning) for one in heard) == 1


def test_a_data_set_does_not_depend_on_its_neighbours():
    """Neither on their lengths nor their weights: what is known of its rows is found from them alone."""
    rng = np.random.default_rng(0)
    one = np.round(np.concatenate([rng.normal(size=(8, 2)), 0.01 * rng.normal(size=(8, 2))]), 2)
    alone = jaxgmm.fit_many(0, [one], 2)
    for others in ([rng.normal(size=(2, 2))], [rng.normal(size=(15, 2)), rng.normal(size=(16, 2))]):
        among = jaxgmm.fit_many(0, [one, *others], 2)
        for name in ("narrowest", "step", "spread"):
            np.testing.assert_array_equal(
                getattr(among.evidence.frames.frame, name)[0], getattr(alone.evidence.frames.frame, name)[0]
            )
        np.testing.assert_array_equal(among.evidence.frames.ridge[0], alone.evidence.frames.ridge[0])
    assert (alone.evidence.frames.frame.step > 0).all()
