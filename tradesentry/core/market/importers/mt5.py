"""MetaTrader files: bar and tick exports, the comma form with dotted dates, and dumps of copy_rates.

All show the broker server's wall clock, so the clock must be said; even the Unix times of copy_rates are server time.
Spreads are in points.
"""

import re
from typing import Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import FloatArray, Int64Array
from tradesentry.core.market.importers.base import (
    Content,
    RawBars,
    RawTicks,
    ReadHints,
    symbol_in_name,
    timeframe_in_name,
)
from tradesentry.core.market.importers.table import NAIVE, Table, read_table

VENDOR: Final = "MetaTrader 5"
_DOT_DATE = re.compile(r"^\d{4}\.\d\d\.\d\d[ ,]\d\d:\d\d")


def _bars(table: Table, times: Int64Array, volume: str | None, spread: str | None) -> RawBars:
    name = table.content.path.name
    return RawBars(
        times_ns=times,
        prices=table.prices(),
        volume=table.numbers(volume) if volume else None,
        spread_points=table.numbers(spread) if spread else None,
        lines=table.lines,
        is_utc=False,
        vendor=VENDOR,
        symbol=symbol_in_name(name),
        timeframe=timeframe_in_name(name),
    )


def _first(table: Table, *names: str) -> str | None:
    return next((name for name in names if table.has(name)), None)


def _date_and_time(table: Table) -> Int64Array:
    if not table.has("time"):
        return table.times("date", NAIVE)
    joined = table.frame.with_columns((table.frame["date"] + " " + table.frame["time"]).alias("moment"))
    return Table(joined, table.lines, table.content).times("moment", NAIVE)


class Mt5Bars:
    """The terminal's "Export bars"."""

    name = "mt5"
    description = "MetaTrader 5 'Export bars': tab, <DATE> <TIME> <OPEN> ... <SPREAD>"

    def sniff(self, content: Content) -> bool:
        return content.first_line.startswith("<DATE>") and "<OPEN>" in content.first_line

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        table = read_table(content, separator="\t")
        return _bars(table, _date_and_time(table), _first(table, "tickvol", "vol"), _first(table, "spread"))


class Mt5Ticks:
    """The terminal's "Export ticks"; a cell is empty when that side did not change."""

    name = "mt5_ticks"
    description = "MetaTrader 5 'Export ticks': tab, <DATE> <TIME> <BID> <ASK> <LAST> <VOLUME> <FLAGS>"

    def sniff(self, content: Content) -> bool:
        return content.first_line.startswith("<DATE>") and "<BID>" in content.first_line

    def read(self, content: Content, _hints: ReadHints) -> RawTicks:
        table = read_table(content, separator="\t")
        times = _date_and_time(table)
        bid, ask = (_carried_on(table.numbers(side, blank=np.nan)) for side in ("bid", "ask"))
        is_whole = np.isfinite(bid) & np.isfinite(ask)
        if not is_whole.any():
            raise ImportRefused(f"{content.path.name}: no row has a bid and an ask. Export ticks with prices.")
        dropped = int(np.count_nonzero(~is_whole))
        notes = [f"dropped {dropped} ticks before both sides were quoted"] if dropped else []
        return RawTicks(
            times[is_whole], bid[is_whole], ask[is_whole], lines=table.lines[is_whole],
            is_utc=False, vendor=VENDOR, symbol=symbol_in_name(content.path.name), notes=notes,
        )  # fmt: skip


def _carried_on(values: FloatArray) -> FloatArray:
    """Return `values` with each blank replaced by the last value before it."""
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


class Mt5DotDate:
    """Comma files with dotted dates, with a header or, as MetaTrader 4 writes them, without."""

    name = "mt5_dotdate"
    description = "MetaTrader comma export: YYYY.MM.DD HH:MM[:SS],open,high,low,close[,volume...]"

    def sniff(self, content: Content) -> bool:
        return bool(_DOT_DATE.match(content.first_line) or _DOT_DATE.match(content.second_line))

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        if not _DOT_DATE.match(content.first_line):
            table = read_table(content)
            named = table.frame.rename({table.frame.columns[0]: "date"})
            table = Table(named, table.lines, content)
            return _bars(table, _date_and_time(table), _first(table, "tickvol", "volume"), _first(table, "spread"))
        cells = content.first_line.split(",")
        moment = ["date", "time"] if re.fullmatch(r"\d\d:\d\d(:\d\d)?", cells[1]) else ["date"]
        names = [*moment, "open", "high", "low", "close", "volume"][: len(cells)]
        table = read_table(content, columns=names)
        return _bars(table, _date_and_time(table), _first(table, "volume"), None)


class Mt5Rates:
    """What `copy_rates_*` returned, written by pandas."""

    name = "mt5_rates"
    description = "copy_rates dump: time,open,high,low,close,tick_volume,spread,real_volume"

    def sniff(self, content: Content) -> bool:
        return {"time", "open", "close", "tick_volume", "spread"} <= set(content.first_line.lower().split(","))

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        table = read_table(content)
        is_epoch = str(table.frame["time"][0]).replace(".", "", 1).isdigit()
        times = table.epochs("time") if is_epoch else table.times("time", NAIVE)
        return _bars(table, times, "tick_volume", "spread")
