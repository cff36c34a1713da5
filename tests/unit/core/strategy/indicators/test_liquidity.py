"""Liquidity pools: hand-checked cases and the slow version.

Hand-checked bars have their high 1 above and their low 1 below a price, open and close at it, and pivots of one bar a
side. `HIGH` makes the pivot high of 15 on bar 1, a pool from bar 2 on.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.indicators import oracles as table_oracles
from tests.unit.core.strategy.indicators import structure_oracles as oracles
from tests.unit.core.strategy.indicators.series import calendar_of, make_bars, ns, random_bars
from tests.unit.core.strategy.indicators.structure_oracles import plain
from tradesentry.core.market.sessions import fx_days, session_bounds
from tradesentry.core.strategy.indicators import run, stream
from tradesentry.core.strategy.indicators.liquidity import LiquidityParams

ONE = {"left_bars": 1, "right_bars": 1}
HIGH = (10.0, 14.0, 11.0)
Bar = tuple[float, float, float, float]


def path(*prices: float | Bar) -> Any:
    """Return bars around prices; a tuple is a bar as it stands."""
    return make_bars([p if isinstance(p, tuple) else (p, p + 1.0, p - 1.0, p) for p in prices])


def say(*prices: float | Bar, side: int = 1, capacity: int = 64, **params: Any) -> list[tuple[Any, ...]]:
    """Return (event, direction, id, origin_index, known_index, price, other_price, other_index, value) of one side.

    `side` is that of the pool: +1 for high pools.
    """
    frame = run("liquidity", {"pivots": ONE, "eq_atr": 0.0, **params}, path(*prices), capacity=capacity)
    rows = plain(
        frame.select(
            "event", "direction", "id", "origin_index", "known_index", "price", "other_price", "other_index", "value"
        )
    )
    return [row for row in rows if row[1] == (-side if row[0] == "SWEEP" else side)]


NEW = ("POOL_NEW", 1, 1, 1, 2, 15.0, None, -1, 1.0)


def test_a_confirmed_pivot_makes_a_pool():
    assert say(*HIGH) == [NEW]


def test_a_high_that_equals_the_level_does_not_pierce_it():
    assert say(*HIGH, (13.0, 15.0, 12.0, 13.0), reclaim=0) == [NEW]


def test_a_bar_that_pierces_and_closes_back_sweeps():
    # High 16 is above 15, close 14 below it: known on bar 3, which is also bar a; the reversal is downward.
    said = say(*HIGH, (13.0, 16.0, 12.0, 14.0), reclaim=0)

    assert said == [NEW, ("SWEEP", -1, 1, 1, 3, 15.0, 16.0, 3, None)]


def test_the_mirror_of_a_sweep_expects_a_rise():
    # Prices 20 less: the pivot low of bar 1 is 5, pierced to 4 and left at 6.
    said = say(10.0, 6.0, 9.0, (7.0, 8.0, 4.0, 6.0), side=-1)

    assert said[-1] == ("SWEEP", 1, 1, 1, 3, 5.0, 4.0, 3, None)


def test_the_bar_after_may_still_reclaim():
    # Bar 3 closes above 15, bar 4 below: the extreme is the highest high since bar 3.
    said = say(*HIGH, (13.0, 16.0, 12.0, 15.5), (15.5, 16.5, 14.0, 14.5))

    assert said[1] == ("SWEEP", -1, 1, 1, 4, 15.0, 16.5, 3, None)


def test_a_close_at_the_level_is_not_back_inside():
    beyond = (13.0, 16.0, 12.0, 15.0)

    assert say(*HIGH, beyond, reclaim=0)[1] == ("POOL_BREAK", 1, 1, 1, 3, 15.0, 16.0, 3, None)
    assert say(*HIGH, beyond, (15.0, 15.5, 14.5, 15.0), reclaim=1)[1][0] == "POOL_BREAK"


def test_a_pool_that_is_not_reclaimed_in_time_is_broken_then_and_ends_once():
    above = (15.5, 16.0, 15.2, 15.5)

    said = say(*HIGH, above, above, above, 13.0, reclaim=2)

    # Pierced on bar 3, known broken on bar 5 = 3 + 2. The pivots that follow are other pools.
    assert [row for row in said if row[2] == 1] == [NEW, ("POOL_BREAK", 1, 1, 1, 5, 15.0, 16.0, 3, None)]


@pytest.mark.parametrize(("high", "event"), [(16.5, "SWEEP"), (16.0, "SWEEP"), (15.9, None)])
def test_a_least_depth_is_reached_or_nothing_is_pierced(high: float, event: str | None):
    # Bar 2 spans 10..12 after a close of 14, so ATR(1) is 4; a quarter of it is 1, and 16 reaches it.
    said = say(*HIGH, (13.0, high, 12.0, 14.0), depth_atr=0.25, atr={"n_bars": 1})

    assert [row[0] for row in said if row[2] == 1] == ["POOL_NEW", *([event] if event else [])]


def test_nothing_is_pierced_while_the_atr_of_the_depth_does_not_exist():
    assert say(*HIGH, (13.0, 16.0, 12.0, 14.0), depth_atr=0.25) == [NEW]


# Bars 1 and 3 have highs of 15 and 14.5, nothing else is a pivot high. On bar 4, where the second one is known, the
# true range is 13.5 - 10 = 3.5, and so is ATR(1).
TWO = (10.0, 14.0, 11.0, 13.5, 11.0)


def test_a_pivot_near_a_pool_joins_it():
    said = say(*TWO, eq_atr=0.25, atr={"n_bars": 1})

    # A quarter of 3.5 is 0.875, more than 0.5; the outermost of 15 and 14.5 is 15.
    assert said == [NEW, ("POOL_JOIN", 1, 1, 3, 4, 15.0, None, -1, 2.0)]


def test_a_pivot_further_away_makes_a_pool_of_its_own():
    said = say(*TWO, eq_atr=0.1, atr={"n_bars": 1})

    # Id 2 is the low of bar 2.
    assert said[1] == ("POOL_NEW", 1, 3, 3, 4, 14.5, None, -1, 1.0)


@pytest.mark.parametrize(("eq_atr", "event"), [(0.125, "POOL_JOIN"), (0.1249, "POOL_NEW")])
def test_a_pivot_at_exactly_the_tolerance_joins(eq_atr: float, event: str):
    # The last bar spans 9.5..11.5 after a close of 13.5: a true range of 4, an eighth of which is 0.5.
    said = say(*TWO[:4], 10.5, eq_atr=eq_atr, atr={"n_bars": 1})

    assert said[1][0] == event


def test_a_pivot_that_joins_from_further_out_moves_the_level():
    # Bar 3 reaches 15.5, half of one beyond 15: too shallow to pierce, for a quarter of ATR(1) = 14 - 10 on bar 2 is 1.
    # On bar 4 the true range is 14.5 - 10 = 4.5; an eighth of it is 0.5625.
    said = say(10.0, 14.0, 11.0, 14.5, 11.0, eq_atr=0.125, depth_atr=0.25, atr={"n_bars": 1})

    assert said == [NEW, ("POOL_JOIN", 1, 1, 3, 4, 15.5, None, -1, 2.0)]


def test_without_an_atr_or_a_tolerance_even_equal_pivots_stay_apart():
    equal = (10.0, 14.0, 11.0, 14.0, 11.0)

    assert [row[0] for row in say(*equal, eq_atr=2.0)] == ["POOL_NEW", "POOL_NEW"]
    assert [row[0] for row in say(*equal, eq_atr=0.0, atr={"n_bars": 1})] == ["POOL_NEW", "POOL_NEW"]


def test_of_two_pools_the_nearer_is_joined():
    # Highs of 17 (bar 1) and 15 (bar 3) are 2 apart: on bar 4 the tolerance is 0.4 x (14 - 10) = 1.6. The high of 15 on
    # bar 5 is within 0.4 x (14 - 8.5) = 2.2 of both; the second pool, id 3, is nearer.
    said = say(10.0, 16.0, 11.0, 14.0, 11.0, 14.0, (9.0, 10.0, 8.5, 9.0), eq_atr=0.4, atr={"n_bars": 1})

    assert [row[:6] for row in said] == [
        ("POOL_NEW", 1, 1, 1, 2, 17.0),
        ("POOL_NEW", 1, 3, 3, 4, 15.0),
        ("POOL_JOIN", 1, 3, 5, 6, 15.0),
    ]


def test_a_pierced_pool_takes_no_pivot():
    # Bar 3 pierces 15 and is itself the pivot high of 16, known on bar 4, when the pool still waits for bar 5 or 6.
    # With a tolerance that reaches, it makes a pool of its own (2 is a low); bar 5 closes back inside the first.
    said = say(
        *HIGH, (13.0, 16.0, 12.0, 15.5), (15.5, 15.8, 15.0, 15.2), 14.0, eq_atr=2.0, reclaim=3, atr={"n_bars": 1}
    )

    assert [row[:3] + row[4:6] for row in said[1:]] == [("POOL_NEW", 1, 3, 4, 16.0), ("SWEEP", -1, 1, 5, 15.0)]


def test_a_full_side_drops_its_oldest_pool():
    # Highs of 15 on bar 1 and 14 on bar 3: the second pool pushes the first out of a side of one.
    said = say(10.0, 14.0, 11.0, 13.0, 10.5, capacity=1)

    assert said == [
        NEW,
        ("POOL_DROPPED", 1, 1, 1, 4, 15.0, None, -1, 1.0),
        ("POOL_NEW", 1, said[-1][2], 3, 4, 14.0, None, -1, 1.0),
    ]


def test_older_pools_end_first_and_highs_before_lows():
    # Highs of 15 (bar 1) and 14.5 (bar 3), lows of 9 (bar 2) and 9.5 (bar 4); bar 6 spans everything and closes at 12.
    bars = path(12.0, 14.0, 10.0, 13.5, 10.5, 12.0, (12.0, 16.0, 8.0, 12.0))

    frame = run("liquidity", {"pivots": ONE, "eq_atr": 0.0}, bars)

    ends = plain(frame.filter(frame["known_index"] == 6).select("event", "direction", "price"))
    assert [row for row in ends if row[0] == "SWEEP"] == [
        ("SWEEP", -1, 15.0),
        ("SWEEP", -1, 14.5),
        ("SWEEP", 1, 9.0),
        ("SWEEP", 1, 9.5),
    ]


def test_a_pool_waits_over_a_gap_of_data_and_counts_bars_received():
    bars = path(*HIGH, (13.0, 16.0, 12.0, 15.5), 14.0)
    bars.open_ns[4:] += 5 * 86_400_000_000_000
    bars.close_ns[4:] += 5 * 86_400_000_000_000

    frame = run("liquidity", {"pivots": ONE, "eq_atr": 0.0}, bars)

    assert "SWEEP" in frame.filter(frame["known_index"] == 4)["event"].to_list()


def test_a_pierced_pool_survives_a_restart():
    bars = path(*HIGH, (13.0, 16.0, 12.0, 15.5), 14.0)
    params = {"pivots": ONE, "eq_atr": 0.0}
    running, restored = stream("liquidity", params), stream("liquidity", params)
    running.feed(bars[:4])

    restored.restore(running.save())

    assert restored.push(bars[4])[0]["event"] == "SWEEP"


def test_high_and_low_of_a_session_are_pools_when_it_ends():
    # The window holds bars 1 and 2 and ends with bar 2: high 15, low 10. Bar 3 pierces the high and closes back.
    window = (ns("2024-01-08T08:15"), ns("2024-01-08T08:45"))
    params = {"sources": ("sessions",), "sessions": {"windows": (window,)}}

    frame = run("liquidity", params, path(10.0, 14.0, 11.0, (13.0, 16.0, 12.0, 14.0)))

    assert plain(frame.select("event", "direction", "origin_index", "origin_ns", "known_index", "price")) == [
        ("POOL_NEW", 1, 1, window[0], 2, 15.0),
        ("POOL_NEW", -1, 1, window[0], 2, 10.0),
        ("SWEEP", -1, 1, window[0], 3, 15.0),
    ]


def test_an_invalid_session_makes_no_pool():
    # London on New Year's Day.
    bars = make_bars([(1.1, 1.1, 1.1, 1.1)] * 40, start="2024-01-01T08:00")

    frame = run("liquidity", {"sources": ("sessions",)}, bars, calendar=calendar_of("london"))

    assert frame.height == 0


def test_a_day_and_a_week_that_end_together_make_four_pools():
    bars = make_bars([(1.1, 1.2, 1.0, 1.1)] * 12, start="2024-01-12T12:00", minutes=60)

    frame = run("liquidity", {"sources": ("fx_day", "fx_week")}, bars, calendar=calendar_of())

    # Friday 22:00 UTC is the end of bar 9; the week and the day began before the bars, with 1.0 to 1.2 since.
    assert plain(frame.select("direction", "known_index", "price")) == [(1, 9, 1.2), (-1, 9, 1.0)] * 2


def test_without_a_calendar_only_pivots_are_pools():
    everything = run("liquidity", {"pivots": ONE}, random_bars(300))
    pivots = run("liquidity", {"pivots": ONE, "sources": ("pivots",)}, random_bars(300))

    assert everything.equals(pivots)


def _candidates(bars: Any, params: LiquidityParams) -> list[tuple[int, int, float, int, bool]]:
    """Return (known, side, level, origin, may it join) of all sources, in the order in which they are taken."""
    sides = (params.pivots.left_bars, params.pivots.right_bars)
    rows = [(t, 0, i, (side, price, p, True)) for i, (t, side, p, price) in enumerate(oracles.pivots(bars, *sides))]
    first, last = ns("2024-01-01"), ns("2024-03-01")
    days = fx_days(first, last)
    ends = sorted({int(day["week_end_ns"]) for day in days})
    intervals = [
        table_oracles.buckets(bars, [(int(day["start_ns"]), int(day["end_ns"])) for day in days]),
        table_oracles.buckets(bars, [(end - 5 * table_oracles.DAY_NS, end) for end in ends]),
    ]
    for session in ("london", "new_york"):
        bounds = session_bounds_of(session, first, last)
        found = table_oracles.session_ranges(bars, bounds, params.sessions.min_coverage)
        intervals.append([row for row in found if row["event"] == "SESSION_SET"])
    for k, found in enumerate(intervals):
        for row in found:
            for side, name in ((1, "price_high"), (-1, "price_low")):
                rows.append((row["known_index"], k + 1, -side, (side, row[name], row["origin_index"], False)))
    rows.sort(key=lambda row: row[:3])
    return [(t, *rest) for t, _, _, rest in rows]


def session_bounds_of(session: str, first: int, last: int) -> list[tuple[int, int, bool]]:
    """Return the bounds of a session on every weekday, none a holiday."""
    dates = np.arange(np.datetime64(first, "ns").astype("M8[D]"), np.datetime64(last, "ns").astype("M8[D]"))
    weekdays = [date.item() for date in dates if np.is_busday(date)]
    return [(*session_bounds(date, session), True) for date in weekdays]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000), right=st.integers(1, 3), step=st.integers(1, 4), reclaim=st.integers(0, 3),
    eq_atr=st.sampled_from([0.0, 0.5, 1.0]), depth=st.sampled_from([0.0, 0.3]), capacity=st.sampled_from([2, 64]),
)  # fmt: skip
def test_pools_of_pivots_equal_their_second_version(
    seed: int, right: int, step: int, reclaim: int, eq_atr: float, depth: float, capacity: int
):
    """Fails when a touch pierces, when a close at the level reclaims, when pools of this bar are judged on it, or when
    the nearest level is not found anew after a pool ends (all tried)."""
    bars = random_bars(120, seed, step=step)
    sides = {"left_bars": 2, "right_bars": right}
    atr = oracles.atrs(bars, 3)

    frame = run(
        "liquidity", {"pivots": sides, "reclaim": reclaim, "eq_atr": eq_atr, "depth_atr": depth, "atr": {"n_bars": 3}},
        bars, capacity=capacity,
    )  # fmt: skip

    candidates = [(t, side, price, p, True) for t, side, p, price in oracles.pivots(bars, 2, right)]
    expected = oracles.liquidity(
        bars, candidates, eq_atr=eq_atr, reclaim=reclaim, depth=depth, atr=atr, capacity=capacity
    )
    assert _rows(frame) == plain(expected)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000), missing=st.floats(0, 0.25))
def test_pools_of_all_sources_equal_their_second_version(seed: int, missing: float):
    # From 16 January to the middle of February no London or New York session falls on a holiday.
    bars = random_bars(300, seed, start="2024-01-16T22:00", minutes=60, missing=missing)
    params = LiquidityParams(eq_atr=0.3)

    frame = run("liquidity", params, bars, calendar=calendar_of("london", "new_york"))

    expected = oracles.liquidity(
        bars, _candidates(bars, params), eq_atr=0.3, reclaim=1, depth=0.0, atr=oracles.atrs(bars, 14)
    )
    assert _rows(frame) == plain(expected)


def _rows(frame: Any) -> list[tuple[Any, ...]]:
    names = (
        "event", "direction", "id", "origin_index", "known_index", "price", "other_price", "other_index", "value"
    )  # fmt: skip
    return plain(frame.select(names))
