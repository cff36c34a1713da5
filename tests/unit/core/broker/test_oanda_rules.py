"""Rules of OANDA that a practice account rarely shows: MetaTrader 4, limits of size, lost logs, many accounts."""

import asyncio
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.conformance.brokers.conftest import oanda_bench, play
from tests.support.venues import TUESDAY_NS, entry, new_venue
from tradesentry.core.broker.base_broker import NotSent, Unknown
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.broker.http_client import HttpClient
from tradesentry.core.broker.oanda import MAX_BACKOFF_SECONDS, OandaBroker, OandaLink
from tradesentry.core.broker.oanda_client import OandaClient
from tradesentry.core.broker.oanda_messages import read_instrument, read_order
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import AccountMismatch
from tradesentry.core.domain.events import StreamDown
from tradesentry.core.domain.live_orders import OrderStatus


def link_to(server, account="001-001-1234567-001"):
    return OandaLink(account, "token", server.url, server.url, "practice", "USD", is_hedging=True)


def test_an_account_that_is_linked_to_metatrader_4_is_refused_because_ids_must_not_be_set_there():
    async def case():
        clock = FakeClock(TUESDAY_NS)
        server = FakeOanda(new_venue(), clock)
        server.account_fields["mt4AccountID"] = 4711
        await server.start()
        broker = OandaBroker(link_to(server), clock)
        try:
            await broker.connect()
        finally:
            await broker.close()
            await server.stop()

    with pytest.raises(AccountMismatch, match="MetaTrader 4"):
        play(case())


@pytest.mark.parametrize(("shown", "room"), [("0", None), ("0.0", None), ("25000", Decimal(25_000)), (None, None)])
def test_a_largest_position_of_zero_is_no_limit(shown, room):
    said = {"name": "EUR_USD", "displayPrecision": 5, "pipLocation": -4, "maximumPositionSize": shown}

    item = read_instrument({name: value for name, value in said.items() if value is not None})

    assert item.max_position_units == room


def test_an_order_that_alone_is_above_the_largest_position_is_not_sent():
    async def case():
        venue = new_venue()
        venue.instruments["EURUSD"] = replace(venue.instruments["EURUSD"], max_position_units=Decimal(5_000))
        async with oanda_bench(venue=venue) as b:
            await b.broker.connect()
            before = b.n_received()
            outcomes = [await b.broker.place_order(entry(seq, units=units)) for seq, units in ((1, 5_001), (2, 5_000))]
            return outcomes, b.n_received() - before

    (refused, placed), n_sent = play(case())

    assert isinstance(refused, NotSent)
    assert (refused.reason, n_sent) == ("size_above_maximum", 1)
    assert placed.order.filled_units == 5_000


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PENDING", OrderStatus.ACCEPTED),
        ("FILLED", OrderStatus.FILLED),
        ("TRIGGERED", OrderStatus.FILLED),
        ("CANCELLED", OrderStatus.CANCELED),
        ("SOMETHING_NEW", OrderStatus.UNKNOWN),
    ],
)
def test_every_state_of_an_order_is_read_and_a_new_one_says_that_nothing_is_known(state, status):
    said = {"id": 7, "instrument": "EUR_USD", "units": "-100", "type": "LIMIT", "price": "1.1", "state": state}

    order = read_order(said)

    assert (order.status, order.venue_order_id, order.units) == (status, "7", 100)
    assert order.filled_units == (100 if status is OrderStatus.FILLED else 0)


async def pay_until(task, b):
    """Pay a dollar a second until a task has heard of it."""
    while not task.done():
        b.venue.transfer(1)
        await b.clock.sleep(1.0)


def test_a_stream_whose_log_was_rolled_back_says_so_and_goes_on_at_the_present_end():
    """Seen to fail: with the old cursor kept, the stream asked for it for ever and told of nothing that happened."""

    async def case():
        async with oanda_bench(faults="stream_closed at 4 on events") as b:
            await b.broker.connect()
            for _ in range(200):
                b.venue.transfer(1)
            heard = []

            async def collect():
                async for item in b.broker.events():
                    heard.append(item)
                    if len(heard) > 4 and not isinstance(item, StreamDown):
                        return

            task = asyncio.ensure_future(collect())
            await b.ready()
            await b.broker.place_order(entry(1))
            await b.until(lambda: len(heard) >= 3)
            b.venue.transfer(1)
            del b.venue.transactions[1:]
            await b.until(lambda: sum(isinstance(item, StreamDown) for item in heard) >= 2)
            await b.settle(asyncio.gather(task, pay_until(task, b)), seconds=60)
            return heard

    heard = play(case())

    downs = [item.reason for item in heard if isinstance(item, StreamDown)]
    assert "cursor_out_of_range" in downs
    assert heard[-1].payload["type"] == "TRANSFER_FUNDS"


