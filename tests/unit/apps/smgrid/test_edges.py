"""Every edge case of the grid, each with the bars that bring it about."""

import numpy as np
import pytest

from tests.support.markets import utc
from tests.unit.apps.smgrid.factories import (
    HOUR,
    PIP,
    STOPPED,
    UNITS,
    basket,
    codes,
    held,
    hold,
    hour,
    orders,
    play,
    positions,
    put,
    resolve,
    row_at,
    watch,
    without,
    zone_bars,
)
from tradesentry.apps.smgrid.layout import Phase
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.orders import ExitReason, RejectCode


def second_zone(bars, text="2024-06-12T18:00"):
    """Another zone of the same shape, lower by 40 pips, known three hours after `text`."""
    at = utc(text)
    for k, row in enumerate(
        ((1.0960, 1.0961, 1.0939, 1.0940), (1.0940, 1.0943, 1.0932, 1.0940), (1.0940, 1.0966, 1.0940, 1.0965))
    ):
        hour(bars, _iso(at + k * HOUR), *row)
    return hold(bars, _iso(at + 3 * HOUR), "2024-06-14T21:00", 1.0965)


def _iso(at_ns):
    """Return an instant as an ISO time (UTC)."""
    return str(np.datetime64(at_ns, "ns"))[:19]


def test_basket_is_flat_by_friday_three_o_clock_in_new_york():
    bars = held("2024-06-14T14:15")

    arena = play(bars, max_age=240)

    # 15:00 New York is 19:00 UTC.
    assert {int(ns) for ns in arena.trade_rows.exit_ns} == {utc("2024-06-14T19:00")}
    assert {int(r) for r in arena.trade_rows.exit_reason} == {ExitReason.WEEKEND}
    assert basket(arena).phase == Phase.FLAT
    assert basket(arena).lock_until_ns == 0


def test_nothing_rests_in_the_last_hours_of_the_week():
    arena = watch(zone_bars(), "2024-06-14T19:00")

    assert orders(watch(zone_bars(), "2024-06-14T18:45")) != []
    assert orders(arena) == []
    assert basket(arena).phase == Phase.FLAT


def test_blackout_pulls_the_limits_and_they_rest_again_after_it():
    bars = held(price=1.0983)
    run = resolve(bars, news=True, require_calendar=False)
    calendar = run.markets.view(np.ndarray)["calendar"]
    calendar["n_blackouts"] = 1
    calendar["blackouts"][0, 0] = (utc("2024-06-12T11:00"), utc("2024-06-12T12:00"))
    arena = new_arena(run)
    seen = {}
    for at in bars.close_ns:
        arena.play(1)
        seen[_iso(int(at))] = len(orders(arena))

    assert seen["2024-06-12T10:30:00"] == 3
    # At 11:00 the next bar would lie in it; at 12:00 it is over.
    assert [seen[f"2024-06-12T{t}:00"] for t in ("11:00", "11:30", "11:45", "12:00")] == [0, 0, 0, 3]
    assert len(arena.trade_rows) <= 2


def test_open_positions_keep_their_stop_in_a_blackout():
    bars = held(price=1.0979)
    put(bars, "2024-06-12T11:15", (1.0979, 1.0980, 1.0960, 1.0962))
    run = resolve(bars, news=True)
    calendar = run.markets.view(np.ndarray)["calendar"]
    calendar["n_blackouts"] = 1
    calendar["blackouts"][0, 0] = (utc("2024-06-12T11:00"), utc("2024-06-12T12:00"))
    arena = new_arena(run)
    arena.run()

    # 11 and 9 pips of the two held: the others were pulled.
    assert arena.trade_rows.net.sum() == pytest.approx(-UNITS * 20 * PIP)


def test_side_is_locked_after_a_stop_until_the_hours_are_over():
    arena = watch(put(zone_bars(), "2024-06-12T10:15", STOPPED), "2024-06-12T10:30", lock=12)

    assert basket(arena).is_lost
    assert basket(arena).lock_until_ns == utc("2024-06-12T22:30")
    assert basket(arena, -1).lock_until_ns == 0


def test_new_zone_lifts_the_lock():
    bars = put(zone_bars(), "2024-06-12T10:15", STOPPED)
    hold(bars, "2024-06-12T10:30", "2024-06-12T18:00", 1.0960, reach=5 * PIP)
    second_zone(bars)

    arena = watch(bars, "2024-06-12T21:00")

    assert basket(arena).lock_until_ns > utc("2024-06-12T21:00")
    assert len(orders(arena)) == 5
    assert orders(arena)[0][1] == pytest.approx(1.0940)


