"""Move the cursors of a calendar with the bars and write the clock that strategies read.

Kernels know no time zones: `core.market.calendar` turned zones, holidays and news into rows of UTC integers, and this
module only compares integers. It is separate from the calendar because it is compiled and runs on every bar.

`advance` is called once per closed bar, in time order. While the bar stays in the same FX day, sessions and blackout it
costs one comparison each and never reads the calendar's tables; the search for the next row is a kernel of its own, so
the common case stays small enough to be inlined. `seek` finds the rows by binary search: at the start, after a restart,
and whenever a calendar is rebuilt, because row numbers belong to one calendar. A zeroed cursor and clock are a valid
start as well.

Which row holds a bar: the FX day, and the session of each slot, is the first that ends after the bar's open, so a bar
in the weekend gap belongs to the FX day that comes next. The blackout is the first that ends after the bar's close,
because a strategy acts at closes.
"""

from typing import Any, Final

from tradesentry.core.domain.calendar_records import N_SESSIONS
from tradesentry.core.domain.orders import Status
from tradesentry.core.utils.kernel import inline_kernel, kernel

FAR_FUTURE: Final = 1 << 62
"""Start and end of a session or blackout that does not exist, ns; the year 2116, so adding a lead time is safe."""
NO_DATE: Final = -1
"""Local date of a session that does not exist."""

_OK: Final = int(Status.OK)
_NO_CALENDAR: Final = int(Status.NO_CALENDAR)


@kernel
def first_ending_after(rows: Any, n_rows: int, ts_ns: int) -> int:
    """Return the row of the first of `n_rows` sorted, disjoint intervals that ends after `ts_ns`; `n_rows` if none."""
    low = 0
    high = n_rows
    while low < high:
        middle = (low + high) // 2
        if rows[middle].end_ns > ts_ns:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _write_fx_day(calendar: Any, clock: Any, row: int) -> int:
    if row >= calendar.n_days:
        return _NO_CALENDAR
    day = calendar.fx_days[row]
    clock.fx_day = row
    clock.fx_day_start_ns = day.start_ns
    clock.fx_day_end_ns = day.end_ns
    clock.weekday = day.weekday
    clock.week_end_ns = day.week_end_ns
    clock.is_holiday = day.is_holiday
    return _OK


@kernel
def _write_session(calendar: Any, clock: Any, slot: int, row: int) -> None:
    present = clock.sessions[slot]
    if row >= calendar.n_bounds[slot]:
        present.date = NO_DATE
        present.start_ns = FAR_FUTURE
        present.end_ns = FAR_FUTURE
        present.is_valid = False
        return
    bounds = calendar.session_bounds[slot, row]
    present.date = bounds.date
    present.start_ns = bounds.start_ns
    present.end_ns = bounds.end_ns
    present.is_valid = bounds.is_valid


@kernel
def _write_blackout(calendar: Any, clock: Any, row: int) -> None:
    if row >= calendar.n_blackouts:
        clock.blackout_start_ns = FAR_FUTURE
        clock.blackout_end_ns = FAR_FUTURE
        return
    clock.blackout_start_ns = calendar.blackouts[row].start_ns
    clock.blackout_end_ns = calendar.blackouts[row].end_ns


@kernel
def _next_fx_day(calendar: Any, cursor: Any, clock: Any, open_ns: int) -> int:
    if calendar.n_days == 0 or open_ns < calendar.fx_days[0].start_ns:
        return _NO_CALENDAR
    row = cursor.fx_day_row
    while row < calendar.n_days and calendar.fx_days[row].end_ns <= open_ns:
        row += 1
    cursor.fx_day_row = row
    return _write_fx_day(calendar, clock, row)


@kernel
def _next_session(calendar: Any, cursor: Any, clock: Any, slot: int, open_ns: int) -> None:
    row = cursor.session_rows[slot]
    while row < calendar.n_bounds[slot] and calendar.session_bounds[slot, row].end_ns <= open_ns:
        row += 1
    cursor.session_rows[slot] = row
    _write_session(calendar, clock, slot, row)


