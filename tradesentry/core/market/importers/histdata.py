"""HistData.com "Generic ASCII" files.

The vendor documents fixed EST. The files do not keep to it: some years follow New York daylight saving and some the
European dates, so the clock is the user's to say or the detector's to find, per file.
"""

import re
from typing import Final

from tradesentry.core.market.importers.base import Content, RawBars, RawTicks, ReadHints, symbol_in_name
from tradesentry.core.market.importers.table import read_table

VENDOR: Final = "HistData.com"
_M1_LINE = re.compile(r"^\d{8} \d{6};[\d.]+;[\d.]+;[\d.]+;[\d.]+;\d+$")
_TICK_LINE = re.compile(r"^\d{8} \d{9},[\d.]+,[\d.]+,\d+$")


class HistDataM1:
    """One-minute bid bars."""

    name = "histdata"
    description = "HistData ASCII M1: YYYYMMDD HHMMSS;open;high;low;close;volume"

    def sniff(self, content: Content) -> bool:
        return bool(_M1_LINE.match(content.first_line))

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        table = read_table(content, separator=";", columns=["time", "open", "high", "low", "close", "volume"])
        return RawBars(
            times_ns=table.times("time", ["%Y%m%d %H%M%S"]),
            prices=table.prices(),
            volume=table.numbers("volume"),
            lines=table.lines,
            is_utc=False,
            vendor=VENDOR,
            symbol=symbol_in_name(content.name),
            timeframe="M1",
        )


class HistDataTicks:
    """Quotes to the millisecond."""

    name = "histdata_ticks"
    description = "HistData ASCII ticks: YYYYMMDD HHMMSSmmm,bid,ask,volume"

    def sniff(self, content: Content) -> bool:
        return bool(_TICK_LINE.match(content.first_line))

    def read(self, content: Content, _hints: ReadHints) -> RawTicks:
        table = read_table(content, columns=["time", "bid", "ask", "volume"])
        return RawTicks(
            times_ns=table.times("time", ["%Y%m%d %H%M%S%3f"]),
            bid=table.numbers("bid"),
            ask=table.numbers("ask"),
            lines=table.lines,
            is_utc=False,
            vendor=VENDOR,
            symbol=symbol_in_name(content.name),
        )
