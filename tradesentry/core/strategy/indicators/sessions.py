"""Session ranges, and the levels of completed FX days and FX weeks.

A bar belongs to a session by its open. High and low of a session are known at the first bar whose close reaches its
end; if the last bars are missing, at the next bar received. Before that they are running values (`running`), after it
they are facts (`completed`). A session with too few bars, or on a holiday, is announced as invalid: no trade may rest
on its range. Of sessions that the data skip entirely, only the one that was due at the last bar is announced.

Separate because the calendar knows when sessions are and this knows what price did in them.
"""

from typing import Any, Final

import numpy as np
from pydantic import AwareDatetime, Field

from tradesentry.core.domain.calendar_records import N_SESSIONS
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.hygiene import WEEK_OPEN_NS
from tradesentry.core.utils.kernel import kernel

Window = tuple[int | AwareDatetime, int | AwareDatetime]
"""Half-open interval in UTC: ns, or datetimes with a zone."""

_SESSIONS: Final = int(ev.Component.SESSIONS)
_SESSION_SET: Final = int(ev.EventCode.SESSION_SET)
_SESSION_INVALID: Final = int(ev.EventCode.SESSION_INVALID)
_DAY_LEVELS: Final = int(ev.EventCode.DAY_LEVELS)
_WEEK_LEVELS: Final = int(ev.EventCode.WEEK_LEVELS)


class SessionsParams(ParamsModel):
    """Which sessions are followed and when their range counts."""

    n_slots: int = Field(
        N_SESSIONS, ge=0, le=N_SESSIONS, description="Session slots of the calendar that are followed, from the first."
    )
    min_coverage: float = Field(0.8, ge=0, le=1, description="Bars received / bars expected of a valid session.")
    levels: bool = Field(True, description="Follow FX days and FX weeks too.")
    windows: tuple[Window, ...] = Field((), description="Explicit UTC windows in place of the calendar's sessions.")


