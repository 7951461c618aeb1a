"""Laws that every fit obeys, whatever the rows.

`JAXGMM_LAW_EXAMPLES=20 pytest tests/test_laws.py` draws twenty times as many, each time others (see `scripts/soak`).
"""

from __future__ import annotations

import chex
import jax
import numpy as np
import pytest
import scipy.stats
from create import DTYPES, rows, scope
from create import mixture as sound_mixture
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import CASES, EASY, SEEDS, clouds, fit, hard_fit, lawful, over, starts, tame, weights

import jaxgmm
from jaxgmm import FitResult, Mixture, Status
from jaxgmm.drivers import State
from jaxgmm.em import KERNELS, e_step
from jaxgmm.run.loop import _gain
from jaxgmm.run.status import SOUND

GAUSSIANS = [case for case in EASY if case.family != "bernoulli"]
of_gaussians = over(GAUSSIANS)


def factors(m: Mixture) -> np.ndarray | None:
    """What must be positive of Gaussian components."""
    if m.covariance_type in ("full", "tied"):
        return np.diagonal(m.components.scale_tril, axis1=-2, axis2=-1)
    return getattr(m.components, "scale", None)


# ---- soundness ----------------------------------------------------------------------------------------------


@lawful(16)
@given(data=st.data())
@over(CASES)
def test_a_sound_restart_is_sound(case, data):
    x, result = hard_fit(case, data)
    sound = np.isin(result.status, SOUND)
    among = sound if sound.any() else result.status == Status.DEGENERATE
    value = np.where(np.isfinite(result.worth), result.worth, -np.inf)
    assert among[result.best]
    assert value[result.best] == value[among].max()
    assert (result.owed >= 0).all()
    assert (result.spurious | (result.owed == 0)).all()
    chex.assert_trees_all_equal(result.mixture, result.mixtures[result.best])
    eps = float(np.finfo(case.dtype).eps)
    for i in np.flatnonzero(sound):
        assert np.isfinite(result.log_likelihood[i])
        assert np.isfinite(result.history[i, : result.n_iter[i] + 1]).all()
        m = result.mixtures[i]
        for leaf in jax.tree.leaves(m):
            assert leaf.dtype == case.dtype
            assert np.isfinite(leaf).all()
        assert (m.weights >= 0).all()
        assert m.weights.sum() == pytest.approx(1, abs=8 * eps)
        factor = factors(m)
        if factor is None:
            assert ((m.means >= 0) & (m.means <= 1)).all()
        else:
            assert (factor > 0).all()
        assert np.isfinite(m.score_samples(x)).all()
        shares = m.responsibilities(x)
        assert (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(-1), 1, atol=16 * eps)


@lawful(16)
@given(data=st.data())
@over([CASES[0], CASES[1], CASES[-1]])
def test_every_component_has_a_report(case, data):
    _, result = hard_fit(case, data)
    for i in np.flatnonzero(np.isin(result.status, SOUND)):
        report = result.components(i)
        assert report.spurious.any() == result.spurious[i]
        for share in (report.reciprocal_condition, report.ridge_share, report.prior_share):
            assert ((share >= 0) & (share <= 1)).all()


@lawful(12)
@given(data=st.data())
@over(EASY)
def test_what_is_reported_is_what_the_mixture_says(case, data):
    x, w = data.draw(clouds(case)), data.draw(weights(case.n))
    result = fit(case, x, sample_weight=w, key=data.draw(SEEDS), on_degenerate="keep")
    np.testing.assert_allclose(result.log_likelihood, result.mixtures.log_likelihood(x, w), rtol=1e-6, atol=1e-6)
    last = result.history[np.arange(2), result.n_iter]
    np.testing.assert_allclose(last, result.log_likelihood / result.total_weight, rtol=1e-12)


@lawful(16)
@given(data=st.data())
@over(EASY)
def test_the_log_likelihood_never_falls(case, data):
    x, w = data.draw(clouds(case)), data.draw(weights(case.n))
    assume(np.ptp(x, axis=0).all())
    init = starts(case, x, data.draw(SEEDS))
    for kernel, slack in (("centred", 1e-9), ("auto", 1e-7)):
        result = fit(
            case, x, sample_weight=w, init=init, max_iter=15, reg_covar=0, on_degenerate="stop", kernel=kernel,
            n_init=None,
        )  # fmt: skip
        for values in result.history:
            values = values[np.isfinite(values)]
            assert (np.diff(values) >= -slack * (1 + np.abs(values[:-1]))).all(), np.diff(values).min()


# ---- one answer, said in several ways -----------------------------------------------------------------------


def assert_same(one: FitResult, other: FitResult, x: np.ndarray, rtol: float = 1e-7) -> None:
    for i in tame(one, x):
        assert other.status[i] == one.status[i]
        assert other.log_likelihood[i] == pytest.approx(one.log_likelihood[i], rel=rtol, abs=rtol)
        chex.assert_trees_all_close(other.mixtures[i], one.mixtures[i], rtol=rtol, atol=rtol * np.abs(x).max())


