"""LEAN data folders: one zip per day (tick to minute) or per symbol (hour, daily).

Times are milliseconds since midnight of the day in the file's name, or dates, on the clock of the market: UTC for
OANDA and crypto venues, New York for US equities, whose prices are multiplied by 10,000.
"""

import re
from typing import Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import DAY_NS, Int64Array
from tradesentry.core.market.importers.base import Content, RawBars, RawTicks, ReadHints
from tradesentry.core.market.importers.table import Table, read_table
from tradesentry.core.market.source_clock import UTC_CLOCK, SourceClock

VENDOR: Final = "QuantConnect LEAN"
EQUITY_SCALE: Final = 1e-4
_DAY_MEMBER = re.compile(r"(\d{8})_([a-z0-9]+)_(tick|second|minute)_(quote|trade)\.csv$")
_QUOTE_COLUMNS: Final = (
    "time", "open", "high", "low", "close", "bid_size", "ask_open", "ask_high", "ask_low", "ask_close", "ask_size",
)  # fmt: skip
_TRADE_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
_TIMEFRAMES: Final = {"second": "S1", "minute": "M1", "hour": "H1", "daily": "D1"}


def _clock(parts: tuple[str, ...]) -> SourceClock | None:
    if "equity" in parts:
        return SourceClock("America/New_York")
    return UTC_CLOCK if "crypto" in parts or "oanda" in parts else None


class LeanZip:
    """A LEAN zip: bars or ticks, quotes or trades."""

    name = "lean"
    description = "LEAN zip: forex, cfd and crypto quotes and trades, equity trades (x 10000, New York)"

    def sniff(self, content: Content) -> bool:
        if content.path.suffix != ".zip":
            return False
        resolution = {"hour", "daily"} & set(content.path.parts)
        return bool(_DAY_MEMBER.search(content.name)) or (bool(resolution) and content.head[:8].isdigit())

    def read(self, content: Content, _hints: ReadHints) -> RawBars | RawTicks:
        match = _DAY_MEMBER.search(content.name)
        width = content.first_line.count(",") + 1
        if match and match.group(3) == "tick":
            return _ticks(content, match, width)
        is_quote = width >= 10
        names = list(_QUOTE_COLUMNS if is_quote else _TRADE_COLUMNS)
        if width < (11 if is_quote else 6):
            raise ImportRefused(f"{content.path.name}: {width} columns are no LEAN bar.", code="lean_columns")
        table = read_table(content, columns=names)
        times = _day_times(table, match.group(1)) if match else table.times("time", ["%Y%m%d %H:%M"])
        resolution = match.group(3) if match else next(r for r in ("hour", "daily") if r in content.path.parts)
        symbol = match.group(2) if match else content.path.stem.split("_")[0]
        return _bars(content, table, times, is_quote=is_quote, symbol=symbol, resolution=resolution)


def _bars(
    content: Content, table: Table, times: Int64Array, *, is_quote: bool, symbol: str, resolution: str
) -> RawBars:
    parts = content.path.parts
    scale = EQUITY_SCALE if "equity" in parts else 1.0
    open_, high, low, close = (np.round(column * scale, 10) for column in table.prices())
    raw = RawBars(
        times,
        (open_, high, low, close),
        is_utc=_clock(parts) == UTC_CLOCK,
        clock=_clock(parts),
        vendor=VENDOR,
        lines=table.lines,
        symbol=symbol.upper(),
        timeframe=_TIMEFRAMES[resolution],
        price_side="bid" if is_quote else "trade",
    )
    if is_quote:
        raw.ask = table.prices("ask_")
    else:
        raw.volume = table.numbers("volume")
    return raw


def _day_times(table: Table, day: str) -> Int64Array:
    midnight = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}", "ns").astype(np.int64)
    since = np.round(table.numbers("time") * 1e6).astype(np.int64)
    if since.size and (since.min() < 0 or since.max() >= DAY_NS):
        raise ImportRefused(f"{table.content.path.name}: a time lies outside the day {day}.", code="lean_time")
    return np.asarray(midnight + since, np.int64)


def _ticks(content: Content, match: re.Match[str], width: int) -> RawTicks:
    if match.group(4) != "quote":
        raise ImportRefused(
            f"{content.path.name}: trade ticks have no bid and ask. Import quote ticks or minute bars.",
            code="trade_ticks",
        )
    names = ["time", "bid", "ask"] if width == 3 else ["time", "bid", "bid_size", "ask", "ask_size"]
    table = read_table(content, columns=names)
    return RawTicks(
        times_ns=_day_times(table, match.group(1)),
        bid=table.numbers("bid"),
        ask=table.numbers("ask"),
        bid_size=table.numbers("bid_size") if table.has("bid_size") else None,
        ask_size=table.numbers("ask_size") if table.has("ask_size") else None,
        is_utc=_clock(content.path.parts) == UTC_CLOCK,
        clock=_clock(content.path.parts),
        vendor=VENDOR,
        lines=table.lines,
        symbol=match.group(2).upper(),
    )
