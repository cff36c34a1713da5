"""OANDA alone: who we talk to, what replies mean, streams that lie, candles."""

import asyncio
import re
from decimal import Decimal

import numpy as np
import pytest

from tests.conformance.brokers.conftest import oanda_bench, play
from tests.support.markets import make_bars, utc
from tests.support.venues import TUESDAY_NS, entry, new_venue
from tradesentry.core.broker.base_broker import Accepted, NotSent, OrderRef, Refused, TradeRef, Unknown
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.broker.oanda import OandaBroker, OandaLink
from tradesentry.core.broker.oanda_client import Reply
from tradesentry.core.broker.oanda_messages import facts_of, read_event, read_quote
from tradesentry.core.broker.oanda_orders import outcome_of
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import AccountMismatch, BrokerAuthError, BrokerProtocolError, UsageError
from tradesentry.core.domain.events import EventKind, StreamDown
from tradesentry.core.domain.live_orders import client_order_id
from tradesentry.core.domain.orders import OrderType

TIME = "2024-01-09T12:00:00.000000000Z"


async def connected(server, **differences):
    """Connect a broker whose link differs from the fake's account."""
    fields = {"account": server.venue.account, "token": "token", "currency": "USD", "is_hedging": True} | differences
    link = OandaLink(base_url=server.url, stream_url=server.url, environment="practice", **fields)
    broker = OandaBroker(link, FakeClock(TUESDAY_NS))
    try:
        return await broker.connect()
    finally:
        await broker.close()


@pytest.mark.parametrize(
    ("difference", "error", "text"),
    [
        ({"token": "stolen"}, BrokerAuthError, "practice or live"),
        ({"account": "001-001-9999999-009"}, BrokerAuthError, "403"),
        ({"currency": "EUR"}, AccountMismatch, "Link the account anew"),
        ({"is_hedging": False}, AccountMismatch, "hedging True"),
    ],
)
def test_an_account_that_is_not_the_linked_one_is_refused(difference, error, text):
    async def case():
        server = FakeOanda(new_venue(), FakeClock(TUESDAY_NS))
        await server.start()
        try:
            await connected(server, **difference)
        finally:
            await server.stop()

    with pytest.raises(error, match=text) as caught:
        play(case())
    assert not re.search("1234567|9999999", str(caught.value))


def test_a_cursor_ahead_of_the_account_asks_for_a_snapshot():
    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            await b.broker.events_since(7)

    with pytest.raises(BrokerProtocolError, match="full snapshot") as caught:
        play(case())
    assert caught.value.code == "cursor_out_of_range"


def event(said):
    return read_event({"id": "9", "time": TIME, **said}, account="a", received_ts_ns=0)


def test_one_fill_that_closes_two_trades_and_opens_one_has_three_legs():
    said = {
        "type": "ORDER_FILL", "orderID": 8, "clientOrderID": 4711, "instrument": "EUR_USD", "units": "-300",
        "price": "1.10000", "pl": "2.0000", "financing": "-0.5000", "commission": "0.1000", "accountBalance": "1001.4",
        "tradeOpened": {"tradeID": "9", "units": "-50", "price": "1.10001"},
        "tradesClosed": [
            {"tradeID": 3, "units": "-100", "realizedPL": "1.5", "financing": "-0.5"},
            {"tradeID": "4", "units": "-150", "realizedPL": "0.5", "financing": "0"},
        ],
        "quotePL": "3", "homeConversionFactors": {"x": 1},
    }  # fmt: skip

    facts = facts_of(event(said))

    assert [(fill.leg, fill.trade_ref, fill.units, fill.effect) for fill in facts.fills] == [
        (0, "9", 50, "open"),
        (1, "3", 100, "reduce"),
        (2, "4", 150, "reduce"),
    ]
    assert sum(fill.commission for fill in facts.fills) == Decimal("0.1")
    assert facts.amount == Decimal("1.4")
    assert {fill.client_order_id for fill in facts.fills} == {"4711"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"type": "DIVIDEND_ADJUSTMENT"}, EventKind.OTHER),
        ({"type": "TAKE_PROFIT_ORDER", "tradeID": "3", "price": "1.2"}, EventKind.PROTECTION),
        ({"type": "STOP_LOSS_ORDER_REJECT", "rejectReason": "X"}, EventKind.CHANGE_REFUSED),
        ({"type": "ORDER_CANCEL_REJECT", "rejectReason": "ORDER_DOESNT_EXIST"}, EventKind.CHANGE_REFUSED),
        ({"type": "LIMIT_ORDER_REJECT", "rejectReason": "X"}, EventKind.ORDER_REJECTED),
        ({"type": "MARKET_IF_TOUCHED_ORDER"}, EventKind.ORDER_ACCEPTED),
        ({"type": "ORDER_CANCEL", "reason": "TIME_IN_FORCE_EXPIRED", "orderID": "3"}, EventKind.ORDER_EXPIRED),
        ({"type": "MARGIN_CALL_ENTER"}, EventKind.OTHER),
    ],
)
def test_every_transaction_is_an_event_and_unknown_ones_are_kept(said, kind):
    heard = event(said)

    assert heard.kind is kind
    assert heard.payload["type"] == said["type"]
    assert facts_of(heard).kind is kind


