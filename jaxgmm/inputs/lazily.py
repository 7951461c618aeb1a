"""JAX, loaded when something is first asked of it: what runs in NumPy never waits for it.

Example:
    >>> from jaxgmm.inputs.lazily import jax, jnp  # in place of `import jax` and `import jax.numpy as jnp`
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

_NAME = "jax"


class _Module(ModuleType):
    """A module that is loaded when one of its names is first looked up; later it is looked up there, too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # those who look over all modules ask for such, and want nothing loaded
            raise AttributeError(name)
        # Not from `sys.modules`, where another thread may still be loading it.
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    import jax as jax
    import jax.numpy as jnp
    from jax import lax as lax
else:
    jax, jnp, lax = (_Module(name) for name in (_NAME, "jax.numpy", "jax.lax"))

_waiting: list[Callable[[], object]] = []
_lock = threading.RLock()
_loaded = False


def is_loaded() -> bool:
    """Whether anybody has loaded JAX in this process."""
    return _loaded


def when_loaded(call: Callable[[], object]) -> None:
    """Calls `call` as soon as JAX has been loaded, by whomever: at once if it has."""
    with _lock:
        if not _loaded:
            _waiting.append(call)
            return
    call()


def is_array(value: Any) -> bool:
    """Whether `value` is an array of JAX."""
    return _loaded and isinstance(value, jax.Array)


def is_traced(value: Any) -> bool:
    """Whether `value` stands for one while a program is made."""
    return _loaded and isinstance(value, jax.core.Tracer)


def _at_once() -> None:
    global _loaded
    with _lock:
        while _waiting:
            _waiting.pop(0)()
        _loaded = True


class _Notice(MetaPathFinder):
    """Notices that JAX is loaded; it finds nothing itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _NAME:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec: Any = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: ModuleType) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _at_once()

            spec.loader.exec_module = executed
        return spec


if _NAME in sys.modules:
    importlib.import_module(_NAME)  # another thread may be on the way
    _at_once()
else:
    sys.meta_path.insert(0, _Notice())
