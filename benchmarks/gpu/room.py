"""A device without room: chunks must be halved until a pass fits, and the pass must still be right."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gpu.host import BOUNDS, Parameters, drawn, score
from jaxgmm import Mixture
from jaxgmm.em.penalty import Penalty
from jaxgmm.rows import ArrayRows, ArraySource, chunks
from jaxgmm.run import loop
from jaxgmm.run.loop import Controls
from jaxgmm.run.memory import within_memory

_D, _K = 2, 8
#: rows of a real refusal, and how much of the device's memory one array of its first try takes
_ROWS, _TOO_MUCH = 1 << 20, 1.2
#: rows and restarts of a pretended one, and how many halvings it takes
_FEW_ROWS, _FEW_RESTARTS, _REFUSALS = 4096, 4, 3
#: restarts whose log-likelihoods are held to the host's
_CHECKED = 2


def limit() -> int | None:
    """Bytes that may be had of the device, where it says so; CPUs do not."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit")


@contextlib.contextmanager
def _one_chunk() -> Iterator[None]:
    """Within it passes take all rows at once, halvings aside."""
    kept = chunks._CHUNKS
    chunks._CHUNKS = dict.fromkeys(kept, (1 << 62, 1 << 62, 1 << 62))
    try:
        yield
    finally:
        chunks._CHUNKS = kept


def _controls() -> Controls:
    nothing = jnp.zeros(_D, jnp.float32)
    return Controls(
        tol=jnp.zeros((), jnp.float32), max_iter=jnp.ones((), jnp.int32), penalty=Penalty(nothing), floor=nothing,
        key=jnp.zeros(2, jnp.uint32), keep_degenerate=jnp.zeros((), bool),
    )  # fmt: skip


def _refusing(call: Any, controls: Controls) -> Any:
    """`call` on a device that pretends to be small."""
    if controls.halvings < _REFUSALS:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: pretended")
    return call(controls=controls)


def halved() -> dict[str, Any]:
    """One pass of far too many restarts in one chunk; where devices have no limit, a pretended refusal."""
    room = limit()
    n = _FEW_ROWS if room is None else _ROWS
    restarts = _FEW_RESTARTS if room is None else math.ceil(_TOO_MUCH * room / (4 * n * _K))
    x, truth = drawn(n, _D, _K, seed=11)
    x = x.astype(np.float32)
    rng = np.random.default_rng(0)
    means = truth.means + 0.1 * rng.standard_normal((restarts, _K, _D))
    covariances = np.broadcast_to(truth.covariances, (restarts, _K, _D, _D))
    weights = np.broadcast_to(truth.weights, means.shape[:2])
    mixtures = Mixture.create(weights, means, covariances, dtype="float32")
    rows = ArrayRows.from_source(ArraySource(x), lambda block: np.asarray(block, np.float64).T, np.dtype(np.float32))
    call: Any = partial(loop.evaluate, mixtures, rows, kernel="shared_feature")
    with _one_chunk():
        (high, low), controls = within_memory(call if room is not None else partial(_refusing, call), _controls())
    reached = (np.asarray(high, np.float64) + np.asarray(low, np.float64))[:_CHECKED] / n
    wanted = [score(Parameters.of(mixtures[i]), x) for i in range(_CHECKED)]
    error = float(np.max(np.abs(reached - wanted)))
    how = "pretended" if room is None else "real"
    return {
        "ok": controls.halvings > 0 and error <= BOUNDS["float32"]["log_likelihood"],
        "how": how, "halvings": controls.halvings, "restarts": restarts, "error": error,
        "found": f"{how} refusal, chunks halved {controls.halvings} times, log_likelihood {error:.1e}",
    }  # fmt: skip
