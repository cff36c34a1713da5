"""Orders that end together: expiry, brackets, one-cancels-the-others groups, baskets."""

import pytest

from tests.support.markets import make_bars, new_market
from tests.support.scripted import limit, only_trade, play, rejects, stop_order
from tests.unit.core.execution.fill_runs import FLAT, SPREAD, money, run
from tradesentry.core.domain.orders import ExitReason, RejectCode


def test_order_expires_at_the_first_close_at_or_after_its_time():
    """Three flat bars; good until the close of bar 2, when the price that would fill it has not come."""
    bars = make_bars([FLAT, FLAT, FLAT, (1.1000, 1.1000, 1.0900, 1.0950)], spread=SPREAD)

    arena = play(new_market(), bars, [limit(0, 1, 1.0980, 1.0900, expiry_ns=int(bars["close_ns"][2]))])

    assert rejects(arena) == [RejectCode.ORDER_EXPIRED]
    assert arena.reject_rows[0].ts_ns == bars["close_ns"][2]
    assert len(arena.trade_rows) == 0


def bracket(**more):
    """A buy stop and a sell stop around 1.1000, one cancels the other; stops on the other side."""
    buy = stop_order(0, 1, 1.1020, 1.0980, group=1, **more)
    sell = stop_order(0, -1, 1.0980, 1.1020, group=1, **more)
    return buy, sell


def test_bar_that_reaches_both_sides_of_a_bracket_is_a_full_loss():
    """The buy was placed first: in at 1.1020, out at 1.0980, -40.00; the sell is gone.

    Seen to fail without the cancel of the group: the sell is a second trade.
    """
    trade = only_trade(run([(1.1000, 1.1030, 1.0970, 1.1000), FLAT], *bracket()))

    assert trade.side == 1
    assert money(trade) == -40.00


def test_bar_that_reaches_both_sides_of_a_bracket_is_skipped_on_request():
    arena = run([(1.1000, 1.1030, 1.0970, 1.1000), FLAT], *bracket(skip_if_both=True))

    assert rejects(arena) == [RejectCode.AMBIGUOUS_BAR] * 2
    assert len(arena.trade_rows) == 0


def test_one_filled_order_cancels_the_others_of_its_group():
    """Bar 1 fills the buy, bar 2 reaches the sell's price: (1.0980 - 1.1020), the buy's stop, and no sell.

    Seen to fail: the sell was gone without a word.
    """
    rows = [(1.1000, 1.1030, 1.1000, 1.1030), (1.1030, 1.1030, 1.0970, 1.0975), FLAT]

    arena = run(rows, *bracket())

    assert money(only_trade(arena)) == -40.00
    assert rejects(arena) == [RejectCode.SIBLING_FILLED]
    assert arena.reject_rows[0].side == -1


def test_order_filled_at_the_open_cancels_the_others_of_its_group():
    arena = run([(1.1030, 1.1030, 1.1030, 1.1030), FLAT], *bracket())

    assert only_trade(arena).entry_price == pytest.approx(1.1032)
    assert rejects(arena) == [RejectCode.SIBLING_FILLED]


def test_basket_gets_no_target_on_a_bar_that_fills_one_of_its_entries():
    """Two levels, 1.0980 and 1.0960, both with target 1.1010. Bar 2 goes down to 1.0950 and up to 1.1020: it fills the
    second level, so the first keeps its target for bar 3: 30.00 + 50.00.

    Seen to fail with targets for all but the new position.
    """
    rows = [(1.1000, 1.1000, 1.0975, 1.0980), (1.0980, 1.1020, 1.0950, 1.0990), (1.0990, 1.1020, 1.0990, 1.1000)]
    levels = [limit(0, 1, price, 1.0900, 1.1010, basket=7) for price in (1.0980, 1.0960)]

    arena = run(rows, *levels)

    assert arena.trade_rows.exit_ns.tolist() == [arena.bars[0]["close_ns"][3]] * 2
    assert [money(trade) for trade in arena.trade_rows] == [30.00, 50.00]


def test_two_baskets_that_fill_on_one_bar_are_both_without_target_on_it():
    """A buy basket and a sell basket hold one position each; bar 3 fills the next level of both and crosses all
    targets.

    Seen to fail: only the basket that filled last was remembered.
    """
    rows = [(1.1000, 1.1015, 1.0975, 1.1000), (1.1000, 1.1000, 1.1000, 1.1000), (1.1000, 1.1035, 1.0950, 1.1000)]
    buys = [limit(0, 1, price, 1.0900, 1.1020, basket=1) for price in (1.0980, 1.0960)]
    sells = [limit(0, -1, price, 1.1100, 1.0975, basket=2) for price in (1.1010, 1.1030)]

    arena = run(rows, *buys, *sells)

    assert arena.trade_rows.exit_reason.tolist() == [ExitReason.END_OF_DATA] * 4
