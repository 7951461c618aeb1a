"""Rows in cells of their own coordinates: the same sums, right at any tightness, and a bound that says so."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import GAUSSIANS, batch, data, mixture, scope
from house import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from places import Cards, captured

import jaxgmm
from jaxgmm import Mixture
from jaxgmm.em import KERNELS, e_step
from jaxgmm.em.choice import KERNEL_NAMES, limits
from jaxgmm.families import FAMILIES
from jaxgmm.problem import cells as finding
from jaxgmm.problem.pose import pose
from jaxgmm.rows import ArrayRows, ArraySource, Rows
from jaxgmm.rows.cell_rows import CellRows
from jaxgmm.rows.cells import Cells, laid_in_cells
from jaxgmm.rows.folds import FoldedRows, without
from jaxgmm.rows.labels import Labels
from jaxgmm.rows.places import anew_about, placed
from jaxgmm.run.lanes import DeviceLanes

sys.path.insert(0, str(ROOT / "benchmarks"))
from ladder_data import BOUNDS, case, rungs

D = 4
PASS = jax.jit(e_step, static_argnames=("kernel", "chunk"))
WITH_CELLS = pytest.mark.parametrize("name", GAUSSIANS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def found(x: np.ndarray, name: str, g: int = 5) -> Cells:
    """Cells of rows (n, d), in the coordinates they come in."""
    return finding.clustered(x.T.astype(np.float64), FAMILIES[name], g, x.std(0), np.full(x.shape[1], 1e-6))


def in_cells(x: np.ndarray, name: str, g: int = 5, dtype: str = "float64", weights=None, labels=None) -> CellRows:
    """Rows as they come, in cells. Call inside `scope`."""
    source = ArraySource(x, weights, None if labels is None else labels[1])
    cells = found(x, name, g)
    return laid_in_cells(source, lambda b: np.asarray(b, float).T, np.dtype(dtype), cells, None, labels and labels[0])


def in_one(x: np.ndarray, dtype: str = "float64", weights=None, labels=None) -> ArrayRows:
    source = ArraySource(x, weights, None if labels is None else labels[1])
    transform = lambda b: np.asarray(b, float).T  # noqa: E731
    return ArrayRows.from_source(source, transform, np.dtype(dtype), None, labels and labels[0])


def alike(one, other, **tolerance):
    """The same statistics; κ is of the layout, and no property of the rows."""
    chex.assert_trees_all_close(replace(one, conditioning=other.conditioning), other, **tolerance)


@WITH_CELLS
def test_coefficients_seen_from_elsewhere_make_the_same_densities_and_sums_are_carried_back(name, rng):
    family, m = FAMILIES[name], batch(name, rng, 2)
    z, shift = rng.normal(size=(D, 9)), rng.normal(size=(2, 3, D))
    roots = {"linear": np.tril(rng.normal(size=(D, D))) + 2 * np.eye(D), "scalar": np.full(D, 1.7)}
    for root in (roots.get(family.traits.maps, rng.uniform(0.5, 2, D)), np.full(D, 0.6)):
        theta, psi = m.components.natural(), m.components.common_natural()
        seen = family.seen_from(theta, psi, shift, root)
        x = (root[:, None] * z if root.ndim == 1 else root @ z) + shift[..., None]  # (2, 3, d, b): a point for each
        for r, k in np.ndindex(2, 3):
            there = seen[0][r, k] @ family.features(z) + seen[1][r] @ family.common_features(z)
            own = theta[r, k] @ family.features(x[r, k]) + psi[r] @ family.common_features(x[r, k])
            np.testing.assert_allclose(there, own, rtol=1e-10)
        # adjoint: what coefficients make of carried sums is what those seen from there make of the sums themselves
        r = rng.uniform(size=(2, 3, 9))
        r /= r.sum(axis=1, keepdims=True)
        sums = np.einsum("rkb,fb->rkf", r, family.features(z))
        commons = np.broadcast_to(family.common_features(z).sum(axis=1), psi.shape)
        carried = family.carried(sums, commons, shift, root)
        left = np.sum(theta * carried[0]) + np.sum(psi * carried[1])
        right = np.sum(seen[0] * sums) + np.sum(seen[1] * commons)
        assert left == pytest.approx(right, rel=1e-10)
        on_jax = jax.jit(family.seen_from)(theta.astype(np.float32), psi.astype(np.float32), shift, root)
        chex.assert_trees_all_close(on_jax, seen, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@WITH_CELLS
def test_statistics_are_those_of_rows_in_one_array(name, kernel, rng):
    x, m = np.concatenate([data(name, rng, 300), 40 + 0.01 * data(name, rng, 100)]), batch(name, rng, 3)
    names = Labels(np.array([7]), np.array([[True, True, False], [True, True, True]]))
    w, label = rng.uniform(0.5, 2, 400), rng.choice([-1, 7], 400)
    with scope():
        for weights, labels in ((None, None), (w, None), (w, (names, label))):
            one, cells = (lay(x, weights=weights, labels=labels) for lay in (in_one, partial(in_cells, name=name)))
            for chunk in (None, 32):
                alike(PASS(m, cells, kernel=kernel, chunk=chunk), PASS(m, one, kernel="centred"), rtol=1e-8, atol=1e-7)
        fold = jnp.asarray(rng.integers(0, 3, cells.n_slots))
        folded = [
            without(FoldedRows(place, fold[: place.n_slots], jnp.ones(4), jnp.ones(4, jnp.int32)), jnp.asarray(1))
            for place in (one, cells)
        ]
        alike(*(PASS(m, place, kernel=each) for place, each in zip(folded, ("centred", kernel), strict=True)), rtol=1e-8, atol=1e-7)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@WITH_CELLS
def test_single_rows_come_back_as_they_were(name, dtype, rng):
    x = np.concatenate([data(name, rng, 300), 40 + 0.01 * data(name, rng, 100)]).astype(dtype)
    w, eps = rng.uniform(0.5, 2, 400).astype(dtype), np.finfo(dtype).eps
    with scope():
        rows = in_cells(x, name, dtype=dtype, weights=w)
        index = rng.integers(0, 400, 50)
        taken = rows.take(jnp.asarray(index))
        np.testing.assert_allclose(taken.x.T, x[index], atol=50 * eps * 40)
        np.testing.assert_array_equal(taken.weights, w[index])
        np.testing.assert_array_equal(rows.row_weights(), w)
        np.testing.assert_array_equal(rows.present(), np.arange(400))
        assert (int(rows.n_rows), rows.n_features, rows.dtype) == (400, D, np.dtype(dtype))
        plain = Rows.take(rows, jnp.asarray(index))  # by a pass
        np.testing.assert_allclose(plain.x, taken.x, atol=50 * eps * 40)
        mean = rows.total(lambda _, some: some.x @ some.weights, None, 64).total / rows.total_weight
        np.testing.assert_allclose(mean, np.average(x, axis=0, weights=w), rtol=100 * eps, atol=100 * eps * 40)
        some = rows.sample(jax.random.key(0), 100)
        assert float(some.total_weight) == pytest.approx(w.sum(), rel=float(100 * eps))
        assert some.x.dtype == dtype


def test_a_source_is_laid_out_like_an_array_and_sums_have_all_they_need_from_their_operand(rng):
    x, m = data("full", rng, 3000), mixture("full", rng)
    with scope():
        transform, cells = (lambda b: np.asarray(b, float).T), found(x, "full")
        laid = [placed(s, transform, np.dtype(float), None, None, cells) for s in (ArraySource(x), Cards(x))]
        chex.assert_trees_all_equal(*(replace(one, frame=None) for one in laid))

        def inside(m, rows):
            assert captured(lambda: None) == []
            return e_step(m, rows, kernel="shared_feature")

        jax.jit(inside)(m, laid[0])


# ---- trust ----------------------------------------------------------------------------------------------------


def step_errors(m: Mixture, rows: Rows, kernel: str, truth) -> tuple[float, float, float]:
    """κ, and the errors of a pass: nats per row, and of second moments, where there are rows.

    Those are whitened, about 1 where a component fits its rows; where it does not, what counts is the new covariance.
    """
    s, n, counts = PASS(m, rows, kernel=kernel), float(truth.total_weight), np.asarray(truth.counts)
    total = lambda s: np.float64(s.log_likelihood) + np.float64(s.log_likelihood_error)  # noqa: E731
    shared, right = m.components.traits.one_covariance, np.asarray(truth.moments.second)
    own, each = (np.array([True]), np.array([n])) if shared else (counts > 0.5, counts)
    moved, size = (
        np.abs(part).reshape(len(own), -1).max(1)[own] / each[own] for part in (s.moments.second - right, right)
    )
    second = np.max(moved / np.maximum(size, 1))
    return float(s.conditioning), abs(total(s) - total(truth)) / n, float(second)


def held_to(m: Mixture, one: Rows, cells: Rows, wide: ArrayRows, dtype: str) -> float:
    """Holds both layouts to what their κ promises, and returns that of the cells."""
    exact = PASS(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), m), wide, kernel="centred")
    per_nat, second = BOUNDS[dtype]
    for rows in (one, cells):
        kappa, *errors = step_errors(m, rows, "shared_feature", exact)
        if kappa <= limits("auto", dtype)[0]:
            # Log-densities of rows that nobody explains are large, and rounded as such.
            rounded = 4 * np.finfo(dtype).eps * abs(float(exact.log_likelihood / exact.total_weight))
            assert errors[0] <= per_nat + rounded, (kappa, errors)
            assert errors[1] <= second, (kappa, errors)
    return kappa


@WITH_CELLS
def test_on_the_ladder_the_fast_kernel_is_right_in_cells_and_never_trusted_where_it_is_wrong(name):
    for _, rung in rungs(name):
        made, family = case(name, rung, "float32"), FAMILIES[name]
        with scope():
            posed = pose(ArraySource(made.x), family, 5, 0.0, None, np.dtype(np.float32))
            frame = posed.frame
            m = jax.tree.map(jnp.asarray, frame.from_data(Mixture(made.weights, family(made.means, made.factor)), np.float32))  # fmt: skip
            ridge = np.broadcast_to(posed.penalty.ridge, (D,))
            cells = finding.clustered(frame.rows(made.x), family, 8, frame.spread, ridge)
            laid = laid_in_cells(ArraySource(made.x), frame.rows, np.dtype(np.float32), cells, frame.whitener)
            wide = ArrayRows.from_array(posed.rows.x[:, : len(made.x)].T.astype(jnp.float64))
            kappa = held_to(m, posed.rows, laid, wide, "float32")
        assert kappa <= limits("auto", np.float32)[0], rung


@cache
def _laid(name: str, seed: int) -> tuple[np.ndarray, Rows, Rows, ArrayRows]:
    """Clusters of several widths, in one array, in cells, and in float64."""
    rng = np.random.default_rng(seed)
    width = 10.0 ** rng.uniform(-3, 0, 4)
    x = np.concatenate([rng.normal(size=D) * 3 + s * rng.normal(size=(256, D)) for s in width])
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    return x, in_one(x, "float32"), in_cells(x, name, 6, "float32"), in_one(x.astype(float))


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(GAUSSIANS), seed=st.integers(0, 3), drawn=st.integers(0, 2**31), width=st.floats(-4.5, 0.5),
    on_rows=st.booleans(),
)  # fmt: skip
def test_the_fast_kernel_is_never_trusted_where_it_is_wrong(name, seed, drawn, width, on_rows):
    """Mixtures that nobody fitted: far too narrow or wide, on rows and off them, within a cell or between two."""
    rng = np.random.default_rng(drawn)
    with scope():
        x, *laid = _laid(name, seed)
        means = x[rng.choice(len(x), 3)] if on_rows else rng.normal(size=(3, D))
        shape = FAMILIES[name].traits.unit_covariances(3, D)
        covariances = shape * 10.0 ** (2 * width) * (rng.uniform(0.3, 3) if name == "tied" else 1.0)
        m = Mixture.create(rng.dirichlet(np.ones(3)), means, covariances, covariance_type=name, dtype="float32")
        held_to(jax.tree.map(jnp.asarray, m), *laid, "float32")


def ordinary(n: int, d: int, k: int, seed: int = 0) -> np.ndarray:
    """Clusters with covariances as they come: rows c + A ε, A a random square matrix, centres four spreads apart."""
    rng = np.random.default_rng(seed)
    label, centres = rng.integers(k, size=n), 4 * rng.normal(size=(k, d))
    root = rng.normal(size=(k, d, d)) / np.sqrt(d)
    return (centres[label] + np.einsum("nde,ne->nd", root[label], rng.normal(size=(n, d)))).astype(np.float32)


def test_restarts_on_their_way_are_trusted_rightly_and_keep_the_fast_kernel(monkeypatch):
    monkeypatch.setattr(finding, "_ROWS_IN_A_CELL", 256)
    x = ordinary(4096, 6, 5)
    with scope():
        posed = pose(ArraySource(x), FAMILIES["full"], 5, "auto", None, np.dtype(np.float32))
        assert isinstance(posed.rows, CellRows)
        one = placed(ArraySource(x), posed.frame.rows, posed.dtype, posed.frame.whitener)
        wide = ArrayRows.from_array(one.x[:, :4096].T.astype(jnp.float64))
        for steps in (0, 1, 3, 10, 100):
            options = {"n_init": 4, "max_iter": steps, "search": "all", "on_degenerate": "keep"}
            result = jaxgmm.fit(0, x, 5, **options)
            assert set(result.kernel) <= {"shared_feature"} if steps > 3 else True
            for m in result.mixtures:
                inner = jax.tree.map(jnp.asarray, posed.frame.from_data(m, np.float32))
                held_to(inner, one, posed.rows, wide, "float32")
    exact = jaxgmm.fit(0, x.astype(float), 5, init=result.mixtures.astype(np.float64), max_iter=0)
    np.testing.assert_allclose(result.log_likelihood, exact.log_likelihood, rtol=2e-6)


def test_rows_get_cells_where_one_frame_will_not_do(monkeypatch):
    def rows_of(x, k, name="full", dtype="float32"):
        with scope():
            return pose(ArraySource(x), FAMILIES[name], k, "auto", None, np.dtype(dtype)).rows

    x, round_ = ordinary(16384, 6, 5), np.random.default_rng(0).normal(size=(16384, 6)).astype(np.float32)
    assert isinstance(rows_of(x, 5), CellRows)
    assert isinstance(rows_of(x[:4096], 5), ArrayRows)  # few rows: a cell's coefficients would cost more than its rows
    assert isinstance(rows_of(round_, 5), ArrayRows)  # wide components lose nothing
    assert isinstance(rows_of(x, 1), ArrayRows)
    assert isinstance(rows_of((round_ > 0).astype(np.float32), 5, "bernoulli"), ArrayRows)
    assert isinstance(rows_of(x.astype(float), 5, dtype="float64"), ArrayRows)  # in which it is no matter


@pytest.mark.parametrize("name", GAUSSIANS)
def test_a_fit_in_cells_is_the_fit_in_one_array(name, monkeypatch):
    x = ordinary(3000, 4, 4).astype(np.float64)
    w, options = np.random.default_rng(1).uniform(0.5, 2, 3000), {"covariance_type": name, "n_init": 3, "max_iter": 40}
    plain = jaxgmm.fit(0, x, 4, sample_weight=w, **options)
    monkeypatch.setattr(finding, "_ROWS_IN_A_CELL", 128)
    monkeypatch.setattr(finding, "_one_frame_will_do", lambda *_: False)
    for driver in (jaxgmm.EM(), jaxgmm.Squarem(), jaxgmm.Gradient("adam"), jaxgmm.Gradient("lbfgs")):
        celled = jaxgmm.fit(0, x, 4, sample_weight=w, driver=driver, **options)
        monkeypatch.setattr(finding, "_ROWS_IN_A_CELL", 1 << 20)
        same = jaxgmm.fit(0, x, 4, sample_weight=w, driver=driver, **options)
        monkeypatch.setattr(finding, "_ROWS_IN_A_CELL", 128)
        np.testing.assert_allclose(celled.log_likelihood, same.log_likelihood, rtol=1e-6)
    assert np.isfinite(plain.log_likelihood).all()


def spiked() -> np.ndarray:
    """Wide clusters, and rows that all but coincide in one column: a spike within some cell."""
    x = ordinary(4096, 4, 4)
    x[::3, 1] = np.float32(0.25) + 1e-4 * np.random.default_rng(1).normal(size=len(x[::3])).astype(np.float32)
    return x


def on_a_spike(x: np.ndarray) -> Mixture:
    spike = np.abs(x[:, 1] - 0.25) < 1e-3
    parts = [x[~spike], x[spike]]
    covariances = np.stack([np.cov(part.T.astype(float)) for part in parts])
    return Mixture.create([2 / 3, 1 / 3], [part.mean(0) for part in parts], covariances, dtype="float32")


def test_rows_are_laid_out_anew_where_a_spike_lies_within_a_cell(monkeypatch):
    monkeypatch.setattr(finding, "_ROWS_IN_A_CELL", 256)
    monkeypatch.setattr(finding, "_HARD_STEPS", 0)  # else the cells would know of it
    monkeypatch.setattr(finding, "_one_frame_will_do", lambda *_: False)
    x, options = spiked(), {"max_iter": 3, "tol": 0, "on_degenerate": "keep", "reg_covar": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = jaxgmm.fit(0, x, 2, init=on_a_spike(x), **options)
        exact = jaxgmm.fit(0, x.astype(float), 2, init=on_a_spike(x), kernel="centred", dtype="float64", **options)
        monkeypatch.setattr(DeviceLanes, "suit", lambda *_: False)
        left = jaxgmm.fit(0, x, 2, init=on_a_spike(x), **options)
    assert found.kernel.tolist() == ["shared_feature"]
    assert left.kernel.tolist() == ["shared_feature_64"]
    np.testing.assert_allclose(found.history, exact.history, atol=1e-3)


def test_rows_laid_out_anew_are_the_same_rows(rng):
    x = np.concatenate([data("full", rng, 900), 40 + 0.01 * data("full", rng, 100)])
    for name in GAUSSIANS:
        w, m = rng.uniform(0.5, 2, 1000), mixture(name, rng)
        with scope():
            before = in_cells(x, name, weights=w)
            dead = m.weights.copy()
            dead[0] = 0.0  # no cell is made of a component without weight
            folded = FoldedRows(before, jnp.zeros(before.n_slots, jnp.int32), jnp.ones(2), jnp.ones(2, jnp.int32))
            for rows in (anew_about(before, m.components, dead), anew_about(folded, m.components, m.weights).rows):
                assert jax.tree.map(jnp.shape, rows) == jax.tree.map(jnp.shape, before)  # nothing is compiled anew
                np.testing.assert_allclose(rows.take(jnp.arange(1000)).x.T, x, atol=1e-12 * 40)
                np.testing.assert_array_equal(rows.row_weights(), w)
                alike(PASS(m, rows, kernel="shared_feature"), PASS(m, before, kernel="centred"), rtol=1e-8, atol=1e-7)
            assert anew_about(in_one(x), m.components, m.weights) is None


def test_a_component_whose_rows_are_overlooked_is_not_trusted():
    """A spike on rows that coincide, in a wide cell: with rounding against it the component seems to hold none."""
    seen = 0
    for drawn in range(12):
        x = np.random.default_rng(drawn).normal(size=(512, D)).astype(np.float32)
        x[:64] = x[0]
        width = np.array([1.0, 1e-12])[:, None, None] * np.eye(D)
        m = Mixture.create([0.9, 0.1], np.stack([x.mean(0), x[:64].mean(0)]), width, dtype="float32")
        with scope():
            rows = in_cells(x, "full", 1, "float32")
            s = PASS(jax.tree.map(jnp.asarray, m), rows, kernel="shared_feature")
        seen += float(s.counts[1]) < 1
        assert s.conditioning > limits("auto", np.float32)[0]
    assert seen  # as it was by chance


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", GAUSSIANS)
def test_a_component_without_weight_is_as_if_it_were_not_there(name, kernel, rng):
    x, m = data(name, rng, 300).astype(np.float32), mixture(name, rng, dtype="float32")
    weights = np.array([0.4, 0.6, 0.0], np.float32)
    kept = jax.tree.map(jnp.asarray, m.components.picked(np.array([0, 1])))
    with scope():
        for rows in (in_one(x, "float32"), in_cells(x, name, 3, "float32")):
            absent = PASS(Mixture(jnp.asarray(weights), jax.tree.map(jnp.asarray, m.components)), rows, kernel=kernel)
            without = PASS(Mixture(jnp.asarray(weights[:2]), kept), rows, kernel=kernel)
            np.testing.assert_allclose(absent.log_likelihood, without.log_likelihood, rtol=1e-5)
            np.testing.assert_allclose(absent.counts, [*without.counts, 0.0], rtol=1e-4, atol=1e-3)


def test_another_number_of_rows_in_the_same_rung_compiles_nothing(rng):
    x = data("full", rng, 2000)
    with scope():
        cells, transform = found(x, "full"), (lambda b: np.asarray(b, float).T)
        laid = [laid_in_cells(ArraySource(x[:n]), transform, np.dtype(float), cells) for n in (1990, 2000)]
        assert jax.tree.map(jnp.shape, laid[0]) == jax.tree.map(jnp.shape, laid[1])


def test_rows_that_coincide_make_no_cell_without_width(rng):
    x = np.concatenate([np.zeros((900, 2)), np.full((600, 2), 3.7), rng.normal(size=(600, 2))])
    for name in GAUSSIANS:
        cells = finding.clustered(x.T, FAMILIES[name], 6, x.std(0), np.zeros(2))
        assert np.isfinite(cells.components.log_det()).all()
        with scope():
            m = mixture(name, rng, d=2)
            laid = laid_in_cells(ArraySource(x), lambda b: np.asarray(b, float).T, np.dtype(float), cells)
            alike(PASS(m, laid, kernel="shared_feature"), PASS(m, in_one(x), kernel="centred"), rtol=1e-6, atol=1e-5)


def test_what_rounding_takes_from_all_rows_alike_is_made_good():
    """The constants of coefficients are hundreds of nats here, known to 1e-5 of a nat each, and sums to far less."""
    rng = np.random.default_rng(0)
    x = np.repeat([[-1.0, 1.0], [1.0, -1.0]], 4096, axis=0) + 0.05 * rng.normal(size=(8192, 2))
    x, errors = x.astype(np.float32), []
    with scope():
        one, wide = in_one(x, "float32"), in_one(x.astype(float))
        for shift in np.linspace(0, 0.01, 20):
            m = Mixture.create(
                [0.5, 0.5], [[-1.0 + shift, 1.0], [1.0, -1.0]], np.full((2, 2), 0.05**2), covariance_type="diag",
                dtype="float32",
            )  # fmt: skip
            m = jax.tree.map(jnp.asarray, m)
            exact = PASS(jax.tree.map(lambda leaf: leaf.astype(float), m), wide, kernel="centred")
            errors.append(step_errors(m, one, "shared_feature", exact)[1])
    assert np.median(errors) < 2e-6


def test_nothing_for_rows_is_computed_in_more_than_their_dtype():
    """Within a fit JAX has float64: what is not asked for must not come of it."""
    x = ordinary(3000, 4, 4)
    with scope():
        m = jax.tree.map(jnp.asarray, batch("full", np.random.default_rng(0), 2, dtype="float32"))
        for rows in (in_one(x, "float32"), in_cells(x, "full", dtype="float32")):
            for kernel in KERNEL_NAMES:
                text = str(jax.make_jaxpr(partial(e_step, kernel=kernel, chunk=211))(m, rows))
                made = [line.split("=")[0] for line in text.splitlines() if "211]" in line.split("=")[0]]
                assert made
                assert any("f64[" in line for line in made) == (kernel == "shared_feature_64"), (kernel, made)