@kernel
def _next_blackout(calendar: Any, cursor: Any, clock: Any, close_ns: int) -> None:
    row = cursor.blackout_row
    while row < calendar.n_blackouts and calendar.blackouts[row].end_ns <= close_ns:
        row += 1
    cursor.blackout_row = row
    _write_blackout(calendar, clock, row)


@kernel
def seek(calendar: Any, cursor: Any, clock: Any, open_ns: int) -> int:
    """Find the rows for the bar that opens at `open_ns` by binary search and write the clock.

    Call it once before the first `advance` of a run; `advance` on the same bar then settles the blackout, which counts
    from the bar's close.

    Args:
        calendar: CALENDAR record.
        cursor: CURSOR record, overwritten.
        clock: CLOCK record, overwritten.
        open_ns: Open of the next bar, ns UTC.

    Returns:
        Status.OK, or Status.NO_CALENDAR when the FX-day table does not cover `open_ns`.
    """
    clock.n_moves += 1
    cursor.next_ns = 0
    cursor.fx_day_row = first_ending_after(calendar.fx_days, calendar.n_days, open_ns)
    for slot in range(N_SESSIONS):
        row = first_ending_after(calendar.session_bounds[slot], calendar.n_bounds[slot], open_ns)
        cursor.session_rows[slot] = row
        _write_session(calendar, clock, slot, row)
    cursor.blackout_row = first_ending_after(calendar.blackouts, calendar.n_blackouts, open_ns)
    _write_blackout(calendar, clock, cursor.blackout_row)
    clock.is_news_known = (calendar.news_from_ns <= open_ns) & (open_ns < calendar.news_to_ns)
    if calendar.n_days == 0 or open_ns < calendar.fx_days[0].start_ns:
        return _NO_CALENDAR
    return _write_fx_day(calendar, clock, cursor.fx_day_row)


@kernel
def _next_change(calendar: Any, clock: Any, close_ns: int) -> int:
    """Return the first close at which a row may change: no bar that closes before it moves anything."""
    next_ns = min(clock.fx_day_end_ns, clock.blackout_end_ns)
    for slot in range(N_SESSIONS):
        next_ns = min(next_ns, clock.sessions[slot].end_ns)
    if close_ns < calendar.news_from_ns:
        next_ns = min(next_ns, calendar.news_from_ns)
    elif close_ns < calendar.news_to_ns:
        next_ns = min(next_ns, calendar.news_to_ns)
    return next_ns


@kernel
def _move(calendar: Any, cursor: Any, clock: Any, open_ns: int, close_ns: int) -> int:
    clock.n_moves += 1
    clock.is_news_known = (calendar.news_from_ns <= close_ns) & (close_ns < calendar.news_to_ns)
    for slot in range(N_SESSIONS):
        if open_ns >= clock.sessions[slot].end_ns:
            _next_session(calendar, cursor, clock, slot, open_ns)
    if close_ns >= clock.blackout_end_ns:
        _next_blackout(calendar, cursor, clock, close_ns)
    if open_ns >= clock.fx_day_end_ns:
        status = _next_fx_day(calendar, cursor, clock, open_ns)
        if status != _OK:
            return status
    cursor.next_ns = _next_change(calendar, clock, close_ns)
    return _OK


@inline_kernel
def advance(calendar: Any, cursor: Any, clock: Any, open_ns: int, close_ns: int) -> int:
    """Move the cursors to one closed bar and write the clock; bars come in time order.

    Args:
        calendar: CALENDAR record.
        cursor: CURSOR record of the previous bar, moved forward.
        clock: CLOCK record of the previous bar, updated.
        open_ns: Open of the bar, ns UTC; decides FX day and sessions.
        close_ns: When the bar is known, ns UTC; decides the blackout and whether news are known.

    Returns:
        Status.OK, or Status.NO_CALENDAR when the FX-day table does not cover `open_ns`.
    """
    if close_ns < cursor.next_ns:
        return _OK
    return _move(calendar, cursor, clock, open_ns, close_ns)
