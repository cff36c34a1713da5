"""Alerts in the outbox: which ones nobody has got, and who has them now. For `core.monitoring.alerts.AlertDelivery`.

The marks are set once and by the relay's role; the owner's acknowledgment is the API's. Repeats are told by what was
delivered, so a restart of the deliverer forgets none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tradesentry.core.monitoring.alerts import OutboxAlert, alert_of_row
from tradesentry.database.session import is_lost, unavailable

REPEAT_SECONDS: Final = 600.0
TIMEOUT_SECONDS: Final = 5.0
_IS_ALERT: Final = "starts_with(o.topic, 'alert.')"
_ROW: Final = "o.id, o.topic, o.subject, o.payload, o.dedupe_key"
_TAKE: Final = f"""
SELECT {_ROW}, o.dedupe_key IS NOT NULL AND EXISTS (
           SELECT 1 FROM outbox p WHERE starts_with(p.topic, 'alert.') AND p.user_id = o.user_id
              AND p.dedupe_key = o.dedupe_key AND p.delivered_at > now() - $3::float8 * interval '1 second')
       AS is_repeat
  FROM outbox o WHERE {_IS_ALERT} AND o.delivered_at IS NULL AND o.id <> ALL ($2::bigint[]) ORDER BY o.id LIMIT $1
"""  # noqa: S608 (constants only)
_SILENT: Final = f"""
SELECT {_ROW}, false AS is_repeat FROM outbox o
 WHERE {_IS_ALERT} AND o.acknowledged_at IS NULL AND o.escalated_at IS NULL
   AND o.at < now() - $2::float8 * interval '1 second' AND o.id <> ALL ($3::bigint[]) ORDER BY o.id LIMIT $1
"""  # noqa: S608 (constants only)
_DELIVERED: Final = (
    f"UPDATE outbox o SET delivered_at = now() WHERE {_IS_ALERT} AND id = ANY ($1) AND delivered_at IS NULL"  # noqa: S608
)
_ESCALATED: Final = (
    f"UPDATE outbox o SET escalated_at = now() WHERE {_IS_ALERT} AND id = ANY ($1) AND escalated_at IS NULL"  # noqa: S608
)


class PostgresOutbox:
    """The alerts of all users; an `OutboxSource`.

    Args:
        pool: Of `session.create_pool`, as `ts_relay`, with at least two connections.
        repeat_seconds: How long a delivered key makes others of the same user repeats.
        timeout_seconds: Longest wait for any answer of the database.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        *,
        repeat_seconds: float = REPEAT_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._pool, self._repeat_seconds, self._timeout_seconds = pool, repeat_seconds, timeout_seconds

    async def take(self, *, limit: int, exclude: Collection[int] = ()) -> Sequence[OutboxAlert]:
        """Return the oldest alerts that nobody has got.

        Raises:
            JournalUnavailable: The database does not answer.
        """
        return _alerts(await self._fetch(_TAKE, limit, list(exclude), self._repeat_seconds))

    async def mark_delivered(self, ids: Collection[int]) -> None:
        """Note that somebody has them."""
        await self._fetch(_DELIVERED, list(ids))

    async def unacknowledged(
        self, *, older_than_seconds: float, limit: int, exclude: Collection[int] = ()
    ) -> Sequence[OutboxAlert]:
        """Return old alerts that nobody acknowledged."""
        return _alerts(await self._fetch(_SILENT, limit, older_than_seconds, list(exclude)))

    async def mark_escalated(self, ids: Collection[int]) -> None:
        """Note that the second channel has them."""
        await self._fetch(_ESCALATED, list(ids))

    async def count_pending(self) -> int:
        """Return how many alerts nobody has got."""
        statement = f"SELECT count(*) FROM outbox o WHERE {_IS_ALERT} AND o.delivered_at IS NULL"  # noqa: S608
        return int((await self._fetch(statement))[0][0])

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Callable[[], bool]]:
        """Wait until no other process delivers, and keep others waiting.

        Returns:
            A function that says whether that still holds: a lost connection lets the next one in.

        Raises:
            JournalUnavailable: The database does not answer.
        """
        try:
            async with self._pool.acquire(timeout=self._timeout_seconds) as connection:
                try:
                    await connection.execute("SET lock_timeout = 0")
                    await connection.execute("SELECT pg_advisory_lock(hashtext('tradesentry.alerts'))")
                    yield lambda: not connection.is_closed()
                finally:
                    # A connection that broke has given the lock back; that must not hide why the block ended.
                    with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                        await connection.execute(
                            "SELECT pg_advisory_unlock_all(); RESET lock_timeout", timeout=self._timeout_seconds
                        )
        except Exception as error:
            if is_lost(error):
                raise unavailable(error) from error
            raise

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return list(await self._pool.fetch(statement, *values))
        except Exception as error:
            if is_lost(error):
                raise unavailable(error) from error
            raise


def _alerts(rows: Sequence[Any]) -> list[OutboxAlert]:
    return [
        alert_of_row(
            row["id"], row["topic"], row["subject"], row["payload"], dedupe_key=row["dedupe_key"],
            is_repeat=row["is_repeat"],
        )
        for row in rows
    ]  # fmt: skip


async def acknowledge(session: AsyncSession, alert_id: int) -> bool:
    """Note that the tenant has seen an alert; False when he has none of that number.

    Args:
        session: Of `session.tenant_session`.
        alert_id: The row's id.
    """
    statement = sa.text(
        "UPDATE outbox SET acknowledged_at = coalesce(acknowledged_at, now())"
        " WHERE id = :id AND starts_with(topic, 'alert.') RETURNING id"
    )
    return (await session.execute(statement, {"id": alert_id})).first() is not None
