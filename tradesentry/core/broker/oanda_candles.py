"""Fetch OANDA's candles as bars: bid prices, the spread at the close, complete ones only, days from 17:00 New York."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tradesentry.core.broker.oanda_client import OandaClient
from tradesentry.core.broker.oanda_messages import need
from tradesentry.core.broker.oanda_words import GRANULARITIES
from tradesentry.core.domain.clock import format_time, parse_time_ns
from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.bars import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, WEEK_NS, BarArray
from tradesentry.core.utils.kernel import new_records

PAGE: Final = 5_000
_UNITS: Final = {"S": SECOND_NS, "M": MINUTE_NS, "H": HOUR_NS}
_LONG: Final = {"D": DAY_NS, "W": WEEK_NS, "M": 31 * DAY_NS}
_NAMES: Final = {"D1": "D", "W1": "W", "MN1": "M"}


def length_ns(granularity: str) -> int:
    """Return the length of a candle, the longest one for months.

    Raises:
        UsageError: OANDA has no such granularity.
    """
    if granularity not in GRANULARITIES:
        raise UsageError(f"OANDA has no candles of {granularity!r}. {nearest(granularity, GRANULARITIES)}")
    return _LONG[granularity] if granularity in _LONG else _UNITS[granularity[0]] * int(granularity[1:])


async def fetch_candles(client: OandaClient, path: str, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
    """Return the complete bars that open in [start_ns, end_ns), oldest first.

    Args:
        client: Connections of the account.
        path: Of the instrument's candles.
        granularity: OANDA's or ours: M15, H1, D1.
        start_ns: ns UTC.
        end_ns: ns UTC.

    Raises:
        UsageError: OANDA has no such granularity.
        BrokerError: It cannot be read.
    """
    name = _NAMES.get(granularity, granularity)
    step_ns = length_ns(name)
    rows: dict[int, tuple[Any, ...]] = {}
    at_ns = start_ns
    while at_ns < end_ns:
        to_ns = min(end_ns, at_ns + PAGE * step_ns)
        for candle in need(await client.get(path, _query(name, at_ns, to_ns)), "candles"):
            if candle.get("complete"):
                row = _row(candle, step_ns)
                if start_ns <= row[0] < end_ns:
                    rows[row[0]] = row
        at_ns = to_ns
    bars = new_records(len(rows), BAR)
    for i, open_ns in enumerate(sorted(rows)):
        bars[i] = rows[open_ns]
    if name in _LONG and len(bars) > 1:
        bars["close_ns"][:-1] = np.minimum(bars["close_ns"][:-1], bars["open_ns"][1:])
    return bars


def _query(name: str, from_ns: int, to_ns: int) -> dict[str, str]:
    return {
        "price": "BA",
        "granularity": name,
        "from": format_time(from_ns),
        "to": format_time(to_ns),
        "dailyAlignment": "17",
        "alignmentTimezone": "America/New_York",
    }


def _row(candle: Mapping[str, Any], step_ns: int) -> tuple[Any, ...]:
    open_ns = parse_time_ns(str(need(candle, "time")))
    bid, ask = need(candle, "bid"), need(candle, "ask")
    spread = max(float(ask["c"]) - float(bid["c"]), 0.0)
    prices = tuple(float(bid[key]) for key in "ohlc")
    return (open_ns, open_ns + step_ns, *prices, float(candle.get("volume", 0)), spread)
