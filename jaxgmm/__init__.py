"""jaxgmm: Gaussian mixtures by expectation-maximisation on JAX, many at once.

>>> import jaxgmm
>>> result = jaxgmm.fit(0, x, n_components=16, n_init=256)
>>> result.mixture.predict(x)

Names are loaded when they are first asked for: JAX takes a while, and optax and scikit-learn only some need.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jaxgmm.inputs.forking import ForkError  # now, so that a fork is noticed

if TYPE_CHECKING:
    from jaxgmm.compilation import enable_compilation_cache
    from jaxgmm.drivers import EM, Driver, Gradient, HardEM, Squarem
    from jaxgmm.families import Family
    from jaxgmm.fit.fit import fit
    from jaxgmm.fit.result import FitError, FitResult, FitWarning
    from jaxgmm.inputs.errors import ArgumentError
    from jaxgmm.many.fit_many import fit_many
    from jaxgmm.many.result import ManyResult
    from jaxgmm.mixture import Mixture
    from jaxgmm.mixture.files import ModelFileError, load, save
    from jaxgmm.problem.checks import DataWarning
    from jaxgmm.problem.fixed import Fixed
    from jaxgmm.problem.prior import Prior
    from jaxgmm.race.race import Race
    from jaxgmm.race.rules import RaceRules
    from jaxgmm.rows import Rows, RowSource
    from jaxgmm.run.checkpoint import CheckpointError
    from jaxgmm.run.record import BlockInfo, Restarts
    from jaxgmm.run.search import Search
    from jaxgmm.run.status import Status
    from jaxgmm.selection.result import Cell, SelectionResult
    from jaxgmm.selection.select import select
    from jaxgmm.shards.hosts import PeerError
    from jaxgmm.sklearn import GaussianMixture, GaussianMixtureOutlierDetector
    from jaxgmm.tables.base import DataError

__version__ = "0.1.0"

__all__ = ["EM", "ArgumentError", "BlockInfo", "Cell", "CheckpointError", "DataError", "DataWarning"]
__all__ += ["Driver", "Family", "FitError", "FitResult", "FitWarning", "Fixed", "ForkError"]
__all__ += ["GaussianMixture", "GaussianMixtureOutlierDetector", "Gradient", "HardEM", "ManyResult"]
__all__ += ["Mixture", "ModelFileError", "PeerError", "Prior", "Race", "RaceRules", "Restarts", "RowSource"]
__all__ += ["Rows", "Search", "SelectionResult", "Squarem", "Status", "enable_compilation_cache", "fit"]
__all__ += ["fit_many", "load", "save", "select"]

_HOME = {
    "compilation": ("enable_compilation_cache",),
    "drivers": ("EM", "Driver", "Gradient", "HardEM", "Squarem"),
    "families": ("Family",),
    "fit.fit": ("fit",),
    "fit.result": ("FitError", "FitResult", "FitWarning"),
    "inputs.errors": ("ArgumentError",),
    "many.fit_many": ("fit_many",),
    "many.result": ("ManyResult",),
    "mixture": ("Mixture",),
    "mixture.files": ("ModelFileError", "load", "save"),
    "problem.checks": ("DataWarning",),
    "problem.fixed": ("Fixed",),
    "problem.prior": ("Prior",),
    "race.race": ("Race",),
    "race.rules": ("RaceRules",),
    "rows": ("RowSource", "Rows"),
    "shards.hosts": ("PeerError",),
    "tables.base": ("DataError",),
    "run.checkpoint": ("CheckpointError",),
    "run.record": ("BlockInfo", "Restarts"),
    "run.search": ("Search",),
    "run.status": ("Status",),
    "selection.result": ("Cell", "SelectionResult"),
    "selection.select": ("select",),
    "sklearn": ("GaussianMixture", "GaussianMixtureOutlierDetector"),
}
# Folders that are spoken of by name.
_ROOMS = ("drivers", "em", "families", "mixture", "plotting", "rows", "sklearn", "sources")
_WHERE = {name: home for home, names in _HOME.items() for name in names}


class _Lazy(ModuleType):
    """This package: a function that is called as a folder of it is stays the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.__name__,)  # as all modules are pickled where they are


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


sys.modules[__name__].__class__ = _Lazy