def test_touched_zone_is_done_after_its_target():
    bars = held("2024-06-12T10:15", 1.0990)

    arena = play(bars)

    assert len(arena.trade_rows) == 2
    assert basket(arena).used.id == basket(arena).zone.id
    assert not basket(arena).is_lost


def test_zone_is_armed_again_after_a_target_while_its_touches_allow_it():
    bars = held("2024-06-12T10:15", 1.0990)

    arena = watch(bars, "2024-06-12T13:00", max_touches=2)

    assert len(arena.trade_rows) == 2
    assert len(orders(arena)) == 5
    assert basket(arena).id == 2


def test_zone_that_lost_is_dead_however_many_touches_are_allowed():
    bars = put(zone_bars(), "2024-06-12T10:15", STOPPED)
    hold(bars, "2024-06-12T10:30", "2024-06-14T21:00", 1.0990)

    arena = watch(bars, "2024-06-14T12:00", max_touches=2, lock=4)

    assert len(arena.trade_rows) == 5
    assert orders(arena) == []


def test_no_level_fills_twice_in_one_basket():
    rows = [(1.0979, 1.0982, 1.0977, 1.0979)] * 10
    arena = play(held("2024-06-12T10:15", 1.0979, *rows))

    tags = arena.trade_rows.tag[arena.trade_rows.basket == 1].tolist()
    assert sorted(tags) == sorted(set(tags))


def test_recycled_level_takes_a_step_and_rests_again():
    rows = [(1.0979, 1.09805, 1.0979, 1.0980), (1.0980, 1.09805, 1.09775, 1.0979), (1.0979, 1.09805, 1.0979, 1.0980)]

    arena = watch(held("2024-06-12T10:15", 1.0980, *rows), "2024-06-12T11:15", recycle=True)

    # Level 2 is bought at 1.0978 and sold at 1.0980, twice: 2 pips each.
    trades = arena.trade_rows
    assert trades.tag.tolist() == [2, 2]
    assert trades.net.sum() == pytest.approx(2 * UNITS * 2 * PIP)
    assert [int(p.tag) for p in positions(arena)] == [1]
    assert [level for level, _, _ in orders(arena)] == [2, 3, 4, 5]


def test_recycled_grid_that_is_stopped_loses_no_more_than_was_planned():
    rows = [(1.0979, 1.09805, 1.0979, 1.0980), (1.0980, 1.0981, 1.0960, 1.0961)]

    arena = play(held("2024-06-12T10:15", 1.0961, *rows), recycle=True)

    last = arena.trade_rows[arena.trade_rows.exit_reason == ExitReason.STOP_LOSS]
    assert len(last) == 5
    assert last.net.sum() == pytest.approx(-749.0)
    assert basket(arena).phase == Phase.FLAT


def test_level_beyond_activation_rests_when_price_comes_near():
    bars = zone_bars()
    hold(bars, "2024-06-12T11:00", "2024-06-14T21:00", 1.0984, reach=1 * PIP)

    far = orders(watch(bars, "2024-06-12T10:15", activation=2.0))
    near = orders(watch(bars, "2024-06-12T11:15", activation=2.0))

    # 2 ATR are 23.9 pips: from 1.1005 no level is nearer than 25; from 1.0984 all are.
    assert far == []
    assert len(near) == 5


def test_losing_basket_leaves_at_its_time_stop_whatever_the_variant():
    arena = play(held(price=1.0977), time_stop=24, time_stop_to_break_even=True)

    assert {int(r) for r in arena.trade_rows.exit_reason} == {ExitReason.TIME}


def test_winning_basket_waits_for_break_even_at_its_time_stop():
    bars = held(price=1.0981)

    arena = watch(bars, _iso(int(bars.close_ns[row_at(bars, "2024-06-12T10:15") + 23])), **BREAK_EVEN)

    # Net break-even 1.0979 lies behind price, so the next tick ahead of it is the target.
    assert basket(arena).is_free
    assert [float(p.take_profit) for p in positions(arena)] == [pytest.approx(1.09811)] * 2
    assert orders(arena) == []


BREAK_EVEN = {"time_stop": 24, "time_stop_to_break_even": True}


def test_half_is_closed_when_structure_breaks_against_a_half_filled_grid():
    three = (1.1005, 1.1006, 1.09755, 1.0979)
    bars = put(zone_bars(), "2024-06-12T10:15", three)
    hold(bars, "2024-06-12T10:30", "2024-06-14T21:00", 1.0979, reach=0.5 * PIP)
    arena = new_arena(resolve(bars, deleverage=True))
    broken = arena.lanes[0].state
    for _ in range(row_at(bars, "2024-06-12T11:00") + 3):
        arena.play(1)
    # A swing low above price, unbroken: the next completed hour breaks it.
    low = broken["context"]["swings"]["low"]
    low["id"], low["position"], low["price"] = 99, 0, 1.0985
    for _ in range(3):
        arena.play(1)

    assert broken["context"]["structure"]["trend"][0] == -1
    assert [float(p.units) for p in positions(arena)] == [UNITS / 2] * 3
    assert basket(arena).is_halved


