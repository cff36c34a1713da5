"""Judge how an installation stands: what each process, account and alert says, and what of it is wrong.

Separate from the command that shows it, because the API's health check asks the same. Everything is read; a process
that does not answer is a finding, not an error.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.execution.lease import TTL_SECONDS
from tradesentry.database.accounts import AccountRow, Accounts, Gap, RunRow
from tradesentry.database.overview import (
    AgentBeat,
    AlertCounts,
    LeaseView,
    agent_beats,
    alert_counts,
    leases,
)
from tradesentry.database.roles import AGENT, APP, RELAY
from tradesentry.database.server import Server

OK: Final = "ok"
LATE_SECONDS: Final = 60.0
"""An alert that nobody has got for that long is late, where there is an address."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database says."""

    beats: Sequence[AgentBeat] = ()
    leases: Mapping[UUID, LeaseView] = field(default_factory=dict)
    alerts: AlertCounts | None = None
    """None: the database did not answer."""
    gaps: Mapping[UUID, Gap] = field(default_factory=dict)
    accounts: Sequence[tuple[AccountRow, Sequence[RunRow]]] = ()


def read_facts(server: Server) -> Facts:
    """Return what the database says of the installation.

    Raises:
        DatabaseError: It does not answer.
    """
    accounts = Accounts(server.url(APP))
    return Facts(
        agent_beats(server.url(AGENT)),
        leases(server.url(AGENT)),
        alert_counts(server.url(RELAY)),
        accounts.last_gaps(),
        [
            (row, [run for run in accounts.runs(row.account_id) if run.desired != "stopped"])
            for row in accounts.all()
        ],
    )  # fmt: skip


def process_rows(state: Mapping[str, Any], facts: Facts, *, host: str, now_ns: int) -> list[dict[str, Any]]:
    """Return each process with its health.

    Args:
        state: What `tradesentry up` wrote.
        facts: Of the database.
        host: Name of the installation.
        now_ns: Present time, ns UTC.
    """
    own = {"name": "supervisor", "pid": state["pid"], "started_ns": state["began_ns"], "starts": 1}
    beats = {beat.owner: beat.age_seconds for beat in facts.beats}
    rows = []
    for process in (own, *state["processes"]):
        name, pid = process["name"], process["pid"]
        rows.append(
            {
                "process": name,
                "pid": pid,
                "uptime_seconds": None if pid is None else round((now_ns - process["started_ns"]) / NS_PER_SECOND, 1),
                "restarts": max(0, process["starts"] - 1),
                "health": _health(name, pid, facts, beats, host),
            }
        )
    return rows


def _health(name: str, pid: int | None, facts: Facts, beats: Mapping[str, float], host: str) -> str:
    """Return `ok` or what is wrong with a process."""
    if pid is None or not _is_alive(pid):
        return "down, is started again"
    if name.startswith("agent-"):
        age = beats.get(f"{host}:{name.removeprefix('agent-')}")
        if facts.alerts is not None and age is None:
            return "starting"
        return f"silent for {age:.0f} s" if age is not None and age > TTL_SECONDS else OK
    if name == "relay" and facts.alerts is not None and not facts.alerts.is_relayed:
        return "delivers nothing yet"
    if name == "postgres" and facts.alerts is None:
        return "does not answer"
    return OK


def account_rows(facts: Facts) -> list[dict[str, Any]]:
    """Return each linked account: who trades it, since when it was heard of, in which state.

    Args:
        facts: Of the database.
    """
    rows = []
    for row, runs in facts.accounts:
        lease = facts.leases.get(row.account_id)
        age = None if lease is None or lease.age_seconds is None else round(lease.age_seconds, 1)
        rows.append(
            {
                "account": f"{row.broker}:{row.account_ref}",
                "owner": row.owner if row.is_leased else "nobody",
                "epoch": row.epoch,
                "lease_age_seconds": age,
                "state": row.trading_state or "-",
                "runs": ", ".join(f"{run.strategy}:{run.variant} {run.actual}" for run in runs),
                "health": _account_health(row, runs, lease),
            }
        )
    return rows


def _account_health(row: AccountRow, runs: Sequence[RunRow], lease: LeaseView | None) -> str:
    failed = [run for run in runs if run.actual == "failed"]
    if failed:
        return f"{failed[0].strategy} failed: {failed[0].last_error}"
    if lease is not None and lease.is_wanted and not row.is_leased:
        return "wanted, and nobody trades it"
    if row.trading_state == "reconciling" and row.is_leased:
        return f"is being recovered: {row.reason}"
    if row.trading_state == "halted" and row.desired_trading != "halted":
        return f"HALTED: {row.reason}"
    return OK


def alert_problems(facts: Facts, *, has_addresses: bool) -> list[str]:
    """Return what is wrong with alerts and invariants.

    Args:
        facts: Of the database.
        has_addresses: Whether anybody is to be told.
    """
    counts = facts.alerts
    if counts is None:
        return []
    found = []
    if has_addresses and counts.n_waiting and counts.oldest_seconds > LATE_SECONDS:
        found.append(f"{counts.n_waiting} alerts wait, the oldest for {counts.oldest_seconds:.0f} s")
    if counts.n_violations:
        found.append(f"{counts.n_violations} invariants were violated within the hour: journal and venue differ")
    return found


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
