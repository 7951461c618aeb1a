"""Rows that are never in memory as a whole: read block by block, the next one while this one is computed with."""

from jaxgmm.streams.laying import streamed
from jaxgmm.streams.streamed import StreamedRows

__all__ = ["StreamedRows", "streamed"]
