"""The other libraries, each behind one small adapter: the same rows, the same start, a given number of iterations.

An adapter is a function of a `Problem` that returns `run(m)`: fit with exactly `m` EM iterations from the given
start and return weights, means and covariances, so that a check can hold all contenders to the same answer. Peers
run one start at a time; that is how each of them runs several.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Parameters = tuple[Any, Any, Any]
Run = Callable[[int], Parameters]

#: the ridge everyone adds to covariances
REG_COVAR = 1e-6


@dataclass(frozen=True)
class Problem:
    """Rows and one start, in NumPy arrays of one dtype; covariances in scikit-learn's shape for the type."""

    x: Any
    weights: Any
    means: Any
    covariances: Any
    covariance_type: str


def scikit_learn(problem: Problem) -> Run:
    """`GaussianMixture` given weights, means and precisions."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    matrix = problem.covariance_type in ("full", "tied")
    precisions = np.linalg.inv(problem.covariances) if matrix else 1 / problem.covariances

    def run(m: int) -> Parameters:
        model = GaussianMixture(
            len(problem.weights),
            covariance_type=problem.covariance_type,
            weights_init=problem.weights,
            means_init=problem.means,
            precisions_init=precisions,
            reg_covar=REG_COVAR,
            tol=0.0,
            max_iter=m,
        )
        with warnings.catch_warnings():
            # It cannot converge at tol=0, and says so.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(problem.x)
        if model.means_.dtype != problem.x.dtype:
            raise TypeError(f"scikit-learn computed in {model.means_.dtype}, not in {problem.x.dtype}")
        return model.weights_, model.means_, model.covariances_

    return run


def gmmx(problem: Problem) -> Run:
    """`EMFitter.fit`, which its class compiles with `jax.jit`; once for every number of iterations."""
    import jax
    from gmmx import EMFitter, GaussianMixtureModelJax

    x = jax.numpy.asarray(problem.x)
    start = GaussianMixtureModelJax.from_squeezed(
        means=problem.means,
        covariances=problem.covariances,
        weights=problem.weights,
        covariance_type=problem.covariance_type,
    )

    def run(m: int) -> Parameters:
        # Below zero, so that it never stops early.
        fitted = EMFitter(max_iter=m, tol=-1.0, reg_covar=REG_COVAR).fit(x, start)
        model = jax.block_until_ready(fitted.gmm)
        return model.weights_numpy, model.means_numpy, model.covariances.values_numpy

    return run


def pomegranate(problem: Problem) -> Run:
    """`GeneralMixtureModel` over `Normal`s; it has no ridge for full covariances."""
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    x = torch.from_numpy(problem.x)

    def run(m: int) -> Parameters:
        components = [
            Normal(torch.from_numpy(mean.copy()), torch.from_numpy(covariance.copy()), covariance_type="full")
            for mean, covariance in zip(problem.means, problem.covariances, strict=True)
        ]
        model = GeneralMixtureModel(components, torch.from_numpy(problem.weights.copy()), max_iter=m, tol=-np.inf)
        model.fit(x)
        means = np.stack([component.means.detach().numpy() for component in components])
        covariances = np.stack([component.covs.detach().numpy() for component in components])
        return model.priors.detach().numpy(), means, covariances

    return run


def tgmm(problem: Problem) -> Run:
    """`GaussianMixture` given tensors."""
    import torch
    from tgmm import GaussianMixture

    x = torch.from_numpy(problem.x)

    def run(m: int) -> Parameters:
        model = GaussianMixture(
            n_components=len(problem.weights),
            n_features=problem.x.shape[1],
            covariance_type=problem.covariance_type,
            init_weights=torch.from_numpy(problem.weights.copy()),
            init_means=torch.from_numpy(problem.means.copy()),
            init_covariances=torch.from_numpy(problem.covariances.copy()),
            reg_covar=REG_COVAR,
            # The least it takes is above zero.
            tol=1e-30,
            max_iter=m,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model.fit(x)
        return model.weights_.numpy(), model.means_.numpy(), model.covariances_.numpy()

    return run


PEERS: dict[str, Callable[[Problem], Run]] = {
    "scikit-learn": scikit_learn,
    "gmmx": gmmx,
    "pomegranate": pomegranate,
    "tgmm": tgmm,
}


def adapter(name: str, problem: Problem) -> Run | None:
    """The named peer, ready to run; None, and a line that says so, where it is not installed."""
    try:
        return PEERS[name](problem)
    except ImportError as missing:
        print(f"{name}: skipped, {missing}")
        return None
