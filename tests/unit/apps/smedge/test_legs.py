"""Edge cases of smedge: triggers, legs, their zones and stops. Stories as in `factories`."""

import pytest

from tests.unit.apps.smedge.factories import (
    CHOCH,
    SWEPT,
    leg,
    order,
    pips,
    state_of,
    story,
    watch,
)
from tradesentry.apps.smedge.layout import Kind, Stage, Trigger

ORDER = (1, 1.0, -10.1, 23.2)


@pytest.mark.parametrize(
    ("trigger", "found"), [("choch_sweep", ORDER), ("both", ORDER), ("choch", ORDER), ("bos", None)]
)
def test_choch_after_a_sweep_starts_the_legs_of_its_triggers(trigger, found):
    assert order(watch(story(*SWEPT, CHOCH), 3, trigger=trigger)) == found


NO_SWEEP = ((0, 1, -9, -7), (-7, 2, -9, -6))
"""As SWEPT, but the second close stays beyond the pool, which breaks."""


@pytest.mark.parametrize(("trigger", "kind"), [("choch_sweep", 0), ("both", 0), ("choch", Trigger.CHOCH), ("bos", 0)])
def test_choch_without_a_sweep_starts_a_leg_only_where_none_is_asked_for(trigger, kind):
    arena = watch(story(*NO_SWEEP, CHOCH), 3, trigger=trigger)

    assert state_of(arena).structure.is_choch
    assert (0 if leg(arena) is None else leg(arena).trigger) == kind


@pytest.mark.parametrize(("trigger", "kind"), [("choch_sweep", 0), ("both", Trigger.BOS), ("choch", 0), ("bos", 3)])
def test_bos_starts_the_legs_of_its_triggers(trigger, kind):
    arena = watch(story((0, 14, -1, 12)), 1, trigger=trigger)

    assert (0 if leg(arena) is None else leg(arena).trigger) == kind


@pytest.mark.parametrize(("reclaim", "kind"), [(0, 0), (1, Trigger.CHOCH_SWEEP), (2, Trigger.CHOCH_SWEEP)])
def test_sweep_must_be_reclaimed_in_time(reclaim, kind):
    arena = watch(story(*SWEPT, CHOCH), 3, reclaim=reclaim)

    assert (0 if leg(arena) is None else leg(arena).trigger) == kind


@pytest.mark.parametrize(("n_between", "is_found"), [(7, True), (8, False)])
def test_sweep_lies_at_most_the_lookback_before_the_choch(n_between, is_found):
    # The sweep is known on the second bar; the CHoCH comes n_between + 1 bars later and sweeps nothing itself.
    bars = story(*SWEPT, *[(-4, 0, -5, -4)] * n_between, (-4, 14, -5, 12))

    arena = watch(bars, 3 + n_between, lookback=8)

    assert state_of(arena).structure.is_choch
    assert (leg(arena) is not None) == is_found


@pytest.mark.parametrize(("body", "is_found"), [(7.9, False), (8.1, True)])
def test_break_needs_its_displacement(body, is_found):
    arena = watch(story((0, 14, -1, body)), 1)

    # 0.8 x 10 pips.
    assert state_of(arena).structure.direction == 1
    assert (leg(arena) is not None) == is_found


def test_displacement_may_be_off():
    assert leg(watch(story((5, 14, -1, 5.1)), 1, displacement=0.0)) is not None


@pytest.mark.parametrize(("close", "side"), [(9, 1), (-9, -1)])
def test_wicks_through_both_levels_trigger_the_side_of_the_body(close, side):
    arena = watch(story((0, 12, -12, close)), 1, break_mode="wick")

    assert leg(arena).side == side


def test_wick_breaks_only_where_wicks_count():
    bars = story((-5, 12, -6, 4))

    assert leg(watch(bars, 1)) is None
    assert leg(watch(bars, 1, break_mode="wick")) is not None


def test_zone_that_price_stands_in_waits_for_a_departure():
    # The block is the bar before the break, -9 to 14: the close of 12 lies inside. Half an ATR (10.7 / 2) above 14 is
    # 19.4. Half of the leg is then 5.5 and the block's edge too high: with an entry at its middle it is not.
    wide = ((0, 1, -6, -5.5), (-5, 14, -9, -4))
    bars = story(*wide, (-4, 14, -6, 12), (12, 19, 11, 18), (18, 24, 17, 22), then=22)
    options = {"trigger": "choch", "ob_entry": "mid"}

    arenas = [watch(bars, n, **options) for n in (3, 4, 5)]

    assert [leg(a).zones[0].stage for a in arenas] == [Stage.WAITING, Stage.WAITING, Stage.READY]
    assert [order(a) is not None for a in arenas] == [False, False, True]
    assert order(arenas[2])[1] == 2.5


def test_zone_is_closed_through_while_it_waits():
    wide = ((0, 1, -6, -5.5), (-5, 14, -9, -4))
    bars = story(*wide, (-4, 14, -6, 12), (12, 13, -9.8, -9.5), (-9, 24, -9, 22))

    arena = watch(bars, 5, trigger="choch", ob_entry="mid")

    assert arena.books[0].seen.n_orders == 0
    assert leg(arena) is None or leg(arena).zones[0].stage == Stage.SPENT


