"""Fills on bars, each worked out by hand to the cent: where a touch becomes a price, and where it does not.

10,000 EURUSD, so a pip (0.0001) is one dollar. A script decides at the close of bar 0, so a market entry fills at the
open of bar 1. Spread 2 pips: a long enters at bid + 0.0002 and leaves at bid, a short enters at bid and leaves at
bid + 0.0002.
"""

import numpy as np
import pytest

from tests.support.markets import flat_bars, make_bars, new_market
from tests.support.scripted import close, enter, limit, modify, only_trade, play, rejects, stop_order
from tests.unit.core.execution.fill_runs import FLAT, SPREAD, money, run
from tradesentry.core.domain.orders import ExitReason, RejectCode


def test_stop_fills_at_the_open_when_price_gaps_through_it():
    """In at 1.1002, stop 1.0950, next open 1.0930: (1.0930 - 1.1002) x 10,000 = -72.00, not -52.00.

    Seen to fail with the stop price as the fill of a gap.
    """
    trade = only_trade(run([FLAT, (1.0930, 1.0980, 1.0920, 1.0970)], enter(0, 1, 1.0950)))

    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert trade.exit_price == 1.0930
    assert money(trade) == -72.00


def test_stop_of_a_short_fills_at_the_ask_of_the_open_when_price_gaps_through_it():
    """In at 1.1000, stop 1.1050, next open bid 1.1068, ask 1.1070: (1.1000 - 1.1070) x 10,000 = -70.00."""
    trade = only_trade(run([FLAT, (1.1068, 1.1070, 1.1060, 1.1065)], enter(0, -1, 1.1050)))

    assert trade.exit_price == pytest.approx(1.1070, abs=1e-12)
    assert money(trade) == -70.00


@pytest.mark.parametrize(
    ("side", "stop", "target", "net"),
    [(1, 1.0950, 1.1050, -52.00), (-1, 1.1050, 1.0950, -50.00)],  # 1.0950 - 1.1002; 1.1000 - 1.1050
)
def test_stop_comes_first_when_one_bar_touches_stop_and_target(side, stop, target, net):
    """Seen to fail with targets before stops."""
    trade = only_trade(run([FLAT, (1.1000, 1.1060, 1.0940, 1.1000)], enter(0, side, stop, target)))

    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert money(trade) == net


def test_finer_bars_decide_which_of_stop_and_target_came_first():
    """The same bar, but its first half goes up to 1.1060 and only its second down: the target, (1.1050 - 1.1002)."""
    fine = make_bars([(1.1000, 1.1060, 1.1000, 1.1055), (1.1055, 1.1055, 1.0940, 1.1000)], minutes=5, spread=SPREAD)
    fine["open_ns"] += 30 * 60_000_000_000
    fine["close_ns"] += 30 * 60_000_000_000

    trade = only_trade(run([FLAT, (1.1000, 1.1060, 1.0940, 1.1000)], enter(0, 1, 1.0950, 1.1050), fine=fine))

    assert trade.exit_reason == ExitReason.TAKE_PROFIT
    assert money(trade) == 48.00


def test_wider_spread_of_a_finer_bar_stops_a_short():
    """Short at 1.1000, stop 1.1030. Bar 2 has high 1.1020 and 2 pips of spread: ask 1.1022. Its finer bar has 15 pips:
    ask 1.1035, so out at 1.1030.

    Seen to fail: bar 2 alone looked as if nothing could happen on it, and its finer bars were not played.
    """
    quiet = (1.1000, 1.1020, 1.0990, 1.1000)
    fine = make_bars([quiet], start="2024-01-09T12:30", minutes=15, spread=0.0015)

    trade = only_trade(run([FLAT, quiet, FLAT], enter(0, -1, 1.1030), fine=fine))

    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert money(trade) == -30.00


