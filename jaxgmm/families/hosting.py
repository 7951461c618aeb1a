"""Whether NumPy can compute with a family, which users may have written for JAX alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from jaxgmm.families.base import Family
from jaxgmm.families.namespace import quiet
from jaxgmm.inputs import trees


@cache
def on_numpy(family: type[Family]) -> bool:
    """Whether `family` gives NumPy's arrays for NumPy's, and for mixtures along a leading axis what each gives."""
    x, root = np.array([[0.3, 0.6, 0.4], [0.7, 0.2, 0.5]]), np.full(2, 0.5)
    r = np.array([[0.2, 0.7, 0.4], [0.8, 0.3, 0.6]])
    means = (np.array([[0.3, 0.7], [0.6, 0.2]]), np.array([[0.4, 0.5], [0.1, 0.8]]))

    def answers(components: Any, r: Any) -> Any:
        counts, moments = r.sum(axis=-1), components.moments(x, r)
        better = components.improve(counts, moments, 0.1 * root)
        scores = components.expected_log_prob(counts, moments, better)
        return components.log_prob(x), moments, better, scores, components.log_width(), better.collapsed()

    try:
        each = [family.from_means(own, root, root) for own in means]
        alone = [quiet(answers)(one, r) for one in each]
        wanted = trees.map(lambda *leaves: np.stack(leaves), *alone)
        found = quiet(answers)(trees.map(lambda *leaves: np.stack(leaves), *each), np.stack([r, r]))
        pairs = list(zip(trees.leaves(found), trees.leaves(wanted), strict=True))
        leaves = [leaf for pair in pairs for leaf in pair] + trees.leaves(alone)
        numpys = all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves)
        return numpys and all(np.shape(a) == np.shape(b) and np.allclose(a, b, equal_nan=True) for a, b in pairs)
    except Exception:  # what it cannot do at a glance it is not asked for
        return False
