"""TradingView chart exports: ISO times with an offset or Unix seconds, OHLC, and whatever was plotted."""

import re

from tradesentry.core.market.importers.base import Content, RawBars, ReadHints, symbol_in_name
from tradesentry.core.market.importers.table import ISO, read_table

_TIME = re.compile(r"^(\d{9,10}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)),")
_NAME = re.compile(r"^(?:tradingview_)?(?:[A-Z]+[_, ]+)?([A-Z0-9.]{3,12})[_, ]+(\d+[SDWHM]?)(?=[_. ]|$)")


class TradingViewBars:
    """A chart export; minutes are written as a bare number in its file name."""

    name = "tradingview"
    description = "TradingView export: time (ISO with offset or Unix seconds),open,high,low,close[,Volume,...]"

    def sniff(self, content: Content) -> bool:
        return content.first_line.lower().startswith("time,open,high,low,close") and bool(
            _TIME.match(content.second_line)
        )

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        table = read_table(content)
        is_epoch = str(table.frame["time"][0]).isdigit()
        symbol, timeframe = _named(content.name)
        return RawBars(
            times_ns=table.epochs("time") if is_epoch else table.times("time", ISO),
            prices=table.prices(),
            volume=table.numbers("volume", blank=0.0) if table.has("volume") else None,
            lines=table.lines,
            is_utc=True,
            vendor="TradingView",
            symbol=symbol,
            timeframe=timeframe,
        )


def _named(name: str) -> tuple[str | None, str | None]:
    match = _NAME.match(name)
    if not match:
        return symbol_in_name(name), None
    length = match.group(2)
    return match.group(1), f"M{length}" if length.isdigit() else length
