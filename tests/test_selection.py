"""How many components: cells are what `fit` finds, criteria are the textbook's, and nothing unsound wins."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import load_rows
from create import DTYPES, GAUSSIANS, NAMES, batch, controls, data, rows, scope
from reference import responsibilities
from scipy.special import xlogy
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

import jaxgmm
from jaxgmm import FitError, Mixture, SelectionResult, Status
from jaxgmm.drivers import EM
from jaxgmm.em import KERNELS
from jaxgmm.fit.diagnostics import Diagnosis
from jaxgmm.inputs import arguments
from jaxgmm.rows.folds import FoldedRows
from jaxgmm.run import loop
from jaxgmm.run.identity import Tags
from jaxgmm.run.lanes import run_restarts
from jaxgmm.selection.cells import Folds
from jaxgmm.starts.several_k import trimmed

ABSENT = 2


def widened(starts: Mixture) -> tuple[Mixture, Tags]:
    """`starts` beside absent components so narrow that they would be called collapsed, and κ hopeless."""
    k = starts.n_components

    def grown(path, leaf):
        if leaf.shape[1] != k or (len(path) > 1 and starts.covariance_type == "tied" and leaf.shape[1:] == (4, 4)):
            return leaf
        fill = {".weights": 0.0, ".means": 0.5}.get(str(path[-1]), 1e-9 * leaf[:, :1])
        return np.concatenate(
            [leaf, np.broadcast_to(fill, (len(leaf), ABSENT, *leaf.shape[2:]))], axis=1, dtype=leaf.dtype
        )

    wide = jax.tree_util.tree_map_with_path(grown, starts)
    present = jnp.asarray(wide.weights > 0)
    return wide, Tags(present, jnp.arange(len(present), dtype=jnp.int32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", [*KERNELS, "auto"])
@pytest.mark.parametrize("name", NAMES)
def test_absent_components_change_nothing(name, kernel, dtype):
    rng = np.random.default_rng(4)
    x = data(name, rng, n=120)
    starts = batch(name, rng, 2, dtype=dtype)
    wide, tags = widened(starts)
    with scope(dtype):
        control = controls(4, tol=0.0, max_iter=12, ridge=1e-3)
        alone = run_restarts(EM(), starts, rows(x, dtype=dtype), control, kernel=kernel).restarts
        padded = run_restarts(EM(), wide, rows(x, dtype=dtype), control, kernel=kernel, tags=tags).restarts
    close = {"float32": {"rtol": 2e-4, "atol": 2e-4}, "float64": {"rtol": 1e-9, "atol": 1e-11}}[dtype]
    ended = jax.tree.map(np.asarray, padded.mixtures)
    np.testing.assert_array_equal(ended.weights[:, 3:], 0.0)
    np.testing.assert_array_equal(ended.means[:, 3:], wide.means[:, 3:])
    if name != "tied":
        chex.assert_trees_all_equal(*(jax.tree.map(lambda leaf: np.asarray(leaf)[:, 3:], m) for m in (ended, wide)))
    chex.assert_tree_all_finite(ended)
    chex.assert_trees_all_close(trimmed(ended, 3), jax.tree.map(np.asarray, alone.mixtures), **close)
    np.testing.assert_allclose(padded.log_likelihood, alone.log_likelihood, rtol=close["rtol"])
    np.testing.assert_array_equal(padded.status, alone.status)
    np.testing.assert_array_equal(padded.n_iter, alone.n_iter)
    np.testing.assert_array_equal(padded.kernel, alone.kernel)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tied", "diag"])
def test_without_a_fold_is_a_fit_to_the_other_rows(name):
    rng = np.random.default_rng(5)
    x, w = data(name, rng, n=90), rng.uniform(0.5, 2, 90)
    fold = np.arange(90) % 3
    starts = jax.tree.map(lambda leaf: np.concatenate([leaf] * 4), batch(name, rng, 1))
    with scope():
        laid, control = rows(x, w), controls(4, tol=0.0, max_iter=8, ridge=1e-3)
        kept = [w[fold != f].sum() for f in range(4)]
        folded = FoldedRows(laid, jnp.pad(jnp.asarray(fold), (0, laid.n_slots - 90), constant_values=-1),
                            jnp.asarray(kept), jnp.asarray([60, 60, 60, 90]))  # fmt: skip
        tags = Tags(jnp.ones((4, 3), bool), jnp.arange(4), jnp.arange(4))
        together = run_restarts(EM(), starts, folded, control, tags=tags).restarts
        for f in range(4):
            own = fold != f
            alone = run_restarts(EM(), starts[:1], rows(x[own], w[own]), control).restarts
            one, other = (jax.tree.map(np.asarray, run.mixtures) for run in (together, alone))
            chex.assert_trees_all_close(one[f], other[0], rtol=1e-9, atol=1e-11)
            np.testing.assert_allclose(together.log_likelihood[f], alone.log_likelihood[0], rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("init", ["k-means++", "random_from_data", "kmeans", "random"])
def test_every_cell_is_what_fit_finds(init, iris):
    found = jaxgmm.select(7, iris, (1, 2, 4, 8), covariance_types=("tied", "diag"), n_init=3, init=init)
    for cell in found.table:
        want = jaxgmm.fit(7, iris, cell.n_components, covariance_type=cell.covariance_type, n_init=3, init=init)
        assert cell.log_likelihood == pytest.approx(want.log_likelihood[want.best], rel=1e-9)
        assert cell.criterion == pytest.approx(want.mixture.bic(iris), rel=1e-9)
        assert cell.n_parameters == want.mixture.n_parameters
        assert cell.status == want.status[want.best]


@pytest.mark.slow
def test_revived_restarts_are_those_of_fit():
    x = np.random.default_rng(3).normal(size=(24, 2))
    x[:6] = x[0]
    found = jaxgmm.select(2, x, (1, 2, 5), covariance_types="full", n_init=6)
    revivals = 0
    for k in (2, 5):
        want = jaxgmm.fit(2, x, k, n_init=6)
        revivals += want.revivals.sum()
        assert found.cell("full", k).log_likelihood == pytest.approx(want.log_likelihood[want.best], rel=1e-9)
    assert revivals > 0


def test_one_k_is_fit(iris):
    found = jaxgmm.select(1, iris, 3, covariance_types="full", n_init=5).best
    want = jaxgmm.fit(1, iris, 3, n_init=5)
    chex.assert_trees_all_close(found.mixtures, want.mixtures, rtol=1e-9, atol=1e-11)
    for name in ("best", "n_iter", "status", "spurious", "revivals", "kernel", "passes", "total_weight"):
        np.testing.assert_array_equal(getattr(found, name), getattr(want, name))
    np.testing.assert_allclose(found.history, want.history, rtol=1e-9)
    np.testing.assert_allclose(found.components().counts, want.components().counts)


def test_old_faithful_is_three_tied_components_as_in_mclust(faithful, reference_values):
    found = jaxgmm.select(0, faithful, range(1, 7), n_init=16)
    assert (found.covariance_type, found.n_components) == ("tied", 3)
    bics = reference_values["faithful"]["bic"]
    assert found.winner.criterion == pytest.approx(bics["3"]["tied"], abs=1e-2)
    for kind, want in bics["2"].items():
        assert found.cell(kind, 2).criterion == pytest.approx(want, abs=1e-2)
    assert found.best.mixture.n_components == 3
    assert found.best.mixture.bic(faithful) == pytest.approx(found.winner.criterion, rel=1e-9)
    assert found.winner.criterion == min(cell.criterion for cell in found.table)


@pytest.mark.slow
def test_old_faithful_by_default(faithful):
    found = jaxgmm.select(0, faithful)
    assert (found.covariance_type, found.n_components) == ("tied", 3)
    assert len(found.table) == 48


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k != "spherical")) for k in GAUSSIANS])
def test_information_criteria_are_scikit_learns(kind, iris):
    weights = np.random.default_rng(0).uniform(0.5, 3, len(iris))
    for criterion in ("bic", "aic", "icl"):
        result = jaxgmm.select(0, iris, (2, 3), covariance_types=kind, criterion=criterion, n_init=2)
        mixture, cell = result.best.mixture, result.winner
        theirs = GaussianMixture(mixture.n_components, covariance_type=kind)
        theirs.weights_, theirs.means_, theirs.covariances_ = mixture.weights, mixture.means, mixture.covariances
        inverse = np.linalg.inv if kind in ("full", "tied") else np.reciprocal
        factor = np.linalg.cholesky if kind in ("full", "tied") else np.sqrt
        theirs.precisions_cholesky_ = factor(inverse(mixture.covariances))
        if kind in ("full", "tied"):
            theirs.precisions_cholesky_ = np.swapaxes(np.linalg.inv(np.linalg.cholesky(mixture.covariances)), -1, -2)
        r = responsibilities(mixture, iris)
        want = theirs.aic(iris) if criterion == "aic" else theirs.bic(iris)
        want += -2 * xlogy(r, r).sum() if criterion == "icl" else 0
        assert cell.criterion == pytest.approx(want, rel=1e-8)
        assert getattr(mixture, criterion)(iris) == pytest.approx(want, rel=1e-8)
    result = jaxgmm.select(0, iris, 2, covariance_types=kind, criterion="icl", n_init=2, sample_weight=weights)
    r = responsibilities(result.best.mixture, iris)
    want = result.best.mixture.bic(iris, weights) - 2 * (weights[:, None] * xlogy(r, r)).sum()
    assert result.winner.criterion == pytest.approx(want, rel=1e-8)


def one_gaussian(x, w, ridge):
    mean = w @ x / w.sum()
    return multivariate_normal(mean, (w[:, None] * (x - mean)).T @ (x - mean) / w.sum() + ridge * np.eye(x.shape[1]))


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_validation_of_one_gaussian_is_in_closed_form(weighted, iris):
    n = len(iris)
    w = np.random.default_rng(1).uniform(0.2, 3, n) if weighted else np.ones(n)
    given = {"sample_weight": w if weighted else None, "reg_covar": 1e-3, "covariance_types": "full", "n_init": 2}
    folds = Folds.dealt(arguments.random_key(3), n, 4).fold
    assert np.ptp(np.bincount(folds)) <= 1
    sums, means = 0.0, []
    for fold in range(4):
        own = folds == fold
        log_p = w[own] * one_gaussian(iris[~own], w[~own], 1e-3).logpdf(iris[own])
        sums, means = sums + log_p.sum(), [*means, log_p.sum() / w[own].sum()]
    cell = jaxgmm.select(3, iris, 1, criterion="cv", n_folds=4, **given).winner
    assert cell.criterion == pytest.approx(-sums / w.sum(), rel=1e-8)
    assert cell.standard_error == pytest.approx(np.std(means, ddof=1) / 2, rel=1e-6)

    own = Folds.split(arguments.random_key(3), n, 45).fold == 0
    assert own.sum() == 45
    log_p = one_gaussian(iris[~own], w[~own], 1e-3).logpdf(iris[own])
    cell = jaxgmm.select(3, iris, 1, criterion="heldout", held_out=0.3, **given).winner
    assert cell.criterion == pytest.approx(-np.average(log_p, weights=w[own]), rel=1e-8)
    if not weighted:
        assert cell.standard_error == pytest.approx(np.std(log_p) / np.sqrt(45), rel=1e-6)


@pytest.mark.slow
def test_cross_validation_of_several_is_scikit_learns(faithful):
    found = jaxgmm.select(5, faithful, (1, 2, 3), covariance_types="tied", criterion="cv", n_init=8, reg_covar=1e-6)
    folds = Folds.dealt(arguments.random_key(5), len(faithful), 5).fold
    theirs = 0.0
    for fold in range(5):
        model = GaussianMixture(2, covariance_type="tied", n_init=8, tol=1e-6, max_iter=500, random_state=0)
        theirs -= model.fit(faithful[folds != fold]).score_samples(faithful[folds == fold]).sum()
    assert found.cell("tied", 2).criterion == pytest.approx(theirs / len(faithful), abs=2e-3)
    whole = jaxgmm.fit(5, faithful, found.n_components, covariance_type="tied", n_init=8, reg_covar=1e-6)
    chex.assert_trees_all_close(found.best.mixture, whole.mixture, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_float32_chooses_as_float64(faithful):
    narrow, wide = (jaxgmm.select(0, faithful.astype(t), (2, 3, 4), covariance_types="tied", n_init=8) for t in DTYPES)
    assert narrow.best.mixture.dtype == np.float32
    assert narrow.n_components == wide.n_components == 3
    assert narrow.winner.criterion == pytest.approx(wide.winner.criterion, abs=0.05)


def test_bernoulli():
    rng = np.random.default_rng(2)
    rates = np.where(np.eye(3)[rng.integers(0, 3, 400)] @ np.kron(np.eye(3), np.ones(4)) > 0, 0.9, 0.1)
    x = (rng.uniform(size=rates.shape) < rates).astype(np.float64)
    assert jaxgmm.select(0, x, range(1, 6), covariance_types="bernoulli", n_init=8).n_components == 3


@pytest.mark.slow
def test_more_components_than_rows_are_missing_not_raised():
    x = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 5, axis=0)
    found = jaxgmm.select(0, x, range(1, 9), covariance_types="spherical", n_init=2)
    missing = [cell for cell in found.table if cell.n_components > 6]
    assert len(missing) == 2
    for cell in missing:
        assert (cell.status, cell.eligible) == (None, False)
        assert "distinct rows" in cell.note
    with pytest.raises(ValueError, match="n_components must hold"):
        jaxgmm.select(0, x, (7, 8), n_init=2)


def test_what_is_spurious_or_degenerate_cannot_win(faithful, monkeypatch):
    honest = jaxgmm.select(0, faithful, (1, 2), covariance_types="full", n_init=2)
    assert honest.n_components == 2
    monkeypatch.setattr(Diagnosis, "spurious", lambda self: self.mixtures.weights[:, 1:].sum(1, keepdims=True) > 0)
    found = jaxgmm.select(0, faithful, (1, 2), covariance_types="full", n_init=2)
    assert found.n_components == 1
    cell = found.cell("full", 2)
    assert cell.spurious
    assert not cell.eligible
    assert "spurious" in cell.note
    assert "!" in repr(found)
    with pytest.raises(FitError, match="no cell can win: full, 2: every restart is spurious"):
        jaxgmm.select(0, faithful, 2, covariance_types="full", n_init=2)


@pytest.mark.slow
def test_iris_is_two_full_components(iris, reference_values):
    found = jaxgmm.select(0, iris, range(1, 9), n_init=8)
    assert (found.covariance_type, found.n_components) == ("full", 2)
    assert found.winner.criterion == pytest.approx(reference_values["iris"]["bic"]["2"]["full"], abs=1e-2)
    assert any(cell.criterion < found.winner.criterion for cell in found.table)  # rounding, told by the ridge


@pytest.mark.slow
def test_a_spike_of_equal_rows_cannot_win():
    x = np.random.default_rng(0).normal(size=(120, 2))
    x[:12] = 1.0
    found = jaxgmm.select(0, x, (1, 2), covariance_types="full", n_init=8)
    spike = found.cell("full", 2)
    assert spike.criterion < found.winner.criterion
    assert "ridge" in spike.note
    assert found.n_components == 1


def test_all_k_share_their_programs(iris):
    """One block and one start for every covariance type, however many K there are."""
    options = {"n_init": 3, "kernel": "centred", "on_degenerate": "stop", "max_iter": 40}
    jax.clear_caches()
    jaxgmm.select(0, iris, range(1, 13), **options)
    assert [program._cache_size() for program in (loop.block, loop.start)] == [4, 4]


def test_asked_to_stop_it_keeps_what_it_has(faithful):
    found = jaxgmm.select(0, faithful, (1, 2), tol=0, n_init=2, on_block=lambda info: True)
    assert found.covariance_type == "full"
    assert found.winner.status == Status.STOPPED
    assert all(cell.note.startswith("not run") for cell in found.table if cell.covariance_type != "full")


def test_it_prints_as_a_table(iris):
    found = jaxgmm.select(0, iris, (1, 2, 200), covariance_types=("diag", "tied"), n_init=2)
    assert isinstance(found, SelectionResult)
    lines = repr(found).splitlines()
    assert lines[0].startswith(f"SelectionResult({found.covariance_type}, {found.n_components} components, BIC ")
    assert lines[1].split() == ["K", "diag", "tied"]
    assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "200"]
    assert sum("*" in line for line in lines[2:5]) == 1
    with pytest.raises(KeyError):
        found.cell("full", 1)


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"covariance_types": "fulll"}, ValueError, "covariance_types must be one of"),
        ({"covariance_types": ()}, ValueError, "covariance_types must name"),
        ({"covariance_types": ("full", "bernoulli")}, ValueError, "bernoulli"),
        ({"criterion": "bicc"}, ValueError, "criterion must be one of"),
        ({"n_components": ()}, ValueError, "n_components must hold at least one"),
        ({"n_components": (0, 1)}, ValueError, "n_components must be at least 1"),
        ({"n_components": 2.0}, TypeError, "n_components must be an integer"),
        ({"n_init": 0}, ValueError, "n_init"),
        ({"init": "kmean"}, ValueError, "init must be one of"),
        ({"criterion": "cv", "n_folds": 1}, ValueError, "n_folds must be at least 2"),
        ({"criterion": "cv", "n_folds": 151}, ValueError, "n_folds must be at most"),
        ({"criterion": "heldout", "held_out": 1.0}, ValueError, "held_out"),
        ({"criterion": "heldout", "held_out": 1e-9}, ValueError, "held_out"),
        ({"tol": -1}, ValueError, "tol"),
        ({"on_block": 3}, TypeError, "on_block"),
    ],
)
def test_bad_options(options, error, complaint, iris):
    if "bernoulli" in options.get("covariance_types", ()):
        iris = (iris > 3).astype(float)
    with pytest.raises(error, match=complaint):
        jaxgmm.select(0, iris, **options)


def test_pictures(iris):
    pytest.importorskip("matplotlib").use("agg")
    found = jaxgmm.select(0, iris, (1, 2, 3), covariance_types=("full", "diag"), n_init=2)
    ax = found.plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["full", "diag"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [found.cell("full", k).criterion for k in (1, 2, 3)])
    assert f"{found.covariance_type}, {found.n_components}" in ax.texts[0].get_text()
    with pytest.raises(ValueError, match="SelectionResult"):
        jaxgmm.plotting.plot_selection(found.best)


def test_rows_without_weight_are_left_out():
    x = load_rows("faithful")
    w = np.ones(len(x))
    w[::3] = 0
    one = jaxgmm.select(0, x, (1, 2), covariance_types="diag", n_init=2, sample_weight=w)
    other = jaxgmm.select(0, x[w > 0], (1, 2), covariance_types="diag", n_init=2)
    assert one.winner.criterion == pytest.approx(other.winner.criterion, rel=1e-10)
    assert one.total_weight == w.sum()
