"""Every broker under test, each in front of a paper venue of its own, behind one small handle."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conformance.brokers.terminal_benches import (
    client_of,
    proxied,
    running_gateway,
    session_of,
    terminal_for,
)
from tests.support.venues import TUESDAY_NS, entry, new_venue, quote_at
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.oanda import OandaBroker, OandaLink
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.orders import OrderType

IN_PART = {"filling_mode": mt5.FILLING_FLAG_IOC}
"""Of a symbol that fills in part; others take such orders as a whole or not at all."""


@dataclass
class Bench:
    """A broker, the venue behind it, and the hands that move both."""

    broker: Any
    venue: Any
    clock: FakeClock
    faults: FaultScript
    show: Any
    """Bring a quote to the venue."""
    n_received: Any
    """Return the commands that reached the venue's side of the wire."""

    n_streams: Any = None
    """Return the streams of a kind that are open at the venue."""

    server: Any = None

    words: dict[str, str] = field(default_factory=dict)
    """This venue's words for OANDA's reasons, where they differ."""
    resolution_ns: int = 1
    """Of the venue's times."""
    has_pages: bool = True
    """Pages of events cross a wire, where they can be disturbed."""
    keeps_refusals: bool = True
    """A refused order is in the venue's log."""
    n_events: Any = None
    """Return the newest number that the venue has given out."""
    terminal: Any = None

    def __post_init__(self):
        self.n_events = self.n_events or (lambda: self.venue.last_seq)

    @property
    def n_bytes(self):
        """Bytes that arrived at the venue; where there is no wire, the commands."""
        return self.n_received() if self.server is None else self.server.n_bytes

    def word(self, reason):
        """Return this venue's word for a reason."""
        return self.words.get(reason, reason)

    async def drop_connections(self):
        """Reset what is open at the venue; no wire, nothing to reset."""
        if self.server is not None:
            self.server.drop_connections()
            await asyncio.sleep(0)

    def freeze(self):
        """Let the other side vanish without a word."""
        if self.server is not None:
            self.server.is_frozen = True
        elif self.terminal is not None:
            self.terminal.faults = FaultScript.parse("no_reply at 1 on read")
        else:
            self.broker.faults = FaultScript.parse("no_reply at 1 on place")

    async def thaw(self):
        """Let it be there again; what was open stays dead."""
        if self.server is not None:
            self.server.is_frozen = False
        await self.clock.advance(30.0)

    async def ready(self, stream="events"):
        """Wait until the broker listens."""
        await self.until(lambda: self.n_streams(stream) > 0)

    async def until(self, is_true, *, seconds=120.0):
        """Wait until something is true, moving the clock."""

        async def poll():
            while not is_true():  # noqa: ASYNC110 - what is awaited lies behind a socket
                await asyncio.sleep(0.001)

        await self.settle(poll(), seconds=seconds)

    async def settle(self, awaitable, *, seconds=60.0, patience=0.005):
        """Return what `awaitable` returns, moving the clock whenever it waits for `patience` real seconds."""
        task = asyncio.ensure_future(awaitable)
        for _ in range(int(seconds / 0.25)):
            for _ in range(50):
                if task.done():
                    return task.result()
                await asyncio.sleep(0)
            await asyncio.wait({task}, timeout=patience)
            if task.done():
                return task.result()
            await self.clock.advance(0.25)
        raise AssertionError(f"not done after {seconds} s")


def gate_of(clock, late, options):
    """Return the command gate that the options ask for."""
    throttle = Throttle(clock, per_second=options.get("per_second", 20.0), burst=options.get("burst", 400.0))
    may_send = options.get("may_send", lambda stamp: True)
    return CommandGate(clock, throttle=throttle, may_send=may_send, on_late=late)


@asynccontextmanager
async def paper_bench(*, faults="", trading="", seed=0, late=None, venue=None, **options):
    """Open a paper broker with a first quote of each market."""
    clock = FakeClock(TUESDAY_NS)
    venue = venue or new_venue(faults=trading, seed=seed, **options.pop("venue_options", {}))
    script = FaultScript.parse(faults, seed=seed)
    broker = PaperBroker(venue, clock, faults=script, gate=gate_of(clock, late, options))
    broker.show(quote_at(1.1000))
    broker.show(quote_at(150.0, symbol="USDJPY", spread=0.01))
    yield Bench(broker, venue, clock, script, broker.show, lambda: broker.n_requests, broker.n_streams)
    await broker.close()


async def refuse_from(broker, server, operation):
    """Let the server vanish: at once for reads, once the broker has connected for commands."""
    if operation == "read":
        await server.stop()
        return
    connect = broker.connect

    async def connect_then_vanish():
        state = await connect()
        await broker.quote("EURUSD")
        await server.stop()
        return state

    broker.connect = connect_then_vanish


