"""The paper broker alone: the fence at the venue, latency, margin, snapshots of the wire."""

import asyncio

from tests.conformance.brokers.conftest import paper_bench, play
from tests.support.venues import TUESDAY_NS, entry, new_venue, quote_at
from tradesentry.core.broker.base_broker import Accepted, CommandStamp, RefusalClass, Refused, Unknown
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.broker.paper_wire import Latency
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import LeaseLost
from tradesentry.core.domain.live_orders import client_order_id


def test_a_command_of_an_older_epoch_is_refused_at_the_venue():
    """Where the venue is ours it sees the epoch, so a frozen owner that wakes up changes nothing."""

    async def case():
        async with paper_bench() as b:
            first = await b.broker.place_order(entry(1, stamp=CommandStamp(epoch=5)))
            stale = await b.broker.place_order(entry(2, stamp=CommandStamp(epoch=4)))
            return first, stale, b.venue.open_trades()

    first, stale, trades = play(case())

    assert isinstance(first, Accepted)
    assert isinstance(stale, Refused)
    assert (stale.code, stale.kind) == ("STALE_EPOCH", RefusalClass.HALT)
    assert len(trades) == 1


def test_a_command_whose_lease_is_lost_before_it_is_stored_has_no_known_outcome():
    """Found by the soak. Seen to fail: the command raised, which a command never does."""

    async def lost():
        raise LeaseLost("The account is another's now.")

    async def case():
        venue = new_venue()
        broker = PaperBroker(venue, FakeClock(TUESDAY_NS), keep=lost)
        broker.show(quote_at(1.1))
        return await broker.place_order(entry())

    outcome = asyncio.run(case())

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "lease_lost"


def test_latency_has_the_median_and_the_tail_it_says_and_repeats():
    latency = Latency(median_ms=80, p99_ms=400, seed=3)

    delays = sorted(latency.seconds(count) for count in range(4_000))

    assert 0.075 < delays[2_000] < 0.085
    assert 0.33 < delays[3_960] < 0.48
    assert delays == sorted(Latency(80, 400, 3).seconds(count) for count in range(4_000))


def test_an_order_fills_at_the_price_that_is_there_when_it_arrives():
    async def case():
        clock = FakeClock(TUESDAY_NS)
        broker = PaperBroker(new_venue(), clock, latency=Latency(median_ms=80, p99_ms=81))
        broker.show(quote_at(1.1000))
        task = asyncio.create_task(broker.place_order(entry(1)))
        await clock.advance(0.05)
        broker.show(quote_at(1.1010, seconds=0.05))
        await clock.advance(0.1)
        return await task

    outcome = play(case())

    assert outcome.order.average_price == 1.1011


def test_a_margin_stop_out_closes_the_largest_loser_and_says_why():
    venue = new_venue(capital=1_000.0)
    venue.memory.account["limits"]["stop_out_level"] = 0.5
    venue.on_quote(quote_at(1.1000))
    venue.place(entry(1, units=20_000, stop=1.0))
    venue.place(entry(2, units=5_000, stop=1.0))

    venue.on_quote(quote_at(1.0720, seconds=1))

    fills = [row for row in venue.transactions if row["kind"] == "order_filled" and row["effect"] == "reduce"]
    assert [(row["trade_id"], row["reason"]) for row in fills] == [("2", "MARKET_ORDER_MARGIN_CLOSEOUT")]
    assert [trade.units for trade in venue.open_trades()] == [5_000]


def test_the_sink_hears_of_transactions_before_the_listeners():
    venue = new_venue()
    heard = []
    venue._sink = lambda batch: heard.append(("sink", len(batch)))
    venue.listeners.append(lambda row: heard.append(("listener", row["seq"])))
    venue.on_quote(quote_at(1.1000))

    venue.place(entry(1))

    assert heard == [("sink", 3), ("listener", 1), ("listener", 2), ("listener", 3)]


def test_a_venue_without_deduplication_executes_a_twin():
    """Guards the soak: a venue that refuses twins would hide a trader that sends an entry twice."""
    venue = new_venue(options={"dedupes": False})
    venue.on_quote(quote_at(1.1))

    venue.place(entry(1))
    venue.place(entry(1))

    assert [trade.client_order_id for trade in venue.open_trades()] == [client_order_id(7, 1)] * 2
