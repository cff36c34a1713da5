"""The clock of a file, from its weeks: found, refused without evidence, disproved by an hour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.market.fx_bars import DAY, HOUR, fx_opens, ns
from tradesentry.core.domain.errors import ClockError
from tradesentry.core.market.clock_detection import NAMED, detect_clock, leftovers, verify_clock
from tradesentry.core.market.source_clock import SourceClock, utc_to_wall

YEAR = fx_opens("2018-01-02", "2018-12-20")
CLOCKS = (
    "UTC",
    "America/New_York",
    "EST",
    "Europe/Athens",
    "America/New_York+7h",
    "Europe/London",
    "UTC+9",
    "Europe/London-5h",
)


@pytest.mark.parametrize("text", CLOCKS)
def test_a_year_of_bars_tells_its_clock(text):
    clock = SourceClock.parse(text)

    found = detect_clock(utc_to_wall(YEAR, clock), HOUR, "EURUSD")

    assert clock in (found.clock, *found.same_here)
    assert found.confidence > 0.99
    assert any("when US and EU daylight saving differ" in line for line in found.evidence)


@pytest.mark.parametrize("text", CLOCKS)
def test_the_right_clock_is_never_disproved(text):
    clock = SourceClock.parse(text)

    verify_clock(utc_to_wall(YEAR, clock), HOUR, "EURUSD", clock=clock)


@pytest.mark.parametrize(
    ("true", "said"),
    [
        ("America/New_York", "EST"),
        ("Europe/Athens", "America/New_York+7h"),
        ("America/New_York+7h", "Europe/Athens"),
        ("America/New_York", "Europe/London-5h"),
        ("UTC", "UTC+1"),
        ("Europe/Athens", "UTC"),
    ],
)
def test_weekly_opens_disprove_a_clock_that_is_an_hour_off(true, said):
    wall = utc_to_wall(YEAR, SourceClock.parse(true))

    with pytest.raises(ClockError, match="disproved") as refusal:
        verify_clock(wall, HOUR, "EURUSD", clock=SourceClock.parse(said))

    assert true in str(refusal.value)


def test_clocks_that_agree_on_every_row_of_a_file_are_named_and_not_guessed_between():
    summer = fx_opens("2018-06-01", "2018-07-15")

    found = detect_clock(utc_to_wall(summer, SourceClock("Europe/Athens")), HOUR, "EURUSD")

    assert found.clock == SourceClock("Europe/Athens")
    assert SourceClock("America/New_York", 420) in found.same_here
    assert any("no edge lies in a week when" in line for line in found.evidence)


def test_a_server_that_shows_no_sunday_bars_is_still_told_from_its_closes():
    clock = SourceClock("Europe/Athens")
    wall = utc_to_wall(YEAR, clock)
    weekday = (wall // DAY + 3) % 7
    without_sundays = wall[weekday != 6]

    found = detect_clock(without_sundays, HOUR, "EURUSD")

    assert found.clock == clock


def test_weeks_cut_at_the_servers_midnights_are_not_taken_for_the_markets_weeks():
    """A server on UTC+1 that shows Monday 00:00 to Friday 24:00 looks like Athens but for its dead last hour.

    Planted fault: with the leftovers kept, Athens is proposed with full confidence.
    """
    clock = SourceClock.parse("UTC+1")
    winter = fx_opens("2018-01-08", "2018-03-08")
    wall = utc_to_wall(winter, clock)
    mondays = wall[((wall // DAY + 3) % 7 != 6)]
    fridays = mondays[(mondays // DAY + 3) % 7 == 4]
    dead = np.unique(fridays // DAY * DAY + 23 * HOUR)
    shown = np.union1d(mondays, dead)
    volume = np.where(np.isin(shown, dead), 1.0, 2_000.0)

    quiet = leftovers((volume, volume), volume)

    assert detect_clock(shown, HOUR, "EURUSD").clock == SourceClock("Europe/Athens")
    with pytest.raises(ClockError, match="do not settle"):
        detect_clock(shown, HOUR, "EURUSD", quiet=quiet)
    verify_clock(shown, HOUR, "EURUSD", clock=clock, quiet=quiet)


def test_days_without_a_weekend_are_no_evidence():
    with pytest.raises(ClockError, match="no weekend lies inside"):
        detect_clock(fx_opens("2018-01-08", "2018-01-11"), HOUR, "EURUSD")


def test_a_market_that_never_closes_is_no_evidence():
    always = np.arange(ns("2021-01-01"), ns("2021-03-01"), HOUR)

    with pytest.raises(ClockError, match="cannot be told"):
        detect_clock(always, HOUR, "BTCUSD")


def test_bars_longer_than_an_hour_are_no_evidence():
    with pytest.raises(ClockError, match="needs H1 or finer"):
        detect_clock(YEAR[::4], 4 * HOUR, "EURUSD")


def test_weeks_that_fit_no_clock_are_refused_with_the_nearest_ones():
    rng = np.random.default_rng(3)
    noise = rng.integers(-9, 10, 60) * HOUR
    opens = np.concatenate(
        [np.arange(0, 100 * HOUR, HOUR) + 7 * DAY * week + shift for week, shift in enumerate(noise)]
    )

    with pytest.raises(ClockError, match="do not settle the clock"):
        detect_clock(opens + ns("2018-01-08"), HOUR, "EURUSD")


@settings(max_examples=20)
@given(clock=st.sampled_from(NAMED), start=st.integers(0, 300), holes=st.integers(0, 2**32))
def test_detection_is_never_wrong_about_a_quarter_with_holes(clock, start, holes):
    quarter = YEAR[(YEAR[0] + start * DAY <= YEAR) & (YEAR[0] + (start + 91) * DAY > YEAR)]
    kept = quarter[np.random.default_rng(holes).random(quarter.size) > 0.02]

    try:
        found = detect_clock(utc_to_wall(kept, clock), HOUR, "EURUSD")
    except ClockError:
        return

    assert np.array_equal(utc_to_wall(kept, clock), utc_to_wall(kept, found.clock)) or clock in found.same_here