@pytest.mark.parametrize("liquidity", [1_000_000, 1e6, "1000000"])
def test_liquidity_may_be_any_number(liquidity):
    said = {"instrument": "EUR_USD", "time": TIME, "tradeable": False}

    quote = read_quote(
        {
            **said,
            "bids": [{"price": "1.1", "liquidity": liquidity}],
            "asks": [{"price": "1.2", "liquidity": liquidity}],
        },
        received_ts_ns=5,
    )

    assert (quote.bid, quote.ask, quote.is_tradeable) == (1.1, 1.2, False)


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (200, {}, Unknown),
        (201, {"orderCreateTransaction": {"id": "1"}}, Unknown),
        (302, {}, Unknown),
        (400, {"errorCode": "INVALID"}, Refused),
        (401, {}, Refused),
        (404, {"errorMessage": "gone"}, Refused),
        (405, {}, Refused),
        (429, {}, Refused),
        (200, {"orderCancelTransaction": {"id": "2", "time": TIME, "type": "ORDER_CANCEL", "orderID": "1"}}, Accepted),
    ],
)
def test_what_a_reply_means(status, body, wanted):
    def read(said):
        return read_event(said, account="a", received_ts_ns=0)

    outcome = outcome_of(Reply(status, body), read, request=None, rounded=(), now_ns=1)

    assert isinstance(outcome, wanted)


def test_a_frame_that_the_stream_left_out_is_fetched_at_the_next_heartbeat():
    """Seen to fail: without the comparison of the heartbeat's last id, event 3 never arrived."""

    async def case():
        async with oanda_bench(faults="stream_drop at 3 on events") as b:
            await b.broker.connect()
            heard = []

            async def collect():
                async for item in b.broker.events():
                    heard.append(item)
                    if {e.seq for e in heard} >= {1, 2, 3}:
                        return

            task = asyncio.ensure_future(collect())
            await b.ready()
            await b.broker.place_order(entry(1))
            await b.settle(task, seconds=30)
            return heard

    heard = play(case())

    assert not any(isinstance(item, StreamDown) for item in heard)
    assert {item.seq for item in heard} == {1, 2, 3}


def test_the_venues_clock_is_compared_with_ours():
    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            b.clock.jump(-7.0)
            return await b.broker.server_clock()

    sample = play(case())

    assert sample.offset_ns == 7_000_000_000


