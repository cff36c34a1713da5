"""Dukascopy files: JForex CSV exports, dukascopy-node CSV, and the `.bi5` tick files of the public feed.

A `.bi5` file is one hour of ticks: LZMA over 20-byte big-endian records (milliseconds, ask, bid, ask volume, bid
volume). Its date is only in its path, SYMBOL/YYYY/MM/DD/HHh_ticks.bi5, where months count from zero.
"""

import lzma
import re
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import HOUR_NS, SECOND_NS, timeframe_name
from tradesentry.core.market.importers.base import (
    Content,
    RawBars,
    RawTicks,
    ReadHints,
    symbol_in_name,
    timeframe_in_name,
)
from tradesentry.core.market.importers.table import Table, read_table
from tradesentry.core.market.symbols import is_fx_pair

VENDOR: Final = "Dukascopy"
BI5_RECORD: Final = np.dtype([("ms", ">u4"), ("ask", ">u4"), ("bid", ">u4"), ("ask_size", ">f4"), ("bid_size", ">f4")])
_BI5_PATH = re.compile(r"([A-Z0-9.]+)[/\\](\d{4})[/\\](\d\d)[/\\](\d\d)[/\\](\d\d)h_ticks\.bi5$")
_DOTTED = re.compile(r"^\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d(\.\d+)?( GMT[+-]\d{4})?,")
_UTC_HEADERS: Final = ("time", "gmttime", "gmt_time", "timeutc")


def _side_in_name(name: str) -> str:
    return "ask" if re.search(r"(?<![A-Za-z])ASK(?![A-Za-z])", name.upper().replace("_", " ")) else "bid"


def _jforex_times(table: Table) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], bool]:
    header = table.frame.columns[0]
    if " GMT" in str(table.frame[header][0]):
        return table.times(header, ["%d.%m.%Y %H:%M:%S%.f GMT%z"]), True
    return table.times(header, ["%d.%m.%Y %H:%M:%S%.f"]), header in _UTC_HEADERS


class JForexBars:
    """Bars exported from JForex or the historical data page; one price side per file, named in its name."""

    name = "jforex"
    description = "Dukascopy JForex CSV: Gmt time,Open,High,Low,Close,Volume with dd.mm.yyyy times"

    def sniff(self, content: Content) -> bool:
        return bool(_DOTTED.match(content.second_line)) and ",open,high,low,close" in content.first_line.lower()

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        table = read_table(content)
        times, is_utc = _jforex_times(table)
        volume = table.numbers("volume")
        raw = RawBars(
            times_ns=times,
            prices=table.prices(),
            volume=volume,
            lines=table.lines,
            is_utc=is_utc,
            vendor=VENDOR,
            price_side=_side_in_name(content.name),
            symbol=symbol_in_name(content.name),
            timeframe=timeframe_in_name(content.name),
        )
        # The export fills closed hours with flat bars of zero volume; they are no trade and no quote.
        fillers = (volume == 0.0) & (raw.prices[1] == raw.prices[2])
        return _without(raw, fillers, "flat bars of zero volume that fill closed hours") if fillers.any() else raw


def _without(raw: RawBars, rows: np.ndarray[tuple[int], np.dtype[np.bool_]], what: str) -> RawBars:
    keep = ~rows
    if not keep.any():
        raise ImportRefused(f"Only {what} in the file. Export a period with trading.", code="no_bars")
    open_, high, low, close = raw.prices
    raw.prices = (open_[keep], high[keep], low[keep], close[keep])
    raw.times_ns = raw.times_ns[keep]
    raw.volume = None if raw.volume is None else raw.volume[keep]
    raw.lines = None if raw.lines is None else raw.lines[keep]
    raw.notes.append(f"dropped {np.count_nonzero(rows)} {what}")
    return raw


class JForexTicks:
    """Ticks exported from JForex."""

    name = "jforex_ticks"
    description = "Dukascopy JForex tick CSV: Gmt time,Ask,Bid,AskVolume,BidVolume"

    def sniff(self, content: Content) -> bool:
        return bool(_DOTTED.match(content.second_line)) and ",ask,bid" in content.first_line.lower()

    def read(self, content: Content, _hints: ReadHints) -> RawTicks:
        table = read_table(content)
        times, is_utc = _jforex_times(table)
        sizes = [table.numbers(name) if table.has(name) else None for name in ("bidvolume", "askvolume")]
        return RawTicks(
            times, table.numbers("bid"), table.numbers("ask"), is_utc=is_utc, vendor=VENDOR, lines=table.lines,
            bid_size=sizes[0], ask_size=sizes[1], symbol=symbol_in_name(content.name),
        )  # fmt: skip


