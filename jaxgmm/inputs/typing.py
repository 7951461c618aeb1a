"""What annotations call an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

if TYPE_CHECKING:
    from jax import Array as Array  # a static checker needs one type: JAX's has every method that both have, and `.at`
else:
    #: at rest arrays are NumPy's, whose sums may be bare numbers; inside programs, and where they are on their way
    #: there, they are JAX's
    Array = jax.Array | np.ndarray | np.generic
