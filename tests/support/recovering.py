"""An account under recovery: a paper venue that outlives the processes, a journal in memory, and one owner at a time.

`Site` is what survives a crash; `Owner` is one life of a process over it. A clock that a test moves drives both.
"""

import asyncio
from dataclasses import replace
from decimal import Decimal

from tests.support.venues import TUESDAY_NS, new_venue, quote_at
from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.domain.live_account import Enter
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.account_limits import AccountLimits, LimitSettings
from tradesentry.core.execution.journal import MemoryJournal
from tradesentry.core.execution.journal_outage import JournalOutage
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_gates import GateSettings, LiveGates
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.polls import Polls, PollSettings
from tradesentry.core.execution.recovery import Recovery
from tradesentry.core.execution.venue_look import AccountLink

TTL = 864_000.0
PATIENT = GateSettings(max_quote_age_seconds=300.0)
"""Quotes stand still in these tests unless age is what is tested."""


def play(case):
    """Run one case."""
    return asyncio.run(case)


class LostJournal(MemoryJournal):
    """A journal whose database can be taken away: every transaction, read and renewal then fails."""

    def __init__(self, now_ns):
        super().__init__(now_ns)
        self.is_away = False
        self.is_read_only = False
        """Reads and renewals work, transactions do not: a full disk."""
        self.n_failed = 0

    def _check(self):
        if self.is_away:
            self.n_failed += 1
            raise JournalUnavailable("The database does not answer. Start it.")

    def _check_write(self):
        self._check()
        if self.is_read_only:
            self.n_failed += 1
            raise JournalUnavailable("The database takes no commit: no space is left. Make room.")

    def effect(self, lease):
        self._check_write()
        return super().effect(lease)

    def fenced(self, lease, *, is_durable=True):
        self._check_write()
        return super().fenced(lease, is_durable=is_durable)

    async def read_account(self, lease):
        self._check()
        return await super().read_account(lease)

    async def renew(self, owner, leases, *, ttl_seconds):
        self._check()
        return await super().renew(owner, leases, ttl_seconds=ttl_seconds)


class Site:
    """What survives the death of a process: the venue, the journal, the clock."""

    def __init__(self, *, capital=100_000.0, horizon=0.0, journal=None, account_id=None, **venue_options):
        self.clock = FakeClock(TUESDAY_NS)
        self.venue = new_venue(capital=capital, **venue_options)
        self.io_seconds = 0.005 if journal else 0.0
        """Real time that is given to a journal behind a socket before the clock moves."""
        self.journal = journal or LostJournal(self.clock.now_ns)
        self.account_id = account_id or self.journal.link()
        self.horizon = horizon
        self.alerts = []
        self.show(1.1000)
        self.show(150.0, symbol="USDJPY", spread=0.01)

    def show(self, price, *, symbol="EURUSD", spread=0.0001):
        """Bring a price to the venue."""
        now_ns = self.clock.now_ns()
        quote = quote_at(price, symbol=symbol, spread=spread)
        return self.venue.on_quote(replace(quote, ts_ns=now_ns, received_ts_ns=now_ns))

    async def own(self, name="host-1", **options):
        """Begin a life: claim the account and put an order manager over it."""
        fence = SelfFence(self.clock.monotonic, ttl_seconds=TTL)
        asked = fence.ask()
        (claim,) = await self.journal.claim(name, limit=1, ttl_seconds=TTL, reclaim=options.pop("reclaim", True))
        fence.renewed(asked)
        return Owner(self, claim, fence, **options)

    @property
    def codes(self):
        """Codes of all alerts so far."""
        return [code for code, _ in self.alerts]


class Owner:
    """One life of a process that holds the account."""

    def __init__(self, site, claim, fence, *, faults="", seed=0, link=None, limits=None, polls=None, gates=PATIENT,
                 wait_seconds=0.0):  # fmt: skip
        self.site, self.claim, self.fence, clock = site, claim, fence, site.clock
        self.faults = FaultScript.parse(faults, seed=seed)
        self.broker = PaperBroker(
            site.venue,
            clock,
            faults=self.faults,
            gate=CommandGate(clock, throttle=Throttle(clock, burst=1_000.0)),
            timeout_seconds=0.2,
        )
        if site.horizon:
            self.broker.capabilities = replace(self.broker.capabilities, absence_horizon_seconds=site.horizon)
        alert = self._alert
        self.gates = LiveGates(gates, alert=alert)
        self.orders = OrderManager(
            self.broker,
            site.journal,
            claim.lease,
            fence,
            clock,
            instruments=dict(site.venue.instruments),
            gates=self.gates,
            alert=alert,
        )
        self.outage = JournalOutage(
            site.journal, claim.lease, fence, clock, watch=self.gates.watch, alert=alert, ttl_seconds=TTL
        )
        self.recovery = Recovery(
            self.broker,
            self.orders,
            clock,
            link=link or AccountLink(),
            outage=self.outage,
            limits=AccountLimits(clock, limits or LimitSettings(), budget=self.gates.budget),
            alert=alert,
            wait_seconds=wait_seconds,
        )
        self.polls = Polls(self.broker, self.orders, self.recovery, clock, polls or PollSettings())

    @property
    def book(self):
        """The account from inside."""
        return self.orders.book

    def _alert(self, code, text):
        self.site.alerts.append((code, text))

    async def buy(self, units=10_000, *, stop=1.0950, **fields):
        """Send an entry of EURUSD and return what became of it."""
        fields = {"symbol": "EURUSD", "side": Side.BUY, "type": OrderType.MARKET} | fields
        (sent,) = await self.settle(
            self.orders.submit([Enter(units=Decimal(units), stop_loss=stop, **fields)], run=None, bar_close_ns=0)
        )
        return sent

    async def settle(self, awaitable, *, seconds=120.0):
        """Return what `awaitable` returns, moving the clock whenever it waits."""
        task = asyncio.ensure_future(awaitable)
        for _ in range(int(seconds / 0.1)):
            for _ in range(50):
                if task.done():
                    return task.result()
                await asyncio.sleep(0)
            if self.site.io_seconds and (await asyncio.wait({task}, timeout=self.site.io_seconds))[0]:
                return task.result()
            await self.site.clock.advance(0.1)
        task.cancel()
        raise AssertionError(f"not done after {seconds} s")

    async def recover(self, why="start"):
        """Recover, moving the clock whenever that waits."""
        return await self.settle(self.recovery.recover(why))

    async def die(self):
        """End this life without a word, as a kill does."""
        await self.recovery.follower.close()


def rows_of(site):
    """The rows of the account in the journal."""
    return site.journal._accounts[site.account_id]


def statuses(site, seq=1):
    """Every status that an order went through."""
    return [row.to_status for (number, _), row in sorted(rows_of(site).transitions.items()) if number == seq]


def venue_fills(site):
    return sorted(str(row["seq"]) for row in site.venue.transactions if row["kind"] == "order_filled")


def journal_fills(site):
    return sorted(fill_id for fill_id, _ in rows_of(site).fills)
