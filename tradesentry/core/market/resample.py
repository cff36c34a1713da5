"""Build higher timeframes from whole tables of bars or ticks.

The same buckets that strategies see bar by bar: a bucket [a, b) holds the bars whose open lies in it, closes at b, and
exists only once a bar has closed at or after b. Up to H1 the edges are whole UTC steps. From H2 on they count from the
start of the FX day (17:00 New York, 21:00 or 22:00 UTC) or from 00:00 UTC; D1 is the FX day, W1 the FX week.

Of a bucket, the open is the first bar's, the close the last's, volume is the sum and spread the mean of its bars, so a
bucket costs what its bars cost on average. Ticks give bid prices, their mean spread (never below zero) and their count.
"""

from typing import Any, Final, Literal

import numpy as np

from tradesentry.core.domain.errors import DataError, UsageError
from tradesentry.core.market.bars import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    WEEK_NS,
    BarArray,
    BarSeries,
    Int64Array,
    TickSeries,
    checksum_of,
    empty_bars,
    normalize_timeframe,
    timeframe_ns,
)
from tradesentry.core.market.sessions import FX_CLOSE_SECONDS, NEW_YORK, fx_days
from tradesentry.core.market.zones import DAY_SECONDS, local_from_utc
from tradesentry.core.utils.kernel import kernel

Anchor = Literal["fx_day", "utc"]

_SUNDAY_CLOSE_SECONDS: Final = 3 * DAY_SECONDS + FX_CLOSE_SECONDS
"""1970-01-04 17:00, a Sunday."""
_SAMPLE: Final = 50_000


@kernel
def fill_buckets(bars: Any, starts: Any, ends: Any, out: Any) -> int:
    """Write one bar per bucket that holds bars.

    Args:
        bars: Records of BAR, sorted by open.
        starts: Starts of the buckets, ns UTC, sorted; every open lies in one of them.
        ends: Their ends, exclusive.
        out: Records of BAR, at least as many as can be filled.

    Returns:
        How many bars were written.
    """
    n_out = -1
    bucket = 0
    n_inside = 0
    for i in range(bars.shape[0]):
        moved = i == 0
        while bars[i].open_ns >= ends[bucket]:
            bucket += 1
            moved = True
        if moved:
            n_out += 1
            n_inside = 0
            out[n_out].open_ns = starts[bucket]
            out[n_out].close_ns = ends[bucket]
            out[n_out].open = bars[i].open
            out[n_out].high = bars[i].high
            out[n_out].low = bars[i].low
            out[n_out].volume = 0.0
            out[n_out].spread = 0.0
        n_inside += 1
        out[n_out].high = max(out[n_out].high, bars[i].high)
        out[n_out].low = min(out[n_out].low, bars[i].low)
        out[n_out].close = bars[i].close
        out[n_out].volume += bars[i].volume
        out[n_out].spread += (bars[i].spread - out[n_out].spread) / n_inside
    return n_out + 1


@kernel
def fill_from_ticks(ts_ns: Any, bid: Any, ask: Any, step_ns: Any, out: Any) -> int:
    """Write one bid bar per step that holds ticks; return how many.

    Args:
        ts_ns: Times of the ticks, ns UTC, sorted, shape (n,).
        bid: Bid prices, shape (n,).
        ask: Ask prices, shape (n,).
        step_ns: Length of a bar, ns.
        out: Records of BAR, at least as many as can be filled.
    """
    n_out = -1
    start = np.int64(-1)
    for i in range(ts_ns.shape[0]):
        begin = ts_ns[i] - ts_ns[i] % step_ns
        if i == 0 or begin != start:
            start = begin
            n_out += 1
            out[n_out].open_ns = start
            out[n_out].close_ns = start + step_ns
            out[n_out].open = bid[i]
            out[n_out].high = bid[i]
            out[n_out].low = bid[i]
            out[n_out].volume = 0.0
            out[n_out].spread = 0.0
        out[n_out].high = max(out[n_out].high, bid[i])
        out[n_out].low = min(out[n_out].low, bid[i])
        out[n_out].close = bid[i]
        out[n_out].volume += 1.0
        spread = max(ask[i] - bid[i], 0.0)
        out[n_out].spread += (spread - out[n_out].spread) / out[n_out].volume
    return n_out + 1


