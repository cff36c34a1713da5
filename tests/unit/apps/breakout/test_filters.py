"""Edge cases of filters: spread, the breakout bar, direction, contraction."""

import pytest

from tests.unit.apps.breakout.factories import (
    MINUTE,
    codes,
    hold,
    play,
    put,
    quiet_bars,
    row_at,
    watch,
    when,
)
from tests.unit.apps.breakout.test_trades import BREAK, broken
from tradesentry.core.domain.orders import RejectCode

MORNING = "2024-06-12T07:30"


def long_history():
    """Quiet bars of four weeks: ATR_D exists, and is 10 pips."""
    return quiet_bars("2024-05-13T00:00")


def test_spread_above_its_share_of_the_stop_distance_keeps_out():
    bars = broken(quiet_bars(), MORNING)
    bars.spread = 0.0002

    # Stop 17 pips away from the ask: a tenth is 1.7 pips, under the 2 pips of the spread; an eighth is 2.1.
    assert watch(bars, "2024-06-12T07:45", spread_frac=0.1).books[0].n_queue == 0
    assert watch(bars, "2024-06-12T07:45", spread_frac=0.125).books[0].n_queue == 1


def test_spread_above_max_spread_keeps_out_without_using_up_the_session():
    bars = broken(quiet_bars(), MORNING, (1.1010, 1.1020, 1.1006, 1.1015))
    bars.spread[row_at(bars, MORNING)] = 0.0003

    arena = play(bars, max_spread=2.0)

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 08:00"]


@pytest.mark.parametrize(
    ("bar", "is_taken"),
    [
        ((1.1000, 1.1011, 1.0999, 1.1010), True),
        ((1.1007, 1.1011, 1.0999, 1.1010), False),  # body of 3 in a range of 12 pips
        ((1.0996, 1.1018, 1.0996, 1.1010), False),  # close 8 of 22 pips below the high
        ((1.0996, 1.1024, 1.0996, 1.1024), False),  # 28 pips are more than 2.5 ATR
    ],
)
def test_breakout_bar_must_convince(bar, is_taken):
    bars = put(quiet_bars(), MORNING, bar)
    hold(bars, "2024-06-12T07:45", "2024-06-12T21:00", bar[3], reach=0.0)
    hold(bars, "2024-06-12T07:45", "2024-06-12T08:00", 1.1003)

    arena = watch(bars, "2024-06-12T08:00", breakout_bar=True)

    assert (int(arena.account.next_id[0]) == 1 or RejectCode.OPEN_TOO_FAR in codes(arena)) is is_taken


@pytest.mark.parametrize(("close", "side"), [(1.1003, 1), (1.0997, -1), (1.1000, 0)])
def test_or_candle_allows_its_own_direction_and_a_doji_none(close, side):
    bars = quiet_bars()
    put(bars, "2024-06-12T07:15", (1.1000, 1.1005, 1.0995, close))
    put(bars, MORNING, BREAK)
    hold(bars, "2024-06-12T07:45", "2024-06-12T21:00", 1.1015)

    arena = play(bars, direction="or_candle")

    assert len(arena.trade_rows) == (1 if side == 1 else 0)


def test_htf_allows_only_the_side_of_the_trend():
    # Seven weeks that rise by a pip an hour, then a break down and a break up on one day.
    bars = quiet_bars("2024-04-22T00:00")
    hours = (bars.open_ns - bars.open_ns[0]) // (60 * MINUTE)
    for name in ("open", "high", "low", "close"):
        bars[name] += hours * 1e-4
    last = row_at(bars, MORNING)
    base = float(bars.close[last])
    bars.close[last], bars.low[last] = base - 0.0012, base - 0.0013
    other = bars.copy()
    other.close[last], other.high[last] = base + 0.0012, base + 0.0013
    other.low[last] = base - 0.0005

    down = watch(bars, "2024-06-12T07:45", direction="htf")
    up = watch(other, "2024-06-12T07:45", direction="htf")

    assert down.books[0].n_queue == 0
    assert [up.books[0].queue[i].side for i in range(up.books[0].n_queue)] == [1]


