"""Which mixtures are sound, and that soundness decides: more starts, few rows, values that repeat."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import load_rows
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

import jaxgmm
from jaxgmm import FitWarning, GaussianMixture
from jaxgmm.problem.resolution import fineness
from jaxgmm.rows import ArraySource
from jaxgmm.run.status import SOUND


def clusters(n_rows, d, k, seed=0, separation=12.0):
    """Rows of `k` spherical clusters with `n_rows` each, far apart, and whose they are."""
    rng = np.random.default_rng((seed, n_rows, d, k))
    centres = rng.normal(size=(k, d))
    centres *= separation / np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.repeat(np.arange(k), n_rows)
    return centres[labels] + rng.normal(size=(len(labels), d)), labels


def _generated():
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=400)
    return rng.normal(size=(400, 3)) * [0.3, 0.5, 0.8] + 4 * rng.normal(size=(4, 3))[labels]


SETS = {
    "iris": lambda: load_rows("iris"),
    "iris petals": lambda: load_rows("iris")[:, 2:],
    "wine": lambda: load_rows("wine"),
    "wine, four columns": lambda: load_rows("wine")[:, [0, 1, 6, 9]],
    "breast cancer": lambda: load_breast_cancer().data[:, :10],
    "faithful": lambda: load_rows("faithful"),
    "digits, six components": lambda: PCA(6, svd_solver="full").fit_transform(load_digits().data),
    "generated": _generated,
    "rounded": lambda: np.round(_generated(), 1),
    "coarse": lambda: np.round(2 * _generated()) / 2,
    "tied": lambda: np.where(np.random.default_rng(1).uniform(size=(400, 3)) < 0.2, 0, _generated()),
    "lognormal": lambda: np.exp(np.random.default_rng(2).normal(size=(500, 2))),
}


def steps_of(x):
    """The step each column is rounded to, by hand: 0 unless all values are multiples of the smallest gap."""
    found = []
    for column in x.T:
        gaps = np.diff(np.unique(column))
        gaps = gaps[gaps > 1e-9 * np.ptp(column)]
        whole = np.allclose(gaps / gaps.min(), np.rint(gaps / gaps.min()), atol=1e-3)
        found.append(gaps.min() if whole else 0.0)
    return np.array(found)


def narrowest_in_steps(x, mixture):
    """The smallest standard deviation of any component in any direction, in those of what is rounded off."""
    rounded = np.diag(steps_of(x) ** 2 / 12)
    largest = max(np.linalg.eigvals(np.linalg.solve(s, rounded)).real.max() for s in mixture.covariance_matrices())
    return largest**-0.5 if largest > 0 else np.inf


def check_more_starts(name, k, counts):
    """Whether mixtures from ever more starts of one key only get better; how many of them were sound."""
    x, before, sound = SETS[name](), -np.inf, 0
    for n_init in counts:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            result = jaxgmm.fit(2, x, k, n_init=n_init)
        said = [str(warning.message) for warning in heard if warning.category is FitWarning]
        np.testing.assert_array_equal(result.worth, result.log_likelihood + result.log_prior - result.owed)
        now = float(result.worth[result.best])
        assert now >= before - 1e-6 * abs(before), (name, k, n_init, now, before)
        before = now
        # A mixture that is not sound is never returned without a word, nor with two.
        if result.sound:
            sound += 1
            assert not said or (len(said) == 1 and "reg_covar costs" in said[0])
            assert result.worth[result.best] == result.log_likelihood[result.best]
            assert narrowest_in_steps(x, result.mixture) > 1
        else:
            assert len(said) == 1
            assert result.doubt in said[0]
            # It is ahead even less all that it owes to what makes it spurious.
            others = np.isin(result.status, SOUND) & ~result.spurious
            assert (now >= result.log_likelihood[others]).all()
            assert ("ahead of the sound ones" in said[0]) == others.any()
    return sound


@pytest.mark.parametrize(("name", "k"), [("iris", 3), ("iris", 4), ("iris petals", 5), ("coarse", 4)])
def test_more_starts_never_make_the_answer_worse(name, k):
    assert check_more_starts(name, k, (1, 16, 128)) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_more_starts_never_make_any_answer_worse(name):
    counts = [check_more_starts(name, k, (1, 8, 64, 512)) for k in range(1, 9)]
    print(name, "sound fits of 4, for each K:", counts)
    assert counts[0] == 4  # one component is never a matter of starts


# ---- fewer rows than span a covariance ----------------------------------------------------------------------


def agreement(x, labels, k, **options):
    """The agreement with the truth (ARI), and the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = jaxgmm.fit(0, x, k, max_iter=200, **options)
    return adjusted_rand_score(labels, result.mixture.predict(x)), result


