"""What goes wrong at the fake terminal: what its server does late or in part, and what is lost on the way to it."""

import threading

import pytest

from tests.support.terminals import NETTING, closing, deal, name_of, new_terminal
from tests.support.venues import quote_at
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.faults import FaultKind

INSTANT = {"exemode": mt5.SYMBOL_TRADE_EXECUTION_INSTANT}

# Faults of trading


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("reject:NO_MONEY", "NO_MONEY"),
        ("reject:INSUFFICIENT_MARGIN", "NO_MONEY"),
        ("reject:10041", "REJECT_CANCEL"),
        ("reject:WHATEVER", "REJECT"),
        ("requote", "REQUOTE"),
        ("halted", "MARKET_CLOSED"),
        ("status:10031", "CONNECTION"),
        ("status:429", "TOO_MANY_REQUESTS"),
    ],
)
def test_a_refusal_by_script_executes_nothing(fault, name):
    terminal = new_terminal(initialized=True, faults=f"{fault} at 1 on place")

    result = terminal.order_send(deal())

    assert name_of(result.retcode) == name
    assert terminal.positions_get() == ()
    assert terminal.order_send(deal()).retcode == mt5.TRADE_RETCODE_DONE


def test_a_timeout_by_retcode_may_have_been_executed():
    terminal = new_terminal(initialized=True, faults="status_after:10012 at 1 on place")

    result = terminal.order_send(deal())

    assert (name_of(result.retcode), result.order, result.deal) == ("TIMEOUT", 0, 0)
    assert terminal.positions_total() == 1


def test_a_placed_order_deals_later_and_is_working_meanwhile():
    terminal = new_terminal(initialized=True, faults="placed:2 at 1 on place")

    result = terminal.order_send(deal())
    working = terminal.orders_get()
    terminal.clock.jump(1.9)
    early = terminal.history_deals_get(ticket=result.order)
    terminal.clock.jump(0.1)

    assert (name_of(result.retcode), result.deal, result.price) == ("PLACED", 0, 0.0)
    assert [order.ticket for order in working] == [result.order]
    assert early == ()
    assert [made.volume for made in terminal.history_deals_get(ticket=result.order)] == [0.1]
    assert terminal.orders_get() == ()


def test_a_close_that_works_forbids_another_one():
    terminal = new_terminal(initialized=True, faults="placed:2 at 1 on close")
    terminal.order_send(deal())
    (position,) = terminal.positions_get()

    first, second = terminal.order_send(closing(position)), terminal.order_send(closing(position))
    terminal.clock.jump(3)

    assert [name_of(result.retcode) for result in (first, second)] == ["PLACED", "CLOSE_ORDER_EXIST"]
    assert terminal.positions_get() == ()


def test_a_close_that_comes_after_the_stop_is_rejected_and_opens_nothing():
    terminal = new_terminal(initialized=True, faults="placed:2 at 1 on close")
    terminal.order_send(deal(sl=1.0950))
    (position,) = terminal.positions_get()
    late = terminal.order_send(closing(position)).order
    terminal.show(quote_at(1.0940, seconds=1))

    terminal.clock.jump(3)

    assert terminal.positions_get() == ()
    assert terminal.history_orders_get(ticket=late)[0].state == mt5.ORDER_STATE_REJECTED
    assert len(terminal.history_deals_get(position=position.identifier)) == 2


def test_ioc_fills_what_is_there_and_cancels_the_rest():
    terminal = new_terminal(initialized=True, faults="partial:0.25 at 1 on place")

    result = terminal.order_send(deal(1.0, type_filling=mt5.ORDER_FILLING_IOC))

    (order,) = terminal.history_orders_get(ticket=result.order)
    assert (name_of(result.retcode), result.volume) == ("DONE_PARTIAL", 0.25)
    assert (order.state, order.volume_initial, order.volume_current) == (mt5.ORDER_STATE_CANCELED, 1.0, 0.75)
    assert terminal.positions_get()[0].volume == 0.25


def test_fok_fills_all_or_nothing():
    terminal = new_terminal(initialized=True, faults="partial:0.25 at 1 on place")

    result = terminal.order_send(deal(1.0))

    assert name_of(result.retcode) == "REJECT"
    assert terminal.positions_get() == ()


def test_return_works_on_until_the_rest_is_filled_under_one_position():
    terminal = new_terminal(initialized=True, symbol=INSTANT, faults="partial:0.25 at 1 on place")

    result = terminal.order_send(deal(1.0, type_filling=mt5.ORDER_FILLING_RETURN, price=1.1001))
    (working,) = terminal.orders_get()
    terminal.clock.jump(1)
    terminal.show(quote_at(1.1010, seconds=1))

    assert (name_of(result.retcode), result.volume) == ("DONE_PARTIAL", 0.25)
    assert (working.state, working.volume_current) == (mt5.ORDER_STATE_PARTIAL, 0.75)
    assert [made.volume for made in terminal.history_deals_get(ticket=result.order)] == [0.25, 0.75]
    (position,) = terminal.positions_get()
    assert (position.volume, position.ticket) == (1.0, result.order)
    assert position.price_open == pytest.approx(0.25 * 1.1001 + 0.75 * 1.1011)


