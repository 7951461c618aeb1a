"""Pictures: what is drawn, where, and what is refused. How they look is for eyes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from create import GAUSSIANS
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

import jaxgmm
from jaxgmm import Mixture, Status
from jaxgmm.plotting import component_colors, plot_convergence, plot_density, plot_mixture, plot_restarts

mpl.use("Agg")


@pytest.fixture(scope="module")
def result(faithful):
    return jaxgmm.fit(0, faithful, 2, n_init=6)


def made(kind: str = "full", k: int = 2, d: int = 2) -> Mixture:
    """A mixture that no fit was needed for; its components lie apart and lean."""
    rng = np.random.default_rng(k * 10 + d)
    spread = rng.normal(size=(k, d, d))
    full = spread @ spread.transpose(0, 2, 1) + np.eye(d)
    variances = np.diagonal(full, axis1=1, axis2=2)
    covariances = {"full": full, "tied": full[0], "diag": variances, "spherical": variances[:, 0]}[kind]
    return Mixture.create(np.full(k, 1 / k), 4 * rng.normal(size=(k, d)), covariances, covariance_type=kind)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_importing_jaxgmm_leaves_matplotlib_alone():
    code = "import sys, jaxgmm; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", GAUSSIANS)
def test_ellipses_are_the_covariances(kind, faithful, ax):
    mixture = made(kind)
    assert plot_mixture(mixture, faithful, ax=ax) is ax
    full = {
        "full": lambda c: c,
        "tied": lambda c: np.stack([c, c]),
        "diag": lambda c: np.stack([np.diag(row) for row in c]),
        "spherical": lambda c: c[:, None, None] * np.eye(2),
    }[kind](mixture.covariances)
    circle = np.stack([np.cos(np.linspace(0, 6, 7)), np.sin(np.linspace(0, 6, 7))], axis=1)
    outlines = [e.get_patch_transform().transform(circle) for e in ax.patches if isinstance(e, Ellipse)]
    for k, sigmas in ((0, 1), (0, 2), (1, 1), (1, 2)):
        offsets = [(outline - mixture.means[k]).T for outline in outlines]
        distances = [np.sum(offset * np.linalg.solve(full[k], offset), axis=0) for offset in offsets]
        assert any(np.allclose(distance, sigmas**2, rtol=1e-6) for distance in distances)


def test_points_are_coloured_by_responsibility(result, faithful, ax):
    plot_mixture(result.mixture, faithful, ax=ax)
    mixed = result.mixture.responsibilities(faithful) @ component_colors(result.mixture)
    np.testing.assert_allclose(ax.collections[0].get_facecolors()[:, :3], np.clip(mixed, 0, 1), atol=1e-12)
    assert {text.get_text() for text in ax.texts} == {"0", "1"}


def test_components_keep_the_colours_they_are_given(result, faithful, ax):
    swapped = component_colors(result.mixture)[::-1]
    plot_mixture(result.mixture, faithful, ax=ax, colors=swapped)
    mixed = result.mixture.responsibilities(faithful) @ swapped
    np.testing.assert_allclose(ax.collections[0].get_facecolors()[:, :3], np.clip(mixed, 0, 1), atol=1e-12)
    with pytest.raises(ValueError, match=r"colors must have shape \(2, 3\)"):
        plot_mixture(result.mixture, colors=swapped[:1])


def test_contours_hold_their_share_and_rows_below_the_threshold_are_crossed(result, faithful, ax):
    mixture, tau = result.mixture, -6.0
    assert plot_density(mixture, faithful, ax=ax, shares=(0.9, 0.4), threshold=tau) is ax
    lines, threshold = (c for c in ax.collections if isinstance(c, ContourSet) and not c.filled)
    drawn = mixture.score_samples(mixture.sample(9, 50_000)[0])
    np.testing.assert_allclose([np.mean(drawn > level) for level in lines.levels], [0.9, 0.4], atol=0.01)
    assert threshold.levels == [tau]
    for path in lines.get_paths() + threshold.get_paths():
        np.testing.assert_allclose(np.ptp(mixture.score_samples(path.vertices)), 0, atol=0.05)
    sound, odd = (c.get_offsets() for c in ax.collections if not isinstance(c, ContourSet))
    below = mixture.score_samples(faithful) < tau
    np.testing.assert_array_equal(sound, faithful[~below])
    np.testing.assert_array_equal(odd, faithful[below])
    assert 0 < len(odd) < 60


def test_density_needs_a_plane_and_shares_inside_it(result):
    with pytest.raises(ValueError, match="two features, got 3"):
        plot_density(made(d=3))
    for shares in ((), (0.5, 1.0), (0.0,)):
        with pytest.raises(ValueError, match="shares must lie between 0 and 1"):
            plot_density(result.mixture, shares=shares)
    assert len(plot_density(result.mixture).collections) > 2


def test_colours_differ_in_grey():
    grey = np.sort(component_colors(made(k=7, d=4)) @ (0.2126, 0.7152, 0.0722))
    assert np.diff(grey).min() > 0.04


def test_density_on_the_line_sums_to_the_mixtures(faithful, ax):
    mixture = made(k=3, d=1)
    plot_mixture(mixture, faithful[:, :1], ax=ax)
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, np.exp(mixture.score_samples(np.asarray(x)[:, None])), rtol=1e-6, atol=1e-12)
    heights = sum(bar.get_height() * bar.get_width() for container in ax.containers for bar in container)
    assert heights == pytest.approx(1)


def test_chosen_features_and_few_points(iris, ax):
    mixture = made(k=3, d=4)
    plot_mixture(mixture, iris, ax=ax, features=(2, 0), max_points=50)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 2", "feature 0")
    points = ax.collections[0].get_offsets()
    assert len(points) == 50
    assert {tuple(point) for point in points} <= {tuple(row) for row in iris[:, [2, 0]]}
    assert plot_mixture(mixture, features=1).get_xlabel() == "feature 1"


def test_convergence_is_the_history(result, ax):
    assert plot_convergence(result, ax=ax, gap=False, against="passes") is ax
    x, y = ax.lines[0].get_data()
    steps = result.n_iter[result.best] + 1
    np.testing.assert_array_equal(y, result.history[result.best, :steps])
    np.testing.assert_array_equal(x, np.arange(1, steps + 1))
    assert len(ax.collections[0].get_segments()) == 5
    ax = plot_convergence(result, reference=0.0)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), -y)
    assert ax.get_yscale() == "log"


def test_passes_of_a_line_search_are_spread(result, ax):
    plot_convergence(ended(result, passes=1 + 1.5 * result.n_iter), ax=ax, gap=False, against="passes")
    assert ax.lines[0].get_xdata()[-1] == pytest.approx(1 + 1.5 * result.n_iter[result.best])


def ended(result, **changes):
    """The same result, had its restarts ended otherwise."""
    return replace(result, restarts=replace(result.restarts, **changes))


def test_restarts_are_all_counted(result, ax):
    status = result.status.copy()
    status[(result.best + 1) % 6] = Status.DEGENERATE
    log_likelihood = result.log_likelihood.copy()
    log_likelihood[(result.best + 2) % 6] = np.nan
    status[(result.best + 2) % 6] = Status.NON_FINITE
    plot_restarts(ended(result, status=status, log_likelihood=log_likelihood), ax=ax)
    assert sum(patch.get_height() for patch in ax.patches) == 5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["degenerate"]
    assert any(text.get_text().startswith("best −4.15") for text in ax.texts)


def test_one_restart_and_equal_ends(result):
    equal = ended(result, log_likelihood=np.full(6, result.log_likelihood[0]))
    alone = replace(result, restarts=result.restarts[:1], best=0)
    for drawn in (alone, equal):
        assert sum(patch.get_height() for patch in plot_restarts(drawn).patches) == len(drawn.status)


@pytest.mark.parametrize(
    ("draw", "naming"),
    [
        (lambda r, x: plot_mixture(r, x), "mixture must be a Mixture.*result.mixture"),
        (lambda r, x: plot_mixture(r.mixtures, x), "mixture must be a single one"),
        (lambda r, x: plot_mixture(r.mixture, x[:, :1]), "x must have 2 columns"),
        (lambda r, x: plot_mixture(r.mixture, x * np.nan), "x must be finite"),
        (lambda r, x: plot_mixture(r.mixture, x, features=2), "features must be"),
        (lambda r, x: plot_mixture(r.mixture, x, features=(0, 0)), "features must be"),
        (lambda r, x: plot_mixture(r.mixture, x, features=(0, 5)), "features must be"),
        (lambda r, x: plot_mixture(r.mixture, x, max_points=0), "max_points must be at least 1"),
        (lambda r, x: plot_mixture(r.mixture, x, ax=3), "ax must be matplotlib axes"),
        (lambda r, x: plot_convergence(r.mixture), "result must be a FitResult"),
        (lambda r, x: plot_convergence(r, against="time"), "against must be one of"),
        (lambda r, x: plot_convergence(replace(r, history=r.history[:, :1])), "at least one iteration"),
        (lambda r, x: plot_restarts(x), "result must be a FitResult"),
        (lambda r, x: plot_restarts(r, bins=0), "bins must be at least 1"),
    ],
)
def test_bad_input_is_named(draw, naming, result, faithful):
    with pytest.raises(ValueError, match=naming):
        draw(result, faithful)


def test_wide_and_bernoulli_mixtures_are_refused():
    with pytest.raises(ValueError, match="features must name one or two of the 4"):
        plot_mixture(made(d=4))
    binary = Mixture.create([1.0], [[0.2, 0.7]], covariance_type="bernoulli")
    with pytest.raises(
        ValueError, match=r"mixture must have densities to draw, got 'bernoulli', whose rows hold only 0 and 1"
    ):
        plot_mixture(binary, features=0)


def test_accent_is_darker_than_the_haze():
    from jaxgmm.plotting.style import ACCENT, PALE

    luminance = lambda color: np.dot(to_rgb(color), (0.2126, 0.7152, 0.0722))  # noqa: E731
    assert luminance(ACCENT) < luminance(PALE) - 0.2
