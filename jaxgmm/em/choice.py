"""Which kernel a restart can be trusted to, by its conditioning."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.em import KERNELS
from jaxgmm.families import Family
from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.wording import Wording

KERNEL_NAMES = tuple(KERNELS)

# The shared-feature kernel errs by at most about ε·κ/3 nats per row and 3 ε·κ of a covariance (`benchmarks/ladder.py`).
# It is left where ε·κ is above this, which keeps 1e-4 nats and 1e-3 of a covariance in float32, 1e-7 and 1e-6 in
# float64, and returned to well below.
_TOLERATED = {np.dtype(np.float32): 3e-4, np.dtype(np.float64): 1e-7}
_RETURN_BELOW = 0.25


def kernel_for(kernel: str, family: type[Family]) -> str:
    """`kernel` as it can be had for `family`: "auto" is "centred" where there are no shared features.

    Raises:
        ValueError: the family has none, and they are asked for.
    """
    if issubclass(family, SharedFeatures):
        return kernel
    if kernel == KERNEL_NAMES[0]:
        wants = Wording(f"be 'auto' or 'centred' for {{covariance_type:{family.traits.name!r}}}")
        raise ArgumentError("kernel", wants, repr(kernel), "it has no shared features")
    return KERNEL_NAMES[-1] if kernel == "auto" else kernel


def trusted_conditioning(dtype: Any) -> float:
    """The κ up to which the shared-feature kernel is trusted in `dtype`."""
    return _TOLERATED[np.dtype(dtype)] / float(np.finfo(dtype).eps)


def choose_kernels(kernel: str, conditioning: Any, current: Any, limit: float) -> Any:
    """The kernel for every restart, as indices into `KERNEL_NAMES`; "auto" goes by κ, with hysteresis."""
    if kernel != "auto":
        return np.full(len(conditioning), KERNEL_NAMES.index(kernel))
    shared, centred = KERNEL_NAMES.index("shared_feature"), KERNEL_NAMES.index("centred")
    bound = np.where(current == centred, _RETURN_BELOW * limit, limit)
    return np.where(np.asarray(conditioning, np.float64) > bound, centred, shared)


def few_beyond(conditioning: Any, limit: float) -> bool:
    """Whether less than half of the restarts are conditioned worse than `limit`."""
    return bool(2 * np.sum(np.asarray(conditioning) > limit) < len(conditioning))
