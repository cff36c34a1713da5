"""The journal in PostgreSQL: leases, fenced transactions and what recovery reads.

One statement opens every transaction: it proves owner, epoch and time of the lease, locks the lease row, names the
tenant and chooses durability; for an order it also allocates the number. A commit that is not confirmed within 2 s is
unknown: its connection is thrown away and the caller reads back by client order id, never assumes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final
from uuid import UUID

import asyncpg

from tradesentry.core.domain.errors import JournalUnavailable, LeaseLost
from tradesentry.core.domain.events import BrokerEvent, Fill
from tradesentry.core.execution.journal_messages import lease_lost
from tradesentry.core.execution.journal_port import COMMIT_SECONDS, JournalTransaction
from tradesentry.core.execution.journal_rows import (
    AccountJournal,
    Claim,
    Durability,
    Lease,
    OrderRecord,
    PositionRecord,
    SavedState,
    StoredIntent,
)
from tradesentry.database.repositories import journal_reads
from tradesentry.database.repositories.journal_transaction import PostgresTransaction
from tradesentry.database.session import is_lost, unavailable

STALE_EPOCH: Final = "TS001"
FROZEN_SECONDS: Final = 5.0
"""As `idle_in_transaction_session_timeout` of the pool: half a lease."""
_NS = "(extract(epoch FROM {}) * 1000000000)::bigint"
_CLAIM: Final = f"""
WITH c AS (SELECT account_id, owner AS old_owner, lease_until AS old_until FROM account_leases
            WHERE wanted AND (owner IS NULL OR lease_until < now() OR ($1 AND owner = $2))
              AND ($3::text[] IS NULL OR broker = ANY($3::text[]))
              AND ($6::uuid[] IS NULL OR account_id = ANY($6::uuid[]))
            ORDER BY account_id LIMIT $4 FOR UPDATE SKIP LOCKED)
UPDATE account_leases l SET owner = $2, epoch = l.epoch + 1, lease_until = now() + $5::float8 * interval '1 second'
  FROM c WHERE l.account_id = c.account_id
RETURNING l.account_id, l.user_id, l.epoch, l.instance, l.broker, l.environment, l.seq, c.old_owner,
          {_NS.format("c.old_until")} AS old_until_ns, {_NS.format("now()")} AS now_ns
"""  # noqa: S608 (constants only)
_RENEW: Final = """
UPDATE account_leases l SET lease_until = now() + $2::float8 * interval '1 second'
  FROM unnest($3::uuid[], $4::bigint[]) AS mine (account_id, epoch)
 WHERE l.owner = $1 AND l.account_id = mine.account_id AND l.epoch = mine.epoch RETURNING l.account_id
"""
_RELEASE: Final = """
UPDATE account_leases SET owner = NULL, lease_until = now() WHERE account_id = $1 AND owner = $2 AND epoch = $3
RETURNING true
"""
_END_FROZEN: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
   AND xact_start IS NOT NULL AND wait_event = 'ClientRead' AND state_change < now() - $1::float8 * interval '1 second'
"""
"""A client that froze between two messages of one statement is `active` to the server, which then bounds neither the
statement nor the transaction; before PostgreSQL 17 only another session can end it."""
_TENANT: Final = "set_config('app.user_id', user_id::text, true), set_config('synchronous_commit', $4, true)"
_EFFECT: Final = f"""
UPDATE account_leases SET seq = seq + 1
 WHERE account_id = $1 AND owner = $2 AND epoch = $3 AND lease_until > now() RETURNING seq, {_TENANT}
"""  # noqa: S608 (constants only)
_FENCED: Final = f"""
SELECT seq, {_TENANT} FROM account_leases
 WHERE account_id = $1 AND owner = $2 AND epoch = $3 AND lease_until > now() FOR NO KEY UPDATE
"""  # noqa: S608 (constants only)


