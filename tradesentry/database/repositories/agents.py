"""Agents and what they hold: one row per process with its heartbeat, and what an agent reads of its accounts.

An agent's share of the accounts follows from these rows alone, so agents need not know one another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from tradesentry.core.execution.journal_rows import Lease
from tradesentry.core.execution.lease import TTL_SECONDS
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import is_lost, unavailable

DEAD_AFTER_SECONDS: Final = TTL_SECONDS
"""Age of a heartbeat after which an agent no longer counts: its leases are over then, so the others may take them."""


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """A linked account as its agent opens it."""

    account_id: UUID
    broker: str
    account_ref: str
    environment: str
    settings: Mapping[str, Any]
    desired_trading: str


@dataclass(frozen=True, slots=True)
class Load:
    """How many accounts are wanted, and by how many agents they are shared."""

    n_wanted: int
    n_agents: int

    def share(self, max_accounts: int) -> int:
        """Return how many accounts one agent holds at most.

        Args:
            max_accounts: That this agent can hold.
        """
        return min(max_accounts, math.ceil(self.n_wanted / max(1, self.n_agents)) + 1)


class AgentRoster:
    """Rows of agents, and reads of what they hold.

    Args:
        pool: Of `session.create_pool`, as `ts_agent`.
        journal: On the same pool.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", journal: PostgresJournal) -> None:
        self._pool, self._journal = pool, journal

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        try:
            async with self._pool.acquire(timeout=5.0) as connection:
                return list(await connection.fetch(statement, *values, timeout=5.0))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if is_lost(error):
                raise unavailable(error) from error
            raise

    async def register(
        self, agent_id: UUID, *, host: str, slot: int, brokers: Sequence[str], max_accounts: int
    ) -> None:
        """Write the row of a process, in the place of an older process of the same host and slot; also the heartbeat.

        Args:
            agent_id: Of this process.
            host: Its installation.
            slot: Its place there.
            brokers: What it can connect to.
            max_accounts: How many accounts it can hold.
        """
        await self._fetch(
            "INSERT INTO agents (id, host, slot, brokers, max_accounts) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (host, slot) DO UPDATE SET id = excluded.id, brokers = excluded.brokers,"
            " max_accounts = excluded.max_accounts, heartbeat_at = now()",
            agent_id, host, slot, list(brokers), max_accounts,
        )  # fmt: skip

    async def leave(self, agent_id: UUID) -> None:
        """Remove the row of a process that ends."""
        await self._fetch("DELETE FROM agents WHERE id = $1", agent_id)

    async def load(self, brokers: Sequence[str]) -> Load:
        """Return how many accounts of these brokers are wanted and how many agents live.

        Args:
            brokers: What the asking agent can connect to.
        """
        rows = await self._fetch(
            "SELECT (SELECT count(*) FROM account_leases WHERE wanted AND broker = ANY($1)) AS n_wanted,"
            " (SELECT count(*) FROM agents WHERE brokers && $1 AND heartbeat_at > now() - $2 * interval '1 second')"
            " AS n_agents",
            list(brokers), DEAD_AFTER_SECONDS,
        )  # fmt: skip
        return Load(rows[0]["n_wanted"], rows[0]["n_agents"])

    async def link(self, lease: Lease) -> LinkRecord:
        """Return the linked account of a lease."""
        async with self._journal.reading(lease) as connection:
            rows = await connection.fetch(
                "SELECT id, broker, account_ref, environment, settings, desired_trading FROM broker_links"
                " WHERE id = $1",
                lease.account_id,
            )
        return LinkRecord(*rows[0].values())

    async def decided_ns(self, lease: Lease) -> dict[UUID, int]:
        """Return the close of the newest bar that each run has decided on."""
        async with self._journal.reading(lease) as connection:
            rows = await connection.fetch(
                "SELECT run_id, max(bar_close_ns) AS close_ns FROM run_states WHERE account_id = $1 GROUP BY run_id",
                lease.account_id,
            )
        return {row["run_id"]: row["close_ns"] for row in rows}

    async def is_wanted(self, lease: Lease) -> bool:
        """Say whether anything is left to do on an account: a run, an order or a trade."""
        rows = await self._fetch("SELECT wanted FROM account_leases WHERE account_id = $1", lease.account_id)
        return bool(rows and rows[0]["wanted"])

    async def report_fenced(self, lease: Lease) -> None:
        """Tell the owner that this process has lost the account; needs no lease, because it has none."""
        try:
            async with self._pool.acquire(timeout=5.0) as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.user_id', $1, true)", str(lease.user_id))
                await connection.execute(
                    "INSERT INTO outbox (user_id, account_id, topic, subject, payload, dedupe_key)"
                    " VALUES ($1, $2, 'run.fenced', $3, $4, $5)",
                    lease.user_id, lease.account_id, str(lease.account_id),
                    {"owner": lease.owner, "epoch": lease.epoch}, f"fenced:{lease.account_id}:{lease.epoch}",
                )  # fmt: skip
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if is_lost(error):
                raise unavailable(error) from error
            raise
