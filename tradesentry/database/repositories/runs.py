"""Live runs: what owners want, what agents do. The API writes `desired`, an agent obeys and writes `actual`.

On a strategy's own word an agent may make `desired` stricter, with an alert in the same commit; never looser.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tradesentry.core.execution.journal_rows import Lease
from tradesentry.database.repositories.journal import PostgresJournal


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A strategy on an account, as its agent sees it."""

    run_id: UUID
    strategy: str
    variant: str
    code_digest: str
    config: Mapping[str, Any]
    limits: Mapping[str, Any]
    desired: str
    actual: str
    desired_trading: str
    """`halted` when the owner stopped the whole account."""


async def set_desired(session: AsyncSession, run_id: UUID, desired: str) -> bool:
    """Say what a run should do; False when the tenant has no such run.

    The account's lease row is locked first, as agents do, so that the two never wait for each other in a circle.

    Args:
        session: Of `session.tenant_session`.
        run_id: The run.
        desired: running, paused, stopped or flatten.
    """
    account = await session.scalar(sa.text("SELECT account_id FROM live_runs WHERE id = :run"), {"run": run_id})
    if account is None:
        return False
    await session.execute(sa.text("SELECT lock_account(:account)"), {"account": account})
    statement = sa.text("UPDATE live_runs SET desired = :desired, updated_at = now() WHERE id = :run")
    await session.execute(statement, {"desired": desired, "run": run_id})
    return True


class AgentRuns:
    """The runs of the accounts that an agent holds.

    Args:
        journal: The journal of the same database.
    """

    def __init__(self, journal: PostgresJournal) -> None:
        self._journal = journal

    async def of_account(self, lease: Lease) -> list[RunRecord]:
        """Return the runs of an account that are wanted or not yet ended, oldest first.

        Args:
            lease: Of the account.
        """
        async with self._journal.reading(lease) as connection:
            rows = await connection.fetch(
                "SELECT r.id, r.strategy, r.variant, r.code_digest, r.config, r.limits, r.desired, r.actual,"
                " l.desired_trading FROM live_runs r JOIN broker_links l ON l.id = r.account_id"
                " WHERE r.account_id = $1 AND (r.desired <> 'stopped' OR r.actual IN ('running', 'paused'))"
                " ORDER BY r.created_at, r.id",
                lease.account_id,
            )
        return [RunRecord(*row.values()) for row in rows]

    async def set_actual(self, lease: Lease, run_id: UUID, actual: str, *, error: str | None = None) -> None:
        """Say what a run does now, with an event for its owner.

        Args:
            lease: Of the account.
            run_id: The run.
            actual: pending, running, paused, stopped or failed.
            error: Why it failed, for the owner to read.

        Raises:
            LeaseLost: The epoch is not the newest.
        """
        async with self._journal.writing(lease) as transaction:
            rows = await transaction.fetch(
                "UPDATE live_runs SET actual = $3, last_error = $4, updated_at = now()"
                " WHERE id = $2 AND account_id = $1 AND (actual, last_error) IS DISTINCT FROM ($3, $4) RETURNING id",
                lease.account_id, run_id, actual, error,
            )  # fmt: skip
            if rows:
                await transaction.announce(f"run.{actual}", str(run_id), {"error": error})

    async def restrain(
        self, lease: Lease, run_id: UUID, desired: str, *, code: str, text: str, evidence: Mapping[str, Any]
    ) -> bool:
        """Make a run do less because its strategy asks for it; the alert is stored in the same commit.

        Args:
            lease: Of the account.
            run_id: The run.
            desired: paused or flatten.
            code: Of the alert.
            text: Why, for the owner.
            evidence: The figures behind it, in JSON types.

        Returns:
            False when the run is as strict already, stopped, or not of this account's owner.

        Raises:
            LeaseLost: The epoch is not the newest.
        """
        async with self._journal.writing(lease) as transaction:
            rows = await transaction.fetch("SELECT restrain_run($1, $2) AS is_done", run_id, desired)
            is_done = bool(rows[0]["is_done"])
            if is_done:
                payload = {"text": text, "desired": desired, "evidence": dict(evidence), "severity": "critical"}
                await transaction.announce(f"alert.{code}", str(run_id), payload)
        return is_done
