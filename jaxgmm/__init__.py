"""jaxgmm: Gaussian mixtures by expectation-maximisation on JAX, many at once.

>>> import jaxgmm
>>> result = jaxgmm.fit(0, x, n_components=16, n_init=256)
>>> result.mixture.predict(x)
"""

from typing import Any

from jaxgmm.compilation import enable_compilation_cache
from jaxgmm.drivers import EM, Driver, HardEM, Squarem
from jaxgmm.families import Family
from jaxgmm.fit.fit import fit
from jaxgmm.fit.result import FitError, FitResult, FitWarning
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.forking import ForkError
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

__version__ = "0.1.0"

__all__ = ["EM", "ArgumentError", "BlockInfo", "Cell", "CheckpointError", "DataWarning", "Driver", "Family"]
__all__ += ["FitError", "FitResult", "FitWarning", "Fixed", "ForkError", "GaussianMixture"]
__all__ += ["GaussianMixtureOutlierDetector", "Gradient", "HardEM", "ManyResult", "Mixture", "ModelFileError", "Prior"]
__all__ += ["Race", "RaceRules", "Restarts", "RowSource", "Rows", "Search", "SelectionResult", "Squarem", "Status"]
__all__ += ["enable_compilation_cache", "fit", "fit_many", "load", "save", "select"]


def __getattr__(name: str) -> Any:
    if name == "Gradient":  # optax is loaded only by those who climb by gradients
        from jaxgmm.drivers.gradient import Gradient

        return Gradient
    if name in ("GaussianMixture", "GaussianMixtureOutlierDetector"):  # and scikit-learn by those who want estimators
        from jaxgmm import sklearn

        return getattr(sklearn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
