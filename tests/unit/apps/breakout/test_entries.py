"""Edge cases of entries: both sides in one bar, the cutoff, one trade at a time."""

import pytest

from tests.unit.apps.breakout.factories import (
    codes,
    hold,
    phase,
    play,
    put,
    quiet_bars,
    watch,
    when,
    without,
)
from tests.unit.apps.breakout.test_trades import BREAK, STOP, broken
from tradesentry.core.domain.orders import RejectCode

MORNING = "2024-06-12T07:30"


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
