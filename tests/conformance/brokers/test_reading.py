"""What every broker shows: account, instruments, prices, orders, trades."""

from decimal import Decimal

import pytest

from tests.conformance.brokers.conftest import IN_PART, play
from tests.support.venues import TUESDAY_NS, entry, quote_at
from tradesentry.core.broker.base_broker import Accepted, OrderRef, TradeRef
from tradesentry.core.domain.errors import BrokerUnavailable
from tradesentry.core.domain.live_orders import OrderStatus, TimeInForce, client_order_id
from tradesentry.core.domain.orders import OrderType, Side


def test_connecting_shows_the_account(bench):
    async def case():
        async with bench() as b:
            return await b.broker.connect()

    state = play(case())

    assert state.balance == Decimal(100_000)
    assert state.currency == "USD"
    assert state.is_hedging


def test_the_balance_agrees_with_the_sum_of_the_events(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1))
            await b.broker.place_order(entry(2, side=Side.SELL, stop=1.2000, units=7_000))
            b.venue.transfer(Decimal(250))
            b.show(quote_at(1.0940, seconds=5))
            page = await b.broker.events_since(0)
            return page, await b.broker.get_balance(), b

    page, state, b = play(case())

    total = sum((b.broker.facts(event).amount for event in page.events), Decimal(100_000))
    assert round(total, 2) == round(state.balance, 2) == Decimal("100188.00") + Decimal("1.00")
    assert state.last_seq == page.last_seq


def test_instruments_have_canonical_names_and_numbers(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            return await b.broker.instruments()

    items = play(case())

    assert items["EURUSD"].price_digits == 5
    assert items["USDJPY"].price_digits == 3
    assert items["USDJPY"].instrument.pip == 0.01
    assert items["EURUSD"].unit_step == 1


def test_a_quote_has_both_sides_and_the_venues_time(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            b.show(quote_at(1.2345, seconds=3.000000007))
            return await b.broker.quote("EURUSD"), b.resolution_ns

    quote, resolution_ns = play(case())

    assert (quote.bid, quote.ask) == (1.2345, 1.2346)
    assert quote.ts_ns == TUESDAY_NS + 3_000_000_000 + 7 // resolution_ns * resolution_ns


def test_a_market_order_is_found_with_its_trade_stop_and_target(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            outcome = await b.broker.place_order(entry(1, take_profit=1.1200))
            return outcome, await b.broker.open_trades(), await b.broker.find_order(client_order_id(7, 1))

    outcome, trades, found = play(case())

    assert isinstance(outcome, Accepted)
    assert found.status is OrderStatus.FILLED
    assert found.filled_units == 10_000
    (trade,) = trades
    assert (trade.stop_loss, trade.take_profit, trade.entry_price) == (1.0950, 1.1200, 1.1001)
    assert trade.client_order_id == client_order_id(7, 1)
    assert found.trade_ref == trade.trade_id


@pytest.mark.parametrize(
    ("kind", "price", "reach"), [(OrderType.LIMIT, 1.0980, 1.0970), (OrderType.STOP, 1.1020, 1.1030)]
)
def test_a_resting_order_is_found_in_every_state(bench, kind, price, reach):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            for seq in (1, 2):
                await b.broker.place_order(entry(seq, kind=kind, price=price))
            resting = [await b.broker.find_order(client_order_id(7, 1)), *(await b.broker.open_orders())]
            await b.broker.cancel_order(OrderRef(client_order_id(7, 2)))
            b.show(quote_at(reach, seconds=2))
            return resting, [await b.broker.find_order(client_order_id(7, seq)) for seq in (1, 2, 3)]

    resting, (filled, canceled, never) = play(case())

    assert {order.status for order in resting} == {OrderStatus.ACCEPTED}
    assert len(resting) == 3
    assert filled.status is OrderStatus.FILLED
    assert canceled.status is OrderStatus.CANCELED
    assert never is None


def test_a_found_order_knows_the_average_price_of_its_fill(bench):
    """Seen to fail: OANDA shows an order without its price, so until its transaction was read there was none."""

    async def case():
        async with bench(trading="partial:0.5 at 2 on place", terminal={"symbol": IN_PART}) as b:
            await b.broker.connect()
            for seq in (1, 2):
                await b.broker.place_order(entry(seq, allow_partial=True))
            return [await b.broker.find_order(client_order_id(7, seq)) for seq in (1, 2)]

    whole, part = play(case())

    assert (whole.average_price, whole.filled_units, whole.status) == (1.1001, 10_000, OrderStatus.FILLED)
    assert (part.average_price, part.filled_units, part.status) == (1.1001, 5_000, OrderStatus.CANCELED)


def test_an_order_that_expires_says_so(bench):
    """OANDA shows an expired order as canceled; the event knows why."""

    async def case():
        async with bench() as b:
            await b.broker.connect()
            expires = b.clock.now_ns() + 5_000_000_000
            await b.broker.place_order(
                entry(1, kind=OrderType.LIMIT, price=1.09, stop=1.08, tif=TimeInForce.GTD, expires_ts_ns=expires)
            )
            b.show(quote_at(1.1000, seconds=6))
            page = await b.broker.events_since(0)
            return await b.broker.find_order(client_order_id(7, 1)), [event.kind for event in page.events]

    order, kinds = play(case())

    assert order.status in (OrderStatus.EXPIRED, OrderStatus.CANCELED)
    assert kinds[-1] == "order_expired"


def test_positions_are_the_net_of_the_trades(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, units=10_000))
            await b.broker.place_order(entry(2, units=4_000, side=Side.SELL, stop=1.2000))
            return await b.broker.positions(), await b.broker.open_trades()

    positions, trades = play(case())

    assert [position.units for position in positions] == [Decimal(6_000)]
    assert sum(trade.side * trade.units for trade in trades) == 6_000


def test_a_read_that_fails_raises_and_says_nothing_about_orders(bench):
    async def case():
        async with bench(faults="connect_refused at 1 on read") as b:
            await b.broker.get_balance()

    with pytest.raises(BrokerUnavailable):
        play(case())


def test_a_stop_hit_appears_as_a_fill_that_names_the_trade(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, take_profit=1.1200))
            (trade,) = await b.broker.open_trades()
            b.show(quote_at(1.0930, seconds=4))
            page = await b.broker.events_since(0)
            fills = [fill for event in page.events for fill in b.broker.facts(event).fills]
            return trade, fills, await b.broker.open_trades()

    trade, fills, left = play(case())

    assert [(fill.effect, fill.side, fill.units, fill.price) for fill in fills] == [
        ("open", Side.BUY, 10_000, 1.1001),
        ("reduce", Side.SELL, 10_000, 1.0930),
    ]
    assert {fill.trade_ref for fill in fills} == {trade.trade_id}
    assert left == []


def test_closing_by_hand_and_trading_by_hand_appear_as_events(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1))
            (trade,) = b.venue.open_trades()
            b.venue.close(trade.trade_id, Decimal(3_000))
            manual = entry(1, side=Side.SELL, units=500, stop=None)
            b.venue.place(type(manual)("", "EURUSD", Side.SELL, Decimal(500), OrderType.MARKET, None))
            page = await b.broker.events_since(0)
            fills = [fill for event in page.events for fill in b.broker.facts(event).fills]
            return fills, await b.broker.open_trades()

    fills, trades = play(case())

    assert [(fill.side * fill.units, fill.client_order_id) for fill in fills[1:]] == [(-3_000, None), (-500, None)]
    assert [trade.client_order_id for trade in trades] == [client_order_id(7, 1), None]
    assert trades[1].stop_loss is None