def test_entry_must_lie_in_the_discount_of_the_leg():
    # Block -9 to 4: its edge lies above half of the leg -9 to 14 (2.5), until the leg has run to 17 (4.0).
    bars = story((0, 4, -9, -7), SWEPT[1], CHOCH, (12, 16, 10, 15), (15, 17, 12, 16))

    found = [order(watch(bars, n)) for n in (3, 4, 5)]

    assert found[:2] == [None, None]
    assert found[2][1] == 4.0


def test_order_does_not_drift_while_the_leg_goes_on():
    bars = story(*SWEPT, CHOCH, *[(12 + i, 16 + i, 11 + i, 15 + i) for i in range(8)])

    assert [order(watch(bars, n)) for n in (3, 5, 8)] == [ORDER] * 3


def test_gap_whose_middle_bar_is_the_break_counts():
    arena = watch(story(*SWEPT, CHOCH, (12, 16, 6, 15)), 4, zone="fvg")

    assert leg(arena).n_zones == 1
    assert leg(arena).zones[0].kind == Kind.FVG
    assert leg(arena).zones[0].known_index == leg(arena).break_index + 1


def test_gap_one_bar_later_does_not():
    # The low of 17 on the second bar after the break leaves a gap above 14, the high of the break.
    arena = watch(story(*SWEPT, CHOCH, (12, 22, 2, 21), (21, 25, 17, 24)), 5, zone="fvg")

    assert state_of(arena).gaps.new_direction == 1
    assert leg(arena).n_zones == 0


def test_gap_made_on_the_way_up_before_the_break_counts():
    # -2 to -8: the middle bar leaves a gap of -8 to -3 below the break.
    rows = ((0, 1, -16, -12), (-12, -9, -15, -10), (-10, -1, -11, -2), (-2, 2, -4, 0), (0, 14, -1, 12))

    arena = watch(story(*rows), 5, zone="fvg", trigger="choch")

    zone = leg(arena).zones[0]
    assert (zone.kind, leg(arena).n_zones) == (Kind.FVG, 1)
    assert (pips(zone.far), pips(zone.near), pips(zone.entry)) == (-9.0, -4.0, -6.5)


def test_gap_from_before_the_start_of_the_leg_does_not():
    # The same gap, and then a lower low: what was made before it is not of this leg.
    rows = (
        (0, 1, -16, -12), (-12, -9, -15, -10), (-10, -1, -11, -2), (-2, 2, -4, 0), (0, 1, -8, -4), (-4, -3, -17, -8),
        (-8, 14, -9, 12),
    )  # fmt: skip

    arena = watch(story(*rows), 7, zone="fvg", trigger="choch")

    assert leg(arena).n_zones == 0


def test_small_gap_is_none():
    bars = story(*SWEPT, CHOCH, (12, 16, 3, 15))

    # One pip, and ATR 10.7 before the third bar.
    assert leg(watch(bars, 4, zone="fvg", g_atr=0.09)).n_zones == 1
    assert leg(watch(bars, 4, zone="fvg", g_atr=0.1)).n_zones == 0


def test_of_block_and_gap_the_one_that_price_meets_first_is_bought():
    bars = story(*SWEPT, CHOCH, (12, 16, 6, 15), (15, 20, 13, 18))

    found = [order(watch(bars, n, zone="fvg_or_ob")) for n in (3, 4, 5)]

    # First the block alone; then the gap 2 to 6, whose middle is not under half of the leg (3.5) until it runs to 20:
    # by then it is no new zone, and the order does not move.
    assert found == [ORDER] * 3


def test_order_moves_up_with_a_new_zone():
    bars = story(*SWEPT, CHOCH, (12, 17.5, 6, 15))

    # The gap's middle, 4, lies under half of the leg -9 to 17.5 (4.25) on the bar that makes it.
    assert order(watch(bars, 3, zone="fvg_or_ob"))[1] == 1.0
    assert order(watch(bars, 4, zone="fvg_or_ob")) == (1, 4.0, -10.1, 32.2)


@pytest.mark.parametrize(("point", "price"), [("near", 1.0), ("mid", -4.0)])
def test_block_is_entered_at_its_edge_or_middle(point, price):
    assert order(watch(story(*SWEPT, CHOCH), 3, ob_entry=point))[1] == price


@pytest.mark.parametrize(("point", "price"), [("near", 6.0), ("mid", 4.0)])
def test_gap_is_entered_at_its_edge_or_middle(point, price):
    bars = story(*SWEPT, CHOCH, (12, 24, 6, 22))

    assert order(watch(bars, 4, zone="fvg", fvg_entry=point))[1] == price


def test_stop_lies_beyond_the_sweep_where_that_went_further():
    # A sweep down to -14; then a swing high of 3, three bars on both sides, and its break: the block's low is -7.
    rows = (
        (0, 1, -14, -7), (-7, 2, -8, -4), (-4, 1, -6, -4), (-4, 1, -6, -4), (-4, 3, -5, 0), (0, 2, -7, -3),
        (-3, 1, -6, -4), (-4, 0, -6, -3), (-3, 14, -4, 12),
    )  # fmt: skip

    arena = watch(story(*rows), 9)

    assert (pips(leg(arena).start), pips(leg(arena).block_far)) == (-7.0, -7.0)
    assert leg(arena).sweep_id > 0
    assert leg(arena).stop == pytest.approx(1.1 - 0.0014 - 0.1 * leg(arena).atr)
