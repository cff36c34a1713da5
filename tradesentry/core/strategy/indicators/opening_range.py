"""The opening range of a session, and the breaks of it that may be traded.

One instance per session of one calendar slot: IDLE -> BUILDING -> SET -> [PENDING a retest] -> DONE. On one bar, in
this order:

1. the running instance: the bar enters the range, or sets it (known at the first bar whose close reaches the range's
   end), or is judged as a break or retest, or is the first to open at or after the cutoff (OR_EXPIRED);
2. the next session's instance begins when the running one is done.

A bar that sets the range from outside it (its last bars are missing) is judged at its close at once; resting stop
orders work from the bar after. Every break is a BREAKOUT, every trade an ENTRY at the price where an order would fill;
entry_mode `close` enters at the next open, so its ENTRY carries the close that gave the signal.

Conditions that look at other things than the range (breakout bar, spread, trend, news, an open position) belong to the
caller: they are the two masks of `update`. What remains is separate because scanner, chart and app must see one range.
"""

from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tradesentry.core.domain.calendar_records import N_SESSIONS
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.breaks import (
    BOTH,
    BUILDING,
    DONE,
    IDLE,
    LONG,
    PENDING,
    SET,
    SHORT,
    emit_range,
    judge_close,
    judge_retest,
    judge_stop,
    trigger_price,
)
from tradesentry.core.strategy.indicators.resample import MINUTE_NS, ResampleParams
from tradesentry.core.strategy.indicators.sessions import RANGE, Window, add_bar, close_range, open_range
from tradesentry.core.strategy.indicators.volatility import AtrParams
from tradesentry.core.utils.kernel import kernel

N_WIDTHS: Final = 60
"""Earlier ranges that a width is ranked among."""
MIN_WIDTHS: Final = 10
"""Ranks exist from that many earlier ranges on."""
N_VOLUMES: Final = 14
"""Earlier ranges whose mean volume is the measure of relative volume."""

NO_REASON: Final = 0
INVALID_SESSION: Final = 1
LOW_COVERAGE: Final = 2
BAD_WIDTH: Final = 3
LOW_VOLUME: Final = 4

_OR_SET: Final = int(ev.EventCode.OR_SET)
_OR_MISSING: Final = int(ev.EventCode.OR_MISSING)
_OR_REJECT: Final = int(ev.EventCode.OR_REJECT)
_OR_EXPIRED: Final = int(ev.EventCode.OR_EXPIRED)
_MODE_STOP: Final = 0
_UNIT_ATR: Final = 0


__all__ = [
    "BOTH", "BUILDING", "DONE", "IDLE", "LONG", "PARAMS", "PENDING", "SET", "SHORT", "STATE", "OpeningRangeParams",
    "bars_needed", "clear", "is_ready", "reset", "trigger_price", "update",
]  # fmt: skip


class OpeningRangeParams(ParamsModel):
    """Range, triggers and the filters that live in the range."""

    slot: int = Field(0, ge=0, lt=N_SESSIONS, description="Session slot of the calendar.")
    or_minutes: int | None = Field(
        30, ge=1, le=1_440, description="Length of the range from the session's start; none: the whole session.",
        json_schema_extra={"unit": "minutes"},
    )  # fmt: skip
    entry_minutes: int | None = Field(
        150, ge=1, le=1_440, description="Length of the entry window from the range's end; none: to the session's end.",
        json_schema_extra={"unit": "minutes"},
    )  # fmt: skip
    entry_mode: Literal["stop", "close", "retest"] = Field("close", description="How a break is entered.")
    buf_atr: float = Field(0.05, ge=0, le=1, description="Buffer beyond the range, multiples of the previous ATR.")
    min_coverage: float = Field(0.8, ge=0, le=1, description="Bars received / bars expected of a valid range.")
    width_unit: Literal["atr_d", "percentile"] = Field(
        "atr_d", description="Measure of w_lo, w_hi: width / ATR of FX days, or rank among the last 60 widths."
    )
    w_lo: float | None = Field(None, ge=0, le=10, description="Least width; none: any.")
    w_hi: float | None = Field(None, ge=0, le=10, description="Greatest width; none: any.")
    rvol_min: float | None = Field(
        None, ge=0, le=10, description="Least volume of the range / mean of the last 14; none: any."
    )
    retest_bars: int = Field(
        6, ge=1, le=100, description="Bars after a break in which a retest counts.", json_schema_extra={"unit": "bars"}
    )
    tol_atr: float = Field(0.05, ge=0, le=1, description="How near a retest comes, multiples of the previous ATR.")
    max_trades: int = Field(1, ge=1, le=10, description="Entries a session.")
    windows: tuple[Window, ...] = Field((), description="Explicit UTC windows in place of the calendar's sessions.")
    atr: AtrParams = AtrParams()
    day: ResampleParams = ResampleParams(period="fx_day")
    day_atr: AtrParams = AtrParams()

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.or_minutes is None and self.entry_minutes is None:
            raise ValueError("a range over the whole session needs `entry_minutes`, else nothing is left to enter in")
        if self.w_lo is not None and self.w_hi is not None and self.w_lo > self.w_hi:
            raise ValueError(f"w_lo {self.w_lo} is above w_hi {self.w_hi}, so no width would pass")
        return self


