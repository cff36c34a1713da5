"""An order manager on a paper account, a journal in memory and a clock that stands still, with hands to move them."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from tests.support.venues import TUESDAY_NS, new_venue, quote_at
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.clock import ClockSample, FakeClock
from tradesentry.core.domain.live_account import Enter
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.journal import LiveState, MemoryJournal
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_requests import OrderSettings

LONG = 1e6
"""Seconds: a lease that no test outlives unless it wants to."""


@dataclass
class Rig:
    """Everything of one account."""

    clock: FakeClock
    venue: Any
    broker: PaperBroker
    journal: MemoryJournal
    lease: Any
    fence: SelfFence
    gates: LiveGates
    orders: OrderManager
    alerts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def book(self):
        return self.orders.book

    @property
    def rows(self):
        """The journal's rows of the account."""
        return self.journal._accounts[self.lease.account_id]

    def show(self, price, **fields):
        """Bring a price to venue and gates, at the present time."""
        now_ns = self.clock.now_ns()
        quote = replace(quote_at(price, **fields), ts_ns=now_ns, received_ts_ns=now_ns)
        self.broker.show(quote)
        self.orders.note_quote(quote)

    async def submit(self, *wishes, run=None, bar_close_ns=0, states=(), author="strategy"):
        return await self.orders.submit(wishes, run=run, bar_close_ns=bar_close_ns, states=states, author=author)

    async def settle(self, awaitable, *, seconds=60.0):
        """Return what `awaitable` returns, moving the clock whenever it waits."""
        task = asyncio.ensure_future(awaitable)
        for _ in range(int(seconds / 0.25)):
            for _ in range(100):
                if task.done():
                    return task.result()
                await asyncio.sleep(0)
            await self.clock.advance(0.25)
        raise AssertionError(f"not done after {seconds} s")

    def statuses(self):
        return [order.status.value for order in self.book.orders.values()]

    def transitions(self, seq):
        """The stored steps of an order, as (from, to)."""
        steps = sorted((n, step) for (other, n), step in self.rows.transitions.items() if other == seq)
        return [(step.from_status.value if step.from_status else None, step.to_status.value) for _, step in steps]

    def placed(self):
        """Orders that reached the venue."""
        return list(self.venue.orders.values())


def enter(side=Side.BUY, *, units=10_000, stop=None, symbol="EURUSD", kind=OrderType.MARKET, risk=50, **fields):
    """Return the wish of 10,000 EURUSD at market with a stop 50 pips away unless `fields` say otherwise."""
    if stop is None:
        stop = (
            (1.0950 if side is Side.BUY else 1.1050) if symbol == "EURUSD" else (149.0 if side is Side.BUY else 151.0)
        )
    return Enter(symbol, side, Decimal(units), kind, stop, risk=Decimal(risk), **fields)


def limit(side=Side.BUY, **fields):
    """Return the wish of a limit order 40 pips better than the first price, with a stop 40 pips from it."""
    price = 1.0960 if side is Side.BUY else 1.1040
    return enter(side, kind=OrderType.LIMIT, price=price, stop=round(price - side * 0.004, 5), **fields)


@asynccontextmanager
async def order_rig(
    *, faults="", trading="", seed=0, settings=None, gates=None, broker=None, state=LiveState.ACTIVE, **venue_options
):
    """Open an account that is caught up and may trade."""
    clock = FakeClock(TUESDAY_NS)
    venue = new_venue(faults=trading, seed=seed, **venue_options)
    made = (broker or PaperBroker)(venue, clock, faults=FaultScript.parse(faults, seed=seed))
    for quote in (quote_at(1.1000), quote_at(150.0, symbol="USDJPY", spread=0.01)):
        made.show(quote)
    journal = MemoryJournal(clock.now_ns)
    journal.link()
    lease = (await journal.claim("host:0", limit=1, ttl_seconds=LONG))[0].lease
    fence = SelfFence(clock.monotonic, ttl_seconds=LONG)
    fence.renewed(fence.ask())
    gates = gates or LiveGates()
    gates.watch.note_clock(ClockSample(0, 0), now_ns=clock.now_ns())
    alerts: list[tuple[str, str]] = []
    orders = OrderManager(
        made, journal, lease, fence, clock, instruments=dict(venue.instruments), gates=gates,
        settings=settings or OrderSettings(min_step_pips=0, min_interval_seconds=0),
        alert=lambda code, text: alerts.append((code, text)),
    )  # fmt: skip
    rig = Rig(clock, venue, made, journal, lease, fence, gates, orders, alerts)
    await orders.load()
    orders.note_account(venue.state())
    await orders.catch_up()
    await orders.set_state(state, "test")
    alerts.clear()
    yield rig
    await orders.close()
    await made.close()


def play(case):
    """Run an asynchronous case to its end."""
    return asyncio.run(case)
