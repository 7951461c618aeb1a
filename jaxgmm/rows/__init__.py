"""Where rows live and how a function is summed over them."""

from jaxgmm.rows.array import ArrayRows
from jaxgmm.rows.base import Rows, chunk_size

__all__ = ["ArrayRows", "Rows", "chunk_size"]
