"""Baskets worked out by hand on the zone of `factories`: fills, averages, targets, stops, time, and money."""

import numpy as np
import pytest

from tests.unit.apps.smgrid.factories import (
    ATR,
    LEVELS,
    STOP,
    UNITS,
    basket,
    codes,
    orders,
    play,
    positions,
    put,
    upside_down,
    watch,
    zone_bars,
)
from tradesentry.apps.smgrid.layout import Phase
from tradesentry.core.domain.orders import ExitReason, RejectCode

TWO = (1.1005, 1.1006, 1.09775, 1.0979)
"""Trades a tick through 1.0980 and 1.0978 and reaches 1.1006, far beyond any target."""
PIP = 1e-4
TARGET_2 = 1.09838
"""(1.0980 + 1.0978) / 2 + 4.779 pips = 1.098378."""


def rests(bars, text="2024-06-12T10:15", **config):
    return orders(watch(bars, text, **config))


def test_five_levels_rest_in_equal_steps_from_proximal_to_distal():
    arena = watch(zone_bars(), "2024-06-12T10:00")

    assert orders(arena) == [(i + 1, pytest.approx(p), UNITS) for i, p in enumerate(LEVELS)]
    assert [float(o.stop_loss) for o in arena.books[0].seen.orders[:5]] == [pytest.approx(STOP)] * 5
    # 214,000 x 35 pips = 749 of the 750 allowed.
    assert basket(arena).worst == pytest.approx(749.0)
    assert basket(arena).allowed == pytest.approx(750.0)
    assert basket(arena).atr == pytest.approx(ATR)


def test_order_of_each_level_carries_the_target_of_the_average_up_to_it():
    arena = watch(zone_bars(), "2024-06-12T10:00")

    targets = {int(o.tag): float(o.take_profit) for o in arena.books[0].seen.orders[:5]}
    # Averages 1.0980, 1.0979, 1.0978, 1.0977, 1.0976, each 4.779 pips below its target.
    assert targets == {i + 1: pytest.approx(1.0980 - i * PIP + 0.4 * ATR, abs=5e-6) for i in range(5)}


def test_positions_move_to_the_new_target_at_the_close_of_the_bar_that_filled():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO)

    arena = watch(bars, "2024-06-12T10:30")

    assert [(int(p.tag), float(p.entry_price)) for p in positions(arena)] == [(1, 1.0980), (2, 1.0978)]
    assert [float(p.take_profit) for p in positions(arena)] == [pytest.approx(TARGET_2)] * 2
    assert len(orders(arena)) == 3


def test_bar_that_fills_gives_no_target():
    # The bar of TWO reaches 1.1006 and leaves both positions open.
    arena = watch(put(zone_bars(), "2024-06-12T10:15", TWO), "2024-06-12T10:30")

    assert len(arena.trade_rows) == 0
    assert len(positions(arena)) == 2


def test_basket_wins_at_one_price():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO, (1.0979, 1.0990, 1.09785, 1.0985))

    arena = play(bars)

    # 3.8 and 5.8 pips: 214,000 x 0.00096 = 205.44.
    trades = arena.trade_rows
    assert trades.exit_price.tolist() == [pytest.approx(TARGET_2)] * 2
    assert {int(r) for r in trades.exit_reason} == {ExitReason.TAKE_PROFIT}
    assert trades.net.sum() == pytest.approx(205.44)
    assert {int(b) for b in trades.basket} == {1}
    assert arena.books[0].seen.n_orders == 0


def test_levels_that_are_left_are_cancelled_when_the_basket_ends():
    """Bites: without the cancel, three levels go on resting and a second basket comes on top of them."""
    bars = put(zone_bars(), "2024-06-12T10:15", TWO, (1.0979, 1.0990, 1.09785, 1.0985))

    arena = watch(bars, "2024-06-12T10:45")

    assert len(arena.trade_rows) == 2
    assert orders(arena) == []


def test_basket_without_a_target_on_its_third_fill_averages_down_its_target():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO, (1.0979, 1.0980, 1.0975, 1.0977))

    arena = watch(bars, "2024-06-12T10:45")

    # (1.0980 + 1.0978 + 1.0976) / 3 + 4.779 pips = 1.098278.
    assert [float(p.take_profit) for p in positions(arena)] == [pytest.approx(1.09828)] * 3


def test_full_grid_that_is_stopped_loses_what_was_planned():
    bars = put(zone_bars(), "2024-06-12T10:15", (1.1005, 1.1006, 1.0965, 1.0970))

    arena = play(bars)

    assert len(arena.trade_rows) == 5
    assert {int(r) for r in arena.trade_rows.exit_reason} == {ExitReason.STOP_LOSS}
    assert arena.trade_rows.net.sum() == pytest.approx(-749.0)


