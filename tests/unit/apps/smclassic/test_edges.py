"""Every edge case of smclassic, one test each."""

import numpy as np
import pytest

from tests.unit.apps.breakout.factories import codes, ns, row_at, when, without
from tests.unit.apps.breakout.test_laws import market
from tests.unit.apps.smclassic.factories import (
    STORY,
    hold,
    orders,
    play,
    positions,
    price,
    quarters,
    resolve,
    state,
    story,
    to_pips,
    watch,
)
from tests.unit.apps.smclassic.test_trades import DOWN, FILL, TO_EQ
from tradesentry.apps.smclassic.helpers import find_candidates, rejected_candidate
from tradesentry.apps.smclassic.layout import DEAD
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.orders import ExitReason, RejectCode

LONG_WAIT = {"range_source": "leg"}
"""While price stands still it makes swings of its own; the leg of the last break lasts."""


def waiting(until):
    """The story, then quarters around 8 that keep the ATR near ten pips, to a time on Wednesday or later."""
    return story(*hold(8, int(ns(until) - ns("2024-06-12T01:00")) // (15 * 60 * 10**9), reach=5))


def rests(bars, at, **options):
    return [order[0] for order in orders(watch(bars, f"2024-06-{at}", **options))]


def test_gap_through_the_limit_fills_at_the_open_inside_the_zone():
    trades = play(story(*DOWN, (-36, -30, -37, -31), *TO_EQ, *hold(24, 2)), eq_fraction=1.0).trade_rows

    assert [to_pips(t.entry_price) for t in trades] == [-36.0]


def test_gap_beyond_the_zone_is_left_at_the_next_open_and_the_zone_is_used_up():
    # The open of 01:30 is -41: beyond the far edge -40, before the stop -42. The order fills; nothing else can stop it.
    bars = story(*DOWN, (-41, -30, -41.5, -31), (-31, -30, -33, -31), *hold(-31, 2), *quarters((-31, -10, -34, -12)))

    arena = play(bars, max_touches=2)

    assert [(when(t.exit_ns), int(t.exit_reason)) for t in arena.trade_rows] == [("Wed 01:45", ExitReason.STRATEGY)]
    assert [int(mark.n_touches) for mark in state(arena).marks[: state(arena).n_marks]] == [DEAD]


def test_gap_beyond_the_stop_makes_no_trade_and_the_zone_is_used_up():
    bars = story(*DOWN, (-44, -30, -45, -31), *hold(-31, 2), *quarters((-31, -10, -34, -12)))

    arena = play(bars, max_touches=2)

    assert codes(arena)[-1] == RejectCode.GAP_BEYOND_STOP
    assert len(arena.trade_rows) == 0
    assert state(arena).marks[0].n_touches == DEAD


@pytest.mark.parametrize(("start", "end"), [("16:00", "17:00"), ("17:00", "18:00")])
def test_missing_hour_in_base_or_departure_makes_no_zone(start, end):
    bars = without(story(), f"2024-06-11T{start}", f"2024-06-11T{end}")

    ring = state(watch(bars, "2024-06-12T01:00")).context.bases.zones

    assert not any(zone.direction > 0 for zone in ring.items[: ring.n])


def test_limit_is_pulled_15_minutes_before_new_york_closes_and_comes_back_15_after():
    bars = waiting("2024-06-12T22:00")

    seen = {at: rests(bars, f"12T{at}", **LONG_WAIT) for at in ("20:30", "20:45", "21:00", "21:15", "21:30")}

    assert seen == {"20:30": [1], "20:45": [], "21:00": [], "21:15": [1], "21:30": [1]}


def test_limit_expires_before_new_york_closes_where_bars_are_missing():
    bars = without(waiting("2024-06-12T22:00"), "2024-06-12T20:30", "2024-06-12T20:45")

    assert rests(bars, "12T20:30", **LONG_WAIT) == [1]
    assert orders(watch(bars, "2024-06-12T21:00", **LONG_WAIT)) == []
    assert RejectCode.ORDER_EXPIRED in codes(play(bars, **LONG_WAIT))


def test_week_has_no_entry_before_its_third_bar():
    bars = waiting("2024-06-17T04:00")

    # The week opens on Sunday at 21:00 UTC.
    seen = [rests(bars, f"16T{at}", **LONG_WAIT) for at in ("21:15", "21:30", "21:45")]

    assert seen == [[], [], [1]]


@pytest.mark.parametrize("weekend", ["flatten", "hold"])
def test_week_has_no_entry_in_its_last_two_hours(weekend):
    bars = waiting("2024-06-14T20:00")

    assert rests(bars, "14T18:45", weekend=weekend, **LONG_WAIT) == [1]
    assert rests(bars, "14T19:00", weekend=weekend, **LONG_WAIT) == []


def test_range_below_two_atr_is_not_traded():
    # Price stands still for hours: its swings make a range of ten pips, which is one ATR.
    assert rests(waiting("2024-06-12T12:00"), "12T11:00") == []
    assert rests(waiting("2024-06-12T12:00"), "12T11:00", **LONG_WAIT) == [1]


@pytest.mark.parametrize(("spread", "side"), [(2.8, [1]), (2.9, [])])
def test_range_below_thirty_spreads_is_not_traded(spread, side):
    # 85 pips are 30 spreads of 2.83.
    bars = story()
    bars.spread = spread * 1e-4

    assert rests(bars, "12T01:00") == side


def test_spread_above_the_limit_lets_nothing_rest():
    bars = story()
    bars.spread = 0.0001

    assert rests(bars, "12T01:00", max_spread=1.5) == [1]
    assert rests(bars, "12T01:00", max_spread=0.5) == []


def test_reward_is_judged_after_the_spread():
    # Gain 34.5, loss 8 + 2.0 + spread: 2.0 R at most while the spread is below 7.3 pips; here 10 pips of discount
    # are left to the middle of a range that ends at 5.
    bars = story(hours=STORY[:42])
    bars.spread = 0.00001

    assert rests(bars, "11T18:00", min_rr=1.2) == [1]
    bars.spread = 0.00015
    assert rests(bars, "11T18:00", min_rr=1.2) == []


def fill_then(*hours):
    """The story, the fill at -32, and hours from 02:00 on."""
    return story(*DOWN, FILL, *hold(-30, 1), *[row for hour in hours for row in quarters(hour)])


SWING_LOW = [(-30, -20, -31, -21), (-21, -15, -24, -18), (-18, -16, -25, -22)]
"""After them the low of 01:00, at -34, is a swing, known at 05:00."""
LOWER_HIGH = [
    (-30, -26, -31, -27), (-27, -22, -29, -24), (-24, -19, -26, -21), (-21, -15, -24, -18), (-18, -16, -25, -22),
    (-22, -17, -26, -24), (-24, -18, -27, -25),
]  # fmt: skip
"""After them the high of 05:00, at -15, is one too, known at 09:00."""
BREAK = [(-25, -24, -36, -35)]


def test_break_of_structure_against_a_position_closes_it_at_the_next_open():
    bars = fill_then(*SWING_LOW, *BREAK, (-35, -30, -36, -31))
    arena = watch(bars, "2024-06-12T05:00")
    # In a down trend a close below the swing is a BOS.
    state(arena).context.structure.trend = -1

    arena.run()

    trade = arena.trade_rows[0]
    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 06:00", ExitReason.STRATEGY)
    assert to_pips(trade.exit_price) == -35.0


def test_change_of_character_alone_keeps_the_position():
    arena = watch(fill_then(*SWING_LOW, *BREAK, (-35, -30, -36, -31)), "2024-06-12T07:00")

    assert len(positions(arena)) == 1


RESET = {"cooldown": 4, "eq_fraction": 1.0}


def test_reset_that_waits_moves_the_target_toward_price():
    bars = fill_then(*LOWER_HIGH, *BREAK, (-35, -30, -36, -31))

    before, on = watch(bars, "2024-06-12T09:45", **RESET), watch(bars, "2024-06-12T10:00", **RESET)

    # A CHoCH at 10:00; the range is 9 to -36 by then, from the hour of the swing low on, its middle -13.5.
    assert to_pips(positions(before)[0].take_profit) == 2.5
    assert state(on).context.is_deferred
    assert to_pips(positions(on)[0].take_profit) == -13.5
    assert to_pips(positions(on)[0].stop_loss) == -42.0


def test_reset_that_waits_never_moves_the_target_away():
    # Without the lower high the range is -36 to 45: its middle 4.5 lies beyond the target.
    on = watch(fill_then(*SWING_LOW, *BREAK, (-35, -30, -36, -31)), "2024-06-12T06:00", **RESET)

    assert state(on).context.is_deferred
    assert to_pips(positions(on)[0].take_profit) == 2.5


def test_rest_comes_no_nearer_than_the_equilibrium_of_entry():
    on = watch(
        fill_then(*LOWER_HIGH, *BREAK, (-35, -30, -36, -31)), "2024-06-12T10:00", cooldown=4
    )  # fmt: skip

    assert state(on).context.is_deferred
    assert to_pips(positions(on)[0].take_profit) == 2.5


def test_target_that_price_has_passed_closes_at_the_next_open():
    arena = watch(fill_then(*LOWER_HIGH, (-25, -9, -26, -10), (-10, -8, -12, -9)), "2024-06-12T09:00", **RESET)
    # In a down trend a close above the swing is a CHoCH; the range is 9 to -34, its middle -12.5.
    state(arena).context.structure.trend = -1

    arena.run()

    trade = arena.trade_rows[0]
    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 10:00", ExitReason.STRATEGY)
    assert to_pips(trade.exit_price) == -10.0


def test_zone_that_lost_is_dead_though_it_lives():
    # The wick of 01:45 takes the stop at -42, the hour closes above -40.
    bars = fill_then((-30, -20, -31, -21), (-21, -15, -34, -18))
    bars.low[row_at(bars, "2024-06-12T01:45")] = price(-43)

    arena = play(bars, max_touches=2)

    ring = state(arena).context.bases.zones
    assert any(zone.direction > 0 for zone in ring.items[: ring.n])
    assert [int(t.exit_reason) for t in arena.trade_rows] == [ExitReason.STOP_LOSS]
    assert [int(mark.n_touches) for mark in state(arena).marks[: state(arena).n_marks]] == [DEAD]


def test_loss_is_followed_by_a_pause():
    bars = fill_then((-30, -20, -31, -21), (-21, -15, -34, -18))
    bars.low[row_at(bars, "2024-06-12T01:45")] = price(-43)

    pauses = [int(state(watch(bars, f"2024-06-12T{at}")).pause) for at in ("01:45", "02:00", "02:15", "04:00")]

    assert pauses == [0, 8, 7, 0]


def test_zone_that_won_has_had_one_return():
    bars = story(*DOWN, FILL, *TO_EQ, *hold(5, 2), (5, 25, 4, 24), *hold(24, 3), (24, 25, -35, -30), *hold(-30, 2))

    once, twice = play(bars), play(bars, max_touches=1)

    assert len(once.trade_rows) == 1
    assert len(twice.trade_rows) == 2


def candidates_with(change, **options):
    """The candidates of the story after a change of the strategy's state."""
    arena = watch(story(), "2024-06-12T01:00", **options)
    found = state(arena)
    change(found)
    find_candidates(arena.lanes[0].params[0], found)
    return int(found.n_candidates)


@pytest.mark.parametrize(("near", "n"), [(-28.0, 0), (-26.0, 0), (-25.0, 1), (3.0, 1)])
def test_opposite_zone_within_half_an_atr_and_before_equilibrium_forbids_the_entry(near, n):
    # Half of 13.3 pips is 6.65: -32 to -25.35.
    def add_supply(found):
        ring = found.context.bases.zones
        ring.items[ring.n] = ring.items[0]
        zone = ring.items[ring.n]
        zone.id, zone.direction, zone.near, zone.far = 99, -1, price(near), price(near + 5)
        ring.n += 1

    assert candidates_with(add_supply) == n


@pytest.mark.parametrize(("near", "n"), [(-2.0, 1), (-1.5, 0)])
def test_zone_must_lie_in_discount(near, n):
    # 5 % of 85 pips below 2.5 is -1.75; the zone is three pips high so that the reward is enough.
    def move(found):
        zone = found.context.bases.zones.items[0]
        zone.near, zone.far = price(near), price(near - 3)

    assert candidates_with(move, min_rr=0.8, height_min=0.1, stop_buffer=0.05) == n


@pytest.mark.parametrize(("options", "n"), [({}, 1), ({"height_min": 0.7}, 0), ({"height_max": 1.0}, 1)])
def test_zone_must_have_its_height(options, n):
    # 8 pips are 0.60 ATR.
    assert candidates_with(lambda found: None, **options) == n


def test_zone_grows_too_old():
    young, old = (rests(waiting("2024-06-14T12:00"), "14T11:00", max_age=age, **LONG_WAIT) for age in (240, 60))

    assert (young, old) == ([1], [])


def test_entries_keep_to_their_session():
    bars = waiting("2024-06-12T18:00")
    options = {"entry_session": "london", **LONG_WAIT}

    # London is 07:00 to 16:00 UTC.
    assert [rests(bars, f"12T{at}", **options) for at in ("06:45", "07:00", "15:45", "16:00")] == [[], [1], [1], []]


def test_blackout_pulls_the_limit_and_gives_it_back():
    bars = waiting("2024-06-12T12:00")
    run = resolve(bars, news=True, **LONG_WAIT)
    calendar = run.markets["calendar"].view(np.ndarray)
    calendar["n_blackouts"] = 1
    calendar["blackouts"][0, 0] = (ns("2024-06-12T09:00"), ns("2024-06-12T10:00"))
    calendar["news_to_ns"] = ns("2025-01-01T00:00")
    arena = new_arena(run)
    seen = {}
    for close_ns in bars.close_ns:
        arena.play(1)
        seen[when(close_ns)] = len(orders(arena))

    assert [seen[f"Wed {at}"] for at in ("08:45", "09:00", "09:45", "10:00")] == [1, 0, 0, 1]
    assert RejectCode.NEWS in codes(arena)


def test_trend_lets_nothing_rest_where_a_range_is_asked_for():
    # Twelve hours of 20 pips each, on a way of 26: an efficiency ratio of 0.77.
    climb = [(x, x + 22, x - 1, x + 20) for x in range(36, 276, 20)]
    bars = story(hours=[*STORY[:-3], *climb])

    seen = {regime: rests(bars, "12T10:00", regime=regime) for regime in ("off", "er")}

    assert seen == {"off": [1], "er": []}


def test_strong_adx_lets_nothing_rest_where_it_is_asked_for():
    arena = watch(story(), "2024-06-11T22:00", regime="er_adx", er_max=0.45)

    assert state(arena).context.regime.adx.value > 25
    assert orders(arena) == []


def test_rejection_needs_a_body():
    arena = watch(story(), "2024-06-12T01:00", entry="rejection")
    bar = arena.bars[0].view(np.recarray)[-1:].copy()[0]
    bar.open = bar.close = price(-27)
    bar.low, bar.high = price(-34), price(-25)

    assert rejected_candidate(arena.lanes[0].params[0], state(arena), bar, 0.0) == -1
    bar.open = price(-30)
    assert rejected_candidate(arena.lanes[0].params[0], state(arena), bar, 0.0) == 0


EAGER = {"max_touches": 2, "min_rr": 0.8, "discount": 0.0, "dep_atr": 1.0, "base_atr": 1.0, "height_max": 4.0}


@pytest.mark.parametrize(
    "options",
    [
        {"zone_timeframe": "h4"}, {"range_source": "day"}, {"range_source": "session"},
        {"range_source": "session", "range_session": "tokyo"}, {"regime": "er_adx"}, {"entry_session": "new_york"},
    ],
    ids=str,
)  # fmt: skip
def test_every_variant_trades(options):
    arena = play(market(120, 4), **{**EAGER, **options})

    assert len(arena.trade_rows) > 3
