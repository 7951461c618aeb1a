"""The order of components: sorted, taken, matched; of mixtures and of results."""

from __future__ import annotations

import itertools
from dataclasses import replace

import chex
import jax
import numpy as np
import pytest
from create import DTYPES, GAUSSIANS, NAMES, batch, data, mixture, parameters
from reference import covariance_matrices
from scipy.spatial.distance import mahalanobis

import jaxgmm
from jaxgmm import Mixture


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def one_by_one(m: Mixture, order: np.ndarray) -> Mixture:
    """The components of a single mixture in `order`, through the field's parameters."""
    shared = m.covariance_type in ("tied", "bernoulli")
    sigma = None if m.covariance_type == "bernoulli" else m.covariances if shared else m.covariances[order]
    return Mixture.create(
        m.weights[order], m.means[order], sigma, covariance_type=m.covariance_type, dtype=m.dtype
    )  # fmt: skip


ORDERS = {
    "weight": (("weight",), lambda m: -m.weights),
    "mean": (("mean",), lambda m: m.means[:, 0]),
    "another mean": (("mean", 2), lambda m: m.means[:, 2]),
    "the last mean": (("mean", -1), lambda m: m.means[:, 3]),
    "a function": ((lambda m: np.linalg.norm(m.means, axis=1),), lambda m: np.linalg.norm(m.means, axis=1)),
    "a list of whole numbers": ((lambda m: [3, 1, 2, 0],), lambda m: np.array([3, 1, 2, 0])),
}


@pytest.mark.parametrize(("arguments", "value"), ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_sorted(name, dtype, arguments, value, rng):
    m = mixture(name, rng, k=4, dtype=dtype)
    order = np.argsort(value(m))
    found = m.sorted(*arguments)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.weights, m.weights[order])
    np.testing.assert_array_equal(found.means, m.means[order])
    np.testing.assert_array_equal(found.covariance_matrices(), m.covariance_matrices()[order])
    chex.assert_trees_all_close(found, one_by_one(m, order), rtol=1e-6)
    x = data(name, rng).astype(dtype)
    np.testing.assert_array_equal(found.joint_log_prob(x), m.joint_log_prob(x)[:, order])


@pytest.mark.parametrize("by", ["weight", "mean", lambda m: m.means[:, 1]], ids=["weight", "mean", "function"])
@pytest.mark.parametrize("name", NAMES)
def test_mixtures_of_a_batch_are_sorted_each_by_itself(name, by, rng):
    many = batch(name, rng, 6, k=4)
    assert len({tuple(order) for order in np.argsort(many.weights)}) > 1
    found = many.sorted(by)
    for i in range(6):
        chex.assert_trees_all_equal(found[i], many[i].sorted(by))
    grid = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), many)
    chex.assert_trees_all_equal(grid.sorted(by)[1, 2], found[5])


def test_equal_ones_keep_their_order_and_absent_ones_come_last():
    m = Mixture.create(
        [0.0, 0.3, 0.2, 0.0, 0.2, 0.3],
        np.array([[5.0, 4, 4, 6, 3, 2], range(6)]).T,
        np.ones(6),
        covariance_type="spherical",
    )
    np.testing.assert_array_equal(m.sorted().means[:, 1], [1, 5, 2, 4, 0, 3])
    np.testing.assert_array_equal(m.sorted("mean").means[:, 1], [5, 4, 1, 2, 0, 3])
    np.testing.assert_array_equal(m.sorted(lambda m: np.zeros(6)).means[:, 1], [1, 2, 4, 5, 0, 3])


SORT_FAULTS = {
    "no such order": (("weigth",), ValueError, "by must be 'weight', 'mean' or a function of a mixture; got 'weigth'; did you mean 'weight'"),
    "a number": ((0,), ValueError, "by must be 'weight', 'mean' or a function of a mixture; got 0"),
    "no such feature": (("mean", 4), ValueError, "feature must be at most 3, got 4"),
    "nor this one": (("mean", -5), ValueError, "feature must be at least -4, got -5"),
    "a name": (("mean", "x"), TypeError, "feature must be an integer, got 'x'"),
    "a feature of weights": (("weight", 1), ValueError, "feature must be left out unless by='mean', got 1"),
    "NaN": ((lambda m: [0.0, np.nan, 1.0],), ValueError, r"what by returns must be finite, got nan at \[1\]"),
    "too few": ((lambda m: m.weights[:2],), ValueError, r"what by returns must have shape \(3,\), a number for each component; got \(2,\)"),
    "words": ((lambda m: ["a", "b", "c"],), TypeError, "what by returns must hold real numbers, got 'a'"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "kind", "message"), SORT_FAULTS.values(), ids=SORT_FAULTS)
