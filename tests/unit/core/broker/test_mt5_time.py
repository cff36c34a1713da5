"""The server's clock: wall time written as if it were UTC, in both weeks in which clocks change."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.markets import utc
from tradesentry.core.broker.mt5_time import ServerClock
from tradesentry.core.domain.errors import ClockError

NEW_YORK_7 = "America/New_York+7h"
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("Europe/Athens", "2024-03-08T12:00", 2),
        ("Europe/Athens", "2024-03-20T12:00", 2),
        ("Europe/Athens", "2024-04-02T12:00", 3),
        ("Europe/Athens", "2024-10-30T12:00", 2),
        (NEW_YORK_7, "2024-03-08T12:00", 2),
        (NEW_YORK_7, "2024-03-20T12:00", 3),
        (NEW_YORK_7, "2024-10-30T12:00", 3),
        (NEW_YORK_7, "2024-11-05T12:00", 2),
        ("UTC", "2024-07-01T00:00", 0),
    ],
)
def test_server_time_follows_its_own_zones_rules(zone, moment, hours):
    clock, ts_ns = ServerClock(zone), utc(moment)

    shown_s = clock.to_server_s(ts_ns)

    assert shown_s - ts_ns // SECOND == hours * 3_600
    assert clock.to_utc_ns(shown_s * 1_000 + 123) == ts_ns + 123_000_000


@settings(deadline=None, max_examples=300)
@given(
    zone=st.sampled_from(["Europe/Athens", NEW_YORK_7, "Asia/Kolkata", "UTC-5"]),
    seconds=st.integers(utc("2015-01-01") // SECOND, utc("2030-01-01") // SECOND),
)
def test_translating_there_and_back_changes_nothing_when_the_time_is_known_roughly(zone, seconds):
    clock = ServerClock(zone)

    back = clock.to_utc_ns(clock.to_server_s(seconds * SECOND) * 1_000, near_ns=seconds * SECOND + 40 * SECOND)

    assert back == seconds * SECOND


def test_an_hour_that_happens_twice_is_decided_by_when_it_was_heard():
    clock = ServerClock("Europe/Athens")
    first, second = utc("2024-10-27T00:30"), utc("2024-10-27T01:30")

    shown = {clock.to_server_s(ts_ns) for ts_ns in (first, second)}

    assert len(shown) == 1
    server_msc = shown.pop() * 1_000
    assert [clock.to_utc_ns(server_msc, near_ns=ts_ns) for ts_ns in (first, second)] == [first, second]


def look(clock, now_ns, tick_utc_ns, *, zone):
    clock.look("EURUSD", ServerClock(zone).to_server_s(tick_utc_ns) * 1_000, now_ns=now_ns)


@pytest.mark.parametrize(("wrong", "hours"), [("Europe/London", "+2"), ("Asia/Dubai", "-2"), ("UTC+2:30", "-0.5")])
def test_a_wrong_zone_shows_in_fresh_ticks_and_forbids_new_risk(wrong, hours):
    clock, now = ServerClock(wrong), utc("2024-01-09T12:00")
    for second in range(3):
        look(clock, now + second * SECOND, now + second * SECOND, zone="Europe/Athens")

    assert f"{hours} h off" in clock.problem


def test_ticks_that_stand_still_prove_nothing():
    """Seen to fail: judged without the second look, a weekend's last tick made the right zone a wrong one."""
    clock, now = ServerClock("Europe/Athens"), utc("2024-01-14T12:00")
    for second in range(3):
        look(clock, now + second * SECOND, utc("2024-01-12T21:59"), zone="Europe/Athens")

    assert clock.problem == ""
    assert clock.offset_ns is None


def test_a_zone_that_is_right_again_is_trusted_again():
    clock, now = ServerClock("Europe/London"), utc("2024-01-09T12:00")
    look(clock, now, now, zone="Europe/Athens")
    before = clock.problem
    for second in (1, 2):
        look(clock, now + second * SECOND, now + second * SECOND, zone="Europe/London")
    for second in (7_201, 7_202):
        look(clock, now + second * SECOND, now + second * SECOND, zone="Europe/London")

    assert before
    assert clock.problem == ""
    assert abs(clock.offset_ns) < SECOND


def test_an_unknown_zone_is_refused():
    with pytest.raises(ClockError, match="Europe/Athens"):
        ServerClock("Europe/Athen")
