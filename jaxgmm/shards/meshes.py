"""Which devices rows lie on."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from jaxgmm.inputs import arguments, forking
from jaxgmm.inputs.cores import n_cores
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.lazily import jax

#: the axis of a mesh along which rows are divided
AXIS = "rows"


def make_of_cores(devices: Any) -> None:
    """Has a CPU's cores be devices, so many or "all"; before JAX has started, and of no effect on GPUs and TPUs."""
    cores = n_cores()
    n = cores if devices == "all" else devices
    if isinstance(n, int) and 1 < n <= cores:
        with contextlib.suppress(RuntimeError):  # JAX has started: they are what they are
            jax.config.update("jax_num_cpu_devices", n)


def checked_mesh(devices: Any) -> Any:
    """The mesh that a user means, with the one axis `AXIS`; None for one device, as by default.

    Raises:
        ValueError, TypeError: it is none, or there are not as many devices.
    """
    if devices is None:
        return None
    forking.check()
    if isinstance(devices, jax.sharding.Mesh):
        return jax.sharding.Mesh(devices.devices.reshape(-1), (AXIS,))
    held = jax.devices()
    devices = [devices] if isinstance(devices, jax.Device) else devices
    if isinstance(devices, str):
        arguments.choice("devices", devices, ("all",))
        wanted = held
    elif isinstance(devices, list | tuple) and devices and all(isinstance(one, jax.Device) for one in devices):
        if len(set(devices)) < len(devices):
            raise ArgumentError("devices", "name each device once", arguments.shown(devices))
        wanted = list(devices)
    else:
        if isinstance(devices, list | tuple):
            wants = "be None, 'all', a number, a list of devices or a Mesh"
            raise ArgumentTypeError("devices", wants, arguments.shown_with_type(devices))
        n = arguments.integer("devices", devices, 1)
        if n > len(held):
            raise ArgumentError("devices", f"be at most the number of devices, {len(held)}", str(n))
        wanted = held[:n]
    return None if len(wanted) == 1 and wanted[0] == held[0] else jax.sharding.Mesh(np.array(wanted), (AXIS,))
