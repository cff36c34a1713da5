"""Crypto venues: ccxt `fetch_ohlcv` lists and Binance public klines, trades in UTC."""

import json
import re
from typing import Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import FloatArray
from tradesentry.core.market.importers.base import Content, RawBars, ReadHints, timeframe_in_name
from tradesentry.core.market.importers.table import epoch_ns, read_table

_KLINE = re.compile(r"^\d{13,16}(,[\d.]+){5},\d{13,16}(,[\d.]+){4,5}")
_PAIR = re.compile(r"(?<![A-Za-z])([A-Z0-9]{2,10}(?:BTC|ETH|BNB|USDT|USDC|USD|EUR))(?![A-Za-z])")
_KLINE_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")


def _pair_in_name(name: str) -> str | None:
    match = _PAIR.search(name.replace("_", " "))
    return match.group(1) if match else None


def parse_ohlcv(rows: list[list[float]], *, name: str) -> RawBars:
    """Return the bars of a ccxt OHLCV list: [[ms, open, high, low, close, volume], ...].

    Raises:
        ImportRefused: The list is empty or a row has other than six numbers.
    """
    if not rows:
        raise ImportRefused(f"{name}: holds no rows. Ask for an earlier period.", code="no_bars")
    wrong = next((i for i, row in enumerate(rows) if len(row) < 6 or any(cell is None for cell in row[:6])), None)
    if wrong is not None:
        raise ImportRefused(f"{name}: row {wrong + 1} is {rows[wrong]}, not six numbers.", code="bad_json")
    table: FloatArray = np.array([row[:6] for row in rows], np.float64)
    columns = [np.ascontiguousarray(table[:, i]) for i in range(1, 6)]
    prices = (columns[0], columns[1], columns[2], columns[3])
    return RawBars(
        epoch_ns(table[:, 0]), prices, volume=columns[4], is_utc=True,
        vendor="ccxt", price_side="trade", symbol=_pair_in_name(name), timeframe=timeframe_in_name(name),
    )  # fmt: skip


class CcxtOhlcv:
    """JSON of a ccxt `fetch_ohlcv` call."""

    name = "ccxt"
    description = "ccxt fetch_ohlcv JSON: [[ms, open, high, low, close, volume], ...]"

    def sniff(self, content: Content) -> bool:
        return bool(re.match(r"^\s*\[\s*\[\s*\d{12,14}\s*,", content.head))

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        try:
            rows = json.loads(content.data)
        except ValueError as error:
            raise ImportRefused(
                f"{content.path.name}: is no whole JSON document ({error}). Download it again.", code="bad_json"
            ) from error
        return parse_ohlcv(rows, name=content.path.name)


class BinanceKlines:
    """Monthly and daily kline files of the public archive, with milliseconds or (since 2025) microseconds."""

    name = "binance"
    description = "Binance klines CSV: open time,open,high,low,close,volume,close time,... (12 columns)"

    def sniff(self, content: Content) -> bool:
        return bool(_KLINE.match(content.first_line)) or content.first_line.startswith("open_time,open,high,low,close")

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        has_header = content.first_line.startswith("open_time")
        table = read_table(content, columns=None if has_header else _KLINE_COLUMNS)
        return RawBars(
            times_ns=table.epochs("open_time" if has_header else "time"),
            prices=table.prices(),
            volume=table.numbers("volume"),
            lines=table.lines,
            is_utc=True,
            vendor="Binance",
            price_side="trade",
            symbol=_pair_in_name(content.name),
            timeframe=timeframe_in_name(content.name),
        )
