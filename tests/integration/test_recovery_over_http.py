"""Recovery and polls at a venue behind HTTP: the same account, the same stops, whatever a person does meanwhile."""

import asyncio
import math
from decimal import Decimal

from tests.conformance.brokers.conftest import oanda_bench
from tests.support.recovering import PATIENT, LostJournal
from tradesentry.core.domain.live_account import Enter
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.account_limits import AccountLimits
from tradesentry.core.execution.journal_outage import JournalOutage
from tradesentry.core.execution.journal_rows import LiveState
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.polls import Polls
from tradesentry.core.execution.recovery import Recovery
from tradesentry.core.execution.venue_look import AccountLink

TTL = 1e6


async def life_of(bench, journal, codes):
    """Begin a life over the account: its orders, recovery and polls."""
    clock, fence = bench.clock, SelfFence(bench.clock.monotonic, ttl_seconds=TTL)
    asked = fence.ask()
    (claim,) = await journal.claim("host", limit=1, ttl_seconds=TTL, reclaim=True)
    fence.renewed(asked)

    def alert(code, _):
        codes.append(code)

    gates = LiveGates(PATIENT, alert=alert)
    items = await bench.broker.instruments()
    orders = OrderManager(bench.broker, journal, claim.lease, fence, clock, instruments=items, gates=gates, alert=alert)
    outage = JournalOutage(journal, claim.lease, fence, clock, watch=gates.watch, alert=alert, ttl_seconds=TTL)
    recovery = Recovery(
        bench.broker,
        orders,
        clock,
        link=AccountLink(bench.venue.account, "practice", "USD", True),
        outage=outage,
        limits=AccountLimits(clock, budget=gates.budget),
        alert=alert,
    )
    return orders, recovery, Polls(bench.broker, orders, recovery, clock)


def stops_of(venue):
    return [trade.stop_loss for trade in venue.open_trades()]


def test_a_stop_taken_away_between_and_during_two_lives_is_back_and_a_deposit_is_no_profit():
    async def case():
        async with oanda_bench() as b:
            journal, codes = LostJournal(b.clock.now_ns), []
            journal.link()
            orders, recovery, _ = await b.settle(life_of(b, journal, codes))
            await b.settle(recovery.recover())
            wish = Enter("EURUSD", Side.BUY, Decimal(10_000), OrderType.MARKET, 1.095)
            await b.settle(orders.submit([wish], run=None, bar_close_ns=0))
            (trade,) = b.venue.open_trades()
            b.venue.protect(trade.trade_id, stop_loss=math.nan, take_profit=None)
            orders, recovery, polls = await b.settle(life_of(b, journal, codes))
            state = await b.settle(recovery.recover("takeover"))
            after_recovery = stops_of(b.venue)
            polling = asyncio.ensure_future(polls.run())
            await b.ready()
            b.venue.protect(trade.trade_id, stop_loss=math.nan, take_profit=None)
            await b.until(lambda: stops_of(b.venue) == [1.095])
            b.venue.transfer(Decimal(500))
            await b.until(lambda: orders.store.record.flows == 500)
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            return b.venue, orders, state, after_recovery, codes

    venue, orders, state, after_recovery, codes = asyncio.run(case())

    assert state is LiveState.ACTIVE
    assert after_recovery == [1.095]
    assert orders.book.cursor == venue.last_seq
    assert orders.store.record.high_water_mark == 100_000
    assert codes == ["stop_weak", "stop_weak"]
