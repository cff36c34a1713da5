"""The paper venue's own log in PostgreSQL: it goes on after a restart, on whichever host takes the account over."""

from collections.abc import Sequence

from tradesentry.core.broker.paper_store import PaperEntry
from tradesentry.core.execution.journal_rows import Lease
from tradesentry.database.repositories.journal import PostgresJournal


class PaperLog:
    """Reads and extends the logs of paper accounts; a stale owner writes nothing.

    Args:
        journal: The journal of the same database.
    """

    def __init__(self, journal: PostgresJournal) -> None:
        self._journal = journal

    async def append(self, lease: Lease, entries: Sequence[PaperEntry]) -> None:
        """Store entries, each once; together or not at all.

        Args:
            lease: Of the account.
            entries: In the order of their numbers; a known number with the same content is not stored again.

        Raises:
            LeaseLost: The epoch is not the newest.
            JournalUnavailable: The commit was not confirmed.
        """
        async with self._journal.writing(lease) as transaction:
            for entry in entries:
                await transaction.insert(
                    "paper_transactions",
                    "ON CONFLICT (account_id, seq) DO NOTHING",
                    seq=entry.seq,
                    kind=entry.kind,
                    payload=dict(entry.payload),
                    snapshot=entry.snapshot,
                    ts_ns=entry.ts_ns,
                )

    async def read(self, lease: Lease) -> list[PaperEntry]:
        """Return the newest entry that holds a snapshot and all after it; all of them when there is none.

        Args:
            lease: Of the account.
        """
        async with self._journal.reading(lease) as connection:
            rows = await connection.fetch(
                "SELECT seq, kind, payload, ts_ns, snapshot FROM paper_transactions WHERE account_id = $1 AND seq >="
                " coalesce((SELECT max(seq) FROM paper_transactions WHERE account_id = $1 AND snapshot IS NOT NULL), 0)"
                " ORDER BY seq",
                lease.account_id,
            )
        return [PaperEntry(row["seq"], row["kind"], row["payload"], row["ts_ns"], row["snapshot"]) for row in rows]

    async def read_all(self, lease: Lease) -> list[PaperEntry]:
        """Return every entry, oldest first, only the newest snapshot with them.

        Args:
            lease: Of the account.
        """
        async with self._journal.reading(lease) as connection:
            rows = await connection.fetch(
                "SELECT seq, kind, payload, ts_ns, CASE WHEN seq = (SELECT max(seq) FROM paper_transactions"
                " WHERE account_id = $1 AND snapshot IS NOT NULL) THEN snapshot END AS snapshot"
                " FROM paper_transactions WHERE account_id = $1 ORDER BY seq",
                lease.account_id,
            )
        return [PaperEntry(row["seq"], row["kind"], row["payload"], row["ts_ns"], row["snapshot"]) for row in rows]
