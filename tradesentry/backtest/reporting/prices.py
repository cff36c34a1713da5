"""Compute what the price charts draw: candles at a readable scale, zones and events, close-ups of single trades.

Candles are merged to the smallest usual timeframe that stays readable; highs and lows stay exact. Close-ups show the
bars as the strategy saw them, around the best, the worst and the last trades.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.reporting.charts import Columns, milliseconds, rounded

if TYPE_CHECKING:
    import polars as pl

    from tradesentry.backtest.result import BacktestResult

Array = npt.NDArray[Any]
Bars = npt.NDArray[np.void]

MINUTE_NS = 60_000_000_000
SCALES_MINUTES = (1, 5, 15, 30, 60, 120, 240, 480, 1_440, 10_080, 43_200)
MAX_CANDLES = 6_000
"""Of all symbols together."""
MAX_ZONES = 600
CLOSEUP_BEFORE = 50
CLOSEUP_AFTER = 20
MAX_CLOSEUP_BARS = 180
CLOSEUPS_PER_KIND = 3
ENDS = ("BREAK", "DEAD", "EXPIRED", "DROPPED", "FILL", "INVERT", "MERGED")
"""Last words of the events that end a zone."""
ZONE_STARTS = ("OB_NEW", "FVG_NEW", "SD_NEW", "OR_SET", "SESSION_SET")
OF_A_DAY = ("OR_SET", "SESSION_SET")
"""Zones that nothing ends but the day."""
DAY_NS = 86_400_000_000_000
MARKS = ("BOS", "CHOCH", "SWEEP", "BREAKOUT", "RESET", "BASKET_STOP", "BASKET_TARGET")
ZONE_NAMES = {
    "OB_NEW": "order block",
    "FVG_NEW": "fair value gap",
    "SD_NEW": "supply or demand",
    "OR_SET": "opening range",
    "SESSION_SET": "session range",
}


def price_charts(result: "BacktestResult", trades: Columns) -> dict[str, Columns]:
    """Return the charts on price: `price`, `zones`, `marks`, `closeups`; empty columns without bars or events.

    Args:
        result: A finished back-test.
        trades: The `trades` chart, whose rows the close-ups name.
    """
    return {
        "price": _price(result),
        **_events(result),
        "closeups": _closeups(result, trades),
    }


def merge_bars(bars: Bars, minutes: int) -> dict[str, Array]:
    """Return bars merged on a grid of `minutes`: first open, highest high, lowest low, last close."""
    bucket = bars["open_ns"] // (minutes * MINUTE_NS)
    first = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    last = np.append(first[1:] - 1, len(bars) - 1)
    return {
        "time": bucket[first] * minutes * MINUTE_NS,
        "open": bars["open"][first],
        "high": np.maximum.reduceat(bars["high"], first),
        "low": np.minimum.reduceat(bars["low"], first),
        "close": bars["close"][last],
    }


def _price(result: "BacktestResult") -> Columns:
    columns: Columns = {name: [] for name in ("symbol", "time", "open", "high", "low", "close", "bar_minutes")}
    filled = {symbol: bars for symbol, bars in result.bars.items() if len(bars)}
    allowed = MAX_CANDLES // max(1, len(filled))
    for symbol, bars in filled.items():
        own = max(1, int(np.median(bars["close_ns"] - bars["open_ns"])) // MINUTE_NS)
        for minutes in (own, *(scale for scale in SCALES_MINUTES if scale > own)):
            n_candles = 1 + int(np.count_nonzero(np.diff(bars["open_ns"] // (minutes * MINUTE_NS))))
            if n_candles <= min(allowed, 1_500) or minutes == SCALES_MINUTES[-1]:
                break
        candles = merge_bars(bars, minutes)
        columns["symbol"] += [symbol] * n_candles
        columns["bar_minutes"] += [minutes] * n_candles
        columns["time"] += milliseconds(candles["time"])
        for name in ("open", "high", "low", "close"):
            columns[name] += rounded(candles[name], 6)
    return columns


def _events(result: "BacktestResult") -> dict[str, Columns]:
    zones: Columns = {name: [] for name in ("symbol", "name", "direction", "from", "to", "low", "high")}
    marks: Columns = {name: [] for name in ("symbol", "name", "direction", "time", "price")}
    if result.events is None or not result.events.height:
        return {"zones": zones, "marks": marks}
    rows = _event_rows(result.events, result.symbols[0] if result.symbols else "")
    ended: dict[tuple[str, str, int], int] = {}
    for row in rows:
        if str(row["event"]).rpartition("_")[2] in ENDS:
            ended.setdefault((row["symbol"], row["component"], row["id"]), int(row["known_at_ns"]))
    starts = [row for row in rows if row["event"] in ZONE_STARTS and np.isfinite(row["price_low"])]
    for row in starts[-MAX_ZONES:]:
        last = int(row["origin_ns"]) + DAY_NS if row["event"] in OF_A_DAY else result.period[1]
        until = min(last, ended.get((row["symbol"], row["component"], row["id"]), result.period[1]))
        values = (row["symbol"], ZONE_NAMES[row["event"]], int(row["direction"]), int(row["origin_ns"]) // 1_000_000)
        bounds = (until // 1_000_000, round(float(row["price_low"]), 6), round(float(row["price_high"]), 6))
        for name, value in zip(zones, (*values, *bounds), strict=True):
            zones[name].append(value)
    found = [row for row in rows if row["event"] in MARKS and row["price"] is not None and np.isfinite(row["price"])]
    for row in found[-MAX_ZONES:]:
        name, time = str(row["event"]).replace("_", " ").lower(), int(row["known_at_ns"]) // 1_000_000
        values = (row["symbol"], name.upper() if len(name) == 3 else name, int(row["direction"]), time)
        for column, value in zip(marks, (*values, round(float(row["price"]), 6)), strict=True):
            marks[column].append(value)
    return {"zones": zones, "marks": marks}


def _event_rows(events: "pl.DataFrame", only: str) -> list[dict[str, Any]]:
    """Return the events in the order they were known, each with its symbol, unknown floats as nan."""
    rows = []
    for row in events.iter_rows(named=True):
        bounds = {name: float("nan") if row.get(name) is None else row[name] for name in ("price_low", "price_high")}
        names = {"event": str(row["event"]).upper(), "component": str(row["component"])}
        rows.append(row | bounds | names | {"symbol": str(row.get("symbol") or only)})
    return sorted(rows, key=lambda row: int(row["known_at_ns"]))


def _closeups(result: "BacktestResult", trades: Columns) -> Columns:
    columns: Columns = {name: [] for name in ("trade", "time", "open", "high", "low", "close")}
    for index in _notable(trades):
        bars = result.bars.get(trades["symbol"][index])
        if bars is None or not len(bars):
            continue
        first = int(np.searchsorted(bars["close_ns"], trades["entry"][index] * 1_000_000, side="right"))
        last = int(np.searchsorted(bars["open_ns"], trades["exit"][index] * 1_000_000, side="left"))
        part = bars[max(0, first - CLOSEUP_BEFORE) : min(len(bars), last + CLOSEUP_AFTER)]
        if not len(part):
            continue
        own = max(1, int(np.median(part["close_ns"] - part["open_ns"])) // MINUTE_NS)
        candles = merge_bars(part, own * max(1, -(-len(part) // MAX_CLOSEUP_BARS)))
        columns["trade"] += [index] * len(candles["time"])
        columns["time"] += milliseconds(candles["time"])
        for name in ("open", "high", "low", "close"):
            columns[name] += rounded(candles[name], 6)
    return columns


def _notable(trades: Columns) -> list[int]:
    """Return the rows of the best, the worst and the last trades, without repeats."""
    size = [r if r is not None else net for r, net in zip(trades["r"], trades["net"], strict=True)]
    order = sorted(range(len(size)), key=lambda row: (size[row], row))
    chosen = [*order[::-1][:CLOSEUPS_PER_KIND], *order[:CLOSEUPS_PER_KIND], *range(len(size))[-CLOSEUPS_PER_KIND:]]
    return list(dict.fromkeys(chosen))
