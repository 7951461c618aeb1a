"""Which values a parameter may have, said once beside its field.

From that follow free parameters for gradients, how many there are, and what is checked of parameters that come from
outside. A family declares its fields with `parameter(...)`.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

import numpy as np

from jaxgmm.families.namespace import expit, namespace
from jaxgmm.inputs.typing import Array, Bool, Float


class Constraint(ABC):
    """Which values a parameter may have, and the free real numbers that stand for them.

    Attributes:
        words: where its values must lie.
        inside: a value that is surely allowed.
    """

    words: ClassVar[str]
    inside: ClassVar[float]

    @abstractmethod
    def holds(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        """Which numbers are as they must be; NaN is not."""

    @abstractmethod
    def to_free(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Free real numbers, in the shape of the parameter."""

    @abstractmethod
    def from_free(self, free: Float[Array, "..."]) -> Float[Array, "..."]:
        """Undoes `to_free`: whatever the numbers, the value is allowed."""

    def change(self, old: Float[Array, "..."], new: Float[Array, "..."]) -> Float[Array, "..."]:
        """How far each number has moved: by itself, or relative to what it was."""
        return abs(new - old)

    def n_free(self, shape: tuple[int, ...]) -> int:
        """How many numbers of a parameter of this shape are free."""
        return math.prod(shape)


@dataclasses.dataclass(frozen=True)
class Free(Constraint):
    """Any real number."""

    words = "among the real numbers"
    inside = 0.0

    def holds(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        return value == value

    def to_free(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        return value

    def from_free(self, free: Float[Array, "..."]) -> Float[Array, "..."]:
        return free


@dataclasses.dataclass(frozen=True)
class Positive(Constraint):
    """A number above 0, by its logarithm."""

    words = "above 0"
    inside = 1.0

    def holds(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        return value > 0

    def to_free(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        return namespace(value).log(value)

    def from_free(self, free: Float[Array, "..."]) -> Float[Array, "..."]:
        return namespace(free).exp(free)

    def change(self, old: Float[Array, "..."], new: Float[Array, "..."]) -> Float[Array, "..."]:
        return abs(new / old - 1)


@dataclasses.dataclass(frozen=True)
class UnitInterval(Constraint):
    """A number from 0 to 1, by its log-odds, which are finite at both ends."""

    words = "in [0, 1]"
    inside = 0.5

    def holds(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        return (value >= 0) & (value <= 1)

    def to_free(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        on, off = self.logs(value)
        return on - off

    def from_free(self, free: Float[Array, "..."]) -> Float[Array, "..."]:
        return expit(free)

    @staticmethod
    def logs(value: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """log μ and log(1 − μ), finite at 0 and 1 so that 0 · log 0 is 0."""
        xp = namespace(value)
        tiny = xp.finfo(value.dtype).tiny
        return xp.log(xp.maximum(value, tiny)), xp.log(xp.maximum(1 - value, tiny))


@dataclasses.dataclass(frozen=True)
class LowerTriangular(Constraint):
    """The Cholesky factor of a covariance, (..., d, d): its diagonal, which is above 0, by its logarithm."""

    words = "above 0 on its diagonal and 0 above it"
    inside = 1.0

    def holds(self, value: Float[Array, "*k d d"]) -> Bool[Array, "*k d d"]:
        eye = np.eye(value.shape[-1], dtype=bool)
        above: Any = np.triu(~eye)
        return (above & (value == 0)) | (eye & (value > 0)) | (~above & ~eye & (value == value))

    def to_free(self, value: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
        xp = namespace(value)
        eye = xp.eye(value.shape[-1], dtype=bool)
        return xp.where(eye, xp.log(xp.where(eye, value, 1.0)), value)

    def from_free(self, free: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
        # What stands above the diagonal is ignored.
        xp = namespace(free)
        eye = xp.eye(free.shape[-1], dtype=bool)
        return xp.tril(xp.where(eye, xp.exp(xp.where(eye, free, 0.0)), free))

    def change(self, old: Float[Array, "*k d d"], new: Float[Array, "*k d d"]) -> Float[Array, "*k d d"]:
        # Relative to the width in the direction of each row.
        return abs(new - old) / namespace(old).diagonal(old, 0, -2, -1)[..., None]

    def n_free(self, shape: tuple[int, ...]) -> int:
        *outer, d, _ = shape
        return math.prod(outer) * d * (d + 1) // 2


def parameter(constraint: Constraint) -> Any:
    """A field of a family whose values obey `constraint`.

    Example:
        >>> scale: Float[Array, "k d"] = parameter(Positive())
    """
    return dataclasses.field(metadata={"constraint": constraint})


def constraints(family: Any) -> dict[str, Constraint]:
    """The constraint of every field of `family`, in their order.

    Raises:
        TypeError: a field was declared without one.
    """
    return _declared(family)


@cache
def _declared(family: Any) -> dict[str, Constraint]:
    found = {field.name: field.metadata.get("constraint") for field in dataclasses.fields(family)}
    for name, constraint in found.items():
        if not isinstance(constraint, Constraint):
            raise TypeError(
                f"{family.__name__}.{name} must be declared with a constraint, such as "
                f"{name} = parameter(Positive()); got none"
            )
    return found  # type: ignore[return-value]
