"""Whole-table resampling: the buckets of the streaming component, exact on session anchors and clock changes."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.market.fx_bars import DAY, HOUR, MINUTE, bars_at, fx_opens, ns, same_bars, series_of
from tradesentry.core.domain.calendar_records import CLOCK
from tradesentry.core.domain.errors import DataError, UsageError
from tradesentry.core.market.bars import TickSeries, empty_bars
from tradesentry.core.market.resample import bars_from_ticks, bucket_edges, resample_bars, resample_series
from tradesentry.core.market.sessions import fx_days
from tradesentry.core.strategy.config import params_record
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import resample as streaming
from tradesentry.core.utils.kernel import new_records

NEW_YORK = ZoneInfo("America/New_York")
TIMEFRAMES = ("M30", "H1", "H2", "H4", "H8", "D1", "W1")


def holey_bars(seed=1, start="2018-02-20", end="2018-04-05", timeframe="M15"):
    opens = fx_opens(start, end, timeframe)
    return bars_at(opens[np.random.default_rng(seed).random(opens.size) > 0.1], timeframe, seed=seed)


def slow_bucket(open_ns, timeframe):
    """Return the bucket of a bar in plain words: New York wall clocks and date arithmetic."""
    unit, count = timeframe[0], int(timeframe[1:])
    if unit == "M" or timeframe == "H1":
        step = count * (MINUTE if unit == "M" else HOUR)
        return open_ns - open_ns % step, open_ns - open_ns % step + step
    moment = datetime.fromtimestamp(open_ns // 10**9, UTC).astimezone(NEW_YORK)
    day = moment.date() if moment.hour >= 17 else moment.date() - timedelta(days=1)
    while day.weekday() in (4, 5):
        day += timedelta(days=1)
    start = datetime(day.year, day.month, day.day, 17, tzinfo=NEW_YORK)
    if timeframe == "D1":
        return int(start.timestamp()) * 10**9, int((start + timedelta(days=1)).timestamp()) * 10**9
    if timeframe == "W1":
        sunday = start - timedelta(days=(start.weekday() + 1) % 7)
        return int(sunday.timestamp()) * 10**9, int((sunday + timedelta(days=5)).timestamp()) * 10**9
    begin = int(start.timestamp()) * 10**9
    end = int((start + timedelta(days=1)).timestamp()) * 10**9
    at = begin + (open_ns - begin) // (count * HOUR) * count * HOUR
    return at, min(at + count * HOUR, end)


def slow_resample(bars, timeframe):
    groups = defaultdict(list)
    for i in range(bars.size):
        groups[slow_bucket(int(bars.open_ns[i]), timeframe)].append(i)
    rows = []
    for (start, end), members in sorted(groups.items()):
        if end > bars.close_ns[-1]:
            continue
        part = bars[members]
        rows.append(
            (
                start,
                end,
                part.open[0],
                part.high.max(),
                part.low.min(),
                part.close[-1],
                part.volume.sum(),
                part.spread.mean(),
            )
        )
    return rows


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_buckets_equal_a_slow_calendar_across_the_change_to_summer_time(timeframe):
    bars = holey_bars()

    fast = resample_bars(bars, timeframe)

    slow = slow_resample(bars, timeframe)
    assert fast.size == len(slow)
    for bar, row in zip(fast, slow, strict=True):
        assert bar.tolist() == pytest.approx(row, rel=1e-12)
        assert (bar.open_ns, bar.close_ns) == row[:2]


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), timeframe=st.sampled_from(TIMEFRAMES))
def test_a_bucket_never_knows_a_later_bar(seed, timeframe):
    bars = holey_bars(seed, "2018-03-05", "2018-03-20")
    cut = int(np.random.default_rng(seed).integers(10, bars.size))

    whole, prefix = resample_bars(bars, timeframe), resample_bars(bars[:cut], timeframe)

    known = whole[whole.close_ns <= bars.close_ns[cut - 1]]
    assert same_bars(prefix, known)


def test_a_bucket_whose_last_bars_are_missing_appears_with_the_next_bar():
    bars = bars_at(np.array([ns("2024-01-02 10:00"), ns("2024-01-02 10:15"), ns("2024-01-02 11:00")]), "M15")

    assert resample_bars(bars[:2], "H1").size == 0
    assert resample_bars(bars, "H1").close_ns.tolist() == [ns("2024-01-02 11:00")]


def test_a_day_of_summer_and_a_day_of_winter_end_at_17_new_york():
    bars = bars_at(fx_opens("2018-03-05", "2018-03-17", "M15"), "M15")

    days = resample_bars(bars, "D1")

    assert ns("2018-03-08 22:00") in days.close_ns
    assert ns("2018-03-12 21:00") in days.close_ns
    assert set(np.diff(days.close_ns)) == {DAY, 3 * DAY - HOUR}


@given(
    first=st.integers(ns("1990-01-01") // MINUTE, ns("2030-01-01") // MINUTE),
    length=st.integers(0, 20_000_000),
    timeframe=st.sampled_from(["M5", "H1", "H4", "D1", "W1"]),
)
@settings(max_examples=60)
def test_buckets_cover_every_moment_of_a_period_however_long(first, length, timeframe):
    """Times are near 2e18 ns, where float64 steps by 256; the last bucket was once lost to that."""
    last = (first + length) * MINUTE

    starts, ends = bucket_edges(first * MINUTE, last, timeframe, is_always_open=True)

    holds_last = int(np.searchsorted(starts, last, side="right")) - 1
    assert starts[0] <= first * MINUTE
    assert starts[holds_last] <= last < ends[holds_last]
    assert np.array_equal(starts[1:], ends[:-1])


def test_four_hours_count_from_the_fx_day_or_from_utc():
    bars = bars_at(fx_opens("2018-07-02", "2018-07-04", "M15"), "M15")

    assert set((resample_bars(bars, "H4").open_ns // HOUR) % 4) == {1}
    assert set((resample_bars(bars, "H4", anchor="utc").open_ns // HOUR) % 4) == {0}


def test_bars_in_the_weekend_gap_count_to_monday():
    opens = np.concatenate([[ns("2024-01-07 20:45")], fx_opens("2024-01-07", "2024-01-12", "M15")])
    bars = bars_at(opens, "M15")

    first = resample_bars(bars, "D1", is_always_open=False)[0]

    assert (first.open_ns, first.close_ns) == (ns("2024-01-07 22:00"), ns("2024-01-08 22:00"))
    assert first.open == bars.open[0]


def test_a_market_that_never_closes_has_seven_days_and_short_and_long_ones():
    hours = np.arange(ns("2018-03-05 22:00"), ns("2018-03-20 21:00"), HOUR)

    days = resample_bars(bars_at(hours), "D1")

    lengths = days.close_ns - days.open_ns
    assert days.size == 15
    assert sorted(set(lengths)) == [23 * HOUR, 24 * HOUR]


@pytest.mark.parametrize(
    ("period", "timeframe"), [("minutes", "H1"), ("h4", "H4"), ("fx_day", "D1"), ("fx_week", "W1")]
)
def test_buckets_are_those_that_strategies_see_bar_by_bar_to_the_last_bit(period, timeframe):
    bars = holey_bars(start="2018-10-20", end="2018-11-20")
    params = params_record(streaming.ResampleParams(period=period, minutes=60))[0]
    state, clock = new_records(1, streaming.STATE)[0], new_records(1, CLOCK)[0]
    buffer = new_records(1, ev.events_dtype(16))[0]
    streaming.reset(state)
    days = fx_days(int(bars.open_ns[0]), int(bars.open_ns[-1]))
    seen = empty_bars(bars.size)
    n_seen = 0

    for index, bar in enumerate(bars):
        day = days[np.searchsorted(days["end_ns"], bar.open_ns, side="right")]
        clock.fx_day_start_ns, clock.fx_day_end_ns = day["start_ns"], day["end_ns"]
        clock.week_end_ns = day["week_end_ns"]
        ev.begin(buffer, index, bar.close_ns)
        streaming.update(params, state, bar, clock, buffer)
        for i in range(state.n_new):
            seen[n_seen] = state.new[i]
            n_seen += 1

    assert n_seen > 3
    assert same_bars(seen[:n_seen], resample_bars(bars, timeframe))


def test_provenance_says_what_a_series_was_built_from():
    series = series_of(bars_at(fx_opens("2024-01-02", "2024-01-10", "M15"), "M15"), "M15")

    built = resample_series(series, "4h")

    assert built.timeframe == "H4"
    assert built.provenance["resampled_from"] == "M15"
    assert built.provenance["resampled_checksum"] == series.checksum


@pytest.mark.parametrize("timeframe", ["M15", "M5", "M20"])
def test_a_timeframe_that_is_no_multiple_is_refused(timeframe):
    series = series_of(bars_at(fx_opens("2024-01-02", "2024-01-03", "M15"), "M15"), "M15")

    with pytest.raises(DataError, match="cannot be built from M15"):
        resample_series(series, timeframe)


def test_a_length_that_does_not_tile_the_day_is_refused():
    with pytest.raises(UsageError, match="divides the hour or the day"):
        resample_bars(bars_at(fx_opens("2024-01-02", "2024-01-03")), "H5")


def test_ticks_become_bid_bars_with_their_mean_spread_and_count():
    at = ns("2024-01-02 10:00") + np.array([0, 10, 59, 60, 200]) * 10**9
    bid, ask = np.array([1.1, 1.3, 1.2, 1.0, 1.1]), np.array([1.2, 1.3, 1.5, 0.9, 1.2])
    ticks = TickSeries(at, bid, ask, np.zeros(5), np.zeros(5), "EURUSD", "test")

    bars = bars_from_ticks(ticks, "M1").bars

    assert bars.open_ns.tolist() == [at[0], at[3], at[0] + 180 * 10**9]
    assert [bars[0].open, bars[0].high, bars[0].low, bars[0].close] == [1.1, 1.3, 1.1, 1.2]
    assert bars.volume.tolist() == [3.0, 1.0, 1.0]
    assert bars.spread == pytest.approx([(0.1 + 0.0 + 0.3) / 3, 0.0, 0.1])