@pytest.mark.parametrize(("k", "n_rows", "d"), [(5, 8, 10), (6, 15, 20)])
def test_honest_components_without_full_rank_are_left_alone(k, n_rows, d):
    x, labels = clusters(n_rows, d, k)
    found, result = agreement(x, labels, k)
    assert found == 1.0
    assert result.revivals[0] == 0
    report = result.components()
    assert report.underdetermined.all()
    assert report.spurious.all()
    assert f"fewer than the {d + 1} rows that span a full covariance" in result.doubt
    for advice in ('prior="default"', '"diag"', '"tied"'):
        assert advice in result.doubt
    held = jaxgmm.fit(0, x, k, prior="default")
    assert held.sound  # the advice is good
    assert adjusted_rand_score(labels, held.mixture.predict(x)) == 1.0


def check_as_good_as_keeping(d, ratio, k, n_init):
    x, labels = clusters(max(2, round(ratio * d)), d, k)
    if len(x) <= k:
        return
    found, result = agreement(x, labels, k, n_init=n_init)
    kept, _ = agreement(x, labels, k, n_init=n_init, on_degenerate="keep")
    assert found >= kept - 0.02, (d, ratio, k, n_init, found, kept, result.revivals)


@pytest.mark.parametrize("ratio", [0.3, 0.8, 1.5, 2.5, 5])
@pytest.mark.parametrize(("d", "k", "n_init"), [(2, 5, 8), (5, 3, 1), (10, 5, 8)])
def test_revival_is_never_worse_than_keeping(d, ratio, k, n_init):
    check_as_good_as_keeping(d, ratio, k, n_init)


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 5, 10, 30, 100])
def test_revival_is_never_worse_than_keeping_anywhere(d):
    for ratio in (0.3, 0.5, 0.8, 1, 1.5, 2.5, 5):
        for k in (2, 3, 5, 8):
            check_as_good_as_keeping(d, ratio, k, 1)


def test_a_spike_among_many_rows_is_still_put_elsewhere():
    """Two clusters of many rows, and a start with a component on three rows of one of them."""
    x, labels = clusters(200, 3, 2)
    start = jaxgmm.Mixture.create(
        [0.985, 0.015], [x.mean(0), x[:3].mean(0)], np.stack([np.cov(x.T), np.cov(x[:3].T) + 1e-12 * np.eye(3)])
    )
    _, kept = agreement(x, labels, 2, init=start, on_degenerate="keep")
    assert kept.spurious[0]
    found, result = agreement(x, labels, 2, init=start)
    assert found > 0.95
    assert result.revivals[0] >= 1
    assert result.sound


# ---- values that repeat, and the resolution of rows ------------------------------------------------------------


def test_a_selection_judges_a_cell_by_its_best_sound_restart():
    """Of iris petals with five components the highest likelihood is a component on one value."""
    x = load_rows("iris")[:, 2:]
    found = jaxgmm.select(0, x, [5], covariance_types="full", n_init=64)
    assert found.cell("full", 5).eligible
    assert found.best.sound
    assert found.cell("full", 5).criterion == pytest.approx(found.best.mixture.bic(x), rel=1e-9)
    highest = found.best.best_of("log_likelihood")
    assert highest.log_likelihood[highest.best] > found.best.log_likelihood[found.best.best] + 10
    assert not highest.sound
    assert "values that repeat or are rounded" in highest.doubt
    assert highest.best_of("soundness").best == found.best.best


def test_every_way_to_fit_has_one_notion_of_soundness(tmp_path):
    x, k, starts = load_rows("iris"), 4, 64
    result = jaxgmm.fit(2, x, k, n_init=starts)
    many = jaxgmm.fit_many(2, x[None], k, n_init=starts)
    assert result.sound
    assert many[0].sound
    assert result.spurious.any()
    for each in (result, many[0]):
        reports = [each.components(i).spurious.any() for i in range(starts)]
        np.testing.assert_array_equal(reports, each.spurious)
    raced = jaxgmm.fit(2, np.repeat(x, 30, axis=0), k, n_init=starts, search="race")
    assert raced.sound
    estimator = GaussianMixture(k, n_init=starts, random_state=0).fit(x)
    assert estimator.restarts_.sound


def test_one_start_of_the_estimator_is_scikit_learns_whatever_it_owes():
    import sklearn.mixture

    x = load_rows("iris")[:, 2:]
    for state in range(4):
        options = {"n_components": 6, "random_state": state}
        theirs = sklearn.mixture.GaussianMixture(**options).fit(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = GaussianMixture(**options).fit(x)
        np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-6)


