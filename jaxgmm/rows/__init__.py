"""Where rows come from, where they live, and how a function is summed over them."""

from jaxgmm.rows.base import ArrayRows, CellSums, Chunk, Rows, Sample
from jaxgmm.rows.chunks import chunk_size
from jaxgmm.rows.source import ArraySource, Block, RowSource
from jaxgmm.rows.sums import Compensated

__all__ = ["ArrayRows", "ArraySource", "Block", "CellSums", "Chunk", "Compensated", "RowSource", "Rows", "Sample"]
__all__ += ["chunk_size"]
