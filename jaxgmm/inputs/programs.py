"""What this library compiles, and when it lets go of it.

A compiled program holds memory maps, some fifty to three hundred of them. Linux gives a process 65 530 of them by
default (`vm.max_map_count`), and the compiler ends a process that asks for more. A process that runs for long would
come to that, however few programs serve a fit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any

from jaxgmm.inputs import lazily
from jaxgmm.inputs.lazily import jax

# JAX's name for the time it takes to make a program, or to fetch one that an earlier process has made.
_COMPILED = "/jax/core/compile/backend_compile_duration"
# The maps are counted after so many new programs. Counting takes a millisecond for every thousand maps.
_EVERY = 32
# Where the system does not count maps, programs are let go of after so many of them, which take some gigabytes.
_MOST = 4096
_MAPS, _LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")


class Program:
    """`jax.jit(function, **options)`, made when it is first called; `watch` may let go of what it has compiled."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        update_wrapper(self, function)
        self._options = options

    @cached_property
    def _made(self) -> Any:
        return jax.jit(self.__wrapped__, **self._options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._made(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """What `jax.jit` has beside: `lower`, `trace`, …"""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._made, name)

    def clear_cache(self) -> None:
        """Lets go of what it has compiled."""
        if "_made" in self.__dict__:
            self._made.clear_cache()


def compiled(function: Callable[..., Any], **options: Any) -> Program:
    """`jax.jit(function, **options)`, whose programs `watch` may let go of."""
    program = Program(function, options)
    _WATCH.programs.append(program)
    return program


def watch() -> None:
    """Lets go of this library's programs if the process is about to run out of memory maps.

    Those that other code has compiled stay. What is let go of is compiled anew when it is next asked for.
    """
    _WATCH.look()


def release() -> None:
    """Lets go of this library's programs now."""
    for program in _WATCH.programs:
        program.clear_cache()


def n_maps() -> int | None:
    """How many memory maps the process holds; None where the system does not tell."""
    try:
        with _MAPS.open("rb") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return None


def _most_maps() -> int | None:
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return None


class _Watch:
    """How much has been compiled, and how much of it the process can hold."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.limit = _most_maps()
        self.born = self.seen = self.released = 0
        self.floor = 0  # maps that were left when programs were last let go of: not ours
        self.lock = threading.Lock()
        lazily.when_loaded(lambda: jax.monitoring.register_event_duration_secs_listener(self._heard))

    def _heard(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == _COMPILED:
            self.born += 1

    def look(self) -> None:
        if self.born - self.seen < _EVERY or not self.lock.acquire(blocking=False):
            return
        try:
            self.seen = self.born
            held = None if self.limit is None else n_maps()
            if held is None:
                full = self.born - self.released >= _MOST
            else:
                full = self.limit is not None and held > (self.floor + self.limit) // 2
            if full:
                release()
                self.released, self.floor = self.born, n_maps() or 0
        finally:
            self.lock.release()


_WATCH = _Watch()