@asynccontextmanager
async def oanda_bench(*, faults="", trading="", seed=0, late=None, venue=None, **options):
    """Open an OANDA broker in front of a fake OANDA on loopback, with a first quote of each market."""
    clock = FakeClock(TUESDAY_NS)
    venue = venue or new_venue(faults=trading, seed=seed, **options.pop("venue_options", {}))
    is_refused = "connect_refused" in faults
    script = FaultScript.parse("" if is_refused else faults, seed=seed)
    server = FakeOanda(venue, clock, faults=script)
    await server.start()
    link = OandaLink(venue.account, "token", server.url, server.url, "practice", "USD", is_hedging=True)
    broker = OandaBroker(link, clock, gate=gate_of(clock, late, options))
    server.show(quote_at(1.1000))
    server.show(quote_at(150.0, symbol="USDJPY", spread=0.01))
    if is_refused:
        await refuse_from(broker, server, faults.split()[-1])
    try:
        yield Bench(broker, venue, clock, script, server.show, lambda: server.n_commands, server.n_streams, server)
    finally:
        await broker.close()
        await server.stop()


TERMINAL_WORDS = {
    "INSUFFICIENT_MARGIN": "NO_MONEY",
    "MARKET_HALTED": "MARKET_CLOSED",
    "BOUNDS_VIOLATION": "bounds_violation",
}


def terminal_bench_of(broker, terminal, clock, show, **fields):
    """Return a bench in front of a terminal."""
    return Bench(
        broker,
        terminal.venue,
        clock,
        terminal.faults,
        show,
        words=TERMINAL_WORDS,
        resolution_ns=1_000_000,
        keeps_refusals=False,
        terminal=terminal,
        **fields,
    )


def break_after_a_command(terminal):
    """Let the program die after its first command, and its first restart fail."""
    send = terminal.order_send

    def send_and_die(request):
        result = send(request)
        if not terminal.n_restarts:
            terminal.restart()
        return result

    terminal.order_send = send_and_die


@asynccontextmanager
async def mt5_bench(*, faults="", trading="", seed=0, late=None, venue=None, **options):
    """Open a broker over a fake terminal; what a wire does to streams is done by the program's death."""
    clock = FakeClock(TUESDAY_NS)
    is_broken = faults.startswith(("stream_closed", "stream_stall"))
    is_refused = "connect_refused" in faults
    script = "connect_refused at 2 on connect" if is_broken else "" if is_refused else faults
    terminal = terminal_for(clock, faults=f"{script}; {trading}", seed=seed, venue=venue, **options.pop("terminal", {}))
    session = session_of(terminal, clock)
    broker = Mt5Broker(session, clock, gate=gate_of(clock, late, options))
    if is_broken:
        break_after_a_command(terminal)
    if is_refused:
        await refuse_from(broker, Dying(terminal), faults.split()[-1])
    try:
        yield terminal_bench_of(
            broker,
            terminal,
            clock,
            terminal.show,
            n_received=lambda: terminal.n_requests,
            n_streams=broker.n_streams,
            has_pages=False,
            n_events=lambda: session.terminal.log.last_seq,
        )
    finally:
        terminal.release()
        await broker.close()


class Dying:
    """A terminal whose program ends and does not come up again."""

    def __init__(self, terminal):
        self._terminal = terminal

    async def stop(self):
        self._terminal.is_running = False
        self._terminal.restart()


@asynccontextmanager
async def gateway_bench(*, faults="", trading="", seed=0, late=None, venue=None, **options):
    """Open a gateway's client; faults of the wire happen in a proxy between the two."""
    clock = FakeClock(TUESDAY_NS)
    is_refused = "connect_refused" in faults
    terminal = terminal_for(clock, faults=trading, seed=seed, venue=venue, **options.pop("terminal", {}))
    async with (
        running_gateway(terminal, clock) as gateway,
        proxied(gateway, clock, "" if is_refused else faults, seed) as proxy,
    ):
        broker = client_of(terminal, proxy.url, clock, gate=gate_of(clock, late, options))
        if is_refused:
            await refuse_from(broker, proxy, faults.split()[-1])
        try:
            yield terminal_bench_of(
                broker,
                terminal,
                clock,
                terminal.show,
                n_received=lambda: proxy.n_commands,
                n_streams=gateway.broker.n_streams,
                server=proxy,
                n_events=lambda: gateway.broker.session.terminal.log.last_seq,
            )
        finally:
            await broker.close()


BENCHES = {"gateway": gateway_bench, "mt5": mt5_bench, "oanda": oanda_bench, "paper": paper_bench}


@pytest.fixture(params=sorted(BENCHES))
def bench(request):
    """Return how to open a bench: `async with bench(faults=...) as b`."""
    return BENCHES[request.param]


def play(case):
    """Run an asynchronous case to its end."""
    return asyncio.run(case)


def limit(seq=1, price=1.0980, **fields):
    return entry(seq, kind=OrderType.LIMIT, price=price, **fields)


async def one_trade(b, **fields):
    """Connect and open one trade; return it."""
    await b.broker.connect()
    await b.broker.place_order(entry(1, **fields))
    return (await b.broker.open_trades())[-1]
