"""Trades worked out by hand: one winner, one loser, one time exit and one canceled order per trigger and zone.

Stories are in pips from 1.1000, see `factories`. The budget is 0.5 % of 100,000: 500 dollars; units go down to 1,000.
"""

import pytest

from tests.unit.apps.smedge.factories import (
    CHOCH,
    SWEPT,
    codes,
    only,
    order,
    pips,
    play,
    row_at,
    story,
    upside_down,
    watch,
    when,
)
from tradesentry.apps.smedge.layout import TAGS
from tradesentry.core.domain.orders import ExitReason, RejectCode

BACK = (12, 13, 0, 3)
"""Comes back through the block's edge at 1."""
UP = (3, 24, 2, 22)
DOWN = (3, 4, -12, -11)


def test_choch_after_sweep_is_bought_in_its_block_and_wins():
    trade = only(play(story(*SWEPT, CHOCH, BACK, UP)))

    # Lowest low after the broken swing: the first bar, -9 to 1. Limit at 1, half of the leg (-9 to 14) is 2.5. Stop
    # below block and sweep: -9 - 0.1 x 10.714 = -10.1. Risk 11.1 pips: 500 / 0.00111 = 450,450 -> 450,000. No pool is
    # left above, so 2 R: 1 + 22.2 = 23.2: 450,000 x 0.00222 = 999.
    assert (when(trade.entry_ns), trade.side, trade.units) == ("Wed 08:45", 1, 450_000)
    assert (pips(trade.entry_price), pips(trade.stop_at_entry), pips(trade.exit_price)) == (1.0, -10.1, 23.2)
    assert trade.net == pytest.approx(999.0)
    assert trade.exit_reason == ExitReason.TAKE_PROFIT
    assert TAGS[int(trade.tag)] == "choch_sweep_ob"


def test_choch_after_sweep_loses_the_budget_at_the_stop():
    trade = only(play(story(*SWEPT, CHOCH, BACK, DOWN)))

    # 450,000 x 0.00111 = 499.50.
    assert (pips(trade.exit_price), trade.exit_reason) == (-10.1, ExitReason.STOP_LOSS)
    assert trade.net == pytest.approx(-499.5)


def test_choch_after_sweep_may_lose_on_the_bar_that_fills_it():
    trade = only(play(story(*SWEPT, CHOCH, (12, 13, -12, -5))))

    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert trade.bars_held == 0
    assert trade.net == pytest.approx(-499.5)


def test_choch_after_sweep_leaves_after_its_bars():
    trade = only(play(story(*SWEPT, CHOCH, BACK, (3, 5, 2, 4)), time_exit=96))

    # The bar of the fill (08:45) counts as the first: the 96th closes at 08:45 a day later, at 4.
    assert (when(trade.exit_ns), trade.exit_reason) == ("Thu 08:45", ExitReason.TIME)
    assert trade.net == pytest.approx(450_000 * 0.0003)


def test_choch_after_sweep_is_canceled_when_its_life_is_over():
    bars = story(*SWEPT, CHOCH)

    assert order(watch(bars, 3, order_life=8)) == (1, 1.0, -10.1, 23.2)
    assert order(watch(bars, 10, order_life=8)) == (1, 1.0, -10.1, 23.2)
    assert order(watch(bars, 11, order_life=8)) is None
    assert len(play(bars, order_life=8).trade_rows) == 0


def test_order_fills_on_the_last_bar_of_its_life():
    rows = [(12, 13, 10, 12)] * 7

    assert len(play(story(*SWEPT, CHOCH, *rows, BACK, UP), order_life=8).trade_rows) == 1
    assert len(play(story(*SWEPT, CHOCH, *rows, (12, 13, 10, 12), BACK, UP), order_life=8).trade_rows) == 0


BOS = (0, 14, -1, 12)
BOS_OPTIONS = {"trigger": "bos", "discount": 0.7}


def bos(*after):
    return story(BOS, *after)


def test_bos_is_bought_in_its_block_and_wins():
    trade = only(play(bos((12, 13, 4, 6), (6, 30, 5, 27)), **BOS_OPTIONS))

    # No trend state yet, so the break is a BOS. The last quiet bar is the last of equal lows: block -5 to 5. Leg -5 to
    # 14, 70 % of it 8.3. ATR 10 + (15 - 10) / 14 = 10.357, stop -5 - 1.04 = -6.0. Risk 11 pips: 454,545 -> 454,000.
    # 2 R: 5 + 22 = 27.
    assert (trade.units, pips(trade.entry_price), pips(trade.stop_at_entry)) == (454_000, 5.0, -6.0)
    assert trade.net == pytest.approx(454_000 * 0.0022)
    assert TAGS[int(trade.tag)] == "bos_ob"


