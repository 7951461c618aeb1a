"""Which kernel a restart can be trusted to, by its conditioning."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.em import KERNELS
from jaxgmm.families import Family
from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.inputs import precision
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.wording import Wording

KERNEL_NAMES = tuple(KERNELS)
_FAST, _IN_64, _ANY = range(len(KERNEL_NAMES))

# Products by shared features err by at most about ε·κ/3 nats per row and 3 ε·κ of a covariance, ε the rounding of the
# products (`benchmarks/ladder.py`). Where ε·κ is less than this they keep 1e-4 nats and 1e-3 of a covariance in
# float32, 1e-7 and 1e-6 in float64.
_TOLERATED = {np.dtype(np.float32): 3e-4, np.dtype(np.float64): 1e-7}


def kernel_for(kernel: str, family: type[Family]) -> str:
    """`kernel` as it can be had for `family`: "auto" is "centred" where there are no shared features.

    Raises:
        ValueError: the family has none, and they are asked for.
    """
    if issubclass(family, SharedFeatures):
        return kernel
    if kernel in KERNEL_NAMES[:_ANY]:
        wants = Wording(f"be 'auto' or 'centred' for {{covariance_type:{family.traits.name!r}}}")
        raise ArgumentError("kernel", wants, repr(kernel), "it has no shared features")
    return KERNEL_NAMES[_ANY] if kernel == "auto" else kernel


def limits(kernel: str, dtype: Any, searches: bool = False) -> Any:
    """The κ up to which each kernel of `KERNEL_NAMES` is trusted in `dtype`; −∞ for those not in question.

    A kernel that was asked for by name is trusted with anything.

    Args:
        searches: whether a step asks about mixtures of which nobody hears (`Driver.searches`): then only a kernel that
            hardly ever fails will do.
    """
    if kernel != "auto":
        return np.where(np.array(KERNEL_NAMES) == kernel, np.inf, -np.inf)
    dtype = np.dtype(dtype)
    trusted = np.array([_TOLERATED[dtype] / np.finfo(kind).eps for kind in (dtype, np.float64)] + [np.inf])
    if dtype != np.float64 and precision.has_float64():
        trusted[_FAST] = -np.inf if searches else trusted[_FAST]
    else:
        trusted[_IN_64] = -np.inf
    return trusted


def fastest(trusted: Any) -> int:
    """The number of the fastest kernel in question; see `limits`."""
    return int(np.argmax(trusted > 0))


def choose_kernels(conditioning: Any, trusted: Any) -> Any:
    """The number in `KERNEL_NAMES` of the fastest kernel that each restart can be trusted to; see `limits`."""
    believed = np.asarray(conditioning, np.float64)[..., None] <= trusted
    return np.argmax(believed | (trusted == np.inf), axis=-1)