def test_sorted_refuses(arguments, kind, message, rng):
    with pytest.raises(kind, match=message):
        mixture("diag", rng).sorted(*arguments)


# ---- take -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_take(name, dtype, rng):
    m = mixture(name, rng, k=5, dtype=dtype)
    for indices in ([3, 0], np.array([3, -5]), (np.int8(3), np.int8(0)), np.array([3, 0], np.uint64)):
        found = m.take(indices)
        assert (found.n_components, found.dtype, found.covariance_type) == (2, dtype, name)
        np.testing.assert_allclose(found.weights, m.weights[[3, 0]] / m.weights[[3, 0]].sum(), rtol=1e-6)
        np.testing.assert_array_equal(found.means, m.means[[3, 0]])
        np.testing.assert_array_equal(found.covariance_matrices(), m.covariance_matrices()[[3, 0]])
    chex.assert_trees_all_equal(m.take(np.arange(5) % 2 == 1), m.take([1, 3]))
    chex.assert_trees_all_equal(m.take([4, 3, 2, 1, 0]).take([4, 3, 2, 1, 0]), m)
    x = data(name, rng).astype(dtype)
    np.testing.assert_allclose(m.take([2]).score_samples(x), (m.joint_log_prob(x) - np.log(m.weights))[:, 2], rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_take_of_a_batch(name, rng):
    many = batch(name, rng, 3, k=4)
    each = np.array([[0, 1], [3, 2], [-1, 0]])
    mask = np.array([True, False, True, True])
    for i in range(3):
        chex.assert_trees_all_equal(many.take([2, 0])[i], many[i].take([2, 0]))
        chex.assert_trees_all_equal(many.take(mask)[i], many[i].take(mask))
        chex.assert_trees_all_equal(many.take(each)[i], many[i].take(each[i]))


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-30])
def test_what_is_taken_may_have_next_to_no_weight(size):
    m = Mixture.create([1.0, size, 3 * size, 0.0], np.arange(4.0)[:, None], np.ones(4), covariance_type="spherical")
    np.testing.assert_allclose(m.take([1, 2, 3]).weights, [0.25, 0.75, 0], rtol=1e-3)


TAKE_FAULTS = {
    "one number": (1, ValueError, r"indices must have shape \(m,\), got \(\); \[1\] takes one component"),
    "a table": ([[0], [1]], ValueError, r"indices must have shape \(m,\), got \(2, 1\)"),
    "none": ([], ValueError, "indices must name at least one component, got none"),
    "a mask of none": (np.zeros(3, bool), ValueError, "indices must name at least one component, got none"),
    "a mask of others": ([True, False], ValueError, r"indices must be a mask of shape \(3,\), one for each component; got \(2,\)"),
    "floats": ([0.0, 1.0], TypeError, "indices must be integers, or booleans as a mask; got dtype float64"),
    "words": (["a"], TypeError, "indices must hold real numbers, got 'a'"),
    "too large": ([0, 3], ValueError, "indices must lie from -3 to 2, as there are 3 components; got 3"),
    "too small": ([-4], ValueError, "indices must lie from -3 to 2, as there are 3 components; got -4"),
    "twice": ([2, 0, -1], ValueError, "indices must name a component once, got 2 twice"),
    "no weight": ([1], ValueError, "indices must name a component with weight, got only components of weight 0"),
}  # fmt: skip


@pytest.mark.parametrize(("indices", "kind", "message"), TAKE_FAULTS.values(), ids=TAKE_FAULTS)
def test_take_refuses(indices, kind, message):
    m = Mixture.create([0.5, 0.0, 0.5], np.zeros((3, 1)), np.ones(3), covariance_type="spherical")
    with pytest.raises(kind, match=message):
        m.take(indices)


def test_take_says_which_mixture_of_a_batch(rng):
    many = batch("diag", rng, 3)
    many.weights[1] = [1, 0, 0]
    with pytest.raises(ValueError, match=r"only components of weight 0 in mixture \[1\]"):
        many.take([1, 2])
    with pytest.raises(ValueError, match=r"shape \(m,\) or \(3, m\), got \(2, 2\)"):
        many.take([[0, 1], [1, 0]])