def test_times_keep_their_nanoseconds_in_both_weeks_of_dst(bench):
    """New York changes its clock on 10 March 2024, Europe on 31 March; the events' times do not care."""
    stamps = [1_710_072_000_123_456_789, 1_711_886_400_987_654_321]

    async def case():
        async with bench() as b:
            await b.broker.connect()
            seen = []
            for seq, ts_ns in enumerate(stamps, 1):
                b.clock.jump((ts_ns - b.clock.now_ns()) / 1e9)
                price = quote_at(1.1000)
                b.show(type(price)("EURUSD", 1.1, 1.1001, ts_ns, ts_ns))
                b.venue.now_ns = ts_ns
                b.clock.jump((ts_ns - 1_000 - b.clock.now_ns()) / 1e9)
                await b.broker.place_order(entry(seq))
                page = await b.broker.events_since(0)
                seen.append([fill.ts_ns for event in page.events for fill in b.broker.facts(event).fills][-1])
            return seen, b.resolution_ns

    seen, resolution_ns = play(case())

    assert seen == [ts_ns // resolution_ns * resolution_ns for ts_ns in stamps]


def test_what_the_venue_does_not_know_is_refused_as_gone(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            ghost = OrderRef(client_order_id(7, 99))
            return [
                await b.broker.cancel_order(ghost),
                await b.broker.close_trade(TradeRef("4711", "EURUSD"), remaining_units=Decimal(0)),
                await b.broker.set_protection(TradeRef("4711", "EURUSD"), stop_loss=1.0, take_profit=None),
            ]

    assert [outcome.kind for outcome in play(case())] == ["gone", "gone", "gone"]