class DukascopyNode:
    """CSV of the dukascopy-node tool: bars or ticks with Unix milliseconds."""

    name = "dukascopy_node"
    description = "dukascopy-node CSV: timestamp (Unix ms),open,high,low,close[,volume] or timestamp,askPrice,bidPrice"

    def sniff(self, content: Content) -> bool:
        header = content.first_line.lower()
        is_ours = header.startswith(("timestamp,open,high,low,close", "timestamp,askprice,bidprice"))
        return is_ours and bool(re.match(r"^\d{12,14},", content.second_line))

    def read(self, content: Content, _hints: ReadHints) -> RawBars | RawTicks:
        table = read_table(content)
        times, symbol = table.epochs("timestamp"), symbol_in_name(content.name)
        if table.has("askprice"):
            sizes = [table.numbers(name) if table.has(name) else None for name in ("bidvolume", "askvolume")]
            return RawTicks(
                times, table.numbers("bidprice"), table.numbers("askprice"), is_utc=True, vendor=VENDOR,
                lines=table.lines, bid_size=sizes[0], ask_size=sizes[1], symbol=symbol,
            )  # fmt: skip
        return RawBars(
            times_ns=times,
            prices=table.prices(),
            volume=table.numbers("volume") if table.has("volume") else None,
            lines=table.lines,
            is_utc=True,
            vendor=VENDOR,
            price_side=_side_in_name(content.name),
            symbol=symbol,
            timeframe=timeframe_in_name(content.name),
        )


def bi5_hour(path: PurePath | str) -> tuple[str, int]:
    """Return the symbol and the hour (ns UTC) that the path of a `.bi5` file names; its month counts from zero.

    Raises:
        ImportRefused: The path lacks the folders of the public feed.
    """
    match = _BI5_PATH.search(str(path))
    if not match:
        raise ImportRefused(
            f"{path}: a .bi5 file does not say its date; its path must end in SYMBOL/YYYY/MM/DD/HHh_ticks.bi5 with "
            "months from 00. Keep the folders of the download.",
            code="bi5_path",
        )
    symbol, *numbers = match.groups()
    year, month, day, hour = (int(number) for number in numbers)
    try:
        moment = datetime(year, month + 1, day, hour, tzinfo=UTC)
    except ValueError as error:
        raise ImportRefused(f"{path}: no such date; months count from 00 to 11 ({error}).", code="bi5_path") from error
    return symbol, int(moment.timestamp()) * SECOND_NS


def bi5_url_path(symbol: str, hour_ns: int) -> str:
    """Return the path of an hour in the public feed; the inverse of `bi5_hour`."""
    moment = datetime.fromtimestamp(hour_ns // SECOND_NS, UTC)
    return f"{symbol}/{moment.year}/{moment.month - 1:02}/{moment.day:02}/{moment.hour:02}h_ticks.bi5"


def point_of(symbol: str) -> float:
    """Return the price of one point in the public feed."""
    if is_fx_pair(symbol) and symbol[3:] not in ("JPY", "HUF", "RUB", "THB"):
        return 1e-5
    return 1e-3


def decode_bi5(data: bytes, path: PurePath | str, *, tick: float | None = None) -> RawTicks:
    """Return the ticks of one `.bi5` file; none for the empty file of a closed hour.

    Args:
        data: Its bytes.
        path: Where symbol and hour are read from.
        tick: Price of one point; by symbol when None.

    Raises:
        ImportRefused: The bytes are cut or no ticks of that hour.
    """
    symbol, hour_ns = bi5_hour(path)
    try:
        plain = lzma.decompress(data) if data else b""
    except (lzma.LZMAError, EOFError) as error:
        raise ImportRefused(f"{path}: the LZMA data are broken ({error}). Download it again.", code="bi5") from error
    if len(plain) % BI5_RECORD.itemsize:
        raise ImportRefused(
            f"{path}: {len(plain)} bytes are no whole number of 20-byte ticks. Download it again.", code="bi5"
        )
    records = np.frombuffer(plain, BI5_RECORD)
    times = records["ms"].astype(np.int64) * 1_000_000
    if times.size and int(times.max()) >= HOUR_NS:
        raise ImportRefused(f"{path}: a tick lies {int(times.max()) // 10**6} ms after its hour began.", code="bi5")
    point = tick or point_of(symbol)
    digits = max(0, round(-np.log10(point)))
    return RawTicks(
        times_ns=times + hour_ns,
        bid=np.round(records["bid"].astype(np.float64) * point, digits),
        ask=np.round(records["ask"].astype(np.float64) * point, digits),
        bid_size=records["bid_size"].astype(np.float64) * 1e6,
        ask_size=records["ask_size"].astype(np.float64) * 1e6,
        is_utc=True,
        vendor=VENDOR,
        symbol=symbol,
        notes=[
            f"hour {timeframe_name(HOUR_NS)} of {datetime.fromtimestamp(hour_ns // SECOND_NS, UTC):%Y-%m-%d %H}:00 UTC"
        ],
    )


class Bi5Ticks:
    """One hour of the public tick feed."""

    name = "bi5"
    description = "Dukascopy .bi5 hour of ticks; the date is in the path, months from 00"

    def sniff(self, content: Content) -> bool:
        return content.path.suffix == ".bi5"

    def read(self, content: Content, hints: ReadHints) -> RawTicks:
        return decode_bi5(content.data, content.path.as_posix(), tick=hints.tick)
