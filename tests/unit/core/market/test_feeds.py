"""Feeds of closed bars: all of an instant together, in order, each once; gaps named and never filled."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.markets import MINUTE_NS, flat_bars, make_bars, utc
from tradesentry.core.domain.clock import NS_PER_SECOND, FakeClock
from tradesentry.core.domain.errors import BrokerAuthError, BrokerUnavailable, DataError
from tradesentry.core.market.feeds import PolledFeed, ReplayClock, ReplayFeed
from tradesentry.core.market.resample import bucket_edges

STEP_NS = 15 * MINUTE_NS
TUESDAY_NS = utc("2024-01-09T12:00")


class Venue:
    """Bars of a venue that become readable some time after their close."""

    def __init__(self, clock, series, *, late_seconds=0.0):
        self.clock, self.series, self.late_seconds = clock, series, late_seconds
        self.failures = []
        self.n_asked = 0

    async def fetch(self, symbol, start_ns, end_ns):
        self.n_asked += 1
        if self.failures:
            raise self.failures.pop(0)
        bars = self.series[symbol]
        late = self.late_seconds if isinstance(self.late_seconds, float) else self.late_seconds.get(symbol, 0.0)
        is_known = bars["close_ns"] + round(late * NS_PER_SECOND) <= self.clock.now_ns()
        return bars[is_known & (bars["open_ns"] >= start_ns) & (bars["open_ns"] < end_ns)].view(np.recarray)


def feed_of(venue, symbols=("EURUSD",), *, timeframe="M15", since_ns=TUESDAY_NS, **more):
    return PolledFeed(venue.fetch, symbols, timeframe, venue.clock, since_ns=since_ns, **more)


def heard(feed, clock, *, seconds):
    """Return the instants that a feed hands out within `seconds` of a fake clock, with when each came."""

    async def work():
        got = []

        async def listen():
            async for instant in feed.instants():
                got.append((instant, clock.now_ns()))  # noqa: PERF401 - what came is read while more is awaited

        task = asyncio.create_task(listen())
        await clock.advance(0)
        await clock.advance(seconds)
        if task.done() and task.exception():
            raise task.exception()
        task.cancel()
        return got

    return asyncio.run(work())


def shape(instants):
    return [(instant.close_ns, tuple(sorted(instant.bars)), instant.missing) for instant, _ in instants]


def test_a_replay_hands_out_all_markets_of_an_instant_together_and_moves_the_clock():
    clock = FakeClock(0)
    bars = {"EURUSD": flat_bars(3, 1.1), "GBPUSD": flat_bars(2, 1.25, start="2024-01-09T12:15")}

    async def work():
        return [(instant, clock.now_ns()) async for instant in ReplayFeed(bars, clock).instants()]

    got = asyncio.run(work())

    closes = [TUESDAY_NS + i * STEP_NS for i in (1, 2, 3)]
    assert shape(got) == [
        (closes[0], ("EURUSD",), ()),
        (closes[1], ("EURUSD", "GBPUSD"), ()),
        (closes[2], ("EURUSD", "GBPUSD"), ()),
    ]
    assert [now for _, now in got] == closes
    assert float(got[1][0].bars["GBPUSD"]["close"]) == 1.25


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 12),
    cut=st.integers(0, 14),
    offset=st.integers(0, 5),
)
def test_a_replay_goes_on_after_any_close_as_if_it_had_not_stopped(n, cut, offset):
    """Seen to fail: searching `side="left"` for the first bar handed the last one out twice."""
    bars = {"EURUSD": flat_bars(n, 1.1), "GBPUSD": flat_bars(4, 1.2)[:]}
    bars["GBPUSD"]["open_ns"] += offset * STEP_NS
    bars["GBPUSD"]["close_ns"] += offset * STEP_NS

    async def listen(since_ns):
        feed = ReplayFeed(bars, FakeClock(0), since_ns=since_ns)
        n_promised = feed.n_instants
        got = [(i.close_ns, tuple(sorted(i.bars))) async for i in feed.instants()]
        assert len(got) == n_promised
        return got

    since_ns = TUESDAY_NS + cut * STEP_NS
    whole, rest = asyncio.run(listen(0)), asyncio.run(listen(since_ns))

    assert rest == [row for row in whole if row[0] > since_ns]


def test_a_replay_at_a_speed_waits_in_proportion():
    """96 times as fast: a bar of 15 minutes every 9.375 s of the real clock, none before its time."""
    real = FakeClock(0)
    clock = ReplayClock(real, TUESDAY_NS)

    got = heard(ReplayFeed({"EURUSD": flat_bars(4, 1.1)}, clock, speed=96.0), real, seconds=20)

    assert [now / NS_PER_SECOND for _, now in got] == [9.375, 18.75]
    assert clock.now_ns() == TUESDAY_NS + 2 * STEP_NS


def test_bars_out_of_order_are_refused():
    with pytest.raises(DataError, match="EURUSD are not in order, so they cannot be replayed"):
        ReplayFeed({"EURUSD": flat_bars(3, 1.1)[::-1]}, FakeClock(0))


def test_a_bar_is_handed_out_as_soon_as_the_venue_has_it():
    clock = FakeClock(TUESDAY_NS)
    venue = Venue(clock, {"EURUSD": flat_bars(3, 1.1)}, late_seconds=0.6)

    got = heard(feed_of(venue), clock, seconds=1850)

    assert shape(got) == [(TUESDAY_NS + i * STEP_NS, ("EURUSD",), ()) for i in (1, 2)]
    assert [(now - instant.close_ns) / NS_PER_SECOND for instant, now in got] == [0.75, 0.75]


def test_a_bar_that_does_not_come_within_the_grace_is_a_gap_named_once_and_never_filled():
    """GBPUSD needs 2.5 s for its bar and gets 2.

    Seen to fail: without the cut at the last instant the late bar was handed out.
    """
    clock = FakeClock(TUESDAY_NS)
    series = {"EURUSD": flat_bars(3, 1.1), "GBPUSD": flat_bars(3, 1.25)}
    venue = Venue(clock, series, late_seconds={"GBPUSD": 2.5})

    got = heard(feed_of(venue, ("EURUSD", "GBPUSD")), clock, seconds=1850)

    assert shape(got) == [(TUESDAY_NS + i * STEP_NS, ("EURUSD",), ("GBPUSD",)) for i in (1, 2)]
    assert [(now - instant.close_ns) / NS_PER_SECOND for instant, now in got] == [2.0, 2.0]


def test_an_instant_without_any_bar_is_told_as_well():
    clock = FakeClock(TUESDAY_NS)
    bars = flat_bars(3, 1.1)
    venue = Venue(clock, {"EURUSD": bars[[0, 2]]})

    got = heard(feed_of(venue), clock, seconds=2710)

    closes = [TUESDAY_NS + i * STEP_NS for i in (1, 2, 3)]
    assert shape(got) == [
        (closes[0], ("EURUSD",), ()), (closes[1], (), ("EURUSD",)), (closes[2], ("EURUSD",), ()),
    ]  # fmt: skip


def test_no_bar_is_expected_while_the_market_rests():
    """From Friday 17:00 New York to Sunday 17:00, and at Christmas; a coin trades on."""
    friday_ns = utc("2024-01-12T21:30")
    clock = FakeClock(friday_ns)
    before = flat_bars(2, 1.1, start="2024-01-12T21:30")
    after = flat_bars(2, 1.1, start="2024-01-14T22:00")
    venue = Venue(clock, {"EURUSD": np.concatenate([before, after])})

    got = heard(feed_of(venue, since_ns=friday_ns), clock, seconds=2.05 * 86_400)

    closes = [utc(t) for t in ("2024-01-12T21:45", "2024-01-12T22:00", "2024-01-14T22:15", "2024-01-14T22:30")]
    assert shape(got)[:4] == [(close, ("EURUSD",), ()) for close in closes]
    christmas = Venue(FakeClock(utc("2024-12-24T21:30")), {"EURUSD": flat_bars(1, 1.1, start="2024-12-25T22:00")})
    feed = feed_of(christmas, since_ns=utc("2024-12-24T22:00"))
    assert shape(heard(feed, christmas.clock, seconds=90_000)) == [(utc("2024-12-25T22:15"), ("EURUSD",), ())]
    coin = Venue(FakeClock(friday_ns), {"BTCUSD": flat_bars(40, 4e4, start="2024-01-12T21:30")})
    feed = feed_of(coin, ("BTCUSD",), since_ns=friday_ns, always_open=("BTCUSD",))
    assert len(heard(feed, coin.clock, seconds=36_000)) == 40


def test_missed_bars_are_caught_up_in_order_and_at_once():
    """3,000 bars of a minute: two questions of at most 2,000, then on in real time."""
    n = 3_000
    clock = FakeClock(TUESDAY_NS + n * MINUTE_NS + NS_PER_SECOND)
    venue = Venue(clock, {"EURUSD": flat_bars(n + 1, 1.1, minutes=1)})

    got = heard(feed_of(venue, timeframe="M1"), clock, seconds=120)

    assert [instant.close_ns for instant, _ in got[: n + 1]] == [TUESDAY_NS + i * MINUTE_NS for i in range(1, n + 2)]
    assert all(not instant.missing for instant, _ in got[: n + 1])
    assert got[n - 1][1] - clock.now_ns() <= 0
    assert (got[n - 1][1] - TUESDAY_NS) // NS_PER_SECOND == n * 60 + 1
    assert venue.n_asked < 40


def test_a_venue_that_cannot_be_read_makes_no_gap():
    """Nothing is concluded from silence; the bars of the outage are handed out when it answers again."""
    clock = FakeClock(TUESDAY_NS)
    venue = Venue(clock, {"EURUSD": flat_bars(3, 1.1)})
    venue.failures = [BrokerUnavailable("down") for _ in range(40)]

    got = heard(feed_of(venue), clock, seconds=2760)

    assert shape(got) == [(TUESDAY_NS + i * STEP_NS, ("EURUSD",), ()) for i in (1, 2, 3)]
    assert got[0][1] > TUESDAY_NS + 2 * STEP_NS


def test_a_refusal_for_good_ends_the_feed():
    clock = FakeClock(TUESDAY_NS)
    venue = Venue(clock, {"EURUSD": flat_bars(3, 1.1)})
    venue.failures = [BrokerAuthError("The token was revoked.")]

    with pytest.raises(BrokerAuthError, match="revoked"):
        heard(feed_of(venue), clock, seconds=1000)


@pytest.mark.parametrize("timeframe", ["H4", "D1"])
def test_long_bars_close_where_the_calendar_says_in_both_clock_changes(timeframe):
    """Anchored at 17:00 New York; the weeks of 2024-03-10 and 2024-11-03 have a day of 23 and of 25 hours."""
    for start in ("2024-03-07T12:00", "2024-10-31T12:00"):
        since_ns = utc(start)
        starts, ends = bucket_edges(since_ns, since_ns + 6 * 86_400 * NS_PER_SECOND, timeframe)
        bars = make_bars([(1.1,) * 4] * len(starts))
        bars["open_ns"], bars["close_ns"] = starts, ends
        clock = FakeClock(since_ns)
        venue = Venue(clock, {"EURUSD": bars})

        got = heard(feed_of(venue, timeframe=timeframe, since_ns=since_ns), clock, seconds=5 * 86_400)

        wanted = [int(end) for end in ends if since_ns < end <= clock.now_ns()]
        assert [instant.close_ns for instant, _ in got] == wanted
        assert all(not instant.missing for instant, _ in got)


def test_a_paced_replay_does_not_wait_out_a_weekend():
    """Friday's last bar, then Sunday's first: two days apart, and no longer awaited than any other bar.

    Seen to fail: without the bound the second bar had not come after 20 s.
    """
    real = FakeClock(0)
    bars = flat_bars(2, 1.1, start="2024-01-12T21:45")
    bars["open_ns"][1] += 2 * 24 * 3600 * NS_PER_SECOND
    bars["close_ns"][1] += 2 * 24 * 3600 * NS_PER_SECOND
    clock = ReplayClock(real, int(bars["open_ns"][0]))

    got = heard(ReplayFeed({"EURUSD": bars}, clock, speed=96.0), real, seconds=20)

    assert [now / NS_PER_SECOND for _, now in got] == [9.375, 18.75]
