"""What becomes of commands at every broker: once at most, never loosened, and honest about what is not known."""

from decimal import Decimal

import pytest

from tests.conformance.brokers.conftest import IN_PART, limit, one_trade, play
from tests.support.venues import entry, quote_at
from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    NotSent,
    OrderChange,
    OrderRef,
    RefusalClass,
    Refused,
    TradeRef,
)
from tradesentry.core.domain.live_orders import OrderStatus, client_order_id
from tradesentry.core.domain.orders import Side


def test_numbers_are_rounded_at_the_border_and_the_rounding_is_reported(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            return await b.broker.place_order(limit(1, 1.098004, units=Decimal("1000.9"), stop=1.0950049))

    outcome = play(case())

    assert isinstance(outcome, Accepted)
    assert (outcome.order.units, outcome.order.price, outcome.order.stop_loss) == (1_000, 1.0980, 1.0950)
    assert {note.field for note in outcome.rounded} == {"units", "price", "stop_loss"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stop": None}, "no_stop"),
        ({"stop": 1.2000}, "stop_side"),
        ({"take_profit": 1.0}, "target_side"),
        ({"units": Decimal("0.4")}, "size_below_minimum"),
        ({"symbol": "EURUSX"}, "unknown_instrument"),
        ({"price": 1.1}, "price"),
    ],
)
def test_what_must_not_leave_is_not_sent(bench, fields, reason):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            before = b.n_received()
            return await b.broker.place_order(entry(1, **fields)), b.n_received() - before

    outcome, n_sent = play(case())

    assert isinstance(outcome, NotSent)
    assert outcome.reason == reason
    assert n_sent == 0


@pytest.mark.parametrize(
    ("trading", "code", "kind"),
    [
        ("reject:INSUFFICIENT_MARGIN at 1 on place", "INSUFFICIENT_MARGIN", RefusalClass.FINAL),
        ("halted at 1 on place", "MARKET_HALTED", RefusalClass.BACK_OFF),
    ],
)
def test_a_refusal_is_a_value_with_the_venues_reason(bench, trading, code, kind):
    async def case():
        async with bench(trading=trading) as b:
            await b.broker.connect()
            return await b.broker.place_order(entry(1)), len(b.venue.open_trades()), b

    outcome, n_trades, b = play(case())

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.kind, n_trades) == (b.word(code), kind, 0)
    assert bool(outcome.events) is b.keeps_refusals


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"price_bound": 1.1000}, "BOUNDS_VIOLATION"), ({"units": 50_000_000}, "INSUFFICIENT_MARGIN")],
)
def test_an_order_that_cannot_be_filled_as_asked_is_refused(bench, fields, reason):
    """OANDA's reply says that the order was made (201); only the transactions say that it is gone. A terminal is not
    asked for a price beyond the bound at all."""

    async def case():
        async with bench() as b:
            await b.broker.connect()
            return await b.broker.place_order(entry(1, **fields)), await b.broker.find_order(client_order_id(7, 1)), b

    outcome, order, b = play(case())

    assert isinstance(outcome, (Refused, NotSent))
    assert getattr(outcome, "code", None) == b.word(reason) or outcome.reason == b.word(reason)
    assert (order is not None) is b.keeps_refusals
    assert order is None or order.status is OrderStatus.CANCELED
    assert b.venue.open_trades() == []


def test_part_of_an_order_may_fill(bench):
    async def case():
        async with bench(trading="partial:0.25 at 1 on place", terminal={"symbol": IN_PART}) as b:
            await b.broker.connect()
            outcome = await b.broker.place_order(entry(1, allow_partial=True))
            return outcome, await b.broker.open_trades()

    outcome, (trade,) = play(case())

    assert isinstance(outcome, Accepted)
    assert outcome.order.filled_units == trade.units == 2_500
    assert outcome.order.status is OrderStatus.CANCELED


def test_a_second_order_with_the_id_of_a_resting_one_is_not_made(bench):
    """Refused where the venue knows pending ids; answered from the outcome log where the venue is ours."""

    async def case():
        async with bench() as b:
            await b.broker.connect()
            first = await b.broker.place_order(limit(1))
            second = await b.broker.place_order(limit(1))
            again = await b.broker.place_order(limit(1, stamp=CommandStamp(attempt=2)))
            return first, (second, again), await b.broker.open_orders(), b

    first, others, resting, b = play(case())

    assert len(resting) == 1
    for outcome in others:
        if b.broker.capabilities.dedupe_scope == "always":
            assert outcome.order == first.order
        else:
            assert outcome.code == "CLIENT_ORDER_ID_ALREADY_EXISTS"