# ---- match ----------------------------------------------------------------------------------------------------


def textbook(metric: str, a: Mixture, b: Mixture) -> np.ndarray:
    """Distances (k, m) by their definitions, a pair at a time."""
    found = np.zeros((a.n_components, b.n_components))
    if a.covariance_type == "bernoulli":
        rows = np.array(list(itertools.product([0, 1], repeat=a.n_features)))
        p, q = (np.prod(np.where(rows[:, None], m.means, 1 - m.means), axis=-1) for m in (a, b))
        return -np.log(np.sqrt(p[:, :, None] * q[:, None, :]).sum(axis=0))
    for i, j in np.ndindex(found.shape):
        s, t = a.covariance_matrices()[i], b.covariance_matrices()[j]
        found[i, j] = mahalanobis(a.means[i], b.means[j], np.linalg.inv((s + t) / 2))
        if metric == "bhattacharyya":
            roots = np.linalg.det((s + t) / 2) / np.sqrt(np.linalg.det(s) * np.linalg.det(t))
            found[i, j] = found[i, j] ** 2 / 8 + np.log(roots) / 2
    return found


def metrics(name: str) -> tuple[str, ...]:
    return ("bhattacharyya",) if name == "bernoulli" else ("bhattacharyya", "mahalanobis")


CASES = [(name, metric) for name in NAMES for metric in metrics(name)]


@pytest.mark.parametrize(("name", "metric"), CASES)
def test_distances_are_the_textbooks(name, metric, rng):
    a, b = mixture(name, rng, k=4), mixture(name, rng, k=3)
    np.testing.assert_allclose(
        a.components.distances(b.components, metric), textbook(metric, a, b), rtol=1e-9, atol=1e-9
    )


def test_bhattacharyya_is_the_overlap_of_densities():
    """−log ∫ √(p q), summed up on a grid."""
    a = Mixture.create([1.0], [[0.3]], [2.0], covariance_type="spherical")
    b = Mixture.create([1.0], [[-1.0]], [0.5], covariance_type="spherical")
    grid = np.linspace(-30, 30, 100_001)[:, None]
    overlap = np.exp((a.score_samples(grid) + b.score_samples(grid)) / 2).sum() * (grid[1, 0] - grid[0, 0])
    np.testing.assert_allclose(a.components.distances(b.components, "bhattacharyya"), -np.log(overlap), rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "metric"), CASES)
def test_a_shuffled_mixture_is_put_right_again(name, metric, dtype, rng):
    m = mixture(name, rng, k=6, dtype=dtype)
    order = rng.permutation(6)
    found = m.take(order).match(m, metric)
    np.testing.assert_array_equal(found, np.argsort(order))
    chex.assert_trees_all_equal(m.take(order).take(found), m)


@pytest.mark.parametrize(("name", "metric"), CASES)
def test_no_other_choice_is_closer(name, metric, rng):
    """Nor for fewer components than there are; against all choices there are."""
    for k, others in ((4, 4), (5, 3)):
        a, b = mixture(name, rng, k=k), mixture(name, rng, k=others)
        costs = textbook(metric, a, b)
        best = min(itertools.permutations(range(k), others), key=lambda p: costs[list(p), range(others)].sum())
        np.testing.assert_array_equal(a.match(b, metric), best)


def test_a_batch_is_matched_mixture_by_mixture(rng):
    many, other = batch("full", rng, 5, k=4), mixture("full", rng, k=4)
    found = many.match(other)
    assert found.shape == (5, 4)
    for i in range(5):
        np.testing.assert_array_equal(found[i], many[i].match(other))
    chex.assert_trees_all_equal(many.take(found)[3], many[3].take(found[3]))
    assert many[:0].match(other).shape == (0, 4)


@pytest.mark.parametrize("metric", metrics("full"))
@pytest.mark.parametrize("name", GAUSSIANS)
def test_covariance_types_may_differ(name, metric, rng):
    weights, means, covariances = parameters(name, rng, k=5)
    m = Mixture.create(weights, means, covariances, covariance_type=name)
    full = Mixture.create(weights, means, covariance_matrices(name, covariances, 5, 4))
    order = rng.permutation(5)
    np.testing.assert_array_equal(full.take(order).match(m, metric), np.argsort(order))
    np.testing.assert_array_equal(m.take(order).match(full, metric), np.argsort(order))


