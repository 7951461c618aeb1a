"""The tightness ladder: data that grow harder rung by rung, and one EM step on them in extended precision.

A rung is clusters of known weights, means and factors. Rows and start parameters are rounded to the dtype under test,
and the reference starts from the same rounded numbers, so that what is compared is the step alone. The reference works
in NumPy's `longdouble`: 64 bits of mantissa on x86, where one step in float64 is itself what is being tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

N, K, D = 4096, 5, 4
FAMILIES = ("full", "tied", "diag", "spherical")
DTYPES = ("float32", "float64")
#: the largest error a step may make: nats per row, and of the covariance as `Errors` has it
BOUNDS = {"float32": (1e-4, 1e-3), "float64": (1e-7, 1e-6)}
WIDE = np.longdouble


@dataclass(frozen=True)
class Rung:
    """How hard the data are.

    Attributes:
        width: a cluster's largest standard deviation, in spreads of the cluster centres.
        anisotropy: condition number of a component's covariance.
        offset: distance of the data from the origin in every feature, in spreads.
        scale: the spread of the centres.
        correlation: of every pair of features, put upon centres and clusters together.
    """

    width: float = 0.3
    anisotropy: float = 4.0
    offset: float = 0.0
    scale: float = 1.0
    correlation: float = 0.0

    def __str__(self) -> str:
        own = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(f"{name} {value:g}" for name, value in own) or "base"


AXES: dict[str, tuple[float, ...]] = {
    "width": (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
    "anisotropy": (1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6),
    "offset": (0.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6),
    "scale": (1e-20, 1e-15, 1e-10, 1e-5, 1.0, 1e5, 1e10, 1e15, 1e20),
}
COMBINED = (
    Rung(width=1e-1, anisotropy=1e6),
    Rung(width=1e-2, anisotropy=1e4),
    Rung(width=1e-3, anisotropy=1e2),
    Rung(width=1e-1, offset=1e4),
    Rung(width=1e-2, offset=1e3),
    Rung(width=1e-3, offset=1e2),
    Rung(width=1e-4, scale=1e20),
    Rung(width=1e-4, scale=1e-20),
    Rung(width=1e-2, anisotropy=1e4, offset=1e1, scale=1e-20),
    Rung(width=1e-2, anisotropy=1e4, offset=1e1, scale=1e20),
    Rung(correlation=0.99),
    Rung(correlation=0.99, width=1e-2),
    Rung(correlation=0.99, width=1e-4),
)


def rungs(family: str) -> Iterator[tuple[str, Rung]]:
    """(axis, rung) of the whole ladder, less what a family cannot have."""
    ladder = [(axis, Rung(**{axis: value})) for axis, values in AXES.items() for value in values]
    for axis, rung in [*ladder, *(("combined", rung) for rung in COMBINED)]:
        round_only = family == "spherical" and (axis == "anisotropy" or rung.anisotropy != Rung.anisotropy)
        upright_only = family in ("diag", "spherical") and rung.correlation
        if not (round_only or upright_only):
            yield axis, rung


@dataclass(frozen=True)
class Case:
    """Rows (n, d) and start parameters in one dtype; `factor` has the shape the family's own parameter has."""

    family: str
    rung: Rung
    x: Any
    weights: Any
    means: Any
    factor: Any

    @property
    def resolution(self) -> float:
        """The spacing of numbers at the largest row, in standard deviations of the narrowest direction."""
        narrowest = min(np.linalg.svd(f, compute_uv=False)[-1] for f in dense(self.family, self.factor))
        return float(np.spacing(np.abs(self.x).max()) / narrowest)


def case(family: str, rung: Rung, dtype: str, seed: int = 0) -> Case:
    """The data of a rung. Only the rung differs between rungs: centres, directions and noise are drawn alike."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(K, 10.0))
    centres = rng.standard_normal((K, D))
    centres = (centres - centres.mean(0)) / centres.std(0)
    widths = rung.width * (1.0 if family == "spherical" else rung.anisotropy ** -np.linspace(0, 0.5, D))
    if family == "spherical":
        factor: Any = np.full((K, 1), rung.width) * rng.uniform(0.7, 1.0, (K, 1))
    elif family == "diag":
        factor = np.stack([rng.permutation(widths) for _ in range(K)])
    else:
        turns = np.linalg.qr(rng.standard_normal((K, D, D)))[0]
        factor = np.stack([_triangle(turn * widths) for turn in turns])
        factor = factor[0] if family == "tied" else factor
    labels = rng.choice(K, N, p=weights)
    noise = rng.standard_normal((N, D))
    if rung.correlation:
        mixing = np.linalg.cholesky((1 - rung.correlation) * np.eye(D) + rung.correlation)
        centres, factor = centres @ mixing.T, mixing @ factor
    x = centres[labels] + np.einsum("nde,ne->nd", dense(family, factor)[labels], noise)
    rounded = [((part + rung.offset) * rung.scale).astype(dtype) for part in (x, centres)]
    return Case(family, rung, rounded[0], weights.astype(dtype), rounded[1], (factor * rung.scale).astype(dtype))


def _triangle(root: Any) -> Any:
    """The lower triangular L with L Lᵀ = root rootᵀ, without forming it."""
    upper = np.linalg.qr(root.T)[1]
    return (upper * np.sign(np.diagonal(upper))[:, None]).T


def dense(family: str, factor: Any) -> Any:
    """A family's factor as lower triangular matrices (k, d, d), its dtype kept."""
    factor = np.asarray(factor)
    if family == "full":
        return factor
    if family == "tied":
        return np.broadcast_to(factor, (K, D, D))
    return np.broadcast_to(factor, (K, D))[:, :, None] * np.eye(D, dtype=factor.dtype)


