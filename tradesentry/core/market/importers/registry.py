"""List the known formats and choose one for a file by its content."""

from typing import Final

from tradesentry.core.domain.errors import ImportRefused, UsageError, nearest
from tradesentry.core.market.importers.base import Content, Importer
from tradesentry.core.market.importers.crypto import BinanceKlines, CcxtOhlcv
from tradesentry.core.market.importers.dukascopy import Bi5Ticks, DukascopyNode, JForexBars, JForexTicks
from tradesentry.core.market.importers.generic import GenericCsv, GenericParquet
from tradesentry.core.market.importers.histdata import HistDataM1, HistDataTicks
from tradesentry.core.market.importers.lean import LeanZip
from tradesentry.core.market.importers.mt5 import Mt5Bars, Mt5DotDate, Mt5Rates, Mt5Ticks
from tradesentry.core.market.importers.oanda import OandaCandles
from tradesentry.core.market.importers.quotes import Fxcm, TrueFx
from tradesentry.core.market.importers.tradingview import TradingViewBars

IMPORTERS: Final[tuple[Importer, ...]] = (
    Bi5Ticks(),
    LeanZip(),
    OandaCandles(),
    CcxtOhlcv(),
    Mt5Bars(),
    Mt5Ticks(),
    Mt5Rates(),
    Mt5DotDate(),
    HistDataM1(),
    HistDataTicks(),
    JForexBars(),
    JForexTicks(),
    DukascopyNode(),
    TrueFx(),
    Fxcm(),
    TradingViewBars(),
    BinanceKlines(),
    GenericParquet(),
    GenericCsv(),
)
"""All formats, the most specific first."""


def importer_named(name: str) -> Importer:
    """Return the importer of a format.

    Raises:
        UsageError: No such format; names the nearest.
    """
    known = {importer.name: importer for importer in IMPORTERS}
    if name not in known:
        raise UsageError(f"Unknown format {name!r}. {nearest(name, known)}")
    return known[name]


def sniff(content: Content) -> Importer:
    """Return the first importer that recognizes the content.

    Raises:
        ImportRefused: None does; shows how the file begins.
    """
    for importer in IMPORTERS:
        if importer.sniff(content):
            return importer
    raise ImportRefused(
        f"{content.path.name}: its format is not recognized; it begins {content.first_line[:60]!r}. Say it with "
        "--format, or --format csv with --column time=NAME and so on.",
        code="unknown_format",
    )