def test_accounts_do_not_come_back_all_at_once():
    """Seen to fail: with one seed for all, every account waited for the same time."""

    async def waits(account):
        clock = FakeClock(TUESDAY_NS)
        broker = OandaBroker(
            OandaLink(account, "t", "http://127.0.0.1:9", "http://127.0.0.1:9", "practice", "USD", True), clock
        )
        slept = []

        async def sleep(seconds):
            slept.append(seconds)

        clock.sleep = sleep
        for n_failures in range(1, 9):
            await broker._back_off(n_failures)
        await broker.close()
        return slept

    first, second = play(waits("001-001-0000001-001")), play(waits("001-001-0000002-001"))

    assert first != second
    for slept in (first, second):
        steps = [min(2.0**n, MAX_BACKOFF_SECONDS) for n in range(8)]
        assert all(step / 2 <= seconds <= step for seconds, step in zip(slept, steps, strict=True))


def test_only_the_venues_own_hosts_are_paced():
    """A fake on loopback takes any number of connections."""
    names = {"token": "t", "clock": FakeClock(TUESDAY_NS)}
    real = OandaClient(base_url="https://api-fxpractice.oanda.com", stream_url="https://stream.oanda.com", **names)
    fake = OandaClient(base_url="http://127.0.0.1:9", stream_url="http://127.0.0.1:9", **names)

    async def waits(client):
        return [await client._pacer.trace("connection.connect_tcp.started", {}) or client._pacer._next_at]

    assert play(waits(real)) == [0.5]
    assert play(waits(fake)) == [0.0]


def test_a_source_of_jitter_that_is_given_is_used():
    link = OandaLink("001-001-0000001-001", "t", "http://127.0.0.1:9", "http://127.0.0.1:9", "practice", "USD", True)
    source = random.Random(5)

    broker = OandaBroker(link, FakeClock(TUESDAY_NS), jitter=source)

    assert broker._jitter is source


async def move(clock, seconds):
    """Move a clock in steps of 0.1 s, giving sockets time between them."""
    for _ in range(round(seconds / 0.1)):
        await asyncio.sleep(0.005)
        await clock.advance(0.1)


def test_new_connections_come_at_the_rate_that_the_venue_allows_and_open_ones_are_used_at_once():
    """Seen to fail: without the pacer all five connections were made in the same instant."""

    async def case():
        clock = FakeClock(TUESDAY_NS)
        server = FakeOanda(new_venue(), clock)
        await server.start()
        hosts = {"base_url": server.url, "stream_url": server.url, "headers": {"Authorization": "Bearer token"}}
        client = HttpClient("OANDA", clock=clock, connects_per_second=2.0, **hosts)
        path = f"/v3/accounts/{server.venue.account}/summary"
        done = []

        async def read():
            await client.get(path)
            done.append(clock.monotonic())

        await read()
        await asyncio.gather(*(read() for _ in range(5)), move(clock, 3.0))
        await client.close()
        await server.stop()
        return done

    done = play(case())

    assert len(done) == 6
    assert sum(at < 0.5 for at in done) == 2
    assert sum(at < 1.0 for at in done) == 3
    assert max(done) == pytest.approx(2.0, abs=0.3)


class StoppedClock(FakeClock):
    """A process that is stopped for ten seconds right after its first byte left: no alarm rings meanwhile."""

    is_armed = False

    def now_ns(self):
        if self.is_armed:
            self._elapsed_ns += 10 * 10**9
        return super().now_ns()


@pytest.mark.parametrize(("is_stopped", "n_executed"), [(False, 1), (True, 0)])
def test_a_process_that_was_stopped_past_the_deadline_does_not_complete_its_request(is_stopped, n_executed):
    """Head and body are two writes. Seen to fail: with the deadline before the head only the order was executed."""

    async def case():
        clock = StoppedClock(TUESDAY_NS)
        server = FakeOanda(new_venue(), FakeClock(TUESDAY_NS))
        await server.start()
        hosts = {"base_url": server.url, "stream_url": server.url, "headers": {"Authorization": "Bearer token"}}
        client = HttpClient("OANDA", clock=clock, **hosts)
        body = {"order": {"type": "MARKET", "instrument": "EUR_USD", "units": "1000", "timeInForce": "FOK"}}
        clock.is_armed = is_stopped
        said = await client.send("POST", f"/v3/accounts/{server.venue.account}/orders", body, deadline=5.0)
        await client.close()
        await server.stop()
        return said, server

    said, server = play(case())

    assert isinstance(said, Unknown) is is_stopped
    assert server.n_commands == n_executed
