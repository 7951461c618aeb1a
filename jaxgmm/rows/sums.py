"""Sums over many chunks that keep what rounding would drop."""

from __future__ import annotations

from dataclasses import dataclass
from operator import add
from typing import Any, Generic, TypeVar

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jnp
from jaxgmm.inputs.typing import Array

Sums = TypeVar("Sums")


@trees.register_dataclass
@dataclass(frozen=True)
class Compensated(Generic[Sums]):
    """A pytree of sums, and beside it what rounding dropped from them.

    Attributes:
        value: the sums.
        error: what is missing from them; the exact sums are nearer to `value + error`.
    """

    value: Sums
    error: Sums

    @property
    def total(self) -> Sums:
        """Both together, rounded once."""
        return trees.map(add, self.value, self.error)

    def plus(self, term: Sums) -> Compensated[Sums]:
        """With `term` added."""
        value, dropped = two_sum(self.value, term)
        return Compensated(value, trees.map(add, self.error, dropped))

    def __add__(self, other: Compensated[Sums]) -> Compensated[Sums]:
        return self.plus(other.value).plus(other.error)


def zeros_of(shapes: Any) -> Any:
    """Zeros of such shapes and dtypes, as `jax.eval_shape` tells of sums."""
    return trees.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b and its rounding error, leaf by leaf. (Knuth, TAOCP 2, §4.2.2)"""

    def dropped(x: Array, y: Array, total: Array) -> Array:
        back = total - x
        return (x - (total - back)) + (y - back)

    total = trees.map(add, a, b)
    return total, trees.map(dropped, a, b, total)
