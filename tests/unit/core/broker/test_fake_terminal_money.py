"""The money of a fake terminal's account: balance, margin with hedged legs, overnight interest, stop-out."""

import pytest

from tests.support.terminals import NETTING, closing, deal, new_terminal
from tests.support.venues import quote_at
from tradesentry.core.broker import mt5_constants as mt5

SELL = mt5.ORDER_TYPE_SELL


def only(rows):
    (row,) = rows
    return row


def test_balance_and_equity_follow_deals_and_prices():
    terminal = new_terminal(initialized=True, venue_options={"commission_per_unit": 3.5e-5})
    terminal.order_send(deal(1.0))
    terminal.show(quote_at(1.1021, seconds=1))

    info = terminal.account_info()

    assert (info.balance, info.profit, info.equity) == (99_996.5, 200.0, 100_196.5)
    assert info.margin == pytest.approx(100_000 * 1.1021 / 30, abs=0.01)
    assert info.margin_free == pytest.approx(info.equity - info.margin)
    assert info.margin_level == pytest.approx(100 * info.equity / info.margin, abs=0.01)


def test_overnight_interest_stands_on_the_position_until_it_is_closed():
    terminal = new_terminal(initialized=True, venue_options={"swap_long": -0.00005})
    opened = terminal.order_send(deal(1.0)).order
    terminal.show(quote_at(1.1000, seconds=86_400))
    position = only(terminal.positions_get())
    balance = terminal.account_info().balance

    terminal.order_send(closing(position, 0.25))
    terminal.order_send(closing(only(terminal.positions_get())))

    assert (position.swap, balance) == (-5.0, 100_000.0)
    deals = terminal.history_deals_get(position=opened)
    assert [made.swap for made in deals] == [0.0, -1.25, -3.75]
    assert terminal.account_info().balance == 100_000.0 - 5.0 - 10.0


@pytest.mark.parametrize(
    ("symbol", "lots"),
    [
        ({}, 3.0),
        ({"margin_hedged": 50_000.0}, 2.5),
        ({"margin_hedged": 0.0}, 2.0),
        ({"is_margin_by_larger_leg": True}, 3.0),
    ],
)
def test_hedged_legs_cost_margin_once_by_the_symbols_rule(symbol, lots):
    terminal = new_terminal(initialized=True, symbol=symbol)
    terminal.order_send(deal(3.0))
    terminal.order_send(deal(1.0, SELL))

    margin = terminal.account_info().margin

    assert margin == pytest.approx(lots * terminal.order_calc_margin(0, "EURUSD.m", 1.0, 1.1), rel=1e-4)


def test_a_stop_out_closes_the_largest_loser_first_and_only_as_much_as_it_must():
    """Seen to fail: with the smallest loser closed first."""
    terminal = new_terminal(initialized=True, venue_options={"capital": 5_000.0})
    small = terminal.order_send(deal(0.3)).order
    terminal.show(quote_at(1.1010, seconds=1))
    large = terminal.order_send(deal(0.9)).order

    terminal.show(quote_at(1.0680, seconds=2))

    made = terminal.history_deals_get(position=large)[-1]
    assert [row.identifier for row in terminal.positions_get()] == [small]
    assert (made.reason, made.magic) == (mt5.DEAL_REASON_SO, 0)
    assert made.comment.startswith("[so ")
    assert terminal.account_info().margin_level > 50.0


def test_what_an_order_would_cost_and_gain_is_calculated_in_account_currency():
    terminal = new_terminal(initialized=True)

    assert terminal.order_calc_profit(0, "EURUSD.m", 1.0, 1.1, 1.10001) == pytest.approx(1.0)
    assert terminal.order_calc_profit(1, "USDJPY.m", 1.0, 150.0, 149.0) == pytest.approx(100_000 / 150.0, rel=1e-3)
    assert terminal.order_calc_margin(0, "USDJPY.m", 1.0, 150.0) == pytest.approx(100_000 / 30, rel=1e-3)
    assert terminal.order_calc_profit(2, "EURUSD.m", 1.0, 1.1, 1.2) is None
    assert terminal.order_calc_margin(0, "EURCHF.m", 1.0, 1.1) is None


def test_a_check_changes_nothing_and_tells_the_free_margin():
    terminal = new_terminal(initialized=True)

    good = terminal.order_check(deal(1.0, sl=1.09))
    bad = terminal.order_check(deal(0.015))

    assert (good.retcode, bad.retcode) == (0, mt5.TRADE_RETCODE_INVALID_VOLUME)
    assert good.margin == pytest.approx(100_000 * 1.1 / 30, abs=0.01)
    assert good.margin_free == pytest.approx(100_000 - good.margin)
    assert good.request.volume == 1.0
    assert terminal.positions_get() == ()


@pytest.mark.parametrize(("level", "is_closed"), [(3_990.0, False), (4_010.0, True)])
def test_a_stop_out_may_be_an_amount_of_money(level, is_closed):
    """Equity falls to 4,000 dollars."""
    account = {"margin_so_mode": mt5.ACCOUNT_STOPOUT_MODE_MONEY, "margin_so_so": level}
    terminal = new_terminal(initialized=True, account=account, venue_options={"capital": 5_000.0})
    terminal.order_send(deal(1.0))

    terminal.show(quote_at(1.0901, seconds=1))

    assert terminal.positions_total() == (0 if is_closed else 1)
    assert terminal.account_info().equity == 4_000.0


def test_a_stop_out_closes_a_netting_position_with_all_its_parts():
    terminal = new_terminal(initialized=True, account=NETTING, venue_options={"capital": 5_000.0})
    identifier = terminal.order_send(deal(0.6)).order
    terminal.show(quote_at(1.1010, seconds=1))
    terminal.order_send(deal(0.6))

    terminal.show(quote_at(1.0700, seconds=2))

    made = terminal.history_deals_get(position=identifier)[-1]
    assert terminal.positions_get() == ()
    assert (made.volume, made.reason, made.entry) == (1.2, mt5.DEAL_REASON_SO, mt5.DEAL_ENTRY_OUT)