@pytest.mark.parametrize("unit", [1e-20, 1e-3, 1e20])
@pytest.mark.parametrize(("name", "metric"), [case for case in CASES if case[0] != "bernoulli"])
def test_units_make_no_difference(name, metric, unit, rng):
    a, b = mixture(name, rng, k=6), mixture(name, rng, k=6)
    scaled = [Mixture(m.weights, m.components.affine(np.zeros(4), np.full(4, unit))) for m in (a, b)]
    np.testing.assert_allclose(
        scaled[0].components.distances(scaled[1].components, metric),
        a.components.distances(b.components, metric),
        rtol=1e-7,
    )
    np.testing.assert_array_equal(scaled[0].match(scaled[1], metric), a.match(b, metric))


@pytest.mark.parametrize("metric", metrics("full"))
def test_flat_covariances_and_far_means(metric, rng):
    """Singular but for a ridge, in directions of their own, in units twenty orders apart, and beyond what can be squared."""
    k, d = 5, 4
    root = rng.normal(size=(k, d, 1))
    flat = root @ root.swapaxes(1, 2)
    flat = flat + 1e-13 * np.eye(d) * np.trace(flat, axis1=1, axis2=2)[:, None, None]
    units = np.array([1e-20, 1.0, 1e20, 1e3])
    m = Mixture.create(np.full(k, 0.2), rng.normal(size=(k, d)) * units, flat * units * units[:, None])
    order = rng.permutation(k)
    with np.errstate(all="raise", under="ignore"):
        distances = m.components.distances(m.components, metric)
        np.testing.assert_array_equal(m.take(order).match(m, metric), np.argsort(order))
    assert np.isfinite(distances).all()
    np.testing.assert_allclose(np.diagonal(distances), 0, atol=1e-9)
    far = Mixture.create([0.5, 0.5], [[-1e160], [1e160]], [1e-40, 1e-40], covariance_type="spherical")
    np.testing.assert_array_equal(far.take([1, 0]).match(far, metric), [1, 0])


def test_rates_of_zero_and_one(rng):
    m = Mixture.create(np.full(3, 1 / 3), [[0.0, 1, 1], [1, 1, 0], [1, 0, 0]], covariance_type="bernoulli")
    near = replace(m, components=type(m.components)(np.clip(m.means, 0.01, 0.99)))
    order = [2, 0, 1]
    for a, b in ((m, m), (m, near), (near, m)):
        np.testing.assert_array_equal(a.take(order).match(b), np.argsort(order))


def test_components_without_weight_lie_nowhere():
    """What stands in them is left over from anything; they get each other, or what is left."""

    def of(weights, means):
        return Mixture.create(weights, np.array(means)[:, None], np.ones(len(means)), covariance_type="spherical")

    other = of([0.5, 0.0, 0.5], [0.0, 9.0, 3.0])
    np.testing.assert_array_equal(of([0.0, 0.5, 0.5], [0.0, 3.1, 0.1]).match(other), [2, 0, 1])
    np.testing.assert_array_equal(of([0.4, 0.3, 0.3], [9.0, 3.1, 0.1]).match(other), [2, 0, 1])
    np.testing.assert_array_equal(
        of([0.5, 0.0, 0.5], [3.1, 9.0, 0.1]).match(of([0.4, 0.3, 0.3], [3.0, 0.0, 9.0])), [0, 2, 1]
    )
    np.testing.assert_array_equal(of([0.4, 0.3, 0.3, 0.0], [9.0, 3.1, 0.1, 9.0]).match(other), [2, 3, 1])


def test_match_refuses(rng):
    m = mixture("full", rng)
    faults = [
        ((mixture("full", rng, k=4),), ValueError, "other must have at most 3 components, as this mixture has; got 4"),
        ((mixture("full", rng, d=2),), ValueError, "other must have 4 features, got 2"),
        (
            (batch("full", rng, 2),),
            ValueError,
            r"other must be a single mixture, got leading axes \(2,\); index it first",
        ),
        ((mixture("bernoulli", rng),), ValueError, "other must be 'full' as this mixture is, got 'bernoulli'"),
        ((m, "euclid"), ValueError, "metric must be one of 'bhattacharyya', 'mahalanobis'; got 'euclid'"),
        ((m.means,), TypeError, "other must be a Mixture, got ndarray"),
    ]
    for arguments, kind, message in faults:
        with pytest.raises(kind, match=message):
            m.match(*arguments)
    rates = mixture("bernoulli", rng)
    with pytest.raises(ValueError, match="other must be 'bernoulli' as this mixture is, got 'full'"):
        rates.match(m)
    with pytest.raises(ValueError, match="metric must be 'bhattacharyya' for Bernoulli mixtures, got 'mahalanobis'"):
        rates.match(rates, "mahalanobis")


