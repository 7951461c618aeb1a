"""Thresholds of low density, against sorting."""

from __future__ import annotations

import numpy as np
import pytest

from jaxgmm.mixture import thresholds


@pytest.mark.parametrize("share", [1e-9, 0.05, 0.07, 0.3, 0.5])
@pytest.mark.parametrize("n", [1, 2, 100, 1000])
@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_no_more_than_the_share_lies_below(n, share, block, monkeypatch):
    monkeypatch.setattr(thresholds, "_BLOCK", block)
    scores = np.random.default_rng(n).integers(0, n, n).astype(float)  # with ties
    found = thresholds.density_threshold(scores, share)
    assert found == np.sort(scores)[min(int(round(share * n, 9)), n - 1)]
    assert found == thresholds.density_threshold(scores, share, np.ones(n))
    assert found == thresholds.density_threshold(scores, share, np.full(n, 3.5))
