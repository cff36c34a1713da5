"""Import vendor files: one importer per format, one pipeline for all."""

from tradesentry.core.market.importers.base import Content, Importer, RawBars, RawTicks, ReadHints, open_content
from tradesentry.core.market.importers.context import Imported, ImportOptions
from tradesentry.core.market.importers.pipeline import import_files
from tradesentry.core.market.importers.registry import IMPORTERS, importer_named, sniff

__all__ = [
    "IMPORTERS",
    "Content",
    "ImportOptions",
    "Imported",
    "Importer",
    "RawBars",
    "RawTicks",
    "ReadHints",
    "import_files",
    "importer_named",
    "open_content",
    "sniff",
]