def test_target_that_the_open_passed_fills_at_the_open():
    """Target 1.1050, open 1.1062: (1.1062 - 1.1002) x 10,000 = 60.00, better than asked."""
    trade = only_trade(run([FLAT, (1.1062, 1.1070, 1.1055, 1.1060)], enter(0, 1, 1.0950, 1.1050)))

    assert trade.exit_reason == ExitReason.TAKE_PROFIT
    assert money(trade) == 60.00


@pytest.mark.parametrize(("low", "n_trades"), [(1.0978, 0), (1.09779, 1)])
def test_limit_needs_a_trade_through_by_one_tick(low, n_trades):
    """Buy limit 1.0980: an ask of 1.09800 (low 1.09780) touches, 1.09799 (low 1.09779) trades through.

    Seen to fail with limits that fill when touched.
    """
    arena = run([(1.1000, 1.1000, low, 1.0990)], limit(0, 1, 1.0980, 1.0900))

    assert len(arena.trade_rows) == n_trades
    if n_trades:
        assert arena.trade_rows[0].entry_price == 1.0980


@pytest.mark.parametrize(("high", "n_trades"), [(1.1020, 0), (1.10201, 1)])
def test_limit_of_a_seller_meets_the_bid(high, n_trades):
    """Sell limit 1.1020: the bid has to trade at 1.10201."""
    arena = run([(1.1000, high, 1.1000, 1.1000)], limit(0, -1, 1.1020, 1.1100))

    assert len(arena.trade_rows) == n_trades


def test_limit_that_the_open_passed_fills_at_the_open_which_is_better():
    """Buy limit 1.0980, open bid 1.0960: in at the ask, 1.0962."""
    trade = only_trade(run([(1.0960, 1.0965, 1.0955, 1.0960)], limit(0, 1, 1.0980, 1.0900)))

    assert trade.entry_price == pytest.approx(1.0962, abs=1e-12)


def test_stop_entry_fills_when_the_ask_touches_it():
    """Buy stop 1.1020: high 1.1018 + 0.0002 is just there."""
    trade = only_trade(run([(1.1000, 1.1018, 1.1000, 1.1010)], stop_order(0, 1, 1.1020, 1.0950)))

    assert trade.entry_price == 1.1020


def test_stop_entry_that_the_open_passed_fills_at_the_open_which_is_worse():
    """Buy stop 1.1020, open bid 1.1030: in at the ask, 1.1032."""
    trade = only_trade(run([(1.1030, 1.1035, 1.1025, 1.1030)], stop_order(0, 1, 1.1020, 1.0950)))

    assert trade.entry_price == pytest.approx(1.1032, abs=1e-12)


@pytest.mark.parametrize(("high", "is_stopped"), [(1.10379, False), (1.1038, True)])
def test_stop_of_a_short_is_touched_by_the_ask(high, is_stopped):
    """Short at 1.1000, stop 1.1040: a bid of 1.1038 is an ask of 1.1040; loss 40.00.

    Seen to fail with `bar.high >= stop`, and with a plain comparison: 1.1038 + 0.0002 is 1.1039999999999999.
    """
    arena = run([FLAT, (1.1000, high, 1.1000, 1.1000), FLAT], enter(0, -1, 1.1040))

    assert bool(only_trade(arena).exit_reason == ExitReason.STOP_LOSS) is is_stopped
    if is_stopped:
        assert money(only_trade(arena)) == -40.00


@pytest.mark.parametrize(("low", "is_reached"), [(1.09681, False), (1.0968, True)])
def test_target_of_a_short_is_touched_by_the_ask(low, is_reached):
    """Short at 1.1000, target 1.0970: a bid of 1.0968 is an ask of 1.0970; gain 30.00."""
    arena = run([FLAT, (1.1000, 1.1000, low, 1.1000), FLAT], enter(0, -1, 1.1050, 1.0970))

    assert bool(only_trade(arena).exit_reason == ExitReason.TAKE_PROFIT) is is_reached
    if is_reached:
        assert money(only_trade(arena)) == 30.00


