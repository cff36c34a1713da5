"""The clock kernels: a cursor that moves with the bars always stands where a fresh search would put it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.domain.calendar_records import CALENDAR, CLOCK, CURSOR
from tradesentry.core.domain.orders import Status
from tradesentry.core.market.clock import FAR_FUTURE, NO_DATE, advance, seek
from tradesentry.core.utils.kernel import IS_COMPILED, kernel, new_records

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS


def calendar_of(*, days=(), sessions=(), blackouts=(), news=(0, 0)):
    """Build a calendar record from (start, end) pairs in hours."""
    calendar = new_records(1, CALENDAR)[0]
    calendar.n_days = len(days)
    for row, (start, end) in zip(calendar.fx_days, days, strict=False):
        row.start_ns, row.end_ns, row.weekday, row.week_end_ns = start * HOUR_NS, end * HOUR_NS, 2, 120 * HOUR_NS
    calendar.n_sessions = len(sessions)
    for slot, bounds in enumerate(sessions):
        calendar.n_bounds[slot] = len(bounds)
        for i, (start, end) in enumerate(bounds):
            row = calendar.session_bounds[slot, i]
            row.date, row.start_ns, row.end_ns, row.is_valid = i, start * HOUR_NS, end * HOUR_NS, i % 3 != 1
    calendar.n_blackouts = len(blackouts)
    for row, (start, end) in zip(calendar.blackouts, blackouts, strict=False):
        row.start_ns, row.end_ns = start * HOUR_NS, end * HOUR_NS
    calendar.news_from_ns, calendar.news_to_ns = news[0] * HOUR_NS, news[1] * HOUR_NS
    return calendar


def fresh():
    return new_records(1, CURSOR)[0], new_records(1, CLOCK)[0]


def shown(clock):
    """Return what a strategy can see, without the count of moves."""
    return tuple(clock[name].tolist() for name in CLOCK.names if name != "n_moves")


def cut(points):
    """Turn increasing points into disjoint intervals."""
    return list(zip(points[::2], points[1::2], strict=False))


points = st.lists(st.integers(0, 200), unique=True, max_size=24).map(sorted).map(cut)


@given(
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    sessions=st.lists(points, max_size=3),
    blackouts=points,
    news=st.tuples(st.integers(0, 100), st.integers(0, 200)),
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
@settings(deadline=None, max_examples=80)
def test_the_moving_cursor_equals_a_fresh_search_at_every_bar(gaps, sessions, blackouts, news, steps):
    """Planted fault that this catches: `>` instead of `>=` in one comparison of `advance`."""
    starts = np.cumsum([0, *(24 + gap for gap in gaps)])
    days = [(int(s), int(s) + 24) for s in starts]
    calendar = calendar_of(days=days, sessions=sessions, blackouts=blackouts, news=news)
    cursor, clock = fresh()

    for open_hour in np.cumsum(steps).tolist():
        open_ns, close_ns = open_hour * HOUR_NS, (open_hour + 1) * HOUR_NS
        moved = advance(calendar, cursor, clock, open_ns, close_ns)
        other_cursor, other_clock = fresh()
        found = seek(calendar, other_cursor, other_clock, open_ns)
        settled = advance(calendar, other_cursor, other_clock, open_ns, close_ns)

        assert moved == settled == found
        if moved == Status.OK:
            assert shown(clock) == shown(other_clock)
            assert cursor.tobytes() == other_cursor.tobytes()


@given(sessions=points, blackouts=points, steps=st.lists(st.integers(1, 30), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_the_clock_shows_the_interval_that_holds_the_bar_or_the_next_one(sessions, blackouts, steps):
    calendar = calendar_of(days=[(0, 1000)], sessions=[sessions], blackouts=blackouts)
    cursor, clock = fresh()

    for open_hour in np.cumsum(steps).tolist():
        advance(calendar, cursor, clock, open_hour * HOUR_NS, (open_hour + 1) * HOUR_NS)

        session = next(((a, b) for a, b in sessions if b > open_hour), None)
        blackout = next(((a, b) for a, b in blackouts if b > open_hour + 1), None)
        shown_session = (clock.sessions[0].start_ns, clock.sessions[0].end_ns)
        assert shown_session == ((session[0] * HOUR_NS, session[1] * HOUR_NS) if session else (FAR_FUTURE,) * 2)
        assert (clock.blackout_start_ns, clock.blackout_end_ns) == (
            (blackout[0] * HOUR_NS, blackout[1] * HOUR_NS) if blackout else (FAR_FUTURE,) * 2
        )


def test_a_bar_in_the_weekend_gap_belongs_to_the_next_fx_day():
    calendar = calendar_of(days=[(0, 24), (72, 96)])
    cursor, clock = fresh()
    seek(calendar, cursor, clock, 0)

    status = advance(calendar, cursor, clock, 50 * HOUR_NS, 51 * HOUR_NS)

    assert (status, clock.fx_day, clock.fx_day_start_ns) == (Status.OK, 1, 72 * HOUR_NS)


@pytest.mark.parametrize("open_hour", [-1, 96, 500])
def test_a_bar_outside_the_table_of_fx_days_has_no_calendar(open_hour):
    calendar = calendar_of(days=[(0, 24), (72, 96)])
    cursor, clock = fresh()

    found = seek(calendar, cursor, clock, open_hour * HOUR_NS)
    moved = advance(calendar, *fresh(), max(open_hour, 96) * HOUR_NS, 501 * HOUR_NS)

    assert found == moved == Status.NO_CALENDAR


def test_an_empty_calendar_has_no_calendar():
    cursor, clock = fresh()

    assert seek(calendar_of(), cursor, clock, 0) == Status.NO_CALENDAR
    assert advance(calendar_of(), *fresh(), 0, HOUR_NS) == Status.NO_CALENDAR


def test_a_slot_without_sessions_left_lies_in_the_far_future():
    calendar = calendar_of(days=[(0, 240)], sessions=[[(1, 2)]])
    cursor, clock = fresh()

    advance(calendar, cursor, clock, 2 * HOUR_NS, 3 * HOUR_NS)

    last = clock.sessions[0]
    assert (last.date, last.start_ns, last.end_ns, last.is_valid) == (NO_DATE, FAR_FUTURE, FAR_FUTURE, False)


def test_news_are_known_while_the_close_lies_in_the_news_calendar():
    calendar = calendar_of(days=[(0, 240)], news=(5, 8))
    cursor, clock = fresh()
    known = []

    for hour in range(10):
        advance(calendar, cursor, clock, hour * HOUR_NS, (hour + 1) * HOUR_NS)
        known.append(bool(clock.is_news_known))

    assert known == [False] * 4 + [True] * 3 + [False] * 3


def test_every_change_of_the_clock_is_counted():
    """A copy is refreshed when the count moves. The count may move without a change, where a bar only reaches an edge.

    Seen to fail when `_move` does not count.
    """
    calendar = calendar_of(days=[(0, 24), (24, 48)], sessions=[[(3, 4)]], blackouts=[(10, 11)], news=(20, 30))
    cursor, clock = fresh()
    previous, n_moves, n_still = None, 0, 0

    for hour in range(40):
        advance(calendar, cursor, clock, hour * HOUR_NS, (hour + 1) * HOUR_NS)
        assert shown(clock) == previous or clock.n_moves > n_moves
        n_still += clock.n_moves == n_moves
        previous, n_moves = shown(clock), int(clock.n_moves)

    assert n_still > 20


@kernel
def _walk(calendar, cursor, clock, opens, length):
    total = 0
    for open_ns in opens:
        if advance(calendar, cursor, clock, open_ns, open_ns + length) != 0:
            return -1
        total += clock.fx_day
    return total


@pytest.mark.skipif(not IS_COMPILED, reason="measures compiled code")
def test_advancing_costs_nanoseconds_a_bar_and_does_not_grow_with_the_calendar():
    """A linear search from row 0 on every change would make the long calendar many times slower."""

    def cost(n_days):
        days = [(24 * i, 24 * i + 24) for i in range(n_days)]
        calendar = calendar_of(days=days, sessions=[[(a + 8, a + 17) for a, _ in days]] * 3)
        opens = np.arange(200_000) * 60_000_000_000 + (n_days - 140) * DAY_NS
        best = np.inf
        for _ in range(5):
            cursor, clock = fresh()
            seek(calendar, cursor, clock, int(opens[0]))
            started = time.perf_counter()
            assert _walk(calendar, cursor, clock, opens, 60_000_000_000) >= 0
            best = min(best, time.perf_counter() - started)
        return best / len(opens) * 1e9

    short, long = cost(150), cost(3_000)

    assert short < 100
    assert long < 3 * short + 10
