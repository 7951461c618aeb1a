"""Files of rows as tables: columns, and blocks of some of them. `.npy`, `.npz`, Parquet, and text with fields."""

from jaxgmm.tables.base import ChosenColumns, DataError, RowTable, TableBlock
from jaxgmm.tables.files import SUFFIXES, is_file, open_table, tables_of
from jaxgmm.tables.spool import Spool

__all__ = ["SUFFIXES", "ChosenColumns", "DataError", "RowTable", "Spool", "TableBlock"]
__all__ += ["is_file", "open_table", "tables_of"]
