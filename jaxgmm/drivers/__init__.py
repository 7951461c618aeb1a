"""How parameters move. `Gradient` is loaded when asked for: it needs optax, and most fits do not."""

from typing import Any

from jaxgmm.drivers.base import Driver, FixedPoint, State
from jaxgmm.drivers.em import EM
from jaxgmm.drivers.hard import HardEM
from jaxgmm.drivers.squarem import Squarem

__all__ = ["EM", "Driver", "FixedPoint", "Gradient", "HardEM", "Squarem", "State"]


def __getattr__(name: str) -> Any:
    if name == "Gradient":
        from jaxgmm.drivers.gradient import Gradient

        return Gradient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