def test_trend_does_not_see_the_unfinished_hour():
    bars = quiet_bars("2024-04-22T00:00")
    wild = bars.copy()
    # The hour from 07:00 is not over at 07:45; whatever happens in it, the averages have not moved.
    put(wild, "2024-06-12T07:00", (1.1000, 1.1500, 1.0500, 1.1400), (1.1400, 1.1500, 1.0500, 1.0600))

    calm = watch(bars, "2024-06-12T07:45", direction="htf").lanes[0].state[0].trend
    moved = watch(wild, "2024-06-12T07:45", direction="htf").lanes[0].state[0].trend
    later = watch(wild, "2024-06-12T08:00", direction="htf").lanes[0].state[0].trend

    assert (calm.fast.n, calm.fast.value, calm.trend) == (moved.fast.n, moved.fast.value, moved.trend)
    assert later.fast.n == moved.fast.n + 1


def narrowed(days):
    """Quiet weeks whose FX day that ends on 11 June has the given ranges before it, widest first."""
    bars = long_history()
    for day, pips in days.items():
        put(bars, f"{day}T02:00", (1.1000, 1.1000 + pips * 1e-4, 1.1000 - pips * 1e-4, 1.1000))
    return put(bars, MORNING, BREAK)


@pytest.mark.parametrize("contraction", ["nr4", "nr7"])
def test_narrow_range_day_is_needed_before_a_break(contraction):
    n = int(contraction[2:])
    wide = {f"2024-06-{day:02d}": 30 for day in (10, 7, 6, 5, 4, 3)[: n - 1]}
    bars = narrowed(wide)
    hold(bars, "2024-06-12T07:45", "2024-06-12T21:00", 1.1015)
    rival = put(bars.copy(), "2024-06-06T03:00" if n == 7 else "2024-06-07T03:00", (1.1, 1.1, 1.1, 1.1))

    taken = play(bars, contraction=contraction)
    equal = play(put(rival, "2024-06-11T03:00", (1.1000, 1.1030, 1.0970, 1.1000)), contraction=contraction)

    # 11 June has 10 pips, the days before it 60. With 60 of its own it is not the narrowest, equality included.
    assert "Wed 07:45" in [when(t.entry_ns) for t in taken.trade_rows]
    assert "Wed 07:45" not in [when(t.entry_ns) for t in equal.trade_rows]


def test_inside_day_is_needed_before_a_break():
    bars = narrowed({"2024-06-10": 30})
    hold(bars, "2024-06-12T07:45", "2024-06-12T21:00", 1.1015)
    outside = put(bars.copy(), "2024-06-11T03:00", (1.1000, 1.1040, 1.0970, 1.1000))

    assert len(play(bars, contraction="inside_day").trade_rows) == 1
    assert len(play(outside, contraction="inside_day").trade_rows) == 0


def test_stretch_moves_the_trigger_away_from_the_open():
    # The mean of min(H - O, O - L) over ten days of +-10 pips is 10 pips: a close must lie above 1.1010, not 1.1005.
    bars = long_history()
    for day in range(1, 12):
        if (day + 5) % 7 < 5:
            put(bars, f"2024-06-{day:02d}T02:00", (1.1000, 1.1010, 1.0990, 1.1000))
    for day in (27, 28, 29, 30, 31):
        put(bars, f"2024-05-{day:02d}T02:00", (1.1000, 1.1010, 1.0990, 1.1000))
    at_edge = put(bars.copy(), MORNING, (1.1000, 1.1011, 1.0999, 1.1009))
    beyond = put(bars.copy(), MORNING, (1.1000, 1.1012, 1.0999, 1.1011))

    assert watch(at_edge, "2024-06-12T07:45", contraction="stretch").books[0].n_queue == 0
    assert watch(beyond, "2024-06-12T07:45", contraction="stretch").books[0].n_queue == 1