def test_replacing_changes_the_terms_and_keeps_our_id(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            placed = await b.broker.place_order(limit(1))
            target = OrderRef(client_order_id(7, 1), placed.order.venue_order_id)
            units = Decimal(4_000) if b.broker.capabilities.replace_units else None
            outcome = await b.broker.replace_order(target, OrderChange(price=1.0970, units=units))
            page = await b.broker.events_since(placed.events[-1].seq)
            return placed, outcome, await b.broker.open_orders(), [b.broker.facts(e) for e in page.events], b

    placed, outcome, (order,), facts, b = play(case())

    assert isinstance(outcome, Accepted)
    assert (order.price, order.stop_loss) == (1.0970, 1.0950)
    assert order.units == (4_000 if b.broker.capabilities.replace_units else 10_000)
    assert [said.terms.price for said in facts if said.terms] == [1.0970]
    assert order.client_order_id == client_order_id(7, 1)
    if b.broker.capabilities.replace_keeps_id:
        assert order.venue_order_id == placed.order.venue_order_id
    else:
        assert order.venue_order_id != placed.order.venue_order_id
        assert facts[0].replaced_by == order.venue_order_id
        assert facts[1].replaces == placed.order.venue_order_id


@pytest.mark.parametrize("command", ["cancel", "replace"])
def test_a_change_that_crosses_the_fill_is_refused_as_gone(bench, command):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            placed = await b.broker.place_order(limit(1))
            b.show(quote_at(1.0970, seconds=1))
            target = OrderRef(client_order_id(7, 1), placed.order.venue_order_id)
            if command == "cancel":
                return await b.broker.cancel_order(target), b.venue.open_trades()
            return await b.broker.replace_order(target, OrderChange(price=1.0960)), b.venue.open_trades()

    outcome, trades = play(case())

    assert isinstance(outcome, Refused)
    assert outcome.kind is RefusalClass.GONE
    assert len(trades) == 1


def test_closing_is_absolute_so_a_late_twin_changes_nothing(bench):
    async def case():
        async with bench() as b:
            trade = await one_trade(b)
            target = TradeRef(trade.trade_id, "EURUSD")
            outcomes = [await b.broker.close_trade(target, remaining_units=Decimal(n)) for n in (6_000, 6_000, 0, 0)]
            return outcomes, await b.broker.events_since(0), await b.broker.open_trades(), b

    outcomes, page, trades, b = play(case())

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Accepted, Refused]
    assert outcomes[3].kind is RefusalClass.GONE
    fills = [fill for event in page.events for fill in b.broker.facts(event).fills]
    assert [fill.units for fill in fills] == [10_000, 4_000, 6_000]
    assert trades == []


def test_closing_a_trade_that_its_stop_has_closed_opens_nothing(bench):
    async def case():
        async with bench() as b:
            trade = await one_trade(b)
            b.show(quote_at(1.0900, seconds=1))
            outcome = await b.broker.close_trade(TradeRef(trade.trade_id, "EURUSD"), remaining_units=Decimal(0))
            return outcome, b.venue.open_trades()

    outcome, trades = play(case())

    assert outcome.kind is RefusalClass.GONE
    assert trades == []


def test_a_stop_is_tightened_and_never_loosened(bench):
    async def case():
        async with bench() as b:
            trade = await one_trade(b, take_profit=1.1200)
            target = TradeRef(trade.trade_id, "EURUSD")
            before = b.n_received()
            tighter = await b.broker.set_protection(target, stop_loss=1.0980, take_profit=None)
            looser = await b.broker.set_protection(target, stop_loss=1.0970, take_profit=None)
            further = await b.broker.set_protection(target, stop_loss=None, take_profit=1.1300)
            same = await b.broker.set_protection(target, stop_loss=1.0980, take_profit=1.1300)
            return (tighter, looser, further, same), b.n_received() - before, await b.broker.open_trades()

    outcomes, n_sent, (trade,) = play(case())

    assert [type(outcome) for outcome in outcomes] == [Accepted, NotSent, Accepted, Accepted]
    assert outcomes[1].reason == "loosens_stop"
    assert n_sent == 2
    assert (trade.stop_loss, trade.take_profit) == (1.0980, 1.1300)


def test_short_trades_mirror_long_ones(bench):
    async def case():
        async with bench() as b:
            trade = await one_trade(b, side=Side.SELL, stop=1.1050, take_profit=1.0900)
            b.show(quote_at(1.0880, seconds=1))
            page = await b.broker.events_since(0)
            return trade, [fill for event in page.events for fill in b.broker.facts(event).fills]

    trade, fills = play(case())

    assert (trade.side, trade.entry_price) == (Side.SELL, 1.1000)
    assert (fills[-1].side, fills[-1].price) == (Side.BUY, 1.0881)
    assert round(fills[-1].realized, 2) == Decimal("119.00")
