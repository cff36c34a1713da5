"""Wall clocks of vendors to UTC: zones, shifts, repeated and skipped hours, late changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.market.fx_bars import DAY, HOUR, MINUTE, local_ns, ns
from tradesentry.core.domain.errors import ClockError
from tradesentry.core.market.source_clock import SourceClock, utc_to_wall, wall_to_utc

CLOCKS = (
    "UTC",
    "America/New_York",
    "America/New_York+7h",
    "Europe/Athens",
    "Europe/London-5h",
    "Australia/Sydney",
    "UTC+5:30",
)


@pytest.mark.parametrize(
    ("text", "zone", "minutes"),
    [
        ("Europe/Athens", "Europe/Athens", 0),
        ("America/New_York+7h", "America/New_York", 420),
        ("America/New_York+7", "America/New_York", 420),
        ("UTC-5", "UTC", -300),
        ("UTC+5:30", "UTC", 330),
        ("Etc/GMT+5", "Etc/GMT+5", 0),
    ],
)
def test_a_clock_is_a_zone_and_a_shift(text, zone, minutes):
    clock = SourceClock.parse(text)

    assert clock == SourceClock(zone, minutes)
    assert SourceClock.parse(str(clock)) == clock


def test_an_unknown_zone_names_the_nearest_one():
    with pytest.raises(ClockError, match="Europe/London"):
        SourceClock.parse("Europe/Londn")


@given(
    clock=st.sampled_from(CLOCKS),
    start=st.integers(ns("2005-01-01") // HOUR, ns("2024-06-01") // HOUR),
    step=st.sampled_from([MINUTE, 15 * MINUTE, HOUR]),
)
def test_an_unbroken_series_comes_back_from_any_clock(clock, start, step):
    utc = start * HOUR + np.arange(0, 400 * DAY if step == HOUR else 8 * DAY, step, dtype=np.int64)
    source = SourceClock.parse(clock)

    assert np.array_equal(wall_to_utc(utc_to_wall(utc, source), source).utc_ns, utc)


def test_conversion_agrees_with_the_standard_library_on_unambiguous_times():
    walls = ["2018-01-15 09:00", "2018-03-11 03:00", "2018-07-01 00:00", "2018-11-04 12:00", "2018-12-31 23:59"]

    converted = wall_to_utc(np.array([ns(wall) for wall in walls]), SourceClock("America/New_York")).utc_ns

    assert converted.tolist() == [local_ns(wall, "America/New_York") for wall in walls]


def test_a_repeated_local_hour_is_split_where_the_rows_step_back():
    utc = np.arange(ns("2018-11-04 04:00"), ns("2018-11-04 08:00"), MINUTE)
    wall = utc_to_wall(utc, SourceClock("America/New_York"))

    converted = wall_to_utc(wall, SourceClock("America/New_York"))

    assert np.count_nonzero(np.diff(wall) < 0) == 1
    assert np.array_equal(converted.utc_ns, utc)
    assert "happened twice" in converted.notes[0]


def test_a_repeated_hour_that_occurs_once_is_taken_as_the_first_and_noted():
    walls = np.array([ns("2018-11-04 00:30"), ns("2018-11-04 01:30"), ns("2018-11-04 02:30")])

    converted = wall_to_utc(walls, SourceClock("America/New_York"))

    assert converted.utc_ns[1] == ns("2018-11-04 05:30")
    assert "occurs once" in converted.notes[0]


@pytest.mark.parametrize("days_late", [1, 3])
def test_a_vendor_that_sets_its_clock_back_late_is_followed_at_its_own_step(days_late):
    legal = ns("2018-10-28 01:00")
    utc = np.arange(ns("2018-10-26"), ns("2018-11-02"), 15 * MINUTE)
    offset = np.where(utc < legal + days_late * DAY, 3 * HOUR, 2 * HOUR)

    converted = wall_to_utc(utc + offset, SourceClock("Europe/Athens"))

    assert np.array_equal(converted.utc_ns, utc)
    assert any("after the legal change" in note for note in converted.notes)


def test_a_vendor_that_sets_its_clock_back_early_is_followed_at_its_own_step():
    utc = np.arange(ns("2018-10-24"), ns("2018-10-31"), 15 * MINUTE)
    offset = np.where(utc < ns("2018-10-26 01:00"), 3 * HOUR, 2 * HOUR)

    converted = wall_to_utc(utc + offset, SourceClock("Europe/Athens"))

    assert np.array_equal(converted.utc_ns, utc)
    assert any("before the legal change" in note for note in converted.notes)


def test_a_local_time_that_never_happened_disproves_the_zone():
    walls = np.array([ns("2018-03-11 01:30"), ns("2018-03-11 02:30"), ns("2018-03-11 03:30")])

    with pytest.raises(ClockError, match=r"Row 2 says 2018-03-11 02:30.*never happened"):
        wall_to_utc(walls, SourceClock("America/New_York"))