@lawful(10)
@given(data=st.data())
@of_gaussians
def test_the_answer_moves_with_the_rows(case, data):
    """Full and tied: under any matrix; diag: per axis; spherical: one scale."""
    x, seed = data.draw(clouds(case)), data.draw(SEEDS)
    rng = np.random.default_rng(seed)
    axes = 3 if case.family == "diag" else 1  # a matrix with a large condition would round the rows
    scales = 10.0 ** rng.uniform(-axes, axes, 2) * 10.0 ** data.draw(st.integers(-6, 6))
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    matrix = {
        "full": scales * turn, "tied": scales * turn, "diag": np.diag(scales), "spherical": scales[0] * np.eye(2),
    }[case.family]  # fmt: skip
    shift = np.abs(matrix).sum(1) * rng.normal(size=2) * data.draw(st.sampled_from([0, 1, 1e3]))
    init = starts(case, x, seed)
    covariances = init.covariances
    mapped = {
        "full": lambda: matrix @ covariances @ matrix.T, "tied": lambda: matrix @ covariances @ matrix.T,
        "diag": lambda: scales**2 * covariances, "spherical": lambda: scales[0] ** 2 * covariances,
    }[case.family]()  # fmt: skip
    moved = Mixture.create(init.weights, init.means @ matrix.T + shift, mapped, covariance_type=case.family)
    options = {"reg_covar": 0 if case.family in ("full", "tied") else "auto", "on_degenerate": "stop", "n_init": None}
    one, other = fit(case, x, init=init, **options), fit(case, x @ matrix.T + shift, init=moved, **options)
    volume = case.n * np.log(abs(np.linalg.det(matrix)))
    for i in tame(one, x):
        assert other.log_likelihood[i] == pytest.approx(one.log_likelihood[i] - volume, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(other.mixtures[i].weights, one.mixtures[i].weights, rtol=1e-6, atol=1e-9)
        shares = other.mixtures[i].responsibilities(x @ matrix.T + shift)
        np.testing.assert_allclose(shares, one.mixtures[i].responsibilities(x), atol=1e-5)
        back = np.linalg.solve(matrix, (other.mixtures[i].means - shift).T).T
        np.testing.assert_allclose(back, one.mixtures[i].means, rtol=1e-5, atol=1e-5 * np.abs(x).max())


@lawful(8)
@given(data=st.data())
@over(EASY)
def test_integer_weights_repeat_rows(case, data):
    x, rng = data.draw(clouds(case)), np.random.default_rng(data.draw(SEEDS))
    w = 1 + rng.multinomial(24, np.full(16, 1 / 16))  # 40 rows in all, whatever the counts
    init = starts(case, x, data.draw(SEEDS))
    options = {"init": init, "on_degenerate": "keep", "n_init": None}
    assert_same(fit(case, x, sample_weight=w, **options), fit(case, np.repeat(x, w, axis=0), **options), x)


@lawful(8)
@given(data=st.data())
@over(EASY)
def test_rows_without_weight_are_absent(case, data):
    """To the bit, whatever is in them, and whatever the start."""
    x, w = data.draw(clouds(case)), np.array(data.draw(st.lists(st.floats(0.1, 3), min_size=16, max_size=16)))
    without = np.array(data.draw(st.permutations(range(16))))[:4]
    w[without] = 0
    if case.family != "bernoulli":
        x[without] *= 10.0 ** data.draw(st.integers(0, 140))
    init = data.draw(st.sampled_from(["k-means++", "random"]))
    options = {"init": init, "key": data.draw(SEEDS)}
    kept = np.flatnonzero(w)
    one, other = fit(case, x, sample_weight=w, **options), fit(case, x[kept], sample_weight=w[kept], **options)
    chex.assert_trees_all_equal(one.mixtures, other.mixtures)
    np.testing.assert_array_equal(one.log_likelihood, other.log_likelihood)
    np.testing.assert_array_equal(one.status, other.status)


@lawful(8)
@given(data=st.data())
@over(EASY)
def test_the_order_of_rows_is_nothing(case, data):
    x, w = data.draw(clouds(case)), data.draw(weights(case.n))
    order = np.array(data.draw(st.permutations(range(case.n))))
    options = {"init": starts(case, x, data.draw(SEEDS)), "on_degenerate": "keep", "n_init": None}
    mixed = None if w is None else w[order]
    assert_same(fit(case, x, sample_weight=w, **options), fit(case, x[order], sample_weight=mixed, **options), x)


@lawful(12)
@given(data=st.data())
@pytest.mark.parametrize("kernel", KERNELS)
@over(EASY)
def test_statistics_of_a_split_add_up(case, kernel, data):
    x, seed = data.draw(clouds(case)), data.draw(SEEDS)
    m = sound_mixture(case.family, np.random.default_rng(seed), case.k, case.d)
    w, left = np.random.default_rng(seed).uniform(0, 2, (2, case.n))
    left = np.where(data.draw(st.booleans()), left > 1, left / 2)
    with scope():
        step = lambda w: _e_step(m, rows(x, w), kernel)  # noqa: E731
        whole, parts = step(w), step(w * left) + step(w * (1 - left))
        chex.assert_trees_all_close(parts, whole, rtol=1e-9, atol=1e-9 * (1 + np.abs(x).max() ** 2))


_e_step = jax.jit(lambda m, held, kernel: e_step(m, held, kernel=kernel), static_argnums=2)


# ---- far rows -----------------------------------------------------------------------------------------------


@lawful(12)
@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
@of_gaussians
def test_far_rows_are_finite_ordered_and_shared_out(case, dtype, data):
    case = case._replace(dtype=dtype)
    rng = np.random.default_rng(data.draw(SEEDS))
    scale = 10.0 ** data.draw(st.integers(-6, 6))
    m = starts(case, data.draw(clouds(case)) * scale, data.draw(SEEDS))
    direction = rng.normal(size=2)
    direction /= np.abs(direction).max()
    farthest = {"float32": 30, "float64": 200}[case.dtype]
    # from where all components are behind
    distances = scale * np.geomspace(1e7, 10.0 ** (farthest - 6), 24)
    far = (distances[:, None] * direction).astype(case.dtype)
    log_p, shares = m.score_samples(far), m.responsibilities(far)
    assert np.isfinite(log_p).all()
    assert (np.diff(log_p, axis=-1) <= 0).all()
    assert (log_p[:, 0] > log_p[:, -1]).all()
    assert not np.isnan(shares).any()
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-5)
    assert np.isfinite(m.joint_log_prob(far)).all()


