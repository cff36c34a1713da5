"""A connected terminal for the unit tests of the MetaTrader connector."""

import asyncio
from contextlib import asynccontextmanager

from tests.conformance.brokers.conftest import play
from tests.conformance.brokers.terminal_benches import new_clock, session_of, terminal_for
from tradesentry.core.broker.mt5 import Mt5Broker


@asynccontextmanager
async def connected(terminal, clock, **options):
    """Return a broker that is connected to `terminal`."""
    broker = Mt5Broker(session_of(terminal, clock, **options), clock)
    try:
        await broker.connect()
        yield broker
    finally:
        terminal.release()
        await broker.close()


async def settled(clock, awaitable, seconds=60.0):
    """Return what `awaitable` returns, moving the clock while it waits."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(int(seconds / 0.25)):
        await asyncio.wait({task}, timeout=0.05)
        if task.done():
            return task.result()
        await clock.advance(0.25)
    raise AssertionError(f"not done after {seconds} s")


def fills_of(broker, page):
    return [fill for event in page.events for fill in broker.facts(event).fills]


def run(case, *, faults="", **options):
    """Run `case(broker, terminal, clock)` on a connected terminal."""

    async def outer():
        clock = new_clock()
        terminal = terminal_for(clock, faults=faults, **options)
        async with connected(terminal, clock) as broker:
            return await case(broker, terminal, clock)

    return play(outer())
