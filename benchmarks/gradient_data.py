"""The rows on which EM and gradients are compared: two real data sets, and one whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Data:
    """Rows with zero mean and unit variance in every column, how many components to fit, and the truth's score."""

    name: str
    x: Any
    n_components: int
    truth: float | None = None


def _standardized(x: Any) -> Any:
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)


def digits(quick: bool) -> Data:
    """Handwritten digits, their 64 pixels brought to 10 principal components."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    x = PCA(10, svd_solver="full").fit_transform(load_digits().data.astype(np.float64))
    return Data("digits, 10 principal components", _standardized(x), 10)


def colours(quick: bool) -> Data:
    """Pixel colours of a photograph, blurred by half a step: a mixture may collapse onto values that repeat."""
    from sklearn.datasets import load_sample_image

    rng = np.random.default_rng(0)
    pixels = load_sample_image("china.jpg").reshape(-1, 3)
    picked = rng.choice(len(pixels), 3000 if quick else 30000, replace=False)
    return Data(
        "china.jpg, pixel colours", _standardized(pixels[picked] + rng.uniform(-0.5, 0.5, (len(picked), 3))), 12
    )


def generated(quick: bool) -> Data:
    """Eight overlapping Gaussians in six dimensions, scored under the mixture they came from."""
    import jaxgmm

    rng = np.random.default_rng(1)
    n, k, d = 2000 if quick else 20000, 8, 6
    factors = np.eye(d) + 0.5 * rng.standard_normal((k, d, d)) / np.sqrt(d)
    truth = jaxgmm.Mixture.create(
        rng.dirichlet(np.full(k, 4.0)), 1.8 * rng.standard_normal((k, d)), factors @ factors.transpose(0, 2, 1)
    )
    x, _ = truth.sample(2, n)
    # Standardizing stretches densities by the columns' deviations.
    return Data("generated, truth known", _standardized(x), k, truth.score(x) + float(np.sum(np.log(x.std(axis=0)))))


DATA: tuple[Callable[[bool], Data], ...] = (digits, colours, generated)