PARAMS = params_dtype(OpeningRangeParams)
STATE = np.dtype(
    [
        ("phase", "i8"),
        ("id", "i8"),  # of the present instance, counted from 1
        ("session_start_ns", "i8"),  # which session the instance belongs to
        ("cutoff_ns", "i8"),
        ("range", RANGE),
        ("width", "f8"),
        ("width_ratio", "f8"),  # width / ATR of FX days
        ("width_rank", "f8"),  # fraction of earlier widths below it; NaN until 10 exist
        ("rvol", "f8"),  # NaN until 14 earlier volumes exist
        ("reason", "i8"),  # why it was rejected
        ("n_trades", "i8"),
        ("direction", "i8"),  # of the last break
        ("break_index", "i8"),
        ("break_ns", "i8"),
        ("n_waited", "i8"),  # bars since the break
        ("signal", "i8"),  # direction of an ENTRY on this bar, 0 none
        ("signal_price", "f8"),
        ("is_ambiguous", "b1"),  # this bar reached both sides
        ("n_widths", "i8"),
        ("width_position", "i8"),
        ("n_volumes", "i8"),
        ("volume_position", "i8"),
        ("widths", "f8", (N_WIDTHS,)),
        ("volumes", "f8", (N_VOLUMES,)),
    ],
    align=True,
)