def test_what_is_right_wins_though_a_component_has_too_few_rows():
    """What a mixture owes to a component without full rank is taken off, and it is ahead all the same."""
    rng = np.random.default_rng(0)
    centres = 60 * np.eye(10)[:4]
    labels = np.repeat(np.arange(4), [60, 60, 60, 9])
    x = centres[labels] + rng.normal(size=(len(labels), 10))
    found, result = agreement(x, labels, 4, n_init=16)
    assert found == 1.0
    assert not result.sound
    assert 0 < result.owed[result.best] < 300
    sound = result.best_of("soundness")
    assert sound.sound
    assert sound.log_likelihood[sound.best] < result.worth[result.best]


@pytest.mark.parametrize("n_init", [1, 4, 16])
def test_one_far_row_among_few_has_a_component_of_its_own(n_init):
    x = np.concatenate([np.random.default_rng(0).normal(size=(40, 2)), [[1e6, 1e6]]])
    with pytest.warns(FitWarning, match="spurious"):
        result = jaxgmm.fit(0, x, 2, n_init=n_init, on_degenerate="keep")
    widths = np.sqrt(np.linalg.eigvalsh(result.mixture.covariances))
    assert widths.max() < 2
    assert np.sort(result.components().counts).round() == pytest.approx([1, 40])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_of_rounding_are_recognised(dtype):
    rng = np.random.default_rng(0)
    values = rng.normal(size=300) * 7 + 100
    columns = {
        "continuous": (values, 0),
        "to a tenth": (np.round(values, 1), 0.1),
        "to a half, shifted": (np.round(2 * values) / 2 + 0.3, 0.5),
        "integers": (rng.integers(0, 40, size=300), 1),
        "threes and fives": (rng.choice([0, 3, 5], 300), 1),
        "zeros and ones": (rng.integers(0, 2, size=300), 1),
        "a value that repeats": (np.where(rng.uniform(size=300) < 0.4, 3.0, values), 0),
        "equal": (np.full(300, 7.0), 0),
    }
    for name, (column, step) in columns.items():
        x = np.asarray(column, dtype)[:, None]
        assert fineness(ArraySource(x), x.astype(np.float64).std(0))[1][0] == pytest.approx(step, rel=1e-3), name


def test_the_narrowest_scale_is_that_of_the_densest_rows():
    rng = np.random.default_rng(0)
    wide, tight = rng.normal(size=(800, 1)), 1e-3 * rng.normal(size=(200, 1)) + 5
    scale = lambda x, w=None: fineness(ArraySource(x, w), x.std(0))[0][0]  # noqa: E731
    assert 0.5 < scale(wide) < 1
    assert 3e-4 < scale(np.concatenate([wide, tight])) < 3e-3
    far = wide.copy()
    far[:5] = 1e9
    assert scale(far) == pytest.approx(scale(wide), rel=0.3)
    w = rng.integers(1, 4, size=60)
    assert scale(wide[:60], w.astype(float)) == scale(np.repeat(wide[:60], w, axis=0))
    assert scale(3e20 * wide) == pytest.approx(3e20 * scale(wide), rel=1e-12)


# ---- the ridge ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_automatic_ridge_costs_heavy_tails_nothing(seed):
    x = np.exp(3 * np.random.default_rng(seed).normal(size=(2000, 2)))
    auto = jaxgmm.fit(0, x, 6, n_init=8)
    none = jaxgmm.fit(0, x, 6, init=auto.mixture, reg_covar=0.0)
    assert auto.score > none.score - 1e-4
    assert auto.sound


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_one_far_row_does_not_widen_the_others(covariance_type):
    x = np.random.default_rng(1).normal(size=(1000, 2))
    x[5] = 1e6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = jaxgmm.fit(0, x, 3, covariance_type=covariance_type, n_init=4, on_degenerate="keep")
    widths = np.sqrt(np.linalg.eigvalsh(result.mixture.covariance_matrices()))
    holding = result.mixture.weights > 0.1
    assert holding.any()
    assert widths[holding].max() < 2


