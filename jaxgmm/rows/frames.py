"""Coordinates that rows are multiplied in: near mean 0 and unit covariance, for all rows or for one cell of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jnp, lax
from jaxgmm.inputs.typing import Array, Float

#: rows by which the sizes of features are judged
PROBES = 32


@trees.register_dataclass
@dataclass(frozen=True)
class Frame:
    """Coordinates z for rows x: as they come, whitened by one matrix, or x = R z + centre. Cells have a leading axis g.

    Attributes:
        probe: (d, p), some of the rows, as z.
        whitener: lower triangular (d, d): rows come as x, and z = whitener x. None otherwise.
        centre, root: (d,), and R, lower triangular (d, d) or (d,) for a diagonal: rows come as z. None otherwise.
    """

    probe: Float[Array, "d p"]
    whitener: Float[Array, "d d"] | None = None
    centre: Float[Array, " d"] | None = None
    root: Float[Array, "..."] | None = None

    @classmethod
    def of_all(cls, x: Float[Array, "d m"], whitener: Float[Array, "d d"] | None = None) -> Frame:
        """The one frame of rows that come as `x`."""
        probe = probed(x)
        return cls(probe if whitener is None else multiplied(whitener, probe), whitener)

    def local(self, x: Float[Array, "d b"]) -> Float[Array, "d b"]:
        """z of rows as they come."""
        return x if self.whitener is None else multiplied(self.whitener.astype(x.dtype), x)

    def global_(self, z: Float[Array, "d b"]) -> Float[Array, "d b"]:
        """x of rows that come as z."""
        assert self.root is not None
        assert self.centre is not None
        return (self.root[:, None] * z if self.root.ndim == 1 else multiplied(self.root, z)) + self.centre[:, None]


def spread(n: int, wanted: int) -> np.ndarray:
    """The numbers of so many of `n` rows, from everywhere; ascending."""
    return np.unique(np.arange(wanted) * n // wanted)


def probed(x: Float[Array, "d m"]) -> Float[Array, "d p"]:
    """Some of the rows, from everywhere in the array."""
    return x[:, np.arange(PROBES) * x.shape[1] // PROBES]


def multiplied(matrix: Float[Array, "d d"], x: Float[Array, "d b"]) -> Float[Array, "d b"]:
    """A x, in the dtype's own precision; NumPy's arrays stay NumPy's."""
    if isinstance(matrix, np.ndarray) and isinstance(x, np.ndarray):
        return matrix @ x
    return jnp.matmul(matrix, x, precision=lax.Precision.HIGHEST)
