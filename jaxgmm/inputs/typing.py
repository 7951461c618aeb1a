"""What annotations call an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    Array = Any  # of either kind: what they are is checked where tests run (`tests/annotations.py`)
else:
    #: at rest arrays are NumPy's, whose sums may be bare numbers; inside programs, and where they are on their way
    #: there, they are JAX's
    Array = jax.Array | np.ndarray | np.generic