RANGE = np.dtype(
    [
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("bar_ns", "i8"),  # length of its bars
        ("first_index", "i8"),
        ("n_bars", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("coverage", "f8"),
        ("is_open", "b1"),  # not finished yet
        ("is_valid", "b1"),  # running: no holiday; completed: may be traded on
    ],
    align=True,
)
"""What price did in one interval."""

PARAMS = params_dtype(SessionsParams)
STATE = np.dtype(
    [
        ("n_ranges", "i8"),  # completed so far: the last id
        ("is_new_day", "b1"),  # this bar completed an FX day
        ("is_new_week", "b1"),
        ("is_new", "i8", (N_SESSIONS,)),  # 1: this bar completed the session of the slot
        ("day", RANGE),
        ("previous_day", RANGE),
        ("week", RANGE),
        ("previous_week", RANGE),
        ("running", RANGE, (N_SESSIONS,)),
        ("completed", RANGE, (N_SESSIONS,)),
    ],
    align=True,
)


@kernel
def open_range(target: Any, start_ns: int, end_ns: int, is_valid: bool) -> None:
    """Begin an interval in which no bar was received yet."""
    target.start_ns = start_ns
    target.end_ns = end_ns
    target.bar_ns = 0
    target.first_index = -1
    target.n_bars = 0
    target.open = np.nan
    target.high = np.nan
    target.low = np.nan
    target.close = np.nan
    target.volume = 0.0
    target.coverage = 0.0
    target.is_open = True
    target.is_valid = is_valid


@kernel
def add_bar(target: Any, bar: Any, index: int) -> None:
    """Count a bar whose open lies in the interval."""
    if target.n_bars == 0:
        target.first_index = index
        target.open = bar.open
        target.high = bar.high
        target.low = bar.low
    else:
        target.high = max(target.high, bar.high)
        target.low = min(target.low, bar.low)
    target.close = bar.close
    target.volume += bar.volume
    target.bar_ns = bar.close_ns - bar.open_ns
    target.n_bars += 1


@kernel
def close_range(target: Any) -> None:
    """End the interval: its coverage is bars received / bars expected, at most 1; 0 without bars."""
    target.is_open = False
    if target.n_bars == 0:
        target.coverage = 0.0
        return
    expected = max(1, (target.end_ns - target.start_ns) // target.bar_ns)
    target.coverage = min(1.0, target.n_bars / expected)


@kernel
def copy_range(source: Any, target: Any) -> None:
    """Copy one RANGE into another."""
    target.start_ns = source.start_ns
    target.end_ns = source.end_ns
    target.bar_ns = source.bar_ns
    target.first_index = source.first_index
    target.n_bars = source.n_bars
    target.open = source.open
    target.high = source.high
    target.low = source.low
    target.close = source.close
    target.volume = source.volume
    target.coverage = source.coverage
    target.is_open = source.is_open
    target.is_valid = source.is_valid


@kernel
def _forget(target: Any) -> None:
    open_range(target, 0, 0, False)
    target.is_open = False


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n_ranges = 0
    state.is_new_day = False
    state.is_new_week = False
    for slot in range(N_SESSIONS):
        state.is_new[slot] = 0
        _forget(state.running[slot])
        _forget(state.completed[slot])
    _forget(state.day)
    _forget(state.previous_day)
    _forget(state.week)
    _forget(state.previous_week)


@kernel
def clear(state: Any) -> None:
    """Drop the sessions that run, after a GAP_RESET; FX days and weeks stay."""
    for slot in range(N_SESSIONS):
        _forget(state.running[slot])


@kernel
def bars_needed(_params: Any) -> int:
    """Return 1: a session is complete when it ends, whatever the number of bars."""
    return 1


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether a session, day or week was completed."""
    return bool(state.n_ranges > 0)


@kernel
def _finish(state: Any, target: Any, kept: Any, code: int, parent_id: int, events: Any) -> None:
    close_range(target)
    copy_range(target, kept)
    state.n_ranges += 1
    item = events.items[ev.new_event(events, _SESSIONS, code, 0, state.n_ranges)]
    item.parent_id = parent_id
    item.origin_index = target.first_index
    item.origin_ns = target.start_ns
    item.price_low = target.low
    item.price_high = target.high
    item.other_index = target.n_bars
    item.value = target.coverage


@kernel
def _finish_session(params: Any, state: Any, slot: int, events: Any) -> None:
    target = state.running[slot]
    close_range(target)
    target.is_valid = target.is_valid and target.n_bars > 0 and target.coverage >= params.min_coverage
    _finish(state, target, state.completed[slot], _SESSION_SET if target.is_valid else _SESSION_INVALID, slot, events)
    state.is_new[slot] = 1


@kernel
def _session(params: Any, state: Any, slot: int, bar: Any, present: Any, events: Any) -> None:
    """Take a bar in one slot; `present` is the session that holds its open, else the next one."""
    target = state.running[slot]
    state.is_new[slot] = 0
    if present.start_ns != target.start_ns:
        if target.is_open:
            _finish_session(params, state, slot, events)
        open_range(target, present.start_ns, present.end_ns, present.is_valid)
    elif target.n_bars == 0 and target.is_open:
        # A live calendar may have learned of a holiday or an early close since.
        target.end_ns = present.end_ns
        target.is_valid = present.is_valid
    if target.is_open and bar.open_ns >= target.start_ns:
        add_bar(target, bar, events.bar_index)
        if bar.close_ns >= target.end_ns:
            _finish_session(params, state, slot, events)


@kernel
def _period(state: Any, target: Any, kept: Any, start_ns: int, end_ns: int, bar: Any, code: int, events: Any) -> bool:
    """Take a bar in its FX day or week; return whether that, or the one before, was completed."""
    is_done = False
    if end_ns != target.end_ns:
        if target.is_open:
            _finish(state, target, kept, code, -1, events)
            is_done = True
        open_range(target, start_ns, end_ns, True)
    if target.is_open:
        add_bar(target, bar, events.bar_index)
        if bar.close_ns >= end_ns:
            _finish(state, target, kept, code, -1, events)
            is_done = True
    return is_done


@kernel
def update(params: Any, state: Any, bar: Any, clock: Any, events: Any) -> int:
    """Take one closed bar; emit what it completes: sessions by slot, then the FX day, then the FX week.

    `parent_id` of a session event is its slot. The bounds are the range, other_index the bars received, value the
    coverage, origin the start of the interval.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    for slot in range(params.n_slots):
        _session(params, state, slot, bar, clock.sessions[slot], events)
    if params.levels and clock.fx_day_end_ns > 0:
        day_end = clock.fx_day_end_ns
        state.is_new_day = _period(
            state, state.day, state.previous_day, clock.fx_day_start_ns, day_end, bar, _DAY_LEVELS, events
        )
        week_end = clock.week_end_ns
        state.is_new_week = _period(
            state, state.week, state.previous_week, week_end - WEEK_OPEN_NS, week_end, bar, _WEEK_LEVELS, events
        )
    return ev.status(events)
