"""Hosts that trade live, as real processes: the product's agent and trader, one venue process, one PostgreSQL.

For acceptance tests that freeze, kill and cut real processes. A host runs `workers.agent.Agent`; its sessions are the
soak's trader, at real or scaled times. What a host does is noted in a file of lines (claim, active, gone).
"""

import asyncio
import gc
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import psycopg

from tests.acceptance.soak.agent import Life
from tests.acceptance.soak.settings import AgentSettings, SoakSettings
from tests.acceptance.soak.supervisor import Database, warm
from tests.acceptance.soak.trader import TraderSession
from tests.acceptance.soak.venue import VenueProcess, VenueSettings
from tests.support.processes import end, fork
from tradesentry.bootstrap import LEASE_CONNECTIONS
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.execution.journal import Claim, Lease
from tradesentry.core.execution.lease import SelfFence
from tradesentry.database.repositories.agents import AgentRoster
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import create_pool
from tradesentry.workers import agent


class _Session(TraderSession):
    """A trader behind the agent's port."""

    async def obey(self) -> None:
        """Nobody commands here."""

    async def stop(self, *, keep_entries: bool = False) -> None:
        """End cleanly."""
        await super().stop()

    async def abandon(self) -> None:
        """Close all connections."""
        await self._parts.broker.close()


async def _host(given: AgentSettings, ttl_seconds: float) -> None:
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    pool = await create_pool(given.database_url, n_connections=10)
    leases = await create_pool(given.database_url, n_connections=LEASE_CONNECTIONS)
    life = Life(given, _Session)
    life.journal = PostgresJournal(pool, leases=leases)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _forget_leases)

    async def open_session(claim: Any, fence: Any) -> _Session:
        life.log.write("claim", claim.lease.account_id, epoch=claim.lease.epoch)
        return _Session(life, claim, fence)

    settings = agent.AgentSettings(f"host{given.slot}", 0, brokers=("oanda",), ttl_seconds=ttl_seconds,
                                   reclaims=given.may_reclaim)  # fmt: skip
    roster = AgentRoster(leases, life.journal)
    await agent.Agent(life.journal, roster, open_session, SystemClock(), settings).run(stop)


def _forget_leases() -> None:
    """Make this process a zombie: it neither renews nor fences itself, and believes that it owns what it had."""

    async def renew(_journal: PostgresJournal, _owner: str, leases: Sequence[Lease], **_more: Any) -> set[UUID]:
        return {lease.account_id for lease in leases}

    async def claim(*_values: Any, **_more: Any) -> list[Claim]:
        return []

    async def register(*_values: Any, **_more: Any) -> None:
        pass

    planted: dict[Any, dict[str, Any]] = {
        PostgresJournal: {"renew": renew, "claim": claim},
        AgentRoster: {"register": register},
        SelfFence: {"left_seconds": property(lambda _fence: 1e9), "lose": lambda _fence: None},
    }
    for owner, names in planted.items():
        for name, value in names.items():
            setattr(owner, name, value)


class LiveSite(AbstractContextManager["LiveSite"]):
    """A venue, a database and hosts.

    Args:
        n_accounts: Linked and wanted.
        soak: Times, limits and faults of the traders; no faults unless it says so.
        quotes_per_second: Of the venue, per account and instrument.
    """

    def __init__(self, n_accounts: int, soak: SoakSettings, *, quotes_per_second: float = 10.0) -> None:
        self.soak, self._quotes_per_second = soak, quotes_per_second
        self.accounts = tuple(f"001-001-1234567-{n:03d}" for n in range(1, n_accounts + 1))
        self._stack = ExitStack()
        self._hosts: dict[int, int] = {}
        self._lives: dict[int, int] = {}

    def __enter__(self) -> Self:
        warm()
        self.folder = Path(tempfile.mkdtemp(prefix="ts-live-"))
        settings = VenueSettings(self.folder / "venue.jsonl", self.accounts, wire=self.soak.wire,
                                 trading=self.soak.trading, quotes_per_second=self._quotes_per_second)  # fmt: skip
        self.venue = VenueProcess(settings)
        self.database = Database(self._stack)
        ids = {account: self.database.link(account) for account in self.accounts}
        self.ids = {account: account_id for account, (account_id, _) in ids.items()}
        self._template = AgentSettings(
            soak=self.soak, database_url=self.database.database.agent_url(), accounts=self.venue.urls,
            account_ids={account_id: account for account, account_id in self.ids.items()}, runs=dict(ids.values()),
            log=self.folder / "lives.jsonl", calm_file=self.folder / "calm",
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self._hosts.values():
            end(pid)
        with suppress(OSError, ValueError):
            self.venue.stop()
        end(self.venue.pid)
        self._stack.close()

    def start(self, host: int, *, reclaims: bool = False) -> int:
        """Start a host process and return its id."""
        self._lives[host] = self._lives.get(host, 0) + 1
        given = replace(self._template, slot=host, life=self._lives[host], may_reclaim=reclaims)
        lock, ttl = self.database.server._lock, self.soak.times.ttl

        def work() -> None:
            if lock is not None:
                lock.close()
            gc.freeze()
            asyncio.run(_host(given, ttl))

        self._hosts[host] = fork(work)
        return self._hosts[host]

    def kill(self, host: int, number: int = signal.SIGKILL) -> None:
        """End a host and reap it."""
        end(self._hosts.pop(host), number)

    def notes(self, what: str, host: int) -> list[dict[str, Any]]:
        """Return what the present life of a host noted."""
        path = self.folder / "lives.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        sender = f"soak-{host}-{self._lives[host]}"
        return [row for row in rows if row["what"] == what and row["sender"] == sender]

    def wait(self, what: str, host: int, *, n: int, seconds: float = 60.0) -> int:
        """Wait until a host noted something for `n` accounts; return when it was first noted for the last, ns."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            first: dict[str, int] = {}
            for row in self.notes(what, host):
                first.setdefault(row["account"], row["at"])
            if len(first) >= n:
                return max(first.values())
            time.sleep(0.01)
        raise AssertionError(f"host {host} noted {what!r} for {len(self.notes(what, host))} of {n} accounts")

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of the journal, of all tenants."""
        with psycopg.connect(self.database.database.url("postgres")) as connection:
            return list(connection.execute(statement, values).fetchall())


def quiet(*, ttl: float = 10.0, max_send: float = 5.0, bar: float = 0.1, **more: Any) -> SoakSettings:
    """Return traders at real times, in front of a venue without faults, who are not halted by hand.

    Args:
        ttl: Length of a lease, seconds.
        max_send: No byte leaves later than this after its commit, seconds.
        bar: Between two decisions of an account, seconds; none of the platform's own bars is as short.
        more: Of `SoakSettings`.
    """
    soak = SoakSettings(wire="", trading="", **more)
    times = replace(soak.times, ttl=ttl, max_send=max_send, timeout=5.0, commit=2.0, bar=bar)
    return replace(soak, times=times, chaos=replace(soak.chaos, halts=False))


def say(text: str) -> None:
    """Show a figure; pytest prints it with `-s`."""
    sys.stdout.write(f"{text}\n")