# ---- results --------------------------------------------------------------------------------------------------


def assert_components_moved(found, result, orders):
    """That everything a result says of components is said in the new order, of every restart."""
    for restart, order in enumerate(orders):
        told, told_before = (vars(r.components(restart)) for r in (found, result))
        for name, value in told_before.items():
            np.testing.assert_allclose(told[name], value[order], rtol=1e-9, err_msg=name)
        places = np.argsort(order)
        costs = result.diagnosis.ridge_cost(restart)
        np.testing.assert_allclose(found.diagnosis.ridge_cost(restart)[places], costs, rtol=1e-6)


@pytest.mark.parametrize("prior", [None, "default"])
@pytest.mark.parametrize("name", NAMES)
def test_a_sorted_result(name, prior, rng):
    x = data(name, rng, n=400, d=3)
    result = jaxgmm.fit(0, x, 3, covariance_type=name, n_init=3, max_iter=20, prior=prior)
    orders = np.argsort(-result.mixtures.weights, axis=1)
    assert len({tuple(order) for order in orders}) > 1
    found = result.sorted()
    assert_components_moved(found, result, orders)
    chex.assert_trees_all_equal(found.mixtures, result.mixtures.sorted())
    chex.assert_trees_all_equal(found.mixture, found.mixtures[result.best])
    np.testing.assert_allclose(found.mixture.score(x), result.score, rtol=1e-5)
    assert (found.best, found.score, found.counts()) == (result.best, result.score, result.counts())
    np.testing.assert_array_equal(found.spurious, found.diagnosis.spurious().any(axis=1))


def test_a_sorted_result_knows_which_components_were_given(rng):
    """A width that was given is no spike, and weights that were given say nothing of rows: wherever components stand."""
    x = np.concatenate(
        [
            rng.normal(size=(300, 2)),
            rng.normal(size=(100, 2)) + 8,
            np.full((3, 2), 4.0) + 1e-4 * rng.normal(size=(3, 2)),
        ]
    )
    free = np.full((2, 2), np.nan)
    fixed = jaxgmm.Fixed(
        weights=[0.3, np.nan, np.nan],
        covariances=[1e-6 * np.eye(2), free, free],
        means=[[4.0, 4.0], [np.nan] * 2, [np.nan] * 2],
    )
    result = jaxgmm.fit(0, x, 3, fixed=fixed, n_init=2)
    assert not result.components().spurious.any()
    for by, feature in (("mean", 0), ("weight", 0)):
        found = result.sorted(by, feature)
        orders = np.argsort(result.mixtures.means[..., 0] if by == "mean" else -result.mixtures.weights, axis=1)
        assert not (orders == np.arange(3)).all()
        assert_components_moved(found, result, orders)
        assert_components_moved(found.sorted("mean", 1), result, np.argsort(result.mixtures.means[..., 1], axis=1))
    unheld = replace(result.sorted("mean").diagnosis, given=False)
    assert unheld.spurious().any()


def test_sorted_results_of_many_data_sets(rng):
    x = rng.normal(size=(3, 120, 2)) + 5 * rng.integers(0, 3, (3, 120, 1))
    result = jaxgmm.fit_many(0, x, 3, n_init=2, max_iter=20)
    found = result.sorted("mean", 1)
    assert (np.diff(found.mixtures.means[..., 1]) > 0).all()
    chex.assert_trees_all_equal(found.mixtures, result.mixtures.sorted("mean", 1))
    for i in range(3):
        assert_components_moved(found[i], result[i], np.argsort(result.restarts.mixtures[i].means[..., 1], axis=1))
        chex.assert_trees_all_equal(found[i].mixture, found.mixtures[i])


def test_a_sorted_selection(rng):
    x = rng.normal(size=(150, 2)) + 6 * rng.integers(0, 3, (150, 1))
    result = jaxgmm.select(0, x, [2, 3], covariance_types=["full", "tied"], n_init=4)
    found = result.sorted("mean")
    assert found.table is result.table
    chex.assert_trees_all_equal(found.best.mixture, result.best.mixture.sorted("mean"))
    assert (np.diff(found.best.mixture.means[:, 0]) > 0).all()
