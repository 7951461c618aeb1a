"""The tightness ladder: one EM step stays right on data that grow harder rung by rung (`benchmarks/ladder.py`)."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import reference

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from ladder_data import DTYPES, FAMILIES, Rung, Step, case, errors, reference_step, rungs
from ladder_steps import Ours, jaxgmm_step, misjudged

# Elsewhere longdouble is float64 in disguise, and cannot judge it.
_EXTENDED = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
KINDS = [
    pytest.param(family, dtype, marks=pytest.mark.skipif(dtype == "float64" and not _EXTENDED, reason="no longdouble"))
    for family in FAMILIES
    for dtype in DTYPES
]


@cache
def climbed(family: str, dtype: str) -> list[tuple[Rung, Ours, Ours]]:
    """Every rung, by the kernel that is chosen and by `shared_feature`."""
    found = []
    for rung in dict.fromkeys(rung for _, rung in rungs(family)):
        data = case(family, rung, dtype)
        truth = reference_step(family, data.x, data.weights, data.means, data.factor)
        ours = jaxgmm_step(data, "auto", truth)
        fast = ours if ours.kernel == "shared_feature" else jaxgmm_step(data, "shared_feature", truth)
        found.append((rung, ours, fast))
    return found


@pytest.mark.parametrize(("family", "dtype"), KINDS)
def test_every_rung_keeps_the_bounds(family, dtype):
    outside = [f"{rung}: {ours.errors}" for rung, ours, _ in climbed(family, dtype) if not ours.errors.within(dtype)]
    assert not outside, "\n".join(outside)


@pytest.mark.parametrize(("family", "dtype"), KINDS)
def test_means_are_right_to_their_own_rounding(family, dtype):
    # A mean is a number of about the data's spread, so its rounding is that over the width, in standard deviations;
    # float64 is as exact as the map back to the data, which is in float64 too.
    eps = np.finfo(dtype).eps
    for rung, ours, _ in climbed(family, dtype):
        narrowest = rung.width / np.sqrt(rung.anisotropy) * np.sqrt(1 - rung.correlation)
        size = 4 * (1 + (rung.offset if dtype == "float64" else 0))
        assert ours.errors.mean <= 1e-4 + 4 * eps * size / narrowest, str(rung)


@pytest.mark.parametrize(("family", "dtype"), KINDS)
def test_the_kernel_chosen_is_the_right_one(family, dtype):
    wrong = [
        f"{rung}, {ours.kernel}: {reason}, {fast.errors}"
        for rung, ours, fast in climbed(family, dtype)
        if (reason := misjudged(ours.kernel, fast.errors, dtype))
    ]
    assert not wrong, "\n".join(wrong)
    # The ladder has both kinds of rung, or it would show nothing.
    slower = "shared_feature_64" if dtype == "float32" else "centred"
    assert {ours.kernel for _, ours, _ in climbed(family, dtype)} == {"shared_feature", slower}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_is_the_textbook_step(family):
    data = case(family, Rung(), "float64")
    step = reference_step(family, data.x, data.weights, data.means, data.factor)
    if family in ("full", "tied"):
        covariances = data.factor @ np.swapaxes(data.factor, -1, -2)
    else:
        covariances = data.factor**2 if family == "diag" else data.factor[:, 0] ** 2
    ones = np.ones(len(data.x))
    log_likelihood, weights, means, new = reference.em_iteration(
        family, data.weights, data.means, covariances, data.x, ones, 0.0
    )
    matrices = reference.covariance_matrices(family, new, *means.shape)
    textbook = errors(Step(log_likelihood / len(data.x), weights, means, None), step, matrices)
    assert max(textbook.log_likelihood, textbook.covariance, textbook.mean, textbook.weight) < 1e-12
