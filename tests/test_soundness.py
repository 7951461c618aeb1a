"""Which mixtures are sound, and that soundness decides: more starts, few rows, values that repeat."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import load_rows
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA

import jaxgmm
from jaxgmm import FitWarning
from jaxgmm.status import SOUND

AUTO = 1e-6


def clusters(n_rows, d, k, seed=0, separation=12.0):
    """Rows of `k` spherical clusters with `n_rows` each, far apart, and whose they are."""
    rng = np.random.default_rng((seed, n_rows, d, k))
    centres = rng.normal(size=(k, d))
    centres *= separation / np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.repeat(np.arange(k), n_rows)
    return centres[labels] + rng.normal(size=(len(labels), d)), labels


def _generated():
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=400)
    return rng.normal(size=(400, 3)) * [0.3, 0.5, 0.8] + 4 * rng.normal(size=(4, 3))[labels]


SETS = {
    "iris": lambda: load_rows("iris"),
    "iris petals": lambda: load_rows("iris")[:, 2:],
    "wine": lambda: load_rows("wine"),
    "wine, four columns": lambda: load_rows("wine")[:, [0, 1, 6, 9]],
    "breast cancer": lambda: load_breast_cancer().data[:, :10],
    "faithful": lambda: load_rows("faithful"),
    "digits, six components": lambda: PCA(6, svd_solver="full").fit_transform(load_digits().data),
    "generated": _generated,
    "rounded": lambda: np.round(_generated(), 1),
    "coarse": lambda: np.round(2 * _generated()) / 2,
    "tied": lambda: np.where(np.random.default_rng(1).uniform(size=(400, 3)) < 0.2, 0, _generated()),
    "lognormal": lambda: np.exp(np.random.default_rng(2).normal(size=(500, 2))),
}


def steps_of(x):
    """The step each column is rounded to, by hand: 0 unless all values are multiples of the smallest gap."""
    found = []
    for column in x.T:
        gaps = np.diff(np.unique(column))
        gaps = gaps[gaps > 1e-9 * np.ptp(column)]
        whole = np.allclose(gaps / gaps.min(), np.rint(gaps / gaps.min()), atol=1e-3)
        found.append(gaps.min() if whole else 0.0)
    return np.array(found)


def narrowest_in_steps(x, mixture):
    """The smallest standard deviation of any component in any direction, in those of what is rounded off."""
    rounded = np.diag(steps_of(x) ** 2 / 12)
    largest = max(np.linalg.eigvals(np.linalg.solve(s, rounded)).real.max() for s in mixture.covariance_matrices())
    return largest**-0.5 if largest > 0 else np.inf


def ranked(result):
    """What starts are to be compared by: sound before others, then the log-likelihood."""
    return bool(result.sound), float(result.log_likelihood[result.best])


def check_more_starts(name, k, counts):
    """Whether mixtures from ever more starts of one key only get better; how many of them were sound."""
    x, before, sound = SETS[name](), (False, -np.inf), 0
    for n_init in counts:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            result = jaxgmm.fit(2, x, k, n_init=n_init)
        fit_warnings = [warning for warning in heard if warning.category is FitWarning]
        now = ranked(result)
        assert now[0] >= before[0], (name, k, n_init)
        assert now[0] > before[0] or now[1] >= before[1] - 1e-6 * abs(before[1]), (name, k, n_init, now, before)
        before = now
        # A mixture that is not sound is never returned without a word, nor with two.
        assert len(fit_warnings) == (not result.sound) or "reg_covar costs" in str(fit_warnings[0].message)
        if result.sound:
            sound += 1
            assert narrowest_in_steps(x, result.mixture) > 1
        else:
            assert not (np.isin(result.status, SOUND) & ~result.spurious).any()
            assert result.doubt
    return sound


@pytest.mark.parametrize(("name", "k"), [("iris", 3), ("iris", 4), ("iris petals", 5), ("coarse", 4)])
def test_more_starts_never_make_the_answer_worse(name, k):
    assert check_more_starts(name, k, (1, 16, 128)) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_more_starts_never_make_any_answer_worse(name):
    counts = [check_more_starts(name, k, (1, 8, 64, 512)) for k in range(1, 9)]
    print(name, "sound fits of 4, for each K:", counts)
    assert counts[0] == 4  # one component is never a matter of starts