def test_spread_is_paid_once_by_a_round_trip_at_one_price():
    """Short in at the bid 1.1000, closed at the ask 1.1002: -2.00; the costs of the trade say so."""
    trade = only_trade(run([FLAT, FLAT, FLAT], enter(0, -1, 1.1050), close(1)))

    assert trade.exit_reason == ExitReason.STRATEGY
    assert money(trade) == -2.00
    assert float(trade.spread_cost) == pytest.approx(2.00)


def test_entry_bar_may_hit_the_stop_but_not_the_target():
    """The bar of the entry reaches 1.1060 and the target is 1.1050: nothing; the next one gives 48.00.

    Seen to fail without the check of the entry bar.
    """
    rows = [(1.1000, 1.1060, 1.1000, 1.1000), (1.1000, 1.1060, 1.1000, 1.1000)]

    trade = only_trade(run(rows, enter(0, 1, 1.0950, 1.1050)))

    assert trade.bars_held == 1
    assert money(trade) == 48.00


def test_limit_entry_may_be_stopped_on_its_own_bar():
    """Buy limit 1.0980, stop 1.0950, low 1.0940: in and out, -30.00."""
    trade = only_trade(run([(1.1000, 1.1000, 1.0940, 1.0990)], limit(0, 1, 1.0980, 1.0950)))

    assert trade.bars_held == 0
    assert money(trade) == -30.00


def test_entry_beyond_its_stop_after_a_wider_spread_leaves_at_the_open():
    """Stop 1.0990, signal at ask 1.1002. The next bar opens at bid 1.0988 with 17 pips of spread: in at 1.1005, within
    half the stop distance; the bid is already under the stop, so out at 1.0988: -17.00, not -15.00.

    Seen to fail with the stop price as the exit: it was not to be had on that bar.
    """
    bars = make_bars([FLAT, (1.0988, 1.0995, 1.0985, 1.0990)], spread=np.array([0.0002, 0.0017]))

    trade = only_trade(play(new_market(), bars, [enter(0, 1, 1.0990)]))

    assert trade.entry_price == pytest.approx(1.1005)
    assert money(trade) == -17.00


def test_market_entry_is_canceled_when_the_open_is_too_far():
    """Signal ask 1.1002, stop 1.0982: 20 pips, so at most 10 away. Ask 1.1013 is 11 away, 1.1012 is just allowed."""
    too_far = run([(1.1011, 1.1011, 1.1011, 1.1011)], enter(0, 1, 1.0982))
    just_near = run([(1.1010, 1.1010, 1.1010, 1.1010)], enter(0, 1, 1.0982))

    assert rejects(too_far) == [RejectCode.OPEN_TOO_FAR]
    assert len(just_near.trade_rows) == 1


def test_market_entry_is_canceled_after_a_gap_in_the_data():
    bars = flat_bars(3, 1.1000, spread=SPREAD, gap_after=0, gap_minutes=15)

    arena = play(new_market(), bars, [enter(0, 1, 1.0950)])

    assert rejects(arena) == [RejectCode.DATA_GAP]


def test_order_whose_stop_the_open_passed_too_is_canceled():
    """Buy limit 1.0980 with stop 1.0950; the bar opens at 1.0940."""
    arena = run([(1.0940, 1.0990, 1.0930, 1.0960)], limit(0, 1, 1.0980, 1.0950))

    assert rejects(arena) == [RejectCode.GAP_BEYOND_STOP]
    assert len(arena.trade_rows) == 0


def test_stop_entry_above_the_market_is_kept_although_its_stop_is_above_too():
    """Buy stop 1.1050 with stop 1.1020 while price is at 1.1000: nothing has been passed. It fills two bars later.

    Seen to fail: every such order was canceled as GAP_BEYOND_STOP at the next open.
    """
    rows = [FLAT, (1.1000, 1.1060, 1.1000, 1.1055), (1.1055, 1.1055, 1.1055, 1.1055)]

    arena = run(rows, stop_order(0, 1, 1.1050, 1.1020))

    assert rejects(arena) == []
    assert only_trade(arena).entry_price == 1.1050


