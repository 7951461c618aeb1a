"""Rows that need not be in memory, read block by block: files, arrays that are sliced, functions that make them."""

from jaxgmm.sources.files import files
from jaxgmm.sources.made import from_blocks
from jaxgmm.sources.sliced import sliced

__all__ = ["files", "from_blocks", "sliced"]
