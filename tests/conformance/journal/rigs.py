"""The journals under test behind one handle, and small factories for what they store."""

import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from tradesentry.core.domain.events import BrokerEvent, EventKind, Fill
from tradesentry.core.domain.live_orders import Effect, OrderIntent
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal import Claim, Journal, Lease, MemoryJournal
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import create_pool

TTL = 60.0
OWNER = "host:0"


class Rig:
    """A journal with ways to link accounts."""

    def __init__(self, journal: Journal, database=None):
        self.journal = journal
        self.database = database
        self.runs: dict[uuid.UUID, uuid.UUID] = {}

    def user(self) -> uuid.UUID:
        return self.database.user() if self.database else uuid.uuid4()

    def link(self, user_id=None, *, broker="paper", environment="paper") -> uuid.UUID:
        """A wanted account."""
        user_id = user_id or self.user()
        if self.database is None:
            account_id = self.journal.link(user_id=user_id, broker=broker, environment=environment)
            self.runs[account_id] = uuid.uuid4()
        else:
            account_id = self.database.link(user_id, broker=broker, environment=environment)
            self.runs[account_id] = self.database.run(user_id, account_id)
        return account_id

    async def claimed(self, account_id=None, *, owner=OWNER, ttl_seconds=TTL) -> Claim:
        """A claim of one account, linked if not given."""
        account_id = account_id or self.link()
        claims = await self.journal.claim(owner, limit=100, ttl_seconds=ttl_seconds)
        return next(claim for claim in claims if claim.lease.account_id == account_id)

    async def lease(self) -> Lease:
        return (await self.claimed()).lease


@asynccontextmanager
async def memory_rig(_database) -> AsyncIterator[Rig]:
    """The journal in memory, on a clock that moves a microsecond a look."""
    ticks = itertools.count(1_800_000_000_000_000_000, 1_000)
    yield Rig(MemoryJournal(lambda: next(ticks)))


@asynccontextmanager
async def postgres_rig(database) -> AsyncIterator[Rig]:
    """The journal in PostgreSQL, as an agent sees it."""
    pool = await create_pool(database.agent_url(), n_connections=4)
    try:
        yield Rig(PostgresJournal(pool), database)
    finally:
        await pool.close()


RIGS = {"memory": memory_rig, "postgres": postgres_rig}


def intent(lease: Lease, *, run=None, bar_close_ns=0, index=0, effect=Effect.OPEN) -> OrderIntent:
    return OrderIntent(
        account=str(lease.account_id), seq=0, symbol="EURUSD", side=Side.BUY, units=Decimal("10000"),
        run=None if run is None else str(run), bar_close_ns=bar_close_ns, intent_index=index, stop_loss=1.0999,
        take_profit=1.2, effect=effect, tag="breakout",
    )  # fmt: skip


def event(lease: Lease, seq: int, *, log_id="log-1", ts_ns=None, kind=EventKind.ORDER_FILLED) -> BrokerEvent:
    ts_ns = 1_790_000_000_000_000_000 + seq if ts_ns is None else ts_ns
    payload = {"id": str(seq), "text": "caf\u00e9", "nested": {"units": "100", "none": None}}
    return BrokerEvent(str(lease.account_id), log_id, seq, kind, payload, ts_ns, ts_ns + 5)


def fill(lease: Lease, fill_id: str, leg: int = 0) -> Fill:
    return Fill(
        account=str(lease.account_id), fill_id=fill_id, leg=leg, venue_order_id="7", client_order_id=None,
        trade_ref="t1", symbol="EURUSD", side=Side.BUY, units=Decimal("1000"), price=1.10005,
        commission=Decimal("0.35"), swap=Decimal(0), realized=Decimal("-1.25"), ts_ns=1_790_000_000_000_000_000,
        effect=Effect.OPEN,
    )  # fmt: skip
