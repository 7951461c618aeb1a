"""A device without room."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm.run import loop


def full_until(monkeypatch, halvings: int) -> list[int]:
    """Makes the device refuse every block until chunks have been halved so often; returns what was asked for."""
    asked, block = [], loop.block

    def refusing(*args, controls, **options):
        asked.append(controls.halvings)
        if controls.halvings < halvings:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes")
        return block(*args, controls=controls, **options)

    monkeypatch.setattr(loop, "block", refusing)
    return asked


def test_chunks_are_halved_until_they_fit(monkeypatch, iris):
    want = jaxgmm.fit(0, iris, 2, n_init=2)
    asked = full_until(monkeypatch, 3)
    got = jaxgmm.fit(0, iris, 2, n_init=2)
    assert asked[:4] == [0, 1, 2, 3]
    assert set(asked[4:]) <= {3}
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-9)


def test_what_never_fits_is_an_error_that_says_what_to_change(monkeypatch, iris):
    asked = full_until(monkeypatch, 99)
    with pytest.raises(MemoryError, match=r"lower n_init .* float32"):
        jaxgmm.fit(0, iris, 2)
    assert asked == list(range(7))


def test_other_failures_are_not_swallowed(monkeypatch, iris):
    def broken(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(loop, "block", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        jaxgmm.fit(0, iris, 2)
