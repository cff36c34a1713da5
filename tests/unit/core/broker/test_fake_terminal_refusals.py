"""Which retcode the fake terminal's server refuses with, what it does late, and what is lost on the way to it."""

import threading

import pytest

from tests.support.terminals import NETTING, closing, deal, new_terminal, pending
from tests.support.venues import quote_at
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.faults import FaultKind

SELL = mt5.ORDER_TYPE_SELL
BUY_STOP, SELL_LIMIT = mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_SELL_LIMIT
INSTANT = {"exemode": mt5.SYMBOL_TRADE_EXECUTION_INSTANT}
FOK_ONLY = {"filling_mode": mt5.FILLING_FLAG_FOK}
NEAR = {"stops_level": 50}
POINT = 0.00001


def name_of(code):
    """Return the name of a retcode without its prefix."""
    names = {value: name for name, value in mt5.CONSTANTS.items() if name.startswith("TRADE_RETCODE_")}
    return names.get(code, str(code)).removeprefix("TRADE_RETCODE_")


REFUSED = [
    ("INVALID", {}, {**deal(), "action": 99}),
    ("INVALID", {}, deal(symbol="EURUSD")),
    ("INVALID", {}, deal(order_type=mt5.ORDER_TYPE_BUY_LIMIT)),
    ("INVALID", {}, closing(type("P", (), {"type": 0, "symbol": "EURUSD.m", "volume": 0.1, "ticket": 4711}))),
    ("INVALID", {}, {"action": mt5.TRADE_ACTION_SLTP, "position": 4711, "sl": 1.0}),
    ("INVALID", {}, {"action": mt5.TRADE_ACTION_REMOVE, "order": 4711}),
    ("INVALID_VOLUME", {}, deal(0.005)),
    ("INVALID_VOLUME", {}, deal(0.015)),
    ("INVALID_VOLUME", {}, deal(600.0)),
    ("INVALID_VOLUME", {}, pending(1.09, volume=0.001)),
    ("INVALID_STOPS", {}, deal(sl=1.1000)),
    ("INVALID_STOPS", {}, deal(tp=1.0990)),
    ("INVALID_STOPS", {}, deal(sl=1.0900001)),
    ("INVALID_STOPS", {"symbol": NEAR}, deal(sl=1.0996)),
    ("DONE", {"symbol": NEAR}, deal(sl=1.0995)),
    ("INVALID_STOPS", {}, deal(order_type=SELL, sl=1.1001)),
    ("INVALID_STOPS", {}, pending(1.09, sl=1.095)),
    ("INVALID_STOPS", {}, pending(1.11, BUY_STOP, tp=1.10)),
    ("INVALID_PRICE", {}, pending(1.1050)),
    ("INVALID_PRICE", {}, pending(1.0950, BUY_STOP)),
    ("INVALID_PRICE", {}, pending(1.0950, SELL_LIMIT)),
    ("INVALID_PRICE", {}, pending(1.0950001)),
    ("INVALID_PRICE", {}, pending(0.0)),
    ("INVALID_PRICE", {"symbol": NEAR}, pending(1.1001 - 49 * POINT)),
    ("DONE", {"symbol": NEAR}, pending(1.1001 - 50 * POINT)),
    ("INVALID_PRICE", {}, pending(1.105, mt5.ORDER_TYPE_BUY_STOP_LIMIT, stoplimit=1.106)),
    ("INVALID_FILL", {}, deal(type_filling=mt5.ORDER_FILLING_RETURN)),
    ("INVALID_FILL", {"symbol": FOK_ONLY}, deal(type_filling=mt5.ORDER_FILLING_IOC)),
    ("INVALID_FILL", {}, deal(type_filling=mt5.ORDER_FILLING_BOC)),
    ("DONE", {"symbol": INSTANT}, deal(type_filling=mt5.ORDER_FILLING_RETURN, price=1.1001)),
    ("DONE", {"symbol": FOK_ONLY}, pending(1.09)),
    ("INVALID_PRICE", {"symbol": INSTANT}, deal()),
    ("REQUOTE", {"symbol": INSTANT}, deal(price=1.0999, deviation=10)),
    ("DONE", {"symbol": INSTANT}, deal(price=1.0999, deviation=20)),
    ("DONE", {}, deal(price=9.9)),
    ("NO_MONEY", {}, deal(40.0)),
    ("LIMIT_VOLUME", {"symbol": {"volume_limit": 1}}, deal(1.01)),
    ("DONE", {"symbol": {"volume_limit": 1}}, deal(1.0)),
    ("TRADE_DISABLED", {"symbol": {"trade_mode": mt5.SYMBOL_TRADE_MODE_DISABLED}}, deal()),
    ("LONG_ONLY", {"symbol": {"trade_mode": mt5.SYMBOL_TRADE_MODE_LONGONLY}}, deal(order_type=SELL)),
    ("SHORT_ONLY", {"symbol": {"trade_mode": mt5.SYMBOL_TRADE_MODE_SHORTONLY}}, deal()),
    ("CLOSE_ONLY", {"symbol": {"trade_mode": mt5.SYMBOL_TRADE_MODE_CLOSEONLY}}, deal()),
    ("INVALID_ORDER", {"symbol": {"order_mode": 126}}, deal()),
    ("INVALID_ORDER", {"symbol": {"order_mode": 1}}, pending(1.09)),
    ("INVALID_EXPIRATION", {}, pending(1.09, type_time=mt5.ORDER_TIME_SPECIFIED, expiration=1_704_800_000)),
    ("INVALID_EXPIRATION", {"symbol": {"expiration_mode": 1}}, pending(1.09, type_time=mt5.ORDER_TIME_DAY)),
    ("TRADE_DISABLED", {"account": {"trade_allowed": False}}, deal()),
    ("SERVER_DISABLES_AT", {"account": {"trade_expert": False}}, deal()),
]


