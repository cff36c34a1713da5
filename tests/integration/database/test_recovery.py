"""Recovery over the journal in PostgreSQL: two owners one after another, and what is left in the tables."""

import asyncio
import math
from decimal import Decimal

from tests.conformance.journal.rigs import postgres_rig
from tests.support.recovering import Site
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution.journal_rows import LiveState


async def site_of(rig, **options):
    """Return an account that is linked in the database."""
    return Site(journal=rig.journal, account_id=rig.link(), **options)


def test_a_second_owner_finds_what_the_first_left_in_flight(database):
    """A reply was lost, a stop was removed by hand, money was paid in; then the process died."""

    async def case():
        async with postgres_rig(database) as rig:
            site = await site_of(rig)
            first = await site.own(faults="lose_reply at 2 on place")
            await first.recover()
            await first.buy(10_000, stop=1.0950)
            await first.buy(20_000, stop=1.0900, symbol="EURUSD", type=OrderType.LIMIT, price=1.0950)
            (trade,) = site.venue.open_trades()
            site.venue.protect(trade.trade_id, stop_loss=math.nan, take_profit=None)
            site.venue.transfer(Decimal(5_000))
            await first.die()
            second = await site.own()
            state = await second.recover("takeover")
            lease = second.claim.lease
            return site, second, state, await rig.journal.read_account(lease), await rig.journal.read_fills(lease)

    site, second, state, stored, fills = asyncio.run(case())

    assert state is LiveState.ACTIVE
    assert [trade.stop_loss for trade in site.venue.open_trades()] == [1.0950]
    assert [(order.status.value, order.units) for order in stored.orders] == [("accepted", 20_000)]
    assert [(row.units, row.stop_loss) for row in stored.positions] == [(10_000, 1.0950)]
    assert stored.cursor == site.venue.last_seq
    assert len(fills) == 1
    record = stored.account
    assert (record.state, record.return_state, record.reason) == (LiveState.ACTIVE, None, "")
    assert (record.flows, record.balance) == (5_000, 105_000)
    assert record.high_water_mark < 100_001
    assert second.claim.lease.epoch == 2


def test_a_halt_survives_in_the_tables_and_a_loss_is_remembered(database):
    async def case():
        async with postgres_rig(database) as rig:
            site = await site_of(rig)
            first = await site.own()
            await first.recover()
            await first.orders.set_state(LiveState.HALTED, "kill_switch: by a person")
            await first.die()
            second = await site.own()
            state = await second.recover()
            armed = await second.recovery.rearm()
            third = await site.own()
            return state, armed, await third.recover()

    assert asyncio.run(case()) == (LiveState.HALTED, LiveState.ACTIVE, LiveState.ACTIVE)
