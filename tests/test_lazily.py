"""JAX is loaded when something asks for it; trees are the same before and after."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import NamedTuple

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm.inputs import lazily, trees


def in_a_process(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


SMALL = """
    import sys, warnings
    warnings.simplefilter("ignore")
    import numpy as np
    import jaxgmm
    x = np.random.default_rng(0).normal(size=(90, 2)) + 5.0 * (np.arange(90) % 2)[:, None]
"""


def test_small_fits_and_their_answers_never_load_jax():
    found = in_a_process(
        SMALL
        + """
    for kind in ("full", "tied", "diag", "spherical"):
        mixture = jaxgmm.fit(0, x, 2, n_init=4, covariance_type=kind).mixture
        mixture.predict(x), mixture.score(x), mixture.responsibilities(x), mixture.bic(x), mixture.covariances
        mixture.score_samples(x + 1e30), repr(mixture)
        estimator = jaxgmm.GaussianMixture(2, covariance_type=kind).fit(x)
        estimator.predict(x), estimator.score_samples(x)
    jaxgmm.fit(0, (x > 2).astype(float), 2, covariance_type="bernoulli", init="random").mixture.predict(x > 2)
    jaxgmm.fit(0, x, 2, prior="default", labels=np.where(np.arange(90) < 4, np.arange(90) % 2, -1), dtype="float32")
    jaxgmm.fit(0, x, 3, init="kmeans", on_degenerate="reinit", driver=jaxgmm.HardEM())
    jaxgmm.select(0, x, (1, 2), n_init=2), jaxgmm.select(0, x, (1, 2), n_init=2, criterion="cv")
    jaxgmm.fit_many(0, [x, x[:40]], 2, n_init=2)
    print([name for name in ("jax", "jaxlib", "optax", "jaxtyping") if name in sys.modules])
    """
    )
    assert found == ["[]"]


def test_what_was_made_before_jax_was_loaded_goes_into_programs():
    found = in_a_process(
        SMALL
        + """
    import importlib.util
    result = jaxgmm.fit(0, x, 2)
    assert importlib.util.find_spec("jax") is not None and "jax" not in sys.modules  # looking is not loading
    import jax
    assert not any(type(finder).__name__ == "_Notice" for finder in sys.meta_path)
    assert len(jax.tree.leaves(result.mixture)) == 3
    moved = jax.tree.map(lambda leaf: leaf + 0.0, result.mixture)
    assert isinstance(moved, jaxgmm.Mixture)
    score = jax.jit(lambda mixture, x: mixture.components.log_prob(x.T))
    assert score(result.mixture, x).shape == (2, 90)
    assert jaxgmm.fit(0, x, 2, engine="jax").engine == "jax"
    print("done")
    """
    )
    assert found == ["done"]


class Pair(NamedTuple):
    a: object
    b: object


MIXTURE = jaxgmm.Mixture.create([0.5, 0.5], [[0.0], [1.0]], [[1.0], [2.0]], covariance_type="diag")
TREES = [
    np.ones(2),
    3,
    None,
    (np.ones(2), [np.zeros(1), None], {"z": np.ones(1), "a": np.zeros(3)}),
    Pair(np.ones(2), Pair(None, np.zeros(1))),
    MIXTURE,
    {"mixture": MIXTURE, "driver": jaxgmm.HardEM()},
    jaxgmm.Squarem(jaxgmm.EM()),
]


@pytest.mark.parametrize("tree", TREES, ids=[str(i) for i in range(len(TREES))])
def test_trees_are_the_same_without_jax(tree, monkeypatch):
    add = lambda a, b: a + 2 * b  # noqa: E731
    wanted, leaves, leaf = jax.tree.map(add, tree, tree), jax.tree.leaves(tree), trees.is_leaf(tree)
    monkeypatch.setattr(lazily, "_loaded", False)
    found = trees.map(add, tree, tree)
    one = trees.map(lambda leaf: 3 * leaf, tree)
    assert leaf == trees.is_leaf(tree)
    assert jax.tree.structure(found) == jax.tree.structure(wanted) == jax.tree.structure(one)
    for same in (found, one):
        for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(trees.leaves(tree), leaves, strict=True):
        assert a is b


@pytest.mark.parametrize("other", [(np.ones(1),), [np.ones(1), np.ones(1)], {"a": np.ones(1)}, np.ones(1)])
def test_trees_that_differ_are_refused_without_jax(other, monkeypatch):
    monkeypatch.setattr(lazily, "_loaded", False)
    with pytest.raises(ValueError, match="differ"):
        trees.map(lambda a, b: a, (np.ones(1), np.ones(1)), other)


def test_calls_that_wait_for_jax_are_made_at_once_where_it_is_loaded():
    seen = []
    lazily.when_loaded(lambda: seen.append(1))
    assert seen == [1]
    assert lazily.is_array(jax.numpy.ones(1))
    assert not lazily.is_array(np.ones(1))
