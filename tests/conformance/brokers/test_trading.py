"""The order manager over every broker: what the account looks like from inside is what the venue has."""

from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from tests.conformance.brokers.conftest import play
from tests.support.order_rigs import enter
from tests.support.venues import quote_at
from tradesentry.core.broker.base_broker import Accepted, OrderRequest
from tradesentry.core.domain.clock import ClockSample
from tradesentry.core.domain.live_account import Protect, Reduce
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.journal import LiveState, MemoryJournal
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_gates import GateSettings, LiveGates
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_requests import OrderSettings

TTL = 1e6
PATIENT = GateSettings(max_quote_age_seconds=300.0)


@asynccontextmanager
async def manager(b, journal=None):
    """Put an order manager over a connected broker; it may trade."""
    clock = b.clock
    state = await b.broker.connect()
    journal = journal or MemoryJournal(clock.now_ns)
    if not journal._accounts:
        journal.link()
    (claim,) = await journal.claim("host:0", limit=1, ttl_seconds=TTL, reclaim=True)
    fence = SelfFence(clock.monotonic, ttl_seconds=TTL)
    fence.renewed(fence.ask())
    gates = LiveGates(PATIENT)
    gates.watch.note_clock(ClockSample(0, 0), now_ns=clock.now_ns())
    orders = OrderManager(
        b.broker,
        journal,
        claim.lease,
        fence,
        clock,
        instruments=await b.broker.instruments(),
        gates=gates,
        settings=OrderSettings(min_step_pips=0, min_interval_seconds=0),
        alert=lambda code, text: None,
    )
    await orders.load()
    orders.note_account(state)
    orders.book.anchor(state)
    await orders.catch_up()
    await orders.set_state(LiveState.ACTIVE, "test")
    for symbol in ("EURUSD", "USDJPY"):
        orders.note_quote(await b.broker.quote(symbol))
    try:
        yield orders
    finally:
        await orders.close()


async def agrees(b, orders):
    """Check that book and venue show the same trades, stops and money; return the open trades."""
    await b.settle(orders.catch_up(), patience=0.1)
    shown = {trade.trade_id: trade for trade in await b.broker.open_trades()}
    held = {ref: trade for ref, trade in orders.book.trades.items() if trade.is_open}
    assert {ref: (t.side * t.units, t.stop_loss) for ref, t in held.items()} == {
        ref: (t.side * t.units, t.stop_loss) for ref, t in shown.items()
    }
    assert round(orders.book.balance, 2) == round((await b.broker.get_balance()).balance, 2)
    return held


async def submit(b, orders, *wishes):
    return await b.settle(orders.submit(wishes, run=None, bar_close_ns=0), patience=0.1)


def test_a_trade_is_the_same_inside_and_at_the_venue_from_its_entry_to_its_stop(bench):
    async def case():
        async with bench() as b, manager(b) as orders:
            (sent,) = await submit(b, orders, enter())
            (trade,) = (await agrees(b, orders)).values()
            await submit(b, orders, Protect(trade.trade_ref, stop_loss=1.0980))
            await agrees(b, orders)
            await submit(b, orders, Reduce(trade.trade_ref, Decimal(4_000)))
            (left,) = (await agrees(b, orders)).values()
            b.show(quote_at(1.0900, seconds=2))
            return sent, left, await agrees(b, orders), list(orders.book.orders.values())

    sent, left, at_the_end, orders = play(case())

    assert isinstance(sent.outcome, Accepted)
    assert (left.units, left.stop_loss) == (4_000, 1.0980)
    assert at_the_end == {}
    assert OrderStatus.FILLED in {order.status for order in orders if order.seq == 1}
    assert not any(order.is_external for order in orders)


def test_a_resting_order_is_followed_into_its_trade(bench):
    async def case():
        async with bench() as b, manager(b) as orders:
            await submit(b, orders, enter(kind=OrderType.LIMIT, price=1.0960, stop=1.0920))
            (resting,) = orders.book.orders.values()
            b.show(quote_at(1.0955, seconds=2))
            return resting, await agrees(b, orders), orders.book.orders

    resting, trades, orders = play(case())

    assert (resting.status, resting.price) == (OrderStatus.ACCEPTED, 1.0960)
    assert [trade.key for trade in trades.values()] == [resting.key]
    assert orders[resting.key].status is OrderStatus.FILLED


@pytest.mark.parametrize("fault", ["lose_reply", "no_reply"])
def test_an_entry_whose_reply_was_lost_is_found_and_never_sent_again(bench, fault):
    async def case():
        async with bench(faults=f"{fault} at 1 on place") as b, manager(b) as orders:
            before = b.n_received()
            await submit(b, orders, enter())
            await b.clock.advance(30.0)
            await b.settle(orders.resolve(), seconds=120, patience=0.1)
            return await agrees(b, orders), list(orders.book.orders.values()), b.n_received() - before

    trades, orders, n_sent = play(case())

    assert [order.status for order in orders] == [OrderStatus.FILLED]
    assert len(trades) == 1
    assert n_sent == 1


def test_a_trade_of_somebody_else_is_seen_and_is_not_ours(bench):
    async def case():
        async with bench() as b, manager(b) as orders:
            await submit(b, orders, enter())
            b.venue.place(OrderRequest("", "EURUSD", Side.SELL, Decimal(500), OrderType.MARKET, None))
            return await agrees(b, orders)

    trades = play(case())

    assert {(int(trade.units), trade.seq) for trade in trades.values()} == {(10_000, 1), (500, None)}