def test_bos_loses_the_budget_at_the_stop():
    trade = only(play(bos((12, 13, 4, 6), (6, 7, -8, -7)), **BOS_OPTIONS))

    assert trade.net == pytest.approx(-454_000 * 0.0011)


def test_bos_leaves_after_its_bars():
    trade = only(play(bos((12, 13, 4, 6)), **BOS_OPTIONS, time_exit=96))

    assert (when(trade.exit_ns), trade.exit_reason) == ("Thu 08:15", ExitReason.TIME)
    assert trade.net == pytest.approx(454_000 * 0.0001)


def test_bos_is_canceled_when_price_closes_beyond_the_stop_without_a_fill():
    # For one bar the spread is 30 pips: the bid closes at -8, beyond the stop, and the ask stays above the limit.
    bars = story(BOS, (12, 13, 7, 8), (8, 9, -9, -8), then=4)
    bars.spread[row_at(bars, "2024-06-12T08:30")] = 0.0030

    assert order(watch(bars, 2, **BOS_OPTIONS)) == (1, 5.0, -6.0, 27.0)
    assert order(watch(bars, 3, **BOS_OPTIONS)) is None
    assert len(play(bars, **BOS_OPTIONS).trade_rows) == 0


def test_order_whose_stop_the_open_passed_too_is_not_filled():
    arena = play(story(BOS, (12, 13, 7, 8), (-8, -7, -9, -8), then=4), **BOS_OPTIONS)

    assert len(arena.trade_rows) == 0
    assert codes(arena) == [RejectCode.GAP_BEYOND_STOP]


def test_open_inside_the_zone_fills_there():
    trade = only(play(story(BOS, (12, 13, 7, 8), (2, 30, 1, 27)), **BOS_OPTIONS))

    assert pips(trade.entry_price) == 2.0


GAP = ((12, 16, 6, 15), (15, 20, 13, 18))
"""After CHOCH: the low of 6 leaves a gap above the high of 2 before it, known one bar after the break."""


def test_gap_of_the_leg_is_bought_at_its_middle_and_wins():
    bars = story(*SWEPT, CHOCH, *GAP, (18, 19, 2, 4), (4, 34, 3, 33))

    trade = only(play(bars, zone="fvg"))

    # Gap 2 to 6, middle 4. Leg -9 to 20: half is 5.5. Risk 14.1 pips: 354,609 -> 354,000. 2 R: 4 + 28.2 = 32.2.
    assert (trade.units, pips(trade.entry_price), pips(trade.stop_at_entry)) == (354_000, 4.0, -10.1)
    assert pips(trade.exit_price) == 32.2
    assert trade.net == pytest.approx(354_000 * 0.00282)
    assert TAGS[int(trade.tag)] == "choch_sweep_fvg"


def test_gap_of_the_leg_loses_the_budget_at_the_stop():
    trade = only(play(story(*SWEPT, CHOCH, *GAP, (18, 19, 2, 4), (4, 5, -12, -11)), zone="fvg"))

    assert trade.net == pytest.approx(-354_000 * 0.00141)


def test_gap_of_the_leg_leaves_after_its_bars():
    trade = only(play(story(*SWEPT, CHOCH, *GAP, (18, 19, 2, 5)), zone="fvg", time_exit=96))

    assert trade.exit_reason == ExitReason.TIME
    assert trade.net == pytest.approx(354_000 * 0.0001)


def test_gap_of_the_leg_is_canceled_when_price_returns_too_late():
    bars = story(*SWEPT, CHOCH, *GAP, *[(18, 19, 13, 18)] * 10, (18, 19, 2, 4))

    assert len(play(bars, zone="fvg", order_life=8).trade_rows) == 0


WIDE = ((0, 4, -9, -7), (-7, 2, -8, -4))
"""As SWEPT with a block from -9 to 4, which covers the lower half of the gap 2 to 6."""


def test_overlap_of_block_and_gap_is_bought_at_its_middle_and_wins():
    bars = story(*WIDE, CHOCH, (12, 16, 6, 15), (15, 16, 2, 4), (4, 34, 3, 33))

    trade = only(play(bars, zone="overlap"))

    # Overlap 2 to 4, middle 3; half of the leg -9 to 16 is 3.5. ATR: the first bar adds (13 - 10) / 14 = 0.214, then
    # 10.214 - 0.015, then (20 - 10.2) / 14: 10.899; stop -9 - 1.09 = -10.1. Risk 13.1: 381,679 -> 381,000; 2 R at 29.2.
    assert (trade.units, pips(trade.entry_price), pips(trade.exit_price)) == (381_000, 3.0, 29.2)
    assert trade.net == pytest.approx(381_000 * 0.00262)
    assert TAGS[int(trade.tag)] == "choch_sweep_overlap"