@pytest.mark.parametrize(("name", "options", "request_"), REFUSED)
def test_the_server_answers_with_the_first_retcode_that_applies(name, options, request_):
    terminal = new_terminal(initialized=True, **options)

    result = terminal.order_send(request_)
    checked = new_terminal(initialized=True, **options).order_check(request_)

    assert name_of(result.retcode) == name
    assert checked.retcode == (0 if name == "DONE" else result.retcode)
    assert (result.order == 0) == (name != "DONE")
    assert (terminal.positions_total() + terminal.orders_total() == 0) == (name != "DONE")


def test_orders_and_positions_are_limited_in_number():
    terminal = new_terminal(initialized=True, account={"limit_orders": 2, "limit_positions": 1})

    orders = [terminal.order_send(pending(1.09)).retcode for _ in range(3)]
    positions = [terminal.order_send(deal()).retcode for _ in range(2)]

    assert [name_of(code) for code in orders] == ["DONE", "DONE", "LIMIT_ORDERS"]
    assert [name_of(code) for code in positions] == ["DONE", "LIMIT_POSITIONS"]


def test_a_close_is_refused_when_it_is_too_large_the_wrong_way_or_too_late():
    terminal = new_terminal(initialized=True)
    terminal.order_send(deal(0.2))
    (position,) = terminal.positions_get()

    too_large = terminal.order_send(closing(position, 0.3))
    wrong_way = terminal.order_send(closing(position, type=mt5.ORDER_TYPE_BUY))
    terminal.order_send(closing(position))
    too_late = terminal.order_send(closing(position))
    protect = terminal.order_send({"action": mt5.TRADE_ACTION_SLTP, "position": position.ticket, "sl": 1.0})

    names = [name_of(result.retcode) for result in (too_large, wrong_way, too_late, protect)]
    assert names == ["INVALID_CLOSE_VOLUME", "INVALID", "POSITION_CLOSED", "POSITION_CLOSED"]


def test_the_oldest_position_is_closed_first_where_the_account_says_so():
    terminal = new_terminal(initialized=True, account={"fifo_close": True})
    terminal.order_send(deal())
    terminal.order_send(deal())
    first, second = terminal.positions_get()

    assert name_of(terminal.order_send(closing(second)).retcode) == "FIFO_CLOSE"
    assert name_of(terminal.order_send(closing(first)).retcode) == "DONE"
    assert name_of(terminal.order_send(closing(second)).retcode) == "DONE"


def test_inside_the_freeze_level_nothing_is_changed():
    terminal = new_terminal(initialized=True, symbol={"freeze_level": 100})
    ticket = terminal.order_send(pending(1.0995)).order
    terminal.order_send(deal(sl=1.0992))
    (position,) = terminal.positions_get()

    frozen = [
        terminal.order_send({"action": mt5.TRADE_ACTION_REMOVE, "order": ticket}),
        terminal.order_send({"action": mt5.TRADE_ACTION_MODIFY, "order": ticket, "price": 1.0980}),
        terminal.order_send({"action": mt5.TRADE_ACTION_SLTP, "position": position.ticket, "sl": 1.0990}),
    ]
    terminal.show(quote_at(1.1030, seconds=1))
    free = [
        terminal.order_send({"action": mt5.TRADE_ACTION_REMOVE, "order": ticket}),
        terminal.order_send({"action": mt5.TRADE_ACTION_SLTP, "position": position.ticket, "sl": 1.0990}),
    ]

    assert [name_of(result.retcode) for result in frozen] == ["FROZEN"] * 3
    assert [name_of(result.retcode) for result in free] == ["DONE"] * 2


def test_a_protection_without_a_change_says_so():
    terminal = new_terminal(initialized=True)
    terminal.order_send(deal(sl=1.09, tp=1.2))
    (position,) = terminal.positions_get()
    request = {"action": mt5.TRADE_ACTION_SLTP, "position": position.ticket, "sl": 1.09, "tp": 1.2}

    same = terminal.order_send(request)
    removed = terminal.order_send({**request, "tp": 0.0})

    assert [name_of(result.retcode) for result in (same, removed)] == ["NO_CHANGES", "DONE"]
    assert (terminal.positions_get()[0].sl, terminal.positions_get()[0].tp) == (1.09, 0.0)


def test_the_market_may_be_closed_and_prices_may_be_missing():
    closed, empty = new_terminal(initialized=True), new_terminal(initialized=True, quoted=False)
    closed.show(quote_at(1.1, seconds=1, tradeable=False))

    assert name_of(closed.order_send(deal()).retcode) == "MARKET_CLOSED"
    assert name_of(empty.order_send(deal()).retcode) == "PRICE_OFF"


def test_buttons_stop_trading_and_are_seen():
    terminal = new_terminal(initialized=True)
    terminal.program.trade_allowed = False
    client = terminal.order_send(deal())
    terminal.program.trade_allowed, terminal.program.connected = True, False
    away = terminal.order_send(deal())
    seen = terminal.terminal_info()
    terminal.program.connected, terminal.program.tradeapi_disabled = True, True

    nothing = terminal.order_send(deal())

    assert [name_of(result.retcode) for result in (client, away)] == ["CLIENT_DISABLES_AT", "CONNECTION"]
    assert (seen.trade_allowed, seen.connected) == (True, False)
    assert nothing is None
    assert terminal.last_error()[0] == mt5.RES_E_AUTO_TRADING_DISABLED
    assert terminal.positions_get() == ()


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
