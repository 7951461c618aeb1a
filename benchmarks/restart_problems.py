"""The problems on which searches over starts are compared: generated with known truth, and real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """Rows (n, d) in float32, and how many components to look for."""

    name: str
    n_components: int
    rows: Callable[[int], Any]  # from a seed; real data ignore it

    def __call__(self, seed: int) -> Any:
        return np.ascontiguousarray(self.rows(seed), np.float32)


def generated(seed: int, *, n: int, d: int, k: int, separation: float, rarest: float | None = None) -> Any:
    """Rows of k Gaussians of different shapes, whose means lie `separation` apart in units of their widths.

    Weights are Dirichlet(2), or fall geometrically to `rarest`.
    """
    rng = np.random.default_rng((seed, n, d, k))
    if rarest is None:
        weights = rng.dirichlet(np.full(k, 2.0)) * 0.9 + 0.1 / k
    else:
        weights = np.geomspace(1.0, rarest * k / 3, k)
        weights[-1] = rarest * (weights[:-1].sum()) / (1 - rarest)
        weights /= weights.sum()
    turns = np.linalg.qr(rng.standard_normal((k, d, d)))[0]
    widths = np.exp(rng.uniform(-0.7, 0.7, (k, d)))
    factors = turns * widths[:, None, :]
    # Independent normal means with this deviation lie about `separation` apart, whatever the dimension.
    means = separation / np.sqrt(2 * d) * rng.standard_normal((k, d)) * np.sqrt(d**0.5)
    labels = rng.choice(k, n, p=weights)
    noise = rng.standard_normal((n, d))
    return means[labels] + np.einsum("nde,ne->nd", factors[labels], noise)


def _photograph(name: str) -> Any:
    from sklearn.datasets import load_sample_image

    return load_sample_image(name).astype(np.float64)


def colours(_: int, *, name: str) -> Any:
    """Every pixel's colour, blurred by half a step: a mixture may collapse onto values that repeat."""
    pixels = _photograph(name).reshape(-1, 3)
    return pixels + np.random.default_rng(0).uniform(-0.5, 0.5, pixels.shape)


def patches(_: int, *, name: str, size: int, every: int) -> Any:
    """Grey square patches without their mean, on their leading components."""
    from sklearn.decomposition import PCA

    grey = _photograph(name).mean(axis=2)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (size, size))[::every, ::every]
    flat = windows.reshape(-1, size * size)
    flat = flat - flat.mean(axis=1, keepdims=True) + np.random.default_rng(0).normal(0, 0.5, flat.shape)
    return PCA(8, svd_solver="full").fit_transform(flat)


def digits(_: int, *, d: int) -> Any:
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    return PCA(d, svd_solver="full").fit_transform(load_digits().data.astype(np.float64))


def table(_: int, *, name: str) -> Any:
    from sklearn import datasets

    x = getattr(datasets, f"load_{name}")().data
    return (x - x.mean(axis=0)) / x.std(axis=0)


def _generated(n: int, d: int, k: int, separation: float, rarest: float | None = None) -> Problem:
    rare = "" if rarest is None else f", rarest {rarest:.1%}"
    name = f"generated, N {n:.0e}, D {d}, K {k}, separation {separation:g}{rare}".replace("e+0", "e")
    return Problem(name, k, partial(generated, n=n, d=d, k=k, separation=separation, rarest=rarest))


def problems() -> Iterator[Problem]:
    """Small ones first."""
    yield Problem("wine", 3, partial(table, name="wine"))
    yield Problem("breast cancer", 2, partial(table, name="breast_cancer"))
    yield Problem("digits, 8 principal components", 10, partial(digits, d=8))
    yield Problem("digits, 16 principal components", 10, partial(digits, d=16))
    yield _generated(10_000, 2, 3, 4)
    yield _generated(10_000, 2, 8, 4)
    yield _generated(10_000, 4, 8, 3, 0.005)
    yield _generated(10_000, 8, 8, 2)
    yield _generated(10_000, 16, 5, 3)
    yield _generated(20_000, 32, 4, 2)
    yield _generated(20_000, 6, 20, 4)
    yield Problem("china.jpg, patches", 12, partial(patches, name="china.jpg", size=5, every=4))
    yield Problem("flower.jpg, patches", 12, partial(patches, name="flower.jpg", size=5, every=4))
    yield _generated(100_000, 2, 20, 5)
    yield _generated(100_000, 3, 6, 4, 0.005)
    yield _generated(100_000, 4, 12, 2)
    yield _generated(100_000, 8, 12, 3)
    yield _generated(100_000, 8, 40, 4)
    yield _generated(100_000, 16, 16, 3)
    yield _generated(100_000, 32, 6, 4)
    yield _generated(1_000_000, 2, 5, 3)
    yield Problem("china.jpg, colours", 8, partial(colours, name="china.jpg"))
    yield Problem("flower.jpg, colours", 8, partial(colours, name="flower.jpg"))