@kernel
def clear(state: Any) -> None:
    """Drop the present instance, after a GAP_RESET or at the start of an FX day; earlier widths and volumes stay."""
    state.phase = IDLE
    state.session_start_ns = 0
    state.signal = 0
    state.is_ambiguous = False
    open_range(state.range, 0, 0, False)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    clear(state)
    state.id = 0
    state.n_widths = 0
    state.width_position = 0
    state.n_volumes = 0
    state.volume_position = 0


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars that the buffer's ATR needs; days and earlier sessions come with their own filters."""
    return int(params.atr.n_bars + 1)


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether a session was met."""
    return bool(state.id > 0)


@kernel
def _begin(params: Any, state: Any, session: Any) -> None:
    start = session.start_ns
    end = session.end_ns
    if not np.isnan(params.or_minutes):
        end = start + int(params.or_minutes) * MINUTE_NS
    cutoff = session.end_ns
    if not np.isnan(params.entry_minutes):
        cutoff = end + int(params.entry_minutes) * MINUTE_NS
        if end < session.end_ns:
            cutoff = min(cutoff, session.end_ns)
    open_range(state.range, start, end, session.is_valid)
    state.session_start_ns = start
    state.cutoff_ns = cutoff
    state.phase = BUILDING
    state.id += 1
    state.n_trades = 0
    state.reason = NO_REASON
    state.width = np.nan


@kernel
def _measure(state: Any, day_atr: float) -> None:
    """Compare the range with earlier ones of the same slot, then keep it among them."""
    state.width = state.range.high - state.range.low
    state.width_ratio = state.width / day_atr
    state.width_rank = np.nan
    if state.n_widths >= MIN_WIDTHS:
        n_below = 0
        for i in range(state.n_widths):
            if state.widths[i] < state.width:
                n_below += 1
        state.width_rank = n_below / state.n_widths
    state.rvol = np.nan
    if state.n_volumes == N_VOLUMES:
        total = 0.0
        for i in range(N_VOLUMES):
            total += state.volumes[i]
        if total > 0.0:
            state.rvol = state.range.volume / (total / N_VOLUMES)
    state.widths[state.width_position] = state.width
    state.width_position = state.width_position + 1 if state.width_position + 1 < N_WIDTHS else 0
    state.n_widths = min(state.n_widths + 1, N_WIDTHS)
    state.volumes[state.volume_position] = state.range.volume
    state.volume_position = state.volume_position + 1 if state.volume_position + 1 < N_VOLUMES else 0
    state.n_volumes = min(state.n_volumes + 1, N_VOLUMES)


@kernel
def _reject_reason(params: Any, state: Any, day_atr: float) -> int:
    """Return why the range may not be traded; a filter whose measure does not exist yet does not pass."""
    found = state.range
    if not found.is_valid or found.coverage < params.min_coverage:
        # Partial ranges are no measure for later ones, so they are not kept.
        state.width = found.high - found.low
        return LOW_COVERAGE if found.is_valid else INVALID_SESSION
    _measure(state, day_atr)
    width = state.width_ratio if params.width_unit == _UNIT_ATR else state.width_rank
    if not np.isnan(params.w_lo) and not width >= params.w_lo:
        return BAD_WIDTH
    if not np.isnan(params.w_hi) and not width <= params.w_hi:
        return BAD_WIDTH
    if not np.isnan(params.rvol_min) and not state.rvol >= params.rvol_min:
        return LOW_VOLUME
    return NO_REASON


@kernel
def _set(params: Any, state: Any, day_atr: float, events: Any) -> None:
    close_range(state.range)
    state.phase = DONE
    if state.range.n_bars == 0:
        emit_range(state, _OR_MISSING, 0, events)
        return
    state.reason = _reject_reason(params, state, day_atr)
    if state.reason == NO_REASON:
        state.phase = SET
        emit_range(state, _OR_SET, 0, events)
    else:
        emit_range(state, _OR_REJECT, 0, events)


@kernel
def _advance(
    params: Any, state: Any, bar: Any, cutoff_ns: int, atr_before: float, day_atr: float, may_break: int,
    may_enter: int, events: Any,
) -> None:  # fmt: skip
    """Take a bar in the running instance."""
    is_setting = False
    if state.phase == BUILDING:
        found = state.range
        if bar.open_ns < found.start_ns:
            return
        is_inside = bar.open_ns < found.end_ns
        if is_inside:
            add_bar(found, bar, events.bar_index)
        if bar.close_ns < found.end_ns:
            return
        _set(params, state, day_atr, events)
        if is_inside or state.phase != SET:
            return
        is_setting = True
    if bar.open_ns >= cutoff_ns:
        state.phase = DONE
        emit_range(state, _OR_EXPIRED, 0, events)
    elif state.phase == PENDING:
        judge_retest(params, state, bar, atr_before, may_enter, events)
    elif params.entry_mode != _MODE_STOP:
        judge_close(params, state, bar, atr_before, may_break, may_enter, events)
    elif not is_setting:
        judge_stop(params, state, bar, atr_before, may_break, may_enter, events)


@kernel
def update(
    params: Any, state: Any, bar: Any, clock: Any, atr_before: float, day_atr: float, may_break: int, may_enter: int,
    events: Any,
) -> int:  # fmt: skip
    """Take one closed bar; `state.signal` is the direction of an entry on it.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        clock: CLOCK of the bar.
        atr_before: ATR one bar ago (`volatility.STATE.before`), price units; NaN: no break where a buffer needs it.
        day_atr: ATR of completed FX days, price units, NaN while unknown.
        may_break: Sides that this bar may break, bits LONG and SHORT: the filters of the breakout bar.
        may_enter: Sides that may be entered on this bar: every other filter. In mode stop, the sides that rest.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.

    Source: Crabel (1990), "Day Trading with Short Term Price Patterns and Opening Range Breakout".
    """
    state.signal = 0
    state.is_ambiguous = False
    session = clock.sessions[params.slot]
    while True:
        if state.phase == IDLE or state.phase == DONE:
            if state.session_start_ns == session.start_ns:
                break
            _begin(params, state, session)
        cutoff = state.cutoff_ns
        if state.session_start_ns != session.start_ns:
            cutoff = min(cutoff, session.start_ns)
        _advance(params, state, bar, cutoff, atr_before, day_atr, may_break, may_enter, events)
        if state.phase != DONE:
            break
    return ev.status(events)
