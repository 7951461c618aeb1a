"""Every program that fits run is lowered for GPUs and TPUs: no primitive of theirs is the CPU's alone.

Nothing is compiled for a device that there is none of; what is lowered are the programs of real fits, as they call them.
"""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm.inputs.programs import Program

RNG = np.random.default_rng(0)
CENTRES = 300 * RNG.normal(size=(3, 3))
X = (CENTRES[RNG.integers(0, 3, 9000)] + RNG.normal(size=(9000, 3))).astype(np.float32)
SMALL = X[:300]

JAX = {"engine": "jax", "max_iter": 4}
FITS = {
    "full, in cells": lambda: jaxgmm.fit(0, X, 3, n_init=2, search="all", **JAX),
    "tied": lambda: jaxgmm.fit(0, SMALL, 3, covariance_type="tied", **JAX),
    "diag": lambda: jaxgmm.fit(0, SMALL, 3, covariance_type="diag", **JAX),
    "spherical": lambda: jaxgmm.fit(0, SMALL, 3, covariance_type="spherical", **JAX),
    "bernoulli": lambda: jaxgmm.fit(0, SMALL > 0, 3, covariance_type="bernoulli", **JAX),
    "centred": lambda: jaxgmm.fit(0, SMALL, 3, kernel="centred", **JAX),
    "products in float64": lambda: jaxgmm.fit(0, SMALL, 3, kernel="shared_feature_64", **JAX),
    "float64": lambda: jaxgmm.fit(0, SMALL, 3, dtype="float64", prior="default", **JAX),
    "labels and random starts": lambda: jaxgmm.fit(0, SMALL, 3, labels=np.arange(300) % 4 - 1, init="random", **JAX),
    "a race": lambda: jaxgmm.fit(0, X, 3, n_init=8, search="race", engine="jax", max_iter=60),
    "squarem": lambda: jaxgmm.fit(0, SMALL, 3, driver=jaxgmm.Squarem(), **JAX),
    "hard": lambda: jaxgmm.fit(0, SMALL, 3, driver=jaxgmm.HardEM(), **JAX),
    "line searches": lambda: jaxgmm.fit(0, SMALL, 3, driver=jaxgmm.Gradient("lbfgs"), **JAX),
    "mini-batches": lambda: jaxgmm.fit(0, SMALL, 3, driver=jaxgmm.Gradient("adam", batch_size=32), **JAX),
    "folds": lambda: jaxgmm.select(0, SMALL, (1, 2), covariance_types="full", n_init=2, criterion="cv", **JAX),
    "many": lambda: jaxgmm.fit_many(0, [SMALL[:90], SMALL[90:]], 2, n_init=2, **JAX),
    "samples and answers": lambda: jaxgmm.fit(0, SMALL, 3, **JAX).mixture.sample(0, 50),
}


def abstract(leaf):
    """A shape in place of an array."""
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype) if hasattr(leaf, "dtype") else leaf


@pytest.mark.parametrize("name", FITS)
def test_programs_lower_for_accelerators(name, monkeypatch):
    seen = {}
    called = Program.__call__

    def heard(program, *args, **kwargs):
        shapes = jax.tree.map(abstract, (args, kwargs))
        seen.setdefault((program.__name__, str(shapes)), (program, shapes))
        return called(program, *args, **kwargs)

    monkeypatch.setattr(Program, "__call__", heard)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FITS[name]()
    assert len(seen) >= 1
    with jax.enable_x64(True):
        for program, (args, kwargs) in seen.values():
            for platform in ("cuda", "tpu"):
                lowered = program.trace(*args, **kwargs).lower(lowering_platforms=(platform,))
                assert "stablehlo" in lowered.as_text()
