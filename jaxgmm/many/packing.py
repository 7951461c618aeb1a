"""Many small arrays as a few: what goes to and fro between host and device in batches is gathered, handed over and
put back one buffer at a time, and each costs a call whatever its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgmm.inputs.lazily import jax, jnp

#: one array per dtype, (..., s)
Buffers = tuple[Any, ...]


@dataclass(frozen=True)
class Layout:
    """Where the leaves of a tree lie in its buffers, beyond the leading axes that all of them share.

    Attributes:
        structure: the tree's.
        shapes, dtypes: of its leaves, without the leading axes.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]

    @classmethod
    def of(cls, tree: Any, n_leading: int) -> Layout:
        """The layout of trees like `tree`, whose leaves have `n_leading` axes in common."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(leaf.shape[n_leading:] for leaf in leaves), tuple(leaf.dtype for leaf in leaves))

    def _of_dtypes(self) -> Iterable[list[int]]:
        """The numbers of the leaves in each buffer."""
        return ([i for i, own in enumerate(self.dtypes) if own == dtype] for dtype in dict.fromkeys(self.dtypes))

    def pack(self, tree: Any) -> Buffers:
        """The buffers of `tree`, whose arrays are all NumPy's or all JAX's."""
        leaves = jax.tree.leaves(tree)
        join: Any = np.concatenate if isinstance(leaves[0], np.ndarray) else jnp.concatenate
        flat = [
            leaf.reshape(*leaf.shape[: leaf.ndim - len(shape)], math.prod(shape))
            for leaf, shape in zip(leaves, self.shapes, strict=True)
        ]
        return tuple(join([flat[i] for i in numbers], -1) for numbers in self._of_dtypes())

    def unpack(self, buffers: Buffers) -> Any:
        """The tree in `buffers`; of NumPy arrays the leaves are views of them."""
        leaves: list[Any] = [None] * len(self.shapes)
        for buffer, numbers in zip(buffers, self._of_dtypes(), strict=True):
            begin = 0
            for i in numbers:
                end = begin + math.prod(self.shapes[i])
                leaves[i] = buffer[..., begin:end].reshape(*buffer.shape[:-1], *self.shapes[i])
                begin = end
        return jax.tree.unflatten(self.structure, leaves)
