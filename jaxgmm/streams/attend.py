"""A program that reads rows as it runs, and what goes on beside it: interruptions, limits of time, reports, faults."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from jaxgmm.inputs.lazily import jax
from jaxgmm.streams.reader import Reader

# Seconds between two looks around.
_INTERVAL = 0.1


def attended(reader: Reader, call: Callable[[], Any], told: Callable[[], bool] | None = None) -> Any:
    """What `call` gives, a program that reads from `reader`, run in a thread of its own.

    Args:
        told: asked every now and then while it runs; True ends it.

    Raises:
        Cancelled: `told` ended it.
        Exception: whatever the reader or the program raised.
        KeyboardInterrupt: the pass has then been given up.
    """
    found: list[Any] = []
    failed: list[BaseException] = []

    device, precision = (getattr(jax.config, f"jax_default_{name}") for name in ("device", "matmul_precision"))

    def run() -> None:
        try:
            # All three hold for one thread only.
            with jax.enable_x64(True), jax.default_device(device), jax.default_matmul_precision(precision):
                found.append(jax.block_until_ready(call()))
        except BaseException as error:
            failed.append(error)

    reader.begin()
    thread = threading.Thread(target=run, name="jaxgmm-pass", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_INTERVAL)
            if told is not None and thread.is_alive() and told():
                reader.cancel()
                told = None
    finally:  # of an interruption, too
        if thread.is_alive():
            reader.cancel()
            thread.join()
        reader.allow()
    for error in (reader.error, *failed):
        if error is not None:
            reader.error = None
            raise error
    return found[0]