def test_candles_are_complete_bars_with_their_spread():
    bars = make_bars(np.full((8, 4), 1.1), start="2024-03-10T20:00", minutes=15, spread=0.0002)

    async def case():
        clock = FakeClock(TUESDAY_NS)
        server = FakeOanda(new_venue(), clock, history=lambda symbol, granularity, start, end: bars)
        await server.start()
        link = OandaLink(server.venue.account, "token", server.url, server.url, "practice", "USD", is_hedging=True)
        broker = OandaBroker(link, clock)
        try:
            await broker.connect()
            span = {"start_ns": utc("2024-03-10T20:15"), "end_ns": utc("2024-03-10T21:00")}
            return await broker.candles("EURUSD", granularity="M15", **span)
        finally:
            await broker.close()
            await server.stop()

    found = play(case())

    assert found.open_ns.tolist() == bars["open_ns"][1:4].tolist()
    assert found.close_ns.tolist() == bars["close_ns"][1:4].tolist()
    assert np.allclose(found.spread, 0.0002)


def test_an_unknown_granularity_is_refused_before_anything_is_sent():
    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            await b.broker.candles("EURUSD", granularity="ZZ", start_ns=0, end_ns=1)

    with pytest.raises(UsageError, match="no candles of 'ZZ'"):
        play(case())


def test_a_cancel_has_no_body_because_the_venue_describes_none():
    """Seen to fail: with the empty object that was sent once."""

    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, kind=OrderType.LIMIT, price=1.09, stop=1.08))
            await b.broker.cancel_order(OrderRef(client_order_id(7, 1)))
            return b.server.requests[-1]

    assert play(case()) == ("PUT", f"/orders/@{client_order_id(7, 1)}/cancel", None)


def test_an_entry_carries_both_ids_and_its_stop_in_one_request():
    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, kind=OrderType.LIMIT, price=1.09, stop=1.08, take_profit=1.1))
            return b.server.requests

    ((method, path, body),) = play(case())

    assert (method, path) == ("POST", "/orders")
    order = body["order"]
    assert order["clientExtensions"] == order["tradeClientExtensions"] == {"id": client_order_id(7, 1)}
    assert order["stopLossOnFill"]["price"] == "1.08000"
    assert order["units"] == "10000"


def test_after_closing_nothing_is_sent():
    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            await b.broker.close()
            return await b.broker.place_order(entry(1, kind=OrderType.LIMIT, price=1.09, stop=1.08)), b.n_received()

    outcome, n_received = play(case())

    assert isinstance(outcome, NotSent)
    assert (outcome.reason, n_received) == ("closed", 0)


def test_a_doubled_reply_is_not_taken_for_the_answer_to_what_is_asked_next():
    """Seen to fail: without closing the connection the second order was reported with the first one's id and fill."""

    async def case():
        async with oanda_bench(faults="double_reply at 1 on place") as b:
            await b.broker.connect()
            first = await b.broker.place_order(entry(1))
            trades = await b.broker.open_trades()
            second = await b.broker.place_order(entry(2))
            return first, trades, second

    first, trades, second = play(case())

    assert [trade.client_order_id for trade in trades] == [client_order_id(7, 1)]
    assert second.order.client_order_id == client_order_id(7, 2)
    assert first.order.venue_order_id != second.order.venue_order_id


def test_a_reply_about_another_order_says_nothing_about_ours():
    """Seen to fail: without the check the outcome was Accepted."""
    asked = entry(2)
    created = {"id": "5", "time": TIME, "type": "MARKET_ORDER", "clientExtensions": {"id": client_order_id(7, 1)}}

    def read(said):
        return read_event(said, account="a", received_ts_ns=0)

    outcome = outcome_of(Reply(201, {"orderCreateTransaction": created}), read, request=asked, rounded=(), now_ns=1)

    assert outcome == Unknown("foreign_reply", 1)


def test_a_command_before_the_instruments_were_read_is_not_sent():
    """Found by the soak. Seen to fail: the command raised KeyError and ended the agent."""

    async def case():
        async with oanda_bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1))
            trade = (await b.broker.open_trades())[0]
            b.broker._items = {}
            ref = TradeRef(trade.trade_id, trade.symbol)
            closed = await b.broker.close_trade(ref, remaining_units=Decimal(0))
            moved = await b.broker.set_protection(ref, stop_loss=1.096, take_profit=None)
            return closed, moved

    assert [outcome.reason for outcome in play(case())] == ["unknown_instrument"] * 2
