"""One example of each family: a new family adds one entry here, and every checker takes it in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm import Mixture
from jaxgmm.em.penalty import Penalty
from jaxgmm.families import FAMILIES
from jaxgmm.inputs import precision
from jaxgmm.rows import ArrayRows
from jaxgmm.run.loop import Controls

NAMES = tuple(FAMILIES)
GAUSSIANS = tuple(name for name in NAMES if name != "bernoulli")
DTYPES = ("float32", "float64")


def parameters(name: str, rng: np.random.Generator, k: int = 3, d: int = 4) -> tuple[np.ndarray, ...]:
    """Weights, means and covariances (None for Bernoulli), well away from any edge."""
    weights = rng.dirichlet(np.full(k, 5.0))
    if name == "bernoulli":
        return weights, rng.uniform(0.1, 0.9, (k, d)), None
    a = rng.normal(size=(k, d, d)) / np.sqrt(d)
    full = a @ a.transpose(0, 2, 1) + 0.5 * np.eye(d)
    covariances = {
        "full": full,
        "tied": full.mean(0),
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full.trace(axis1=1, axis2=2) / d,
    }
    return weights, rng.normal(size=(k, d)) * 1.5, covariances[name]


def mixture(name: str, rng: np.random.Generator, k: int = 3, d: int = 4, dtype: str = "float64") -> Mixture:
    return Mixture.create(*parameters(name, rng, k, d), covariance_type=name, dtype=dtype)


def batch(name: str, rng: np.random.Generator, r: int, k: int = 3, d: int = 4, dtype: str = "float64") -> Mixture:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(mixture(name, rng, k, d, dtype) for _ in range(r)))


def data(name: str, rng: np.random.Generator, n: int = 157, d: int = 4) -> np.ndarray:
    """Rows (n, d) in float64: zeros and ones for Bernoulli."""
    x = rng.normal(size=(n, d)) * 1.5
    return (x > 0).astype(np.float64) if name == "bernoulli" else x


def rows(x: np.ndarray, w: np.ndarray | None = None, dtype: str = "float64") -> ArrayRows:
    """Rows as they are, unshifted and unscaled. Call inside `precision.scope(dtype)`."""
    return ArrayRows.from_array(jnp.asarray(x, dtype), None if w is None else jnp.asarray(w, dtype))


def scope(dtype: str = "float64"):
    return precision.scope(np.dtype(dtype))


def free(m: Mixture) -> dict:
    """Absolute free parameters of a mixture."""
    return {"logits": jnp.log(m.weights), "components": m.components.unconstrain()}


def constrained(name: str, parameters: dict) -> Mixture:
    """Undoes `free`."""
    return Mixture(jax.nn.softmax(parameters["logits"]), FAMILIES[name].constrain(parameters["components"]))


def controls(d: int, tol: float = 1e-6, max_iter: int = 300, ridge: float = 0.0, prior=None, **more) -> Controls:
    """What steers a run, in the dtype that is on. `ridge` is a standard deviation."""
    given = {"key": np.zeros(2, np.uint32), "keep_degenerate": jnp.asarray(False), "floor": jnp.zeros(d)} | more
    penalty = Penalty(jnp.full(d, ridge), prior)
    return Controls(jnp.asarray(tol), jnp.asarray(max_iter, jnp.int32), penalty, **given)