def test_gap_through_several_levels_fills_all_of_them_at_the_open():
    bars = put(zone_bars(), "2024-06-12T10:15", (1.0975, 1.0979, 1.09745, 1.0977))

    arena = watch(bars, "2024-06-12T10:30")

    assert [(int(p.tag), float(p.entry_price)) for p in positions(arena)] == [(1, 1.0975), (2, 1.0975), (3, 1.0975)]
    # The average is that of the fills, not of the levels: 1.0975 + 4.779 pips.
    assert float(positions(arena)[0].take_profit) == pytest.approx(1.09798)


def test_open_beyond_the_stop_cancels_the_limits_and_loses_what_was_held():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO, (1.0960, 1.0962, 1.0955, 1.0958))

    arena = play(bars)

    # Two levels leave at the open 1.0960: 20 and 18 pips, 214,000 x 0.0038 = 813.20. The other three never fill.
    assert arena.trade_rows.net.sum() == pytest.approx(-813.2)
    assert codes(arena) == [RejectCode.GAP_BEYOND_STOP] * 3


def test_open_beyond_the_stop_costs_nothing_when_nothing_was_held():
    bars = put(zone_bars(), "2024-06-12T10:15", (1.0960, 1.0962, 1.0955, 1.0958))

    arena = play(bars)

    assert len(arena.trade_rows) == 0
    assert codes(arena) == [RejectCode.GAP_BEYOND_STOP] * 5
    assert basket(arena).lock_until_ns == 0


def test_basket_leaves_at_the_next_open_after_its_time_stop():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO)
    at = int(np.flatnonzero(bars.low == 1.09775)[0]) + 1
    bars.open[at:], bars.high[at:], bars.low[at:], bars.close[at:] = 1.0981, 1.0982, 1.09805, 1.0981

    arena = play(bars, time_stop=24)

    # The first fill is bar 1, so bar 24 closes at 16:15; both leave at 1.0981 with 1 and 3 pips: 85.60.
    assert {int(r) for r in arena.trade_rows.exit_reason} == {ExitReason.TIME}
    assert {int(ns) for ns in arena.trade_rows.exit_ns} == {int(bars.open_ns[at + 23])}
    assert arena.trade_rows.net.sum() == pytest.approx(UNITS * 4 * PIP)
    assert basket(arena).phase == Phase.FLAT


def test_zone_that_is_touched_without_a_fill_takes_its_orders_back():
    # The low equals proximal: a touch, and one tick short of a fill.
    bars = put(zone_bars(), "2024-06-12T11:15", (1.1005, 1.1006, 1.0980, 1.1005))

    assert len(rests(bars, "2024-06-12T11:45")) == 5
    assert rests(bars, "2024-06-12T12:00") == []
    assert len(play(bars).trade_rows) == 0


def test_sell_grid_is_the_mirror_image():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO, (1.0979, 1.0990, 1.09785, 1.0985))

    trades = play(upside_down(bars)).trade_rows

    assert trades.side.tolist() == [-1, -1]
    assert sorted(trades.entry_price.tolist()) == [pytest.approx(1.1020), pytest.approx(1.1022)]
    assert trades.net.sum() == pytest.approx(205.44)


def test_spread_lies_between_the_chart_and_both_sides_of_a_grid():
    bars = zone_bars()
    bars.spread = 0.00005

    buy, sell = watch(bars, "2024-06-12T10:00"), watch(upside_down(bars), "2024-06-12T10:00")

    # A buy is filled by the ask: its limits lie a spread above the chart, its stop on it. A sell the other way round.
    assert [price for _, price, _ in orders(buy)] == [pytest.approx(p + 0.00005) for p in LEVELS]
    assert basket(buy).stop == pytest.approx(STOP)
    assert [price for _, price, _ in orders(sell)] == [pytest.approx(2.2 - p) for p in LEVELS]
    assert basket(sell, -1).stop == pytest.approx(2.2 - STOP + 0.00005)


def test_target_is_net_of_commissions_of_both_sides():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO)

    arena = watch(bars, "2024-06-12T10:30", costs="raw", slip_pips=1.0)

    # 3.50 a lot and side are 0.7 pips of a round trip. The raw profile spreads levels and entries by its own spread.
    average = float(np.mean([p.entry_price for p in positions(arena)]))
    assert float(positions(arena)[0].take_profit) == pytest.approx(average + 0.4 * ATR + 0.7 * PIP, abs=1e-5)