def bucket_edges(
    first_ns: int, last_ns: int, timeframe: str, *, anchor: Anchor = "fx_day", is_always_open: bool = False
) -> tuple[Int64Array, Int64Array]:
    """Return starts and ends of the buckets that cover a period.

    Args:
        first_ns: Earliest open, ns UTC.
        last_ns: Latest open, ns UTC.
        timeframe: Timeframe of the buckets.
        anchor: Where hours above H1 count from; D1 and W1 are always FX days and weeks.
        is_always_open: Seven FX days a week. Otherwise bars in the weekend gap count to Monday.

    Raises:
        UsageError: Steps of that length do not tile a day.
    """
    step = timeframe_ns(timeframe)
    if step == WEEK_NS:
        days = fx_days(first_ns - WEEK_NS, last_ns, is_always_open=is_always_open)
        weeks = days[(days["weekday"] == 0) & (days["week_end_ns"] > first_ns)]
        return weeks["start_ns"].copy(), weeks["week_end_ns"].copy()
    if step == 0 or step > DAY_NS or DAY_NS % step or (step < HOUR_NS and HOUR_NS % step):
        raise UsageError(f"Cannot build {timeframe} bars: use a length that divides the hour or the day, D1 or W1.")
    if step <= HOUR_NS or (anchor == "utc" and step < DAY_NS):
        # Not arange(first, last + 1, step): it counts in float64, which loses the last bucket of long tables.
        first = first_ns - first_ns % step
        starts = first + step * np.arange((last_ns - first) // step + 1, dtype=np.int64)
        return starts, starts + step
    days = fx_days(first_ns, last_ns, is_always_open=is_always_open)
    if step == DAY_NS:
        return days["start_ns"].copy(), days["end_ns"].copy()
    inside = np.arange(0, 25 * HOUR_NS, step, dtype=np.int64)
    starts = (days["start_ns"][:, None] + inside[None, :]).ravel()
    limits = np.repeat(days["end_ns"], inside.size)
    is_real = starts < limits
    return starts[is_real], np.minimum(starts + step, limits)[is_real]


def trades_through_weekends(bars: BarArray) -> bool:
    """Return whether more than one bar in a hundred opens between Friday and Sunday 17:00 New York."""
    # A sample is enough to tell seven days of trading from five with a stray quote.
    some = bars.open_ns[:: max(1, bars.size // _SAMPLE)]
    local = local_from_utc(NEW_YORK, some // SECOND_NS)
    since_sunday = (local - _SUNDAY_CLOSE_SECONDS) % (7 * DAY_SECONDS)
    return bool(np.mean(since_sunday >= 5 * DAY_SECONDS) > 0.01)


def resample_bars(
    bars: BarArray, timeframe: str, *, anchor: Anchor = "fx_day", is_always_open: bool | None = None
) -> BarArray:
    """Return the completed buckets of a higher timeframe.

    Args:
        bars: Records of BAR, sorted, of a timeframe that divides the new one.
        timeframe: The new timeframe.
        anchor: Where hours above H1 count from.
        is_always_open: Seven FX days a week; None looks at the bars.

    Returns:
        Records of BAR. The last bucket is left out while no bar has closed at or after its end.
    """
    if bars.size == 0:
        return empty_bars(0)
    weekends = trades_through_weekends(bars) if is_always_open is None else is_always_open
    first, last = int(bars.open_ns[0]), int(bars.open_ns[-1])
    starts, ends = bucket_edges(first, last, timeframe, anchor=anchor, is_always_open=weekends)
    out = empty_bars(min(int(bars.size), int(starts.size)))
    n_out = int(fill_buckets(bars, starts, ends, out))
    if out.close_ns[n_out - 1] > bars.close_ns[-1]:
        n_out -= 1
    return out[:n_out].copy().view(np.recarray)


def resample_series(series: BarSeries, timeframe: str, *, anchor: Anchor = "fx_day") -> BarSeries:
    """Return `series` in a higher timeframe, with that fact in its provenance.

    Raises:
        DataError: The new timeframe is not a multiple of the old one.
    """
    name = normalize_timeframe(timeframe)
    old, new = timeframe_ns(series.timeframe), timeframe_ns(name)
    if new <= old or new % old:
        raise DataError(
            f"{series.source} {series.symbol}: {name} cannot be built from {series.timeframe} bars: their length does "
            "not divide it. Import a finer timeframe."
        )
    bars = resample_bars(series.bars, name, anchor=anchor)
    provenance: dict[str, Any] = {
        **series.provenance, "resampled_from": series.timeframe, "resampled_checksum": series.checksum,
        "resample_anchor": "utc" if new <= HOUR_NS else ("fx_day" if new >= DAY_NS else anchor),
    }  # fmt: skip
    return BarSeries(bars, series.symbol, series.source, name, series.price_side, provenance, checksum_of(bars))


def bars_from_ticks(ticks: TickSeries, timeframe: str) -> BarSeries:
    """Return bid bars of a tick series: mean spread, volume = number of ticks.

    Args:
        ticks: Quotes, sorted.
        timeframe: H1 or finer; longer ones are built from these with `resample_series`.
    """
    name = normalize_timeframe(timeframe)
    step = timeframe_ns(name)
    if step == 0 or step > HOUR_NS or HOUR_NS % step:
        raise UsageError(f"Cannot build {timeframe} from ticks: use a length that divides the hour, then resample.")
    bound = int((ticks.ts_ns[-1] - ticks.ts_ns[0]) // step) + 2 if ticks.ts_ns.size else 0
    out = empty_bars(min(bound, int(ticks.ts_ns.size)))
    n_out = int(fill_from_ticks(ticks.ts_ns, ticks.bid, ticks.ask, step, out))
    bars = out[:n_out].copy().view(np.recarray)
    provenance = {**ticks.provenance, "resampled_from": "TICK", "resampled_checksum": ticks.checksum}
    return BarSeries(bars, ticks.symbol, ticks.source, name, "bid", provenance, checksum_of(bars))