def test_overlap_of_block_and_gap_loses_the_budget_at_the_stop():
    bars = story(*WIDE, CHOCH, (12, 16, 6, 15), (15, 16, 2, 4), (4, 5, -12, -11))

    assert only(play(bars, zone="overlap")).net == pytest.approx(-381_000 * 0.00131)


def test_overlap_of_block_and_gap_leaves_after_its_bars():
    bars = story(*WIDE, CHOCH, (12, 16, 6, 15), (15, 16, 2, 4))

    trade = only(play(bars, zone="overlap", time_exit=96))

    assert (trade.exit_reason, trade.net) == (ExitReason.TIME, pytest.approx(381_000 * 0.0001))


def test_block_and_gap_that_share_nothing_give_no_order():
    bars = story(*SWEPT, CHOCH, *GAP, (18, 19, 2, 4))

    assert order(watch(bars, 5, zone="overlap")) is None
    assert len(play(bars, zone="overlap").trade_rows) == 0


def test_sale_pays_the_spread_once_and_its_stop_lies_a_spread_above_the_chart():
    bars = upside_down(story(*SWEPT, CHOCH, BACK, (3, 30, 2, 28)))
    bars.spread = 0.0001

    trade = only(play(bars))

    # Sold at the bid -1; the chart price 10.1 of the stop is an ask of 11.1. Risk 12.1 pips, and the budget counts a
    # spread on top: 500 / 0.00131 = 381,679 -> 381,000. Target 2 R: -1 - 24.2 = -25.2 at the ask.
    assert (pips(trade.entry_price), pips(trade.stop_at_entry), pips(trade.exit_price)) == (-1.0, 11.1, -25.2)
    assert (trade.side, trade.units) == (-1, 381_000)
    assert trade.net == pytest.approx(381_000 * 0.00242)


def test_purchase_with_a_spread_is_the_same_trade_upside_down():
    bars = story(*SWEPT, CHOCH, BACK, (3, 30, 2, 28))
    bars.spread = 0.0001

    trade = only(play(bars))

    # The limit lies a spread above the chart price of the block's edge, so that the same touch fills it.
    assert (pips(trade.entry_price), pips(trade.stop_at_entry), pips(trade.exit_price)) == (2.0, -10.1, 26.2)
    assert trade.net == pytest.approx(381_000 * 0.00242)


def test_partial_takes_half_off_at_one_r_and_moves_the_stop_to_entry():
    bars = story(*SWEPT, CHOCH, BACK, (3, 13, 2, 10), (10, 11, 0, 1))

    trade = only(play(bars, partial=True))

    # 1 R is 11.1 pips: at 12.1 half of 450,000 earns 249.75; the rest leaves at 1.
    assert trade.exit_reason == ExitReason.BREAK_EVEN
    assert trade.net == pytest.approx(225_000 * 0.00111)


DIP = (
    (3, 9, 3, 8), (8, 12, 7, 11), (11, 13, 9, 12), (12, 13, 8, 9), (9, 10, 5, 8), (8, 12, 7, 11), (11, 14, 9, 13),
    (13, 15, 11, 14), (14, 15, 2, 3),
)  # fmt: skip
"""After BACK: the low of 5 stands out from three bars on both sides and is confirmed at 14; then price falls to 3."""


def test_trail_moves_the_stop_to_a_swing_when_it_is_confirmed():
    trade = only(play(story(*SWEPT, CHOCH, BACK, *DIP), trail="swing"))

    # 450,000 x 0.0004 = 180.
    assert (pips(trade.stop_at_entry), pips(trade.exit_price)) == (-10.1, 5.0)
    assert trade.net == pytest.approx(180.0)


def test_trail_does_not_move_before_the_swing_is_confirmed():
    early = (*DIP[:-2], DIP[-1])

    trade = only(play(story(*SWEPT, CHOCH, BACK, *early), trail="swing"))

    assert pips(trade.exit_price) != 5.0


def test_opposite_choch_leaves_at_the_next_open():
    trade = only(play(story(*SWEPT, CHOCH, BACK, *DIP, then=2)))

    # The close at 3 breaks the swing low of 5 against the trend state; out at the next open, 2.
    assert trade.exit_reason == ExitReason.STRATEGY
    assert trade.net == pytest.approx(450_000 * 0.0001)


def test_weekend_flattens():
    # Friday 16:00 UTC is 12:00 in New York, five hours before the week ends.
    bars = story(*SWEPT, CHOCH, BACK, start="2024-06-14T16:00", end="2024-06-17T12:00")

    trade = only(play(bars))

    assert (when(trade.exit_ns), trade.exit_reason) == ("Fri 21:00", ExitReason.WEEKEND)
