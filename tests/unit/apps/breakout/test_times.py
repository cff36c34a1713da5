"""Edge cases of time: weeks, clocks, holidays, gaps, weekdays, news."""

import numpy as np
import pytest

from tests.unit.apps.breakout.factories import (
    MINUTE,
    hold,
    ns,
    phase,
    play,
    put,
    quiet_bars,
    resolve,
    row_at,
    slot,
    watch,
    when,
    without,
)
from tests.unit.apps.breakout.test_trades import BREAK, broken
from tradesentry.apps.breakout.filters import last_entry_ns
from tradesentry.apps.breakout.layout import NEW_YORK_SLOT
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.calendar_records import CLOCK
from tradesentry.core.strategy.indicators.opening_range import INVALID_SESSION
from tradesentry.core.utils.kernel import new_records

MORNING = "2024-06-12T07:30"


def winter(start, end):
    """Quiet bars of a winter week, when FX opens on Sunday 22:00 UTC."""
    bars = quiet_bars(start, end)
    hour_of_week = (bars.open_ns // (60 * MINUTE) + 72) % 168
    opens_late = (hour_of_week == 6 * 24 + 21) & (bars.open_ns >= 0)
    return bars[~opens_late].view(np.recarray)


@pytest.mark.parametrize(
    ("modes", "session", "window", "index", "text", "expected"),
    [
        (["london"], ["london"], None, 4, "2024-01-22T07:15", "SET"),
        (["orb"], ["tokyo"], None, 2, "2024-01-22T00:30", "ARMED"),
        (["orb"], ["custom"], "07:00-16:00 Australia/Sydney", 3, "2024-01-21T22:45", "REJECTED"),
    ],
)
def test_monday_ranges_are_whole_in_london_and_tokyo_but_not_in_sydney(modes, session, window, index, text, expected):
    bars = winter("2024-01-17T00:00", "2024-01-23T12:00")

    arena = watch(bars, text, modes=modes, sessions=session, custom_session=window)

    assert phase(arena, index) == expected


def test_friday_has_no_new_york_entries_in_the_last_two_hours():
    # 15:00 New York is 19:00 UTC in summer; even with `weekend_no_entry = 0`.
    bars = quiet_bars()
    params = new_arena(resolve(bars, weekend_no_entry=0)).lanes[0].params[0]
    clock = new_records(1, CLOCK)[0]
    clock.week_end_ns = ns("2024-06-14T21:00")

    assert when(last_entry_ns(params, NEW_YORK_SLOT, clock)) == "Fri 19:00"
    assert when(last_entry_ns(params, 0, clock)) == "Fri 21:00"


@pytest.mark.parametrize("weekend", ["flatten", "hold"])
def test_no_entry_before_the_week_end_also_when_positions_are_held_over_it(weekend):
    bars = put(quiet_bars(), "2024-06-14T13:30", BREAK)
    hold(bars, "2024-06-14T13:45", "2024-06-14T21:00", 1.1015)
    options = {"sessions": ["new_york"], "weekend": weekend}

    # Friday 09:30 New York: seven and a half hours before the week ends.
    assert len(play(bars, **options, weekend_no_entry=420).trade_rows) == 1
    assert len(play(bars, **options, weekend_no_entry=480).trade_rows) == 0


@pytest.mark.parametrize(
    ("day", "start"),
    [("2024-03-07", "13:00"), ("2024-03-14", "12:00"), ("2024-04-04", "12:00"), ("2024-10-29", "12:00")],
)
def test_new_york_keeps_its_wall_clock_in_the_weeks_when_clocks_differ(day, start):
    first = str(np.datetime64(day) - np.timedelta64(3, "D"))
    bars = quiet_bars(f"{first}T00:00", f"{day}T20:00")

    arena = watch(bars, f"{day}T14:00", sessions=["new_york"])

    assert when(slot(arena, 1).range.session_start_ns)[4:] == start


def test_holiday_of_one_currency_makes_the_session_invalid():
    # 27 May 2024: Memorial Day in the US, a bank holiday in the UK, a day like any other for the euro.
    bars = put(quiet_bars("2024-05-20T00:00", "2024-05-28T21:00"), "2024-05-27T07:30", BREAK)

    arena = watch(bars, "2024-05-27T08:00")

    assert (phase(arena), slot(arena).range.reason) == ("REJECTED", INVALID_SESSION)
    assert len(play(bars).trade_rows) == 0


def test_state_of_the_day_is_dropped_at_the_start_of_the_fx_day():
    # A session over 17:00 New York (21:00 UTC): its range was set at 20:30, then the day begins anew.
    options = {"sessions": ["custom"], "custom_session": "16:00-20:00 America/New_York"}
    bars = quiet_bars()

    before = watch(bars, "2024-06-12T21:00", **options)
    after = watch(bars, "2024-06-12T21:15", **options)

    assert phase(before, 3) == "ARMED"
    assert phase(after, 3) == "REJECTED"


def test_long_gap_in_the_data_drops_the_state_of_the_day():
    bars = without(quiet_bars("2024-06-10T00:00", "2024-06-21T21:00"), "2024-06-12T07:45", "2024-06-19T07:30")
    put(bars, "2024-06-19T07:30", BREAK)

    arena = play(bars)

    assert len(arena.trade_rows) == 0


def test_weekday_that_is_left_out_has_no_entries():
    bars = broken(quiet_bars(), MORNING)

    assert len(play(bars, weekdays=["monday", "tuesday", "thursday", "friday"]).trade_rows) == 0


def test_news_blackout_keeps_out(tmp_path):
    bars = broken(quiet_bars(), MORNING)
    run = resolve(bars)
    file = tmp_path / "news.csv"
    file.write_text("time_utc,currency,impact,title\n2024-06-10T01:00,USD,3,a\n2024-06-12T07:50,USD,3,b\n")
    config = {**run.config.model_dump(), "news": True}
    settings = RunSettings(costs="free", limits="off", capital=100_000, news=file)

    arena = new_arena(resolve_run("breakout", bars=list(run.data.series), config=config, settings=settings))
    arena.run()

    # Blocked from 07:20 to 08:20; the closes from 08:20 on are still above the range.
    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 08:30"]


def test_bad_bar_changes_nothing():
    bars = broken(quiet_bars(), MORNING, (1.1010, 1.1020, 1.1006, 1.1015))
    bars.low[row_at(bars, "2024-06-12T05:00")] = 1.2

    assert [when(t.entry_ns) for t in play(bars).trade_rows] == ["Wed 07:45"]