def test_what_a_ridge_costs_is_what_is_warned_of():
    """The estimate from Q is a lower bound of what a fit without the ridge gains, and near it where ridges are small."""
    rng = np.random.default_rng(2)
    x = np.concatenate([1e-3 * rng.normal(size=(500, 2)), rng.normal(size=(500, 2))])
    free = jaxgmm.fit(0, x, 2, n_init=4, reg_covar=0.0)
    for ridge, heard in ((1e-6, True), (1e-7, False), (1e-8, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            held = jaxgmm.fit(0, x, 2, init=free.mixture, reg_covar=ridge)
        lost = (
            free.log_likelihood[0] if len(free.status) == 1 else free.log_likelihood[free.best]
        ) - held.log_likelihood[0]
        cost = held.components().ridge_cost.sum()
        assert 0.4 * lost < cost < 1.1 * lost
        said = [str(warning.message) for warning in caught if warning.category is FitWarning]
        assert len(said) == heard
        assert (not heard) or f"reg_covar costs about {cost / len(x):.2g} nats per row: component" in said[0]
        assert held.sound  # the cluster is there, whatever the ridge makes of it


# ---- what is still to gain ---------------------------------------------------------------------------------------


def overlapping(n=1000):
    rng = np.random.default_rng(0)
    labels = rng.uniform(size=n) < 0.1
    return (rng.normal(size=n) * np.where(labels, 0.7, 1.0) + np.where(labels, 1.5, 0.0))[:, None]


def test_what_is_still_to_gain_is_told():
    x = overlapping()
    early = jaxgmm.fit(0, x, 2, n_init=4, covariance_type="diag")
    late = jaxgmm.fit(0, x, 2, init=early.mixtures, covariance_type="diag", tol=1e-13, max_iter=200_000)
    left = late.log_likelihood - early.log_likelihood
    assert (left > 0.01).any()  # the case is one of those
    np.testing.assert_array_equal(early.unfinished, early.remaining > 0.01)
    assert early.unfinished[early.best]
    assert "nats in total to go" in repr(early)
    # A geometric series is what EM's gains are in the end: early on more is left than they tell.
    assert (early.remaining < 1.5 * left).all()
    near = jaxgmm.fit(0, x, 2, init=early.mixtures, covariance_type="diag", tol=1e-9, max_iter=200_000)
    left = late.log_likelihood - near.log_likelihood
    np.testing.assert_allclose(near.remaining, left, rtol=0.3, atol=1e-6)
    assert not late.unfinished.any()
    assert "to go" not in repr(late)


def test_what_is_still_to_gain_is_known_only_where_steps_tell():
    x = overlapping(200)
    assert np.isnan(jaxgmm.fit(0, x, 2, max_iter=0).remaining).all()
    stochastic = jaxgmm.fit(0, x, 2, driver=jaxgmm.Gradient("adam", learning_rate=0.01, batch_size=32), max_iter=20)
    assert np.isnan(stochastic.remaining).all()
    many = jaxgmm.fit_many(0, [x, x[:150]], 2, n_init=2)
    assert np.isfinite(many.remaining).all()
    np.testing.assert_array_equal(many[1].remaining, many.restarts.remaining[1])
    held = jaxgmm.fit(0, x, 2, n_init=2, prior="default", tol=1e-12, max_iter=100_000)
    assert (held.remaining < 1e-6).all()  # of the posterior: the likelihood alone may fall


# ---- each reason by itself -----------------------------------------------------------------------------------------


def test_a_component_narrower_than_rounding_is_spurious():
    """Sixty rows, one of them a step off in the first column: wider than the ridge, narrower than what rounding hides."""
    rng = np.random.default_rng(0)
    wide = np.round(rng.normal(size=(150, 2)) * 2 + 8, 1)
    same = np.round(np.c_[np.where(np.arange(60) == 0, 0.3, 0.2), rng.normal(size=60)], 1)
    x, labels = np.concatenate([wide, same]), np.repeat([0, 1], [150, 60])
    with pytest.warns(FitWarning, match=r"values that repeat or are rounded \(columns 0, 1\)"):
        result = jaxgmm.fit(0, x, 2, init=labels, max_iter=0)  # as the labels say
    report = result.components()
    np.testing.assert_array_equal(report.spurious, [False, True])
    assert report.ridge_share.max() < 0.1
    noisy = x + rng.uniform(-0.05, 0.05, x.shape)  # as the advice has it
    assert jaxgmm.fit(0, noisy, 2, init=labels, max_iter=0).sound


def test_a_component_on_a_handful_of_rows_is_spurious_where_it_is_far_narrower_than_others(faithful):
    """Though wider than the ridge, and than any step."""
    near = np.array([[0, 0], [0.01, 0.1], [-0.01, 0.15], [0.005, -0.1], [0.012, 0.02]])
    x = np.concatenate([faithful, faithful[100] + near + 0.0123])
    labels = np.r_[(faithful[:, 0] > 3).astype(int), np.full(5, 2)]
    with pytest.warns(FitWarning, match="component 2 sits on a handful of rows"):
        result = jaxgmm.fit(0, x, 3, init=labels, max_iter=1, on_degenerate="keep")
    np.testing.assert_array_equal(result.components().spurious, [False, False, True])
    assert result.components().ridge_share.max() < 0.01


@pytest.mark.parametrize("sizes", [(8, 30, 30, 30), (1, 10, 10, 10)])
def test_honest_components_with_fewer_rows_than_others_are_left_alone(sizes):
    """With less than full rank: one of eight rows beside larger ones; and, where none has full rank, one of one row."""
    d, labels = 10, np.repeat(np.arange(4), sizes)
    x = 60 * np.eye(d)[:4][labels] + np.random.default_rng(0).normal(size=(len(labels), d))
    found, result = agreement(x, labels, 4, init=labels)
    assert found == 1.0
    assert result.revivals[0] == 0
