"""Who runs the restarts: NumPy, at once, or a program of JAX's, which must be compiled first."""

from __future__ import annotations

from typing import Any

from jaxgmm.drivers import Driver
from jaxgmm.families import Family
from jaxgmm.families.hosting import on_numpy
from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.run.search import All, Search

ENGINES = ("auto", "numpy", "jax")

# On two cores, measured (`benchmarks/latency.py`): what a step costs in NumPy however small it is, and for every number
# that it works on, seconds; how many steps restarts are likely to take; and what programs take to compile.
_PER_STEP, _PER_NUMBER, _STEPS = 5e-4, 1.6e-10, 60
_COMPILING = 3.0
# With a smaller tol than this restarts take more steps.
_USUAL_TOL = 1e-6
# A fit of fewer seconds than this is NumPy's, whatever has been compiled: it then always has the same answer.
_AT_ONCE = 0.25
# What programs have been compiled for in this process.
_compiled: set[Any] = set()


def remember(shape: Any) -> None:
    """That programs for this shape have been compiled."""
    _compiled.add(shape)


def patience() -> float:
    """How many seconds NumPy may take under "auto" before a program is compiled after all."""
    return _COMPILING


def host_seconds(
    n: int, d: int, n_components: int, n_init: int, max_iter: int, family: type[Family], tol: float = 1e-5
) -> float:
    """About how long `n_init` restarts take in NumPy."""
    features = 1 + d
    if issubclass(family, SharedFeatures) and family.traits.covariance_kind == "matrix":
        features = (d + 1) * (d + 2) // 2
    numbers = n * (n_init * n_components * (4 * features + 40) + 10 * features)
    steps = max_iter if tol == 0 else _STEPS * max(1.0, (_USUAL_TOL / tol) ** 0.5)
    return min(steps, max_iter + 1) * (_PER_STEP * (1 + d / 8) + numbers * _PER_NUMBER)


def runs_on_host(
    engine: Any, *, driver: Driver, search: Search | None, kernel: str, family: type[Family], shape: tuple[int, int],
    n_components: int, n_init: int, max_iter: int, tol: float, n_sets: int = 1, compiled: Any = None,
) -> bool:  # fmt: skip
    """Whether NumPy is to run a fit, or `n_sets` of them one after the other.

    Args:
        engine: one of `ENGINES`.
        search: as `fit.search.checked_search` returns it.
        shape: (n, d), of the rows.
        compiled: what programs for such a fit are remembered by; see `remember`.

    Raises:
        ValueError: there is no such engine, or NumPy is asked for what it cannot do.
    """
    engine = arguments.choice("engine", engine, ENGINES)
    if engine == "jax":
        return False
    hindrance = ""
    if not driver.on_host:
        hindrance = f"driver={arguments.shown(driver)} needs JAX"
    elif search is not None and not isinstance(search, All):
        hindrance = f"search={arguments.shown(search)} needs JAX"
    elif not on_numpy(family):
        hindrance = f"covariance_type={family.traits.name!r} needs JAX"
    elif kernel == "shared_feature_64":
        hindrance = "NumPy computes in float64 throughout: kernel='shared_feature' is as good"
    if engine == "numpy":
        if hindrance:
            raise ArgumentError("engine", "be 'jax' or 'auto' here", "'numpy'", hindrance)
        return True
    seconds = n_sets * host_seconds(*shape, n_components, n_init, max_iter, family, tol)
    return not hindrance and seconds < (min(_AT_ONCE, _COMPILING) if compiled in _compiled else _COMPILING)
