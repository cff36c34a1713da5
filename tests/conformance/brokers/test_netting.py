"""What netting accounts do: one position per instrument adds up, shrinks and turns over. Only MetaTrader has them."""

from decimal import Decimal

import pytest

from tests.conformance.brokers.conftest import gateway_bench, mt5_bench, play
from tests.support.terminals import NETTING
from tests.support.venues import entry, quote_at
from tradesentry.core.broker.base_broker import Accepted, RefusalClass, TradeRef
from tradesentry.core.domain.orders import Side

BENCHES = {"gateway": gateway_bench, "mt5": mt5_bench}


@pytest.fixture(params=sorted(BENCHES))
def netting(request):
    """Return how to open a bench whose account nets."""

    def opened(**options):
        return BENCHES[request.param](terminal={"account": NETTING}, **options)

    return opened


async def legs_of(b):
    """Return every fill of the account as (effect, trade, signed units)."""
    page = await b.broker.events_since(0)
    fills = [fill for event in page.events for fill in b.broker.facts(event).fills]
    return [(fill.effect.value, fill.trade_ref, fill.side * fill.units) for fill in fills]


def test_the_account_says_that_it_nets(netting):
    async def case():
        async with netting() as b:
            return await b.broker.connect(), b.broker.capabilities.hedging

    state, can_hedge = play(case())

    assert not state.is_hedging
    assert not can_hedge


def test_entries_of_one_side_add_up_and_the_other_side_takes_off(netting):
    async def case():
        async with netting() as b:
            await b.broker.connect()
            for seq, side, units, stop in ((1, Side.BUY, 10_000, 1.09), (2, Side.BUY, 5_000, 1.09)):
                await b.broker.place_order(entry(seq, side, units=units, stop=stop))
            added = await b.broker.open_trades()
            await b.broker.place_order(entry(3, Side.SELL, units=6_000, stop=1.12))
            return added, await b.broker.open_trades(), await b.broker.positions(), await legs_of(b)

    (added,), (left,), (position,), legs = play(case())

    assert (added.units, left.units, position.units) == (15_000, 9_000, 9_000)
    assert added.trade_id == left.trade_id
    assert [(effect, units) for effect, _, units in legs] == [("open", 10_000), ("open", 5_000), ("reduce", -6_000)]
    assert {trade for _, trade, _ in legs} == {left.trade_id}


def test_a_reversal_closes_one_trade_and_opens_another(netting):
    """One deal of 25,000 against 10,000. Seen to fail: without its own name the short trade was added to the long one
    that the same deal had closed."""

    async def case():
        async with netting() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, units=10_000))
            (before,) = await b.broker.open_trades()
            await b.broker.place_order(entry(2, Side.SELL, units=25_000, stop=1.12))
            (after,) = await b.broker.open_trades()
            outcome = await b.broker.close_trade(TradeRef(after.trade_id, "EURUSD"), remaining_units=Decimal(0))
            return before, after, outcome, await legs_of(b), await b.broker.open_trades()

    before, after, outcome, legs, left = play(case())

    assert (after.side, after.units) == (Side.SELL, 15_000)
    assert before.trade_id != after.trade_id
    assert legs[:3] == [
        ("open", before.trade_id, 10_000),
        ("reduce", before.trade_id, -10_000),
        ("open", after.trade_id, -15_000),
    ]
    assert isinstance(outcome, Accepted)
    assert legs[3] == ("reduce", after.trade_id, 15_000)
    assert left == []


def test_the_name_of_a_trade_that_was_turned_over_closes_nothing(netting):
    async def case():
        async with netting() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, units=10_000))
            (before,) = await b.broker.open_trades()
            await b.broker.place_order(entry(2, Side.SELL, units=25_000, stop=1.12))
            outcome = await b.broker.close_trade(TradeRef(before.trade_id, "EURUSD"), remaining_units=Decimal(0))
            return outcome, await b.broker.open_trades()

    outcome, (trade,) = play(case())

    assert outcome.kind is RefusalClass.GONE
    assert trade.units == 15_000


def test_the_balance_agrees_with_the_events_through_a_reversal(netting):
    async def case():
        async with netting() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, units=10_000))
            b.show(quote_at(1.1050, seconds=1))
            await b.broker.place_order(entry(2, Side.SELL, units=25_000, stop=1.12))
            b.show(quote_at(1.1250, seconds=2))
            page = await b.broker.events_since(0)
            amounts = [b.broker.facts(event).amount for event in page.events]
            return sum(amounts, Decimal(100_000)), await b.broker.get_balance(), await b.broker.open_trades()

    total, state, trades = play(case())

    assert round(total, 2) == round(state.balance, 2)
    assert trades == []