def test_the_history_lags_behind_the_reply():
    """Not there yet is not the same as not there."""
    terminal = new_terminal(initialized=True, faults="history_lag:1.5 at 1 on place")

    result = terminal.order_send(deal())

    assert (name_of(result.retcode), terminal.positions_total()) == ("DONE", 1)
    assert terminal.orders_get() == terminal.history_orders_get(ticket=result.order) == ()
    assert terminal.history_deals_get(position=result.order) == ()
    terminal.clock.jump(1.5)
    assert len(terminal.history_orders_get(ticket=result.order)) == len(terminal.history_deals_get(0, 2**31)) - 1 == 1


def test_the_whole_history_may_lag():
    terminal = new_terminal(initialized=True)
    terminal.server.history_lag_seconds = 2.0
    terminal.order_send(deal(sl=1.0950))
    terminal.show(quote_at(1.0940, seconds=1))

    before = len(terminal.history_deals_get(0, 2**31))
    terminal.clock.jump(2)

    assert (before, len(terminal.history_deals_get(0, 2**31))) == (1, 3)


# Faults on the way


@pytest.mark.parametrize(
    ("fault", "code", "is_executed", "n_requests"),
    [
        ("connect_refused", mt5.RES_E_INTERNAL_FAIL_CONNECT, False, 0),
        ("terminal_restart", mt5.RES_E_INTERNAL_FAIL_CONNECT, False, 0),
        ("reset_before", mt5.RES_E_INTERNAL_FAIL_SEND, False, 1),
        ("status:503", mt5.RES_E_INTERNAL_FAIL_SEND, False, 1),
        ("lose_reply", mt5.RES_E_INTERNAL_FAIL_RECEIVE, True, 1),
        ("status_after:504", mt5.RES_E_INTERNAL_FAIL_RECEIVE, True, 1),
        ("truncated", mt5.RES_E_INTERNAL_FAIL_RECEIVE, True, 1),
        ("not_json", mt5.RES_E_INTERNAL_FAIL, True, 1),
        ("no_reply", mt5.RES_E_INTERNAL_FAIL_TIMEOUT, True, 1),
        ("slow:60", mt5.RES_E_INTERNAL_FAIL_TIMEOUT, True, 1),
        ("late:5", mt5.RES_E_INTERNAL_FAIL_TIMEOUT, False, 1),
    ],
)
def test_a_lost_reply_is_none_whether_or_not_the_request_was_executed(fault, code, is_executed, n_requests):
    terminal = new_terminal(initialized=True, faults=f"{fault} at 1 on place", pause=lambda seconds: None)

    result = terminal.order_send(deal())
    error = terminal.last_error()[0]
    if fault == "terminal_restart":
        assert terminal.positions_get() is None
        terminal.initialize()

    assert (result, error) == (None, code)
    assert terminal.positions_total() == int(is_executed)
    assert terminal.n_requests == n_requests
    assert sum(terminal.faults.hits.values()) == 1


def test_a_late_request_is_executed_at_its_time_and_not_before():
    terminal = new_terminal(initialized=True, faults="late:5 at 1 on place", pause=lambda seconds: None)
    terminal.order_send(deal())

    terminal.clock.jump(4.9)
    early = terminal.positions_total()
    terminal.clock.jump(0.1)

    assert (early, terminal.positions_total()) == (0, 1)


def test_a_slow_answer_inside_the_timeout_is_an_answer():
    waited = []
    terminal = new_terminal(initialized=True, faults="slow:1.5 at 1 on place", pause=waited.append)

    result = terminal.order_send(deal())

    assert name_of(result.retcode) == "DONE"
    assert waited == [1.5]


def test_reads_fail_by_script_and_say_so():
    terminal = new_terminal(initialized=True, faults="lose_reply at 2 on events; connect_refused at 1 on quotes")

    first = terminal.history_deals_get(0, 2**31)
    second = terminal.history_deals_get(0, 2**31)
    error = terminal.last_error()[0]
    tick = terminal.symbol_info_tick("EURUSD.m")

    assert len(first) == 1
    assert (second, error) == (None, mt5.RES_E_INTERNAL_FAIL_RECEIVE)
    assert (tick, terminal.last_error()[0]) == (None, mt5.RES_E_INTERNAL_FAIL_CONNECT)
    assert terminal.faults.hits == {FaultKind.LOSE_REPLY: 1, FaultKind.CONNECT_REFUSED: 1}


def test_a_call_waits_on_the_clock_until_somebody_moves_it_or_releases_it():
    terminal = new_terminal(initialized=True, faults="no_reply at 1 on place")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(terminal.order_send(deal())))

    thread.start()
    while terminal.n_requests < 1:
        pass
    terminal.release()
    thread.join(5)

    assert answers == [None]
    assert not thread.is_alive()


def test_trades_by_hand_appear_with_no_magic():
    terminal = new_terminal(initialized=True, account=NETTING)
    opened = terminal.order_send(deal(0.2)).order

    trade = terminal.venue.open_trades()[0]
    terminal.venue.close(trade.trade_id, trade.units / 2)
    terminal.venue.transfer(250)

    deals = terminal.history_deals_get(position=opened)
    assert [(made.magic, made.reason) for made in deals] == [(7, mt5.DEAL_REASON_EXPERT), (0, mt5.DEAL_REASON_CLIENT)]
    assert terminal.positions_get()[0].volume == 0.1
    assert terminal.history_deals_get(0, 2**31)[-1].type == mt5.DEAL_TYPE_BALANCE
    assert terminal.account_info().balance == 100_249.0
