"""Which retcode the fake terminal's server refuses with."""

import pytest

from tests.support.terminals import closing, deal, name_of, new_terminal, pending
from tests.support.venues import quote_at
from tradesentry.core.broker import mt5_constants as mt5

SELL = mt5.ORDER_TYPE_SELL
BUY_STOP, SELL_LIMIT = mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_SELL_LIMIT
INSTANT = {"exemode": mt5.SYMBOL_TRADE_EXECUTION_INSTANT}
FOK_ONLY = {"filling_mode": mt5.FILLING_FLAG_FOK}
NEAR = {"stops_level": 50}
POINT = 0.00001


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