def test_lots_too_small_for_all_levels_make_fewer_levels():
    arena = watch(zone_bars(), "2024-06-12T10:00", capital=1_000)

    # 7.50 at 35 pips are 2,142 units a level: two thousand each; with a tenth of the capital fewer levels remain.
    assert [units for _, _, units in orders(arena)] == [2_000] * 5
    small = watch(zone_bars(), "2024-06-12T10:00", capital=300)
    assert 0 < len(orders(small)) < 5
    assert basket(small).worst <= 0.0075 * 300
    assert orders(watch(zone_bars(), "2024-06-12T10:00", capital=100)) == []


def test_leverage_caps_the_notional_of_the_whole_grid():
    arena = watch(zone_bars(), "2024-06-12T10:00", leverage=2.0)

    notional = sum(price * units for _, price, units in orders(arena))
    assert 0.95 * 200_000 < notional <= 200_000
    assert len(orders(arena)) == 5


def test_grid_that_the_account_has_no_room_for_is_not_placed_in_part():
    bars = zone_bars()

    arena = watch(bars, "2024-06-12T10:15", limits="default", leverage=None)

    # Twice equity in a currency is the limit; the grid would be 11.7 times.
    assert RejectCode.CURRENCY_NET in codes(arena)
    assert orders(arena) == []
    assert basket(arena).phase == Phase.FLAT
    assert basket(arena).retry_bar > arena.books[0].seen.bar_index


def test_grid_within_the_limits_of_the_account_rests_whole():
    arena = watch(zone_bars(), "2024-06-12T10:15", limits="default", leverage=1.9)

    assert len(orders(arena)) == 5
    assert codes(arena) == []


def test_wide_spread_pulls_a_grid_and_a_normal_one_lets_it_rest_again():
    bars = zone_bars()
    bars.spread[:] = 0.5 * PIP
    bars.spread[row_at(bars, "2024-06-12T10:30")] = 5 * PIP

    assert len(orders(watch(bars, "2024-06-12T10:30", max_spread=2.0))) == 5
    assert orders(watch(bars, "2024-06-12T10:45", max_spread=2.0)) == []
    assert len(orders(watch(bars, "2024-06-12T11:00", max_spread=2.0))) == 5


def test_spread_spike_does_not_fill_a_buy_whose_ask_stays_above():
    bars = put(zone_bars(), "2024-06-12T11:15", (1.1005, 1.1006, 1.0979, 1.1005))
    bars.spread[:] = 0.00001
    bars.spread[row_at(bars, "2024-06-12T11:15")] = 5 * PIP

    arena = watch(bars, "2024-06-12T11:30")

    # The bid comes to 1.0979, the ask only to 1.0984.
    assert positions(arena) == []
    assert len(orders(arena)) == 5


def test_missing_bars_let_limits_and_stops_act_at_the_next_open():
    bars = put(zone_bars(), "2024-06-12T11:15", (1.0975, 1.0979, 1.09745, 1.0977))
    bars = without(bars, "2024-06-12T10:30", "2024-06-12T11:15")

    arena = watch(bars, "2024-06-12T11:30")

    assert [(int(p.tag), float(p.entry_price)) for p in positions(arena)] == [(1, 1.0975), (2, 1.0975), (3, 1.0975)]


def test_basket_pays_swap_three_times_on_wednesday():
    bars = held("2024-06-12T20:15", 1.0979)

    arena = watch(bars, "2024-06-12T21:15", costs="standard", slip_pips=1.0)

    # 17:00 New York is 21:00 UTC; the night of Wednesday counts three.
    one = float(arena.markets["swap_long"][0]) * positions(arena)[0].units
    assert [float(p.swap) for p in positions(arena)] == [pytest.approx(3 * one)] * len(positions(arena))
    assert positions(arena)


def test_target_follows_the_swap_that_was_paid():
    bars = held("2024-06-12T20:15", 1.0979)

    before = watch(bars, "2024-06-12T21:00", costs="standard", slip_pips=1.0)
    after = watch(bars, "2024-06-12T21:15", costs="standard", slip_pips=1.0)

    paid = -float(after.markets["swap_long"][0]) * 3
    moved = float(positions(after)[0].take_profit) - float(positions(before)[0].take_profit)
    assert moved == pytest.approx(paid, abs=1.5e-5)
    assert moved > 0
