"""Read how an installation stands: agents and leases, decided bars, alerts that wait.

Reads only, with plain connections of a moment, for the commands `up` and `status`. Agents and leases are seen for all
tenants, accounts for one.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tradesentry.core.execution.lease import TTL_SECONDS
from tradesentry.database.accounts import LOCAL_USER
from tradesentry.database.session import connect

RECENT_SECONDS: Final = 3_600.0
"""Within it a violated invariant counts as news."""
_WAITS: Final = "starts_with(topic, 'alert.') AND delivered_at IS NULL"


@dataclass(frozen=True, slots=True)
class AgentBeat:
    """One agent and its last sign of life."""

    owner: str
    """Installation and slot."""
    age_seconds: float
    n_accounts: int


@dataclass(frozen=True, slots=True)
class LeaseView:
    """The lease on one account."""

    account_id: UUID
    owner: str | None
    epoch: int
    is_wanted: bool
    is_leased: bool
    age_seconds: float | None
    """Since it was last renewed; None: nobody owns it."""


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """What the outbox holds of alerts."""

    n_waiting: int
    """That nobody has got."""
    oldest_seconds: float
    n_violations: int
    """Violated invariants of the last hour."""
    is_relayed: bool
    """A process delivers them, and is the only one."""


def agent_beats(url: str) -> list[AgentBeat]:
    """Return all agents with their last sign of life.

    Args:
        url: Address for `ts_agent`.
    """
    return [
        AgentBeat(*row)
        for row in _rows(
            url,
            "SELECT a.host || ':' || a.slot, extract(epoch FROM now() - a.heartbeat_at)::float8,"
            " (SELECT count(*)::int FROM account_leases l WHERE l.owner = a.host || ':' || a.slot)"
            " FROM agents a ORDER BY a.host, a.slot",
        )
    ]


def leases(url: str) -> dict[UUID, LeaseView]:
    """Return the leases of all accounts.

    Args:
        url: Address for `ts_agent`.
    """
    rows = _rows(
        url,
        "SELECT account_id, owner, epoch, wanted, coalesce(lease_until > now(), false) AND owner IS NOT NULL,"
        " CASE WHEN owner IS NULL THEN NULL ELSE"
        " extract(epoch FROM now() - lease_until)::float8 + %s::float8 END FROM account_leases",
        TTL_SECONDS,
    )
    return {row[0]: LeaseView(*row) for row in rows}


def alert_counts(url: str) -> AlertCounts:
    """Return what the outbox holds of alerts.

    Args:
        url: Address for `ts_relay`.
    """
    (row,) = _rows(
        url,
        f"SELECT count(*) FILTER (WHERE {_WAITS})::int,"  # noqa: S608 (a constant)
        f" coalesce(extract(epoch FROM now() - min(at) FILTER (WHERE {_WAITS})), 0)::float8,"
        " count(*) FILTER (WHERE starts_with(topic, 'alert.invariant') AND at > now() - %s * interval '1 second')::int,"
        " EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND objid::bigint = (hashtext('tradesentry.alerts')::bigint & 4294967295)) FROM outbox",
        RECENT_SECONDS,
    )
    return AlertCounts(*row)


def newest_bars(url: str, *, user_id: UUID = LOCAL_USER) -> dict[UUID, int]:
    """Return the close of the newest bar that was decided on each account, ns UTC.

    Args:
        url: Address for `ts_agent`.
        user_id: The tenant.
    """
    rows = _rows(url, "SELECT account_id, max(bar_close_ns) FROM run_states GROUP BY account_id", user_id=user_id)
    return dict(rows)


def _rows(url: str, statement: str, *values: object, user_id: UUID | None = None) -> list[Any]:
    with connect(url) as connection, connection.transaction():
        if user_id is not None:
            connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user_id)])
        return connection.execute(statement, values or None).fetchall()