def test_order_cannot_be_given_a_stop_past_its_entry():
    """A buy limit at 1.0980 with a stop at 1.1060 would be filled and stopped at a profit on one bar."""
    rows = [FLAT, (1.1000, 1.1000, 1.0970, 1.0980), FLAT]

    arena = run(rows, limit(0, 1, 1.0980, 1.0950), modify(1, 1.1060, target_id=-1))

    assert rejects(arena) == [RejectCode.STOP_SIDE]
    assert only_trade(arena).stop_at_entry == 1.0950


@pytest.mark.parametrize(("stop", "code"), [(1.09745, RejectCode.STOP_TOO_NEAR), (1.0974, None)])
def test_order_cannot_be_given_a_stop_nearer_than_one_may_be_placed(stop, code):
    """Buy limit 1.0980, spread 2 pips: at least 6 pips away, 1.0974. Refused, the stop of the order stays.

    Seen to fail: any stop under the entry was taken.
    """
    arena = run([FLAT, (1.1000, 1.1000, 1.0970, 1.0980)], limit(0, 1, 1.0980, 1.0950), modify(1, stop, target_id=-1))

    assert rejects(arena) == ([code] if code else [])
    assert only_trade(arena).stop_at_entry == (1.0950 if code else stop)


@pytest.mark.parametrize(
    ("side", "target", "is_taken"), [(1, 1.0998, False), (1, 1.1000, False), (1, 1.1001, True), (-1, 1.1002, False)]
)
def test_target_cannot_be_moved_to_where_the_market_has_been(side, target, is_taken):
    """A long leaves at the bid 1.1000, a short at the ask 1.1002: a target there or behind is no target.

    Seen to fail: the position left at the next open, without slippage and with the reason of a target reached.
    """
    entry = enter(0, side, 1.1000 - side * 0.0050, 1.1000 + side * 0.0080)

    arena = run([FLAT, FLAT, FLAT], entry, modify(2, target=target, target_id=-1))

    assert rejects(arena) == ([] if is_taken else [RejectCode.TARGET_SIDE])
    assert only_trade(arena).exit_reason == ExitReason.END_OF_DATA


def test_refused_modify_leaves_stop_and_target():
    """The stop would be tighter, the target has been passed: neither moves."""
    entry = enter(0, 1, 1.0950, 1.1080)

    arena = run([FLAT, FLAT, FLAT], entry, modify(1, 1.0970, 1.0990, target_id=-1))

    assert rejects(arena) == [RejectCode.TARGET_SIDE]
    assert arena.lanes[0].state[0].seen[2].stops == pytest.approx(1.0950)


def test_close_to_a_remaining_size_leaves_that_much():
    """10,000 at 1.1002, 6,000 closed at 1.1010 (bar 3's open), the rest at the end at 1.1030: 4.80 + 11.20."""
    rows = [FLAT, FLAT, (1.1010, 1.1010, 1.1010, 1.1010), (1.1030, 1.1030, 1.1030, 1.1030)]

    trade = only_trade(run(rows, enter(0, 1, 1.0950), close(2, 4_000.0)))

    assert trade.exit_price == pytest.approx((0.6 * 1.1010) + (0.4 * 1.1030))
    assert money(trade) == 16.00


@pytest.mark.parametrize("side", [1, -1])
def test_entry_without_a_target_has_none(side):
    """Seen to fail: compiled, rounding NaN to the tick made a price of -9e13, which a long was refused for."""
    arena = run([FLAT, FLAT], enter(0, side, 1.1000 - side * 0.0050))

    assert rejects(arena) == []
    assert only_trade(arena).exit_reason == ExitReason.END_OF_DATA


@pytest.mark.parametrize("side", [1, -1])
def test_moving_the_target_alone_leaves_the_stop(side):
    """Seen to fail for shorts: the stop that was not given became -9e13 and closed the position at the next open."""
    arena = run([FLAT, FLAT, FLAT], enter(0, side, 1.1000 - side * 0.0050), modify(1, target=1.1000 + side * 0.0090))

    assert rejects(arena) == []
    assert only_trade(arena).exit_reason == ExitReason.END_OF_DATA
