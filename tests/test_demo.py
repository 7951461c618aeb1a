"""The demonstration, made small."""

from __future__ import annotations

import numpy as np

import jaxgmm
from jaxgmm import Mixture
from jaxgmm.demo import demo
from jaxgmm.demo.page import segmentation


def test_the_demo_made_small(tmp_path):
    lines: list[str] = []
    steps = {"adam": 4, "lbfgs": 3}
    found = demo.run_demo(
        tmp_path / "made", n_restarts=4, n_few=2, every=16, max_iter=20, max_steps=steps, say=lines.append
    )

    model, picture = found.files
    np.testing.assert_array_equal(jaxgmm.load(model).means, found.em.mixture.means)
    assert picture.read_bytes().startswith(b"\x89PNG")

    assert found.em.best == found.few[0]
    for result in found.gradients.values():
        np.testing.assert_allclose(result.history[:, 0], found.em.history[found.few, 0], rtol=1e-5)

    text = "\n".join(lines)
    assert f"best {found.em.score:.4f}" in text
    for part in ("median", "worst", "rows × restarts × iterations per second", "equal passes", "Adam", "L-BFGS", "tol"):
        assert part in text
    assert all(str(path) in text for path in found.files)

    history = found.em.history[0]
    assert demo.at_passes(found.em, 0, 1.0) == history[0]
    assert demo.at_passes(found.em, 0, 3.0) == history[2]
    assert demo.at_passes(found.em, 0, 1e6) == history[found.em.n_iter[0]]


def test_segmentation_is_made_of_mean_colours():
    dark, light = [10.0, 20.0, 30.0], [200.0, 210.0, 220.0]
    mixture = Mixture.create([0.5, 0.5], [dark, light], [25.0, 25.0], covariance_type="spherical")
    painted = segmentation(mixture, np.array([[dark, light, [105.0, 115.0, 125.0]]]))
    np.testing.assert_allclose(painted[0, :2] * 255, [dark, light], atol=1e-9)
    np.testing.assert_allclose(painted[0, 2] * 255, [105.0, 115.0, 125.0], atol=1e-9)
