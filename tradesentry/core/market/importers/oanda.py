"""OANDA v20 candle pages: JSON with bid, ask or middle prices, or several of them.

With both sides the bars are the bid and the spread is ask close less bid close. Incomplete candles are left out: they
would change.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import SECOND_NS, FloatArray, Int64Array
from tradesentry.core.market.importers.base import Content, PriceColumns, RawBars, ReadHints

VENDOR: Final = "OANDA"
SIDES: Final = {"bid": "bid", "ask": "ask", "mid": "mid"}
GRANULARITIES: Final = {"D": "D1", "W": "W1"}


def time_ns(text: str) -> int:
    """Return an OANDA time, RFC 3339 or Unix seconds, as nanoseconds UTC."""
    if "T" not in text:
        seconds, _, fraction = text.partition(".")
        return int(seconds) * SECOND_NS + int((fraction + "0" * 9)[:9])
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND_NS + int((fraction + "0" * 9)[:9])


def parse_candles(pages: list[dict[str, Any]], *, name: str) -> RawBars:
    """Return the bars of one or more candle responses of one instrument.

    Args:
        pages: Decoded JSON, oldest first.
        name: File or address named in messages.

    Raises:
        ImportRefused: A candle lacks a field or holds no number; names the candle.
    """
    candles = [candle for page in pages for candle in page["candles"]]
    complete = [candle for candle in candles if candle.get("complete", True)]
    if not complete:
        raise ImportRefused(f"{name}: holds no complete candle. Ask for an earlier period.", code="no_bars")
    sides = [side for side in SIDES if side in complete[0]]
    main = "bid" if "bid" in sides else (sides[0] if sides else "")
    try:
        times: Int64Array = np.array([time_ns(str(candle["time"])) for candle in complete], np.int64)
        volume: FloatArray = np.array([candle.get("volume", 0) for candle in complete], np.float64)
        prices = {side: _prices(complete, side) for side in sides}
        columns = prices[main]
    except (KeyError, ValueError, TypeError) as error:
        raise ImportRefused(
            f"{name}: a candle lacks {error}. Ask for price=BA, B, A or M and save the whole response.", code="bad_json"
        ) from error
    skipped = len(candles) - len(complete)
    granularity = str(pages[0].get("granularity", ""))
    return RawBars(
        times_ns=times,
        prices=columns,
        volume=volume,
        spread=prices["ask"][3] - prices["bid"][3] if {"bid", "ask"} <= prices.keys() else None,
        price_side=main,
        is_utc=True,
        vendor=VENDOR,
        symbol=str(pages[0].get("instrument", "")).replace("_", "") or None,
        timeframe=GRANULARITIES.get(granularity, granularity) or None,
        notes=[f"left out {skipped} incomplete candles"] if skipped else [],
    )


def _prices(candles: list[dict[str, Any]], side: str) -> PriceColumns:
    columns: list[FloatArray] = [np.array([float(candle[side][part]) for candle in candles]) for part in "ohlc"]
    return columns[0], columns[1], columns[2], columns[3]


class OandaCandles:
    """A saved response of /v3/instruments/{name}/candles."""

    name = "oanda"
    description = "OANDA v20 candles JSON, price A, B, M or BA"

    def sniff(self, content: Content) -> bool:
        return content.head.lstrip().startswith("{") and '"candles"' in content.head

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        try:
            page = json.loads(content.data)
        except ValueError as error:
            raise ImportRefused(
                f"{content.path.name}: is no whole JSON document ({error}). Download it again.", code="bad_json"
            ) from error
        return parse_candles([page], name=content.path.name)