# ---- one step, and how far another is from it ----------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """Mean log-likelihood at the start, nats per row, and the parameters after one EM step; factors (k, d, d)."""

    log_likelihood: Any
    weights: Any
    means: Any
    factors: Any


def reference_step(family: str, x: Any, weights: Any, means: Any, factor: Any) -> Step:
    """One EM step without ridge (Bishop 2006, §9.2.2), in longdouble, centred and in two passes."""
    wide = [np.asarray(a).astype(WIDE) for a in (x, weights, means, dense(family, factor))]
    x, weights, means, factors = wide
    y = np.stack([solve(f, (x - m).T) for f, m in zip(factors, means, strict=True)])  # (k, d, n)
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
    pi = WIDE("3.14159265358979323846264338327950288")
    joint = np.log(weights) - log_det - D / WIDE(2) * np.log(2 * pi) - (y * y).sum(1).T / 2
    top = joint.max(1)
    log_p = top + np.log(np.exp(joint - top[:, None]).sum(1))
    r = np.exp(joint - log_p[:, None])
    counts = r.sum(0)
    offset = np.einsum("nk,kdn->kd", r, y) / counts[:, None]
    centred = y - offset[:, :, None]
    scatter = np.einsum("nk,kdn,ken->kde", r, centred, centred)
    if family == "tied":
        m = np.broadcast_to(scatter.sum(0) / counts.sum(), scatter.shape)
    else:
        m = scatter / counts[:, None, None]
    if family in ("diag", "spherical"):
        own = np.diagonal(m, axis1=1, axis2=2)
        own = own if family == "diag" else np.broadcast_to(own.mean(1, keepdims=True), own.shape)
        m = own[:, :, None] * np.eye(D, dtype=WIDE)
    new = np.stack([f @ cholesky(part) for f, part in zip(factors, m, strict=True)])
    return Step(log_p.mean(), counts / counts.sum(), means + np.einsum("kde,ke->kd", factors, offset), new)


@dataclass(frozen=True)
class Errors:
    """How far a step is from the reference; the worst component.

    Attributes:
        log_likelihood: nats per row.
        covariance: largest relative error of the variance in any direction, ‖L⁻¹ S L⁻ᵀ − I‖₂ with L the reference's.
        mean: in standard deviations of the component.
        weight: relative.
    """

    log_likelihood: float
    covariance: float
    mean: float
    weight: float

    def within(self, dtype: str, share: float = 1.0) -> bool:
        """Whether log-likelihood and covariance keep `share` of their bounds; NaN keeps nothing."""
        log_likelihood, covariance = BOUNDS[dtype]
        return self.log_likelihood <= share * log_likelihood and self.covariance <= share * covariance


@np.errstate(invalid="ignore", over="ignore")
def errors(step: Step, truth: Step, covariances: Any = None) -> Errors:
    """`step` against `truth`, NaN where it is not finite; `covariances` (k, d, d) stand in for factors it lacks."""
    log_likelihood, weights, means = (
        np.asarray(a).astype(WIDE) for a in (step.log_likelihood, step.weights, step.means)
    )
    covariance: list[float] = []
    mean: list[float] = []
    for k, factor in enumerate(truth.factors):
        half = solve(factor, np.asarray(step.factors[k] if covariances is None else covariances[k]).astype(WIDE))
        whitened = half @ half.T if covariances is None else solve(factor, half.T)
        difference = (whitened - np.eye(D, dtype=WIDE)).astype(np.float64)
        # NumPy has no norm of what is not finite.
        covariance.append(float(np.linalg.norm(difference, 2)) if np.isfinite(difference).all() else np.nan)
        moved = solve(factor, (means[k] - truth.means[k])[:, None]).astype(np.float64)
        mean.append(float(np.linalg.norm(moved)))
    return Errors(
        float(abs(log_likelihood - truth.log_likelihood)),
        float(np.max(np.asarray(covariance))),
        float(np.max(np.asarray(mean))),
        float(np.max(np.abs(weights / truth.weights - 1))),
    )


def solve(factor: Any, columns: Any) -> Any:
    """L⁻¹ columns, in the dtype given: LAPACK knows no longdouble."""
    out = np.zeros(columns.shape, np.result_type(factor, columns))
    for i in range(len(factor)):
        out[i] = (columns[i] - factor[i, :i] @ out[:i]) / factor[i, i]
    return out


def cholesky(matrix: Any) -> Any:
    """L with L Lᵀ = matrix, in the dtype given."""
    factor = np.zeros_like(matrix)
    for j in range(len(matrix)):
        factor[j, j] = np.sqrt(matrix[j, j] - factor[j, :j] @ factor[j, :j])
        factor[j + 1 :, j] = (matrix[j + 1 :, j] - factor[j + 1 :, :j] @ factor[j, :j]) / factor[j, j]
    return factor
