"""Sessions and FX days: wall clocks of several zones, each date on its own."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.domain.errors import ClockError, ConfigError
from tradesentry.core.market.sessions import (
    SESSIONS,
    SessionWindow,
    day_number,
    fx_day,
    fx_days,
    session_bounds,
    session_bounds_ns,
    session_window,
)
from tradesentry.core.market.zones import DAY_SECONDS, SECOND_NS, local_from_utc, utc_from_local

HOUR_NS = 3600 * SECOND_NS
ZONES = ["America/New_York", "Europe/London", "Australia/Sydney", "Asia/Tokyo", "Australia/Lord_Howe", "Africa/Cairo"]


def utc(text: str) -> int:
    """Return "YYYY-MM-DD HH:MM" UTC as ns."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()) * SECOND_NS


def hours(bounds: tuple[int, int]) -> tuple[str, str]:
    start, end = (datetime.fromtimestamp(ns // SECOND_NS, UTC).strftime("%m-%d %H:%M") for ns in bounds)
    return start, end


# The weeks of 2024 in which the clocks stand differently: US on 10 March and 3 November, UK on 31 March and
# 27 October, Sydney on 7 April and 6 October (the other way round).
# date: sydney, london, new_york, overlap in UTC; Tokyo keeps 00:00-09:00 all year.
WEEKS = [
    ("2024-03-08", "07 20:00-08 05:00", "08:00-17:00", "13:00-22:00", "13:00-17:00"),
    ("2024-03-11", "10 20:00-11 05:00", "08:00-17:00", "12:00-21:00", "12:00-17:00"),
    ("2024-03-29", "28 20:00-29 05:00", "08:00-17:00", "12:00-21:00", "12:00-17:00"),
    ("2024-04-01", "31 20:00-01 05:00", "07:00-16:00", "12:00-21:00", "12:00-16:00"),
    ("2024-04-08", "07 21:00-08 06:00", "07:00-16:00", "12:00-21:00", "12:00-16:00"),
    ("2024-10-04", "03 21:00-04 06:00", "07:00-16:00", "12:00-21:00", "12:00-16:00"),
    ("2024-10-07", "06 20:00-07 05:00", "07:00-16:00", "12:00-21:00", "12:00-16:00"),
    ("2024-10-28", "27 20:00-28 05:00", "08:00-17:00", "12:00-21:00", "12:00-17:00"),
    ("2024-11-01", "31 20:00-01 05:00", "08:00-17:00", "12:00-21:00", "12:00-17:00"),
    ("2024-11-04", "03 20:00-04 05:00", "08:00-17:00", "13:00-22:00", "13:00-17:00"),
]


@pytest.mark.parametrize(("day", "sydney", "london", "new_york", "overlap"), WEEKS, ids=[week[0] for week in WEEKS])
def test_bounds_are_right_in_the_weeks_when_clocks_differ(day, sydney, london, new_york, overlap):
    expected = {"tokyo": "00:00-09:00", "london": london, "new_york": new_york, "london_new_york": overlap}

    found = {name: "-".join(text[6:] for text in hours(session_bounds(day, name))) for name in expected}
    found_sydney = "-".join(text[3:] for text in hours(session_bounds(day, "sydney")))

    assert found == expected
    assert found_sydney == sydney


def test_the_overlap_lasts_five_hours_exactly_from_11_to_29_march_and_28_october_to_1_november():
    days = np.arange(day_number("2024-01-01"), day_number("2025-01-01"))
    days = days[(days + 3) % 7 < 5]

    start, end = session_bounds_ns(days, "london_new_york")

    lengths = dict(zip(days.tolist(), ((end - start) // HOUR_NS).tolist(), strict=True))
    long_days = {day for day, length in lengths.items() if length == 5}
    spring = set(range(day_number("2024-03-11"), day_number("2024-03-29") + 1))
    autumn = set(range(day_number("2024-10-28"), day_number("2024-11-01") + 1))
    assert set(lengths.values()) == {4, 5}
    assert long_days == {day for day in spring | autumn if day in lengths}


def test_a_skipped_local_time_is_moved_forward_by_the_shift():
    # London, 31 March 2024: 01:00 GMT becomes 02:00 BST, so 01:30 does not exist and means 02:30 BST.
    window = session_window("01:30-03:00 Europe/London")

    assert session_bounds(date(2024, 3, 31), window) == (utc("2024-03-31 01:30"), utc("2024-03-31 02:00"))
    assert session_bounds(date(2024, 3, 31), "00:00-01:30 Europe/London")[1] == utc("2024-03-31 01:30")


def test_an_ambiguous_local_time_starts_on_its_first_pass_and_ends_on_its_second():
    # New York, 3 November 2024: 01:30 happens at 05:30 UTC (EDT) and again at 06:30 UTC (EST).
    assert session_bounds("2024-11-03", "01:30-04:00 America/New_York")[0] == utc("2024-11-03 05:30")
    assert session_bounds("2024-11-03", "00:00-01:30 America/New_York")[1] == utc("2024-11-03 06:30")


def test_a_window_that_crosses_midnight_ends_on_the_next_date():
    assert hours(session_bounds("2024-06-03", "22:00-02:00 Europe/London")) == ("06-03 21:00", "06-04 01:00")
    assert hours(session_bounds("2024-06-03", "kill_zone_asia")) == ("06-03 00:00", "06-03 04:00")


@pytest.mark.parametrize(
    ("session", "error", "text"),
    [
        ("lodnon", ConfigError, "Did you mean 'london'"),
        ("25:00-26:00 Europe/London", ConfigError, "HH:MM"),
        ("08:00-09:00 Europe/Lodnon", ClockError, "Did you mean 'Europe/London'"),
    ],
)
def test_a_wrong_session_says_what_is_near(session, error, text):
    with pytest.raises(error, match=text):
        session_bounds("2024-06-03", session)


def test_a_start_day_other_than_this_or_the_evening_before_is_refused():
    with pytest.raises(ConfigError, match="start_day 2"):
        SessionWindow("x", "Europe/London", "08:00", "09:00", start_day=2)


@given(
    zone=st.sampled_from(ZONES),
    day=st.integers(day_number("2000-01-01"), day_number("2035-01-01")),
    minute=st.integers(0, 1439),
    fold=st.sampled_from([0, 1]),
)
@settings(deadline=None, max_examples=400)
def test_wall_clocks_convert_as_the_standard_library_does(zone, day, minute, fold):
    """The oracle is `datetime` with PEP 495 folds; a skipped time always uses the offset before the change.

    Planted fault that this catches: `min` instead of `max` of the offsets in `utc_from_local`.
    """
    wall = datetime(1970, 1, 1) + timedelta(days=day, minutes=minute)  # noqa: DTZ001
    info = ZoneInfo(zone)
    is_skipped = wall.replace(tzinfo=info).astimezone(UTC).astimezone(info).replace(tzinfo=None) != wall
    expected = wall.replace(tzinfo=info, fold=0 if is_skipped else fold).timestamp()

    local_s = day * DAY_SECONDS + minute * 60
    found = utc_from_local(zone, local_s, fold=fold)

    assert int(found) == int(expected)
    assert is_skipped or int(local_from_utc(zone, found)) == local_s


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("fold", [0, 1])
def test_every_quarter_hour_around_every_change_converts_as_the_standard_library_does(zone, fold):
    info = ZoneInfo(zone)
    walls = [
        datetime(year, month, 1) + timedelta(minutes=15 * i)  # noqa: DTZ001
        for year, month in [(2011, 4), (2023, 10), (2024, 3), (2024, 4), (2024, 11)]
        for i in range(31 * 96)
    ]

    found = utc_from_local(zone, [int(w.replace(tzinfo=UTC).timestamp()) for w in walls], fold=fold)

    plain = [w.replace(tzinfo=info, fold=fold).timestamp() for w in walls]
    before = [w.replace(tzinfo=info, fold=0).timestamp() for w in walls]
    skipped = [datetime.fromtimestamp(b, info).replace(tzinfo=None) != w for b, w in zip(before, walls, strict=True)]
    assert found.tolist() == [int(b if s else p) for p, b, s in zip(plain, before, skipped, strict=True)]


def test_an_fx_day_runs_from_five_to_five_in_new_york():
    assert hours(fx_day(utc("2024-07-03 12:00"))) == ("07-02 21:00", "07-03 21:00")
    assert hours(fx_day(utc("2024-01-03 22:00"))) == ("01-03 22:00", "01-04 22:00")
    assert hours(fx_day(utc("2024-01-03 21:59"))) == ("01-02 22:00", "01-03 22:00")


def test_the_weekend_gap_belongs_to_monday_whose_fx_day_may_last_an_hour_less_or_more():
    # 10 March and 3 November 2024 are Sundays; both changes fall before 17:00, so the week's days keep 24 hours.
    monday = ("03-10 21:00", "03-11 21:00")

    assert hours(fx_day(utc("2024-03-08 22:00"))) == monday
    assert hours(fx_day(utc("2024-03-09 12:00"))) == monday
    assert hours(fx_day(utc("2024-03-10 20:59"))) == monday
    assert hours(fx_day(utc("2024-03-09 12:00"), is_always_open=True)) == ("03-08 22:00", "03-09 22:00")
    assert hours(fx_day(utc("2024-03-10 12:00"), is_always_open=True)) == ("03-09 22:00", "03-10 21:00")


def test_fx_days_are_five_a_week_in_order_with_the_friday_that_ends_the_week():
    rows = fx_days(utc("2024-03-04 12:00"), utc("2024-03-15 12:00"))

    assert rows["weekday"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert set(rows["week_end_ns"][:5]) == {utc("2024-03-08 22:00")}
    assert set(rows["week_end_ns"][5:]) == {utc("2024-03-15 21:00")}
    assert (rows["end_ns"] > rows["start_ns"]).all()
    assert (rows["start_ns"][1:] >= rows["end_ns"][:-1]).all()


def test_an_always_open_symbol_has_seven_fx_days_that_touch():
    rows = fx_days(utc("2024-03-04 12:00"), utc("2024-03-15 12:00"), is_always_open=True)

    assert rows["weekday"].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]
    assert (rows["start_ns"][1:] == rows["end_ns"][:-1]).all()
    assert set(rows["week_end_ns"][:7]) == {utc("2024-03-10 21:00")}


@given(instant=st.integers(utc("2000-01-01 00:00"), utc("2035-01-01 00:00")))
@settings(deadline=None, max_examples=200)
def test_fx_day_agrees_with_the_table_of_fx_days(instant):
    start, end = fx_day(instant)

    rows = fx_days(instant, instant)

    assert (int(rows["start_ns"][0]), int(rows["end_ns"][0])) == (start, end)
    assert instant < end
    assert instant >= start or end - instant < 4 * 24 * HOUR_NS


def test_every_named_session_is_a_valid_window():
    for name, window in SESSIONS.items():
        start, end = session_bounds("2024-06-05", name)

        assert window.name == name
        assert 0 < end - start <= 9 * HOUR_NS
