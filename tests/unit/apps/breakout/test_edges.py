"""Every edge case of breakout, one test each."""

import numpy as np
import pytest

from tests.unit.apps.breakout.factories import (
    MINUTE,
    codes,
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
from tests.unit.apps.breakout.test_trades import BB, BREAK, STOP, broken
from tradesentry.apps.breakout.filters import last_entry_ns
from tradesentry.apps.breakout.layout import NEW_YORK_SLOT
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.orders import RejectCode
from tradesentry.core.domain.records import CLOCK
from tradesentry.core.strategy.indicators import run
from tradesentry.core.strategy.indicators.opening_range import BAD_WIDTH, INVALID_SESSION, LOW_COVERAGE, LOW_VOLUME
from tradesentry.core.utils.kernel import new_records

MORNING = "2024-06-12T07:30"


def test_slot_walks_through_its_states():
    bars = broken(quiet_bars(), MORNING, (1.1010, 1.1020, 1.1006, 1.1015))

    seen = [
        phase(watch(bars, f"2024-06-12T{at}", sessions=["london"]))
        for at in ("06:30", "07:15", "07:30", "07:45", "08:00", "16:00", "16:15")
    ]

    assert seen == ["IDLE", "BUILDING", "ARMED", "DONE", "IN_TRADE", "DONE", "IDLE"]


def test_mode_london_is_set_until_london_opens():
    bars = quiet_bars()

    assert phase(watch(bars, "2024-06-12T06:30", modes=["london"]), 4) == "SET"
    assert phase(watch(bars, "2024-06-12T07:00", modes=["london"]), 4) == "ARMED"


def test_mode_london_ignores_a_break_before_london_opens():
    # The range ends at 07:00 London; the bar of 07:30 London breaks it and falls back.
    bars = put(quiet_bars(), "2024-06-12T06:30", BREAK)

    assert len(play(bars, modes=["london"]).trade_rows) == 0


@pytest.mark.parametrize(
    ("window", "from_utc"),
    [("london_00_07", "23:00"), ("london_00_08", "23:00"), ("tokyo_09_15", "00:00"), ("london_07_08", "06:00")],
)
def test_mode_london_takes_its_range_from_the_chosen_window(window, from_utc):
    bars = put(quiet_bars(), "2024-06-12T07:00", BREAK)
    hold(bars, "2024-06-12T07:15", "2024-06-12T21:00", 1.1015)

    arena = play(bars, modes=["london"], range_window=window)

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 07:15"]
    found = slot(watch(bars, "2024-06-12T07:00", modes=["london"], range_window=window), 4).range.range
    assert when(found.start_ns)[4:] == from_utc


def test_missing_first_bar_of_the_range_fails_its_coverage():
    bars = without(broken(quiet_bars(), MORNING), "2024-06-12T07:00", "2024-06-12T07:15")

    arena = watch(bars, "2024-06-12T08:00")

    assert (phase(arena), slot(arena).range.reason) == ("REJECTED", LOW_COVERAGE)
    assert len(play(bars).trade_rows) == 0


def test_range_without_bars_is_rejected():
    bars = without(quiet_bars(), "2024-06-12T07:00", "2024-06-12T07:30")

    arena = watch(bars, "2024-06-12T08:00")

    assert phase(arena) == "REJECTED"


def test_break_on_the_bar_that_sets_the_range_from_outside_counts():
    # M5, coverage 5 of 6: the last bar of the range is missing, and the bar that sets it closes above it.
    bars = without(quiet_bars(minutes=5), "2024-06-12T07:25", "2024-06-12T07:30")
    put(bars, MORNING, BREAK)
    hold(bars, "2024-06-12T07:35", "2024-06-12T21:00", 1.1015)

    arena = play(bars)

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 07:35"]


def long_history():
    """Quiet bars of four weeks: ATR_D exists, and is 10 pips."""
    return quiet_bars("2024-05-13T00:00")


def test_spike_in_the_range_fails_the_width_filter():
    bars = long_history()
    spike = put(bars.copy(), "2024-06-12T07:15", (1.1000, 1.1300, 1.0995, 1.1000))
    put(bars, "2024-06-12T02:00", (1.1000, 1.1010, 1.0990, 1.1000))

    # ATR_D is about 10 pips and every range is as wide: 1.0 x ATR_D passes 1.2, 30 x does not.
    calm = watch(bars, "2024-06-12T07:30", w_lo=0.1, w_hi=1.2)
    wild = watch(spike, "2024-06-12T07:30", w_lo=0.1, w_hi=1.2)

    assert phase(calm) == "ARMED"
    assert (phase(wild), slot(wild).range.reason) == ("REJECTED", BAD_WIDTH)


def test_width_filter_refuses_while_atr_d_is_unknown():
    arena = watch(quiet_bars(), "2024-06-12T07:30", w_lo=0.1, w_hi=1.2)

    assert (phase(arena), slot(arena).range.reason) == ("REJECTED", BAD_WIDTH)


def test_low_relative_volume_rejects():
    bars = long_history()
    bars.volume[row_at(bars, "2024-06-12T07:00") : row_at(bars, MORNING)] = 70.0

    low = watch(bars, MORNING, rvol_min=0.8)
    normal = watch(bars, "2024-06-11T07:30", rvol_min=0.8)

    assert slot(low).range.rvol == pytest.approx(0.7)
    assert (phase(low), slot(low).range.reason) == ("REJECTED", LOW_VOLUME)
    assert phase(normal) == "ARMED"


BOTH = (1.1000, 1.1012, 1.0990, 1.1002)
"""Reaches the orders at 1.1006 and 1.0994."""


def test_both_sides_in_one_bar_is_a_full_loss():
    bars = put(quiet_bars(), "2024-06-12T08:00", BOTH)

    arena = play(bars, **STOP)

    trade = arena.trade_rows[0]
    assert len(arena.trade_rows) == 1
    assert trade.r_multiple == pytest.approx(-1.0)
    assert phase(watch(bars, "2024-06-12T08:15", **STOP)) == "DONE"


def test_both_sides_in_one_bar_is_skipped_on_request():
    bars = put(quiet_bars(), "2024-06-12T08:00", BOTH)

    arena = play(bars, **STOP, ambiguous="skip")

    assert len(arena.trade_rows) == 0
    assert RejectCode.AMBIGUOUS_BAR in codes(arena)
    assert phase(watch(bars, "2024-06-12T08:15", **STOP, ambiguous="skip")) == "DONE"


def test_both_sides_in_one_bar_ends_the_session_with_trades_left():
    """Bites: with the reach of the sell order not looked at, the level is traded again at 08:30."""
    bars = put(quiet_bars(), "2024-06-12T08:00", BOTH)
    put(bars, "2024-06-12T08:30", (1.1000, 1.1012, 1.0998, 1.1010))

    assert len(play(bars, **STOP, max_trades=3).trade_rows) == 1
    assert len(play(bars, **STOP, max_trades=3, ambiguous="skip").trade_rows) == 0


def test_position_that_survives_an_ambiguous_bar_is_closed_at_the_next_open():
    bars = put(quiet_bars(), "2024-06-12T08:00", BOTH)

    # The stop is 25 pips away, so neither side's stop lies inside the bar.
    arena = play(bars, **STOP, stop="atr", stop_atr=2.5)

    assert [when(t.exit_ns) for t in arena.trade_rows] == ["Wed 08:15"]


@pytest.mark.parametrize(("close", "side"), [(1.1003, 1), (1.0997, -1)])
def test_ambiguous_bar_loses_on_the_side_that_was_nearer(close, side):
    bars = put(quiet_bars(), "2024-06-12T07:45", (1.1000, 1.1005, 1.0995, close), (close, 1.1012, 1.0990, 1.1000))

    trade = play(bars, **STOP).trade_rows[0]

    assert (when(trade.entry_ns), trade.side) == ("Wed 08:00", side)


def test_order_that_fills_and_stops_inside_a_bar_counts_as_the_trade_of_the_session():
    # It leaves no position behind; at 08:30 the same level is reached again.
    bars = put(quiet_bars(), "2024-06-12T08:00", (1.1000, 1.1012, 1.0995, 1.1000))
    put(bars, "2024-06-12T08:30", (1.1000, 1.1012, 1.0998, 1.1010))

    arena = play(bars, **STOP, stop="mid")

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 08:00"]


def test_stop_orders_follow_the_buffer():
    bars = put(quiet_bars(), "2024-06-12T07:45", (1.1000, 1.1003, 1.0998, 1.1000))

    options = {**STOP, "buf_atr": 0.25}
    first = watch(bars, "2024-06-12T07:30", **options).books[0].seen
    later = watch(bars, "2024-06-12T08:00", **options).books[0].seen

    # A buffer of 0.25 ATR; a bar of 5 pips lowers the ATR from 10 to 9.64 pips, so both orders come nearer by a tick.
    assert [round(o.price, 5) for o in first.orders[:2]] == [1.10075, 1.09925]
    assert [round(o.price, 5) for o in later.orders[:2]] == [1.10074, 1.09926]
    assert (first.n_orders, later.n_orders) == (2, 2)


def test_signal_on_the_last_bar_before_the_cutoff_fills_at_the_next_open():
    bars = put(quiet_bars(), "2024-06-12T09:45", BREAK)
    hold(bars, "2024-06-12T10:00", "2024-06-12T21:00", 1.1015)

    arena = play(bars)

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 10:00"]


def test_signal_on_the_last_bar_before_the_cutoff_is_void_when_the_next_bar_comes_later():
    bars = put(quiet_bars(), "2024-06-12T09:45", BREAK)
    hold(bars, "2024-06-12T10:00", "2024-06-12T21:00", 1.1015)

    arena = play(without(bars, "2024-06-12T10:00", "2024-06-12T10:15"))

    assert len(arena.trade_rows) == 0


def test_break_at_the_cutoff_is_not_traded():
    bars = put(quiet_bars(), "2024-06-12T10:00", BREAK)
    hold(bars, "2024-06-12T10:15", "2024-06-12T21:00", 1.1015)

    assert len(play(bars).trade_rows) == 0


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


def test_opposite_signal_does_not_reverse_on_the_same_day():
    bars = broken(quiet_bars(), MORNING, (1.1010, 1.1010, 1.0985, 1.0990))
    hold(bars, "2024-06-12T08:00", "2024-06-12T21:00", 1.0985)

    arena = play(bars, max_trades=3)

    # Long, stopped at 1.0995; the closes below the range are no reason to sell.
    assert [t.side for t in arena.trade_rows] == [1]


def test_max_trades_allows_another_entry_on_the_same_side():
    bars = broken(quiet_bars(), MORNING, (1.1010, 1.1010, 1.0985, 1.1000), (1.1000, 1.1011, 1.0999, 1.1010))

    arena = play(bars, max_trades=2)

    assert [(when(t.entry_ns), t.side) for t in arena.trade_rows] == [("Wed 07:45", 1), ("Wed 08:15", 1)]


def test_symbol_in_a_trade_is_not_entered_by_another_mode():
    bars = put(quiet_bars(), "2024-06-12T07:00", BREAK, (1.1010, 1.1012, 1.1005, 1.1010))
    hold(bars, "2024-06-12T07:30", "2024-06-12T21:00", 1.1010)
    put(bars, "2024-06-12T08:00", (1.1010, 1.1022, 1.1008, 1.1020))

    arena = play(bars, modes=["orb", "london"])

    # London enters at 07:15; the break of the opening range at 08:00 finds the symbol taken.
    assert [(t.tag, when(t.entry_ns)) for t in arena.trade_rows] == [(5, "Wed 07:15")]


def test_nearest_order_of_two_modes_rests_and_its_fill_cancels_the_other():
    bars = quiet_bars()
    put(bars, "2024-06-12T03:00", (1.1000, 1.1009, 1.0991, 1.1000))

    seen = watch(bars, "2024-06-12T07:30", **STOP, modes=["orb", "london"]).books[0].seen
    alone = watch(bars, "2024-06-12T07:15", **STOP, modes=["orb", "london"]).books[0].seen

    # The night range reaches 1.1009 and 1.0991, the opening range 1.1005 and 1.0995, which is nearer.
    assert sorted((o.tag, round(o.price, 4)) for o in alone.orders[: alone.n_orders]) == [(5, 1.0990), (5, 1.1010)]
    assert sorted((o.tag, round(o.price, 4)) for o in seen.orders[: seen.n_orders]) == [(1, 1.0994), (1, 1.1006)]


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


def test_bb_is_not_entered_outside_its_mask():
    bars = put(quiet_bars(), "2024-06-12T05:00", (1.1000, 1.1021, 1.0999, 1.1020))
    hold(bars, "2024-06-12T05:15", "2024-06-12T21:00", 1.1025)

    # 06:00 London; the later closes outside the bands are not the first ones since the squeeze.
    assert len(play(bars, **BB).trade_rows) == 0


def test_bb_forgets_a_squeeze_after_ten_bars():
    bars = quiet_bars()
    # Closes that swing by 3 pips end the squeeze on their first bar; the burst comes on the eleventh bar after it.
    first = row_at(bars, "2024-06-12T07:00")
    for i in range(12):
        bars.close[first + i] = 1.1003 if i % 2 == 0 else 1.0997
        bars.open[first + i] = 1.1000
    late, early = bars.copy(), bars.copy()
    put(late, "2024-06-12T09:30", (1.1000, 1.1041, 1.0999, 1.1040))
    put(early, "2024-06-12T09:00", (1.1000, 1.1041, 1.0999, 1.1040))
    # The buffer keeps the first swing from being a close outside.
    options = {**BB, "breakout_bar": False, "buf_atr": 0.25}

    n_late = watch(late, "2024-06-12T09:45", **options).books[0].n_queue
    n_early = watch(early, "2024-06-12T09:15", **options).books[0].n_queue

    assert (n_early, n_late) == (1, 0)


def test_bb_leaves_after_the_london_session_at_the_end_of_its_mask():
    bars = put(quiet_bars(), "2024-06-12T17:00", (1.1000, 1.1021, 1.0999, 1.1020))
    hold(bars, "2024-06-12T17:15", "2024-06-12T21:00", 1.1025)

    trade = play(bars, **BB, bb_exit="atr_trail").trade_rows[0]

    assert (when(trade.entry_ns), when(trade.exit_ns)) == ("Wed 17:15", "Wed 19:00")


@pytest.mark.parametrize("mode", ["close", "retest"])
def test_range_and_entry_are_those_of_the_events_api(mode):
    from tests.unit.core.strategy.indicators.series import random_bars

    bars = random_bars(6_000, seed=3, start="2024-04-01T00:00", missing=0.01, step=30)
    bars.spread = 0.0
    options = {"sessions": ["london"], "entry_mode": mode, "buf_atr": 0.05, "timeframe": "M15"}
    run_ = resolve(bars, **options)
    arena = new_arena(run_)
    arena.run()

    atr = {"weekend_tr": "hl"}
    params = {"slot": 0, "entry_mode": mode, "atr": atr, "day_atr": atr}
    said = run("opening_range", params, bars, calendar=run_.markets["calendar"], tick=1e-5)
    entries = said.filter((said["event"] == "ENTRY") & (said["known_index"] >= 96))

    # Trades are fills: refused fills (a data gap, a runaway open) are entries too.
    refused = set(arena.reject_rows.ts_ns.tolist())
    filled = set(arena.trade_rows.entry_ns.tolist())
    expected = set(entries["known_at_ns"].to_list())
    assert filled <= expected
    assert len(expected) - len(filled) <= len(refused)
    assert len(filled) > 20
