"""jaxgmm: Gaussian mixtures by expectation-maximisation on JAX, many at once.

>>> import jaxgmm
>>> result = jaxgmm.fit(0, x, n_components=16, n_init=256)
>>> result.mixture.predict(x)
"""

from typing import Any

from jaxgmm.checkpoint import CheckpointError
from jaxgmm.checks import DataWarning
from jaxgmm.compilation import enable_compilation_cache
from jaxgmm.drivers import EM
from jaxgmm.fit import fit
from jaxgmm.fixed import Fixed
from jaxgmm.forking import ForkError
from jaxgmm.many import fit_many
from jaxgmm.many_result import ManyResult
from jaxgmm.mixture import Mixture
from jaxgmm.outcome import BlockInfo
from jaxgmm.persistence import ModelFileError, load, save
from jaxgmm.prior import Prior
from jaxgmm.result import FitError, FitResult, FitWarning
from jaxgmm.selection import select
from jaxgmm.selection_result import Cell, SelectionResult
from jaxgmm.status import Status

__version__ = "0.1.0"

__all__ = ["EM", "BlockInfo", "Cell", "CheckpointError", "DataWarning", "FitError", "FitResult", "FitWarning", "Fixed"]
__all__ += ["ForkError", "GaussianMixture", "GaussianMixtureOutlierDetector", "Gradient", "ManyResult", "Mixture"]
__all__ += ["ModelFileError", "Prior", "SelectionResult", "Status", "enable_compilation_cache", "fit", "fit_many"]
__all__ += ["load", "save", "select"]


def __getattr__(name: str) -> Any:
    if name == "Gradient":  # optax is loaded only by those who climb by gradients
        from jaxgmm.drivers.gradient import Gradient

        return Gradient
    if name in ("GaussianMixture", "GaussianMixtureOutlierDetector"):  # and scikit-learn by those who want estimators
        from jaxgmm import sklearn

        return getattr(sklearn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
