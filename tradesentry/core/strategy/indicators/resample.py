"""Build higher-timeframe buckets bar by bar, and show them only when they are complete.

A bucket [a, b) holds the bars whose `open_ns` lies in it. It is emitted at the bar whose close equals b or, when that
bar is missing, at the next bar received, which is not part of it; so one bar can release two buckets. `n_new`, `new`
and `new_is_weekend` hold those released by the present bar, oldest first, for the components of that timeframe.

Separate because merging on the left edge of a bucket is the commonest look-ahead there is. `core.market.resample`
builds the same buckets from whole tables.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import BAR
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.hygiene import WEEK_OPEN_NS, spans_weekend
from tradesentry.core.utils.kernel import kernel

MINUTE_NS: Final = 60_000_000_000
H4_NS: Final = 240 * MINUTE_NS

_RESAMPLE: Final = int(ev.Component.RESAMPLE)
_BUCKET: Final = int(ev.EventCode.BUCKET)
_OK: Final = int(Status.OK)
_NO_CALENDAR: Final = int(Status.NO_CALENDAR)
_MINUTES: Final = 0
_H4: Final = 1
_FX_DAY: Final = 2
_UTC: Final = 1


class ResampleParams(ParamsModel):
    """Length and anchor of the buckets."""

    period: Literal["minutes", "h4", "fx_day", "fx_week"] = Field(
        "minutes", description="Bucket: plain minutes from 00:00 UTC, four hours, FX day or FX week."
    )
    minutes: int = Field(
        60, ge=1, le=1_440, description="Length for period minutes.", json_schema_extra={"unit": "minutes"}
    )
    h4_anchor: Literal["fx_day", "utc"] = Field(
        "fx_day", description="Where four-hour buckets start: 17:00 New York, or 00:00 UTC."
    )


PARAMS = params_dtype(ResampleParams)
STATE = np.dtype(
    [
        ("n_buckets", "i8"),  # released so far
        ("n_bars", "i8"),  # in the running bucket; 0: none runs
        ("first_index", "i8"),  # bar index of its first bar
        ("is_weekend", "b1"),  # a weekend lies between it and the bucket before
        ("week_end_ns", "i8"),  # of its first bar
        ("running", BAR),  # open_ns = a, close_ns = b; spread is the mean
        ("last_close_ns", "i8"),  # b of the bucket before
        ("last_week_end_ns", "i8"),
        ("n_new", "i8"),
        ("new_is_weekend", "i8", (2,)),  # 0 or 1
        ("new", BAR, (2,)),
    ],
    align=True,
)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n_buckets = 0
    state.n_bars = 0
    state.last_close_ns = 0
    state.last_week_end_ns = 0
    state.n_new = 0


@kernel
def bars_needed(_params: Any) -> int:
    """Return 1: the warm-up of a bucket is its own length."""
    return 1


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether a bucket was released."""
    return bool(state.n_buckets > 0)


@kernel
def _start(params: Any, state: Any, bar: Any, clock: Any) -> int:
    """Begin the bucket that holds `bar`; a bar in the weekend gap belongs to the FX day that comes next."""
    period = params.period
    if period == _MINUTES or (period == _H4 and params.h4_anchor == _UTC):
        length = params.minutes * MINUTE_NS if period == _MINUTES else H4_NS
        start = bar.open_ns - bar.open_ns % length
        end = start + length
    elif clock.fx_day_end_ns == 0:
        return _NO_CALENDAR
    elif period == _H4:
        start = clock.fx_day_start_ns
        if bar.open_ns > start:
            start += (bar.open_ns - start) // H4_NS * H4_NS
        end = min(start + H4_NS, clock.fx_day_end_ns)
    elif period == _FX_DAY:
        start = clock.fx_day_start_ns
        end = clock.fx_day_end_ns
    else:
        start = clock.week_end_ns - WEEK_OPEN_NS
        end = clock.week_end_ns
    running = state.running
    running.open_ns = start
    running.close_ns = end
    running.open = bar.open
    running.high = bar.high
    running.low = bar.low
    running.volume = 0.0
    running.spread = 0.0
    state.week_end_ns = clock.week_end_ns
    state.is_weekend = spans_weekend(state.last_close_ns, state.last_week_end_ns, start, clock.week_end_ns)
    return _OK


@kernel
def _release(state: Any, events: Any) -> None:
    running = state.running
    released = state.new[state.n_new]
    released.open_ns = running.open_ns
    released.close_ns = running.close_ns
    released.open = running.open
    released.high = running.high
    released.low = running.low
    released.close = running.close
    released.volume = running.volume
    released.spread = running.spread
    state.new_is_weekend[state.n_new] = 1 if state.is_weekend else 0
    state.n_new += 1
    state.n_buckets += 1
    state.last_close_ns = running.close_ns
    state.last_week_end_ns = state.week_end_ns
    item = events.items[ev.new_event(events, _RESAMPLE, _BUCKET, 0, state.n_buckets)]
    item.origin_index = state.first_index
    item.origin_ns = running.open_ns
    item.price_low = running.low
    item.price_high = running.high
    item.price = running.close
    item.other_price = running.open
    item.other_index = state.n_bars
    item.value = running.volume
    state.n_bars = 0


@kernel
def update(params: Any, state: Any, bar: Any, clock: Any, events: Any) -> int:
    """Take one closed bar; emit a BUCKET for each bucket that it completes.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        clock: CLOCK of the bar; not read for plain minutes.
        events: Buffer.

    Returns:
        Status.OK, Status.FULL_EVENTS, or Status.NO_CALENDAR when the period needs FX days and the clock has none.
    """
    state.n_new = 0
    running = state.running
    if state.n_bars > 0 and bar.open_ns >= running.close_ns:
        _release(state, events)
    if state.n_bars == 0:
        status = _start(params, state, bar, clock)
        if status != _OK:
            return status
        state.first_index = events.bar_index
    state.n_bars += 1
    running.high = max(running.high, bar.high)
    running.low = min(running.low, bar.low)
    running.close = bar.close
    running.volume += bar.volume
    running.spread += (bar.spread - running.spread) / state.n_bars
    if bar.close_ns >= running.close_ns:
        _release(state, events)
    return ev.status(events)
