"""A device without room: smaller chunks, and then an error that says what to change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from jaxgmm.inputs import lazily
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.wording import Wording
from jaxgmm.run.loop import Controls

# Halved so often a chunk is some rows only; what does not fit then is not the chunk.
_HALVINGS = 6
_ADVICE = Wording(
    "the device has no room for the rows and all restarts together, however small the chunks: lower {n_init} and fit "
    "in several calls, pass float32 rows or {dtype:'float32'}, or use a larger device"
)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a device's way of saying so."""
    return lazily.is_loaded() and isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Within it a device without room is a `MemoryError` that says what to change."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise MemoryError(_ADVICE) from error


def within_memory(call: Callable[..., Any], controls: Controls) -> tuple[Any, Controls]:
    """`call(controls=controls)`, with chunks halved until it fits; beside it the controls that did.

    Raises:
        MemoryError: it does not fit however small the chunks.
    """
    while True:
        try:
            done = call(controls=controls)
            return jax.block_until_ready(done) if lazily.is_loaded() else done, controls
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if controls.halvings == _HALVINGS:
                raise MemoryError(_ADVICE) from error
            controls = replace(controls, halvings=controls.halvings + 1)