class PostgresJournal:
    """The journal of all accounts, for one agent process.

    Args:
        pool: Of `session.create_pool`, as `ts_agent`.
        commit_seconds: Longest wait for any answer of the database.
        is_synced: A confirmed commit survives a crash of the server's machine; False for replays only, whose account
            exists nowhere else.
        leases: Connections for claims, renewals and releases; those of `pool` when absent.
        frozen_seconds: How long a transaction of any agent may wait for its client before it is ended.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        *,
        commit_seconds: float = COMMIT_SECONDS,
        is_synced: bool = True,
        leases: "asyncpg.Pool[Any] | None" = None,
        frozen_seconds: float = FROZEN_SECONDS,
    ) -> None:
        self._pool, self._leases = pool, leases or pool
        self._commit_seconds, self._frozen_seconds = commit_seconds, frozen_seconds
        self._durable = "on" if is_synced else "off"
        self._turns: dict[tuple[UUID, str], asyncio.Lock] = {}

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        ttl_seconds: float,
        reclaim: bool = False,
        brokers: Sequence[str] | None = None,
        accounts: Sequence[UUID] | None = None,
    ) -> list[Claim]:
        """Take accounts that are wanted and free, of these brokers and among these where named.

        `reclaim` also takes those of a dead process of the same slot.
        """
        await self._fetch(_END_FROZEN, self._frozen_seconds)
        wanted = (None if brokers is None else list(brokers), None if accounts is None else list(accounts))
        rows = await self._fetch(_CLAIM, reclaim, owner, wanted[0], limit, ttl_seconds, wanted[1])
        return [
            Claim(
                Lease(
                    row["account_id"], row["user_id"], owner, row["epoch"], row["instance"], row["broker"],
                    row["environment"],
                ),
                row["seq"], row["old_owner"], row["old_until_ns"], row["now_ns"],
            )
            for row in sorted(rows, key=lambda row: str(row["account_id"]))
        ]  # fmt: skip

    async def renew(self, owner: str, leases: Sequence[Lease], *, ttl_seconds: float) -> set[UUID]:
        """Prolong leases; an account that is missing from the answer is lost."""
        await self._fetch(_END_FROZEN, self._frozen_seconds)
        accounts, epochs = [lease.account_id for lease in leases], [lease.epoch for lease in leases]
        return {row["account_id"] for row in await self._fetch(_RENEW, owner, ttl_seconds, accounts, epochs)}

    async def release(self, lease: Lease) -> bool:
        """Give an account back cleanly; False when it was not ours any more."""
        return bool(await self._fetch(_RELEASE, lease.account_id, lease.owner, lease.epoch))

    def turn(self, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Wait until no other account of this process is about to lock the book of the lease's user."""
        return self._turns.setdefault((lease.user_id, lease.environment), asyncio.Lock())

    def effect(self, lease: Lease) -> AbstractAsyncContextManager[JournalTransaction]:
        """Begin a transaction that may place an order: durable, and a number is allocated."""
        return self._transaction(lease, _EFFECT, self._durable)

    def fenced(self, lease: Lease, *, is_durable: bool = True) -> AbstractAsyncContextManager[JournalTransaction]:
        """Begin a transaction that places nothing; `is_durable=False` for what the venue can repeat."""
        return self._transaction(lease, _FENCED, self._durable if is_durable else "off")

    async def read_account(self, lease: Lease) -> AccountJournal:
        """Return all that recovery starts from."""
        async with self.reading(lease) as connection:
            return await journal_reads.account(connection, lease)

    async def read_intent(self, lease: Lease, client_order_id: str) -> StoredIntent | None:
        """Return an intent: how a commit whose confirmation was lost is read back."""
        async with self.reading(lease) as connection:
            return await journal_reads.intent(connection, lease, client_order_id)

    async def read_files(
        self, lease: Lease, order_keys: Sequence[str], trade_refs: Sequence[str]
    ) -> tuple[list[OrderRecord], list[PositionRecord]]:
        """Return orders and trades by their keys, open or not; those never stored are missing."""
        async with self.reading(lease) as connection:
            return await journal_reads.files(connection, lease, order_keys, trade_refs)

    async def read_events(self, lease: Lease, log_id: str, *, after: int, limit: int) -> list[BrokerEvent]:
        """Return events with a higher number, in order."""
        async with self.reading(lease) as connection:
            return await journal_reads.events(connection, lease, log_id, after=after, limit=limit)

    async def read_fills(self, lease: Lease) -> list[Fill]:
        """Return all fills of an account, oldest first."""
        async with self.reading(lease) as connection:
            return await journal_reads.fills(connection, lease)

    async def read_state(self, lease: Lease, run_id: UUID, market: str) -> SavedState | None:
        """Return a strategy's saved memory."""
        async with self.reading(lease) as connection:
            return await journal_reads.state(connection, lease, run_id, market)

    async def durability(self) -> Durability:
        """Return whether a confirmed commit survives a crash."""
        rows = await self._fetch("SELECT current_setting('fsync') AS f, current_setting('full_page_writes') AS w")
        return Durability(rows[0]["f"] == "on", rows[0]["w"] == "on")

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        async with self._connection(self._leases) as connection, asyncio.timeout(self._commit_seconds):
            return list(await connection.fetch(statement, *values))

    @asynccontextmanager
    async def _connection(
        self, pool: "asyncpg.Pool[Any] | None" = None
    ) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[Any]"]:
        """Lend a connection; one that broke or did not answer is thrown away, and errors become the journal's."""
        pool = pool or self._pool
        try:
            connection = await pool.acquire(timeout=self._commit_seconds)
        except Exception as error:
            if is_lost(error):
                raise unavailable(error) from error
            raise
        is_broken = False
        try:
            yield connection
        except BaseException as error:
            is_broken = is_lost(error) or isinstance(error, asyncio.CancelledError)
            if getattr(error, "sqlstate", None) == STALE_EPOCH:
                raise LeaseLost(str(error)) from error
            if is_lost(error):
                raise unavailable(error) from error
            raise
        finally:
            if is_broken:
                _throw_away(connection)
            await self._give_back(pool, connection)

    async def _give_back(self, pool: "asyncpg.Pool[Any]", connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> None:
        """Return a connection; what was done with it is done, so one that breaks now is only thrown away."""
        try:
            await pool.release(connection, timeout=self._commit_seconds)
        except Exception as error:
            if not is_lost(error):
                raise
            _throw_away(connection)

    @asynccontextmanager
    async def reading(self, lease: Lease) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[Any]"]:
        """Lend a connection that sees the rows of the lease's user, as of one instant; for repositories."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute("SELECT set_config('app.user_id', $1, true)", str(lease.user_id))
            yield connection

    @asynccontextmanager
    async def writing(self, lease: Lease) -> AsyncIterator[PostgresTransaction]:
        """Begin a fenced, durable transaction with statements of its own; for repositories."""
        async with self._transaction(lease, _FENCED, self._durable) as transaction:
            yield transaction

    @asynccontextmanager
    async def _transaction(self, lease: Lease, opening: str, commit: str) -> AsyncIterator[PostgresTransaction]:
        async with self._connection() as connection:
            transaction = connection.transaction()
            async with asyncio.timeout(self._commit_seconds):
                await transaction.start()
                row = await connection.fetchrow(opening, lease.account_id, lease.owner, lease.epoch, commit)
            if row is None:
                await transaction.rollback()
                raise lease_lost(lease)
            try:
                yield PostgresTransaction(connection, lease, row["seq"], timeout_seconds=self._commit_seconds)
            except BaseException as error:
                if not is_lost(error):
                    # A server that went away meanwhile has rolled back already, and the first error says more.
                    with suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                        await transaction.rollback()
                raise
            await self._commit(transaction, connection)

    async def _commit(
        self, transaction: "asyncpg.transaction.Transaction", connection: "asyncpg.pool.PoolConnectionProxy[Any]"
    ) -> None:
        """Commit; without a confirmation nobody knows, and the error says so."""
        try:
            async with asyncio.timeout(self._commit_seconds):
                await transaction.commit()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if isinstance(error, asyncpg.PostgresError) and not is_lost(error):
                raise
            _throw_away(connection)
            raise JournalUnavailable(
                f"A commit was not confirmed within {self._commit_seconds:g} s ({str(error) or type(error).__name__}): "
                "it may or may not have happened. Send nothing; read it back by its client order id after recovery.",
                code="commit_unknown",
            ) from error


def _throw_away(connection: "asyncpg.pool.PoolConnectionProxy[Any]") -> None:
    """Close a connection without a word to the server; one that is closed already has left the pool."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
