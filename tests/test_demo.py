"""The demonstration, made small."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

import jaxgmm
from jaxgmm import Mixture
from jaxgmm.cli.commands.demo import demo_command
from jaxgmm.demo import demo
from jaxgmm.demo.page import draw_page, segmentation

STEPS = 4


@pytest.mark.parametrize("search", ["race", "all"])
def test_the_demo_made_small(search, tmp_path):
    lines: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", jaxgmm.FitWarning)
        found = demo.run_demo(
            tmp_path / "made", search=search, n_restarts=8, n_few=2, every=8, max_iter=60, n_steps=STEPS,
            say=lines.append,
        )  # fmt: skip

    model, picture = found.files
    np.testing.assert_array_equal(jaxgmm.load(model).means, found.em.mixture.means)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert bool(found.em.rounds) == (search == "race")
    for result in (found.em, found.plain, *found.gradients.values()):
        assert result.sound
        assert not result.components().ridge_dominates.any()

    text = "\n".join(lines)
    assert f"best {found.em.score:.4f}" in text
    for part in ("passes over the rows in all", "equal passes", "Adam", "tol", f"restart {found.em.best},"):
        assert part in text
    # What restarts of a race end with is of the samples they saw last.
    assert ("median" in text and "worst" in text) == (search == "all")
    assert ("jumps" in text) == (search == "race")
    assert all(str(path) in text for path in found.files)

    titles = [ax.get_title() for ax in draw_page(demo.load_image(8), found.em, found.plain, found.gradients).axes]
    assert any("race between 8 starts" in title for title in titles) == (search == "race")
    assert any("where the 8 restarts of EM ended" in title for title in titles) == (search == "all")


def test_em_and_gradients_set_out_alike_and_are_compared_after_equal_passes(tmp_path):
    lines: list[str] = []
    found = demo.run_demo(
        tmp_path, search="all", n_restarts=3, n_few=2, every=8, max_iter=2, n_steps=STEPS, say=lines.append
    )
    plain = found.plain
    np.testing.assert_allclose(plain.history[:, 0], found.em.history[:2, 0], rtol=1e-5)
    for name, result in found.gradients.items():
        np.testing.assert_allclose(result.history[:, 0], plain.history[:, 0], rtol=1e-5)
        np.testing.assert_array_equal(result.n_iter, STEPS)
        np.testing.assert_array_equal(result.passes, STEPS + 1)
        line = next(line for line in lines if line.startswith(f"  {name} "))
        rivals = [plain.history[i, int(result.passes[i]) - 1] for i in range(2)]
        assert f"EM {max(rivals):.4f} {np.mean(rivals):.4f} " in line
    np.testing.assert_array_equal(plain.n_iter, STEPS)

    history = plain.history[0]
    assert demo.at_passes(plain, 0, 1.0) == history[0]
    assert demo.at_passes(plain, 0, 3.0) == history[2]
    assert demo.at_passes(plain, 0, 1e6) == history[plain.n_iter[0]]


def test_a_race_is_the_default_and_other_searches_are_refused(tmp_path):
    for function in (demo.run_demo, demo_command):
        assert inspect.signature(function).parameters["search"].default == "race"
    with pytest.raises(ValueError, match=r"search must be one of 'race', 'all'"):
        demo.run_demo(tmp_path / "none", search="some")
    assert not (tmp_path / "none").exists()


def test_segmentation_is_made_of_mean_colours():
    dark, light = [10.0, 20.0, 30.0], [200.0, 210.0, 220.0]
    mixture = Mixture.create([0.5, 0.5], [dark, light], [25.0, 25.0], covariance_type="spherical")
    painted = segmentation(mixture, np.array([[dark, light, [105.0, 115.0, 125.0]]]))
    np.testing.assert_allclose(painted[0, :2] * 255, [dark, light], atol=1e-9)
    np.testing.assert_allclose(painted[0, 2] * 255, [105.0, 115.0, 125.0], atol=1e-9)