def test_padding_has_no_say_even_where_it_is_impossible():
    """Rows are padded by zeros, whose density under components far away is 0."""
    m = Mixture.create([1.0], [[1e100, 1e100]], [[1e-300, 1e-300]], covariance_type="diag", dtype="float64")
    with scope():
        assert np.isfinite(_e_step(m, rows(np.full((5, 2), 1e100)), "centred").log_likelihood)


def test_a_row_too_far_for_one_component_is_right_for_another():
    m = Mixture.create([0.5, 0.5], [[0.0], [0.0]], [[1e-40], [1e20]], covariance_type="diag", dtype="float64")
    np.testing.assert_allclose(m.score_samples([[1e140]]), -0.5e260, rtol=1e-9)


# ---- what the numbers mean ----------------------------------------------------------------------------------


@of_gaussians
def test_the_automatic_ridge_is_a_thousandth_of_the_narrowest_scale(case):
    """Of components on rows that coincide nothing else is left; no interval is narrower that holds half of the rows."""
    x = np.repeat([[0.0, 0.0], [3e-4, 5e6], [1e-4, 1e6]], [6, 5, 5], axis=0)
    init = np.repeat([[0, 1, 2]] * 2, [6, 5, 5], axis=1)
    found = fit(case, x, init=init, on_degenerate="keep", n_init=None).mixture.covariance_matrices()
    narrowest = np.array([1e-4, 1e6]) / (2 * scipy.stats.norm.ppf(0.75))
    unit = np.full(2, np.sqrt(np.mean(narrowest**2))) if case.family == "spherical" else narrowest
    np.testing.assert_allclose(1e6 * found / np.outer(unit, unit), np.tile(np.eye(2), (3, 1, 1)), atol=1e-6)


def test_gains_are_of_the_posterior_and_signed():
    old, new = (State(None, *map(np.float32, values), None, None) for values in ((1e8, 1, 5, 1), (1e8 + 8, 3, 6.5, 2)))
    assert _gain(old, new) == 11.5


def test_float32_reports_what_its_sums_dropped():
    """Sums of many chunks are known better than their own rounding step."""
    x = np.random.default_rng(0).normal(size=(1 << 17, 1)).astype(np.float32)
    result = jaxgmm.fit(0, x, 1, max_iter=1)
    exact = result.mixture.astype(np.float64).log_likelihood(x.astype(np.float64))
    assert abs(result.log_likelihood[0] - exact) < 0.5 * np.spacing(np.float32(abs(exact)))


def test_a_kernel_takes_no_step_to_where_it_is_wrong():
    """From wide components onto tight clusters at once: the first step must already be the centred kernel's."""
    rng = np.random.default_rng(0)
    x = (np.repeat([[0.0, 0.0], [1.0, 1.0]], 8, axis=0) + 1e-4 * rng.normal(size=(16, 2))).astype(np.float32)
    init = Mixture.create(
        [0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], np.full((2, 2), 0.01), covariance_type="diag", dtype="float32"
    )
    options = {"covariance_type": "diag", "init": init, "max_iter": 1, "on_degenerate": "keep", "reg_covar": 0}
    chosen, centred = (jaxgmm.fit(0, x, 2, kernel=kernel, **options) for kernel in ("auto", "centred"))
    assert chosen.kernel[0] == "centred"
    np.testing.assert_allclose(chosen.history, centred.history, atol=1e-4)
