"""What the checker goes by: the venue's log file, the journal's tables, and what the supervisor did, as plain values.

Nothing here uses the trader's code: the log is read as JSON lines, the journal with SQL. So a trader that misreads the
venue cannot mislead its judge.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

Row = Mapping[str, Any]
TABLES: Mapping[str, str] = {
    "intents": "SELECT seq, client_order_id, epoch, effect, instrument, intent, risk, run_id, created_at"
    " FROM order_intents WHERE account_id = $1 ORDER BY seq",
    "attempts": "SELECT seq, attempt, kind, epoch, request,"
    " (extract(epoch FROM sending_at) * 1e9)::bigint AS sending_ns"
    " FROM order_attempts WHERE account_id = $1 ORDER BY seq, attempt",
    "transitions": "SELECT seq, n, from_status, to_status, cause, evidence, event_seq, epoch,"
    " (extract(epoch FROM at) * 1e9)::bigint AS at_ns FROM order_transitions WHERE account_id = $1 ORDER BY seq, n",
    "events": "SELECT log_id, seq, kind, raw FROM venue_events WHERE account_id = $1 ORDER BY log_id, seq",
    "fills": "SELECT fill_id, leg, venue_order_id, client_order_id, trade_ref, instrument, side, units, price,"
    " realized, commission, effect FROM fills WHERE account_id = $1 ORDER BY fill_id, leg",
    "orders": "SELECT order_key, seq, status, units, filled_units, venue_order_ids, is_external, effect FROM orders"
    " WHERE account_id = $1 ORDER BY order_key",
    "positions": "SELECT trade_ref, instrument, side, units, stop_loss FROM positions WHERE account_id = $1"
    " ORDER BY trade_ref",
    "history": "SELECT n, trading_state, return_state, reason, balance, equity, high_water_mark, epoch,"
    " (extract(epoch FROM at) * 1e9)::bigint AS at_ns FROM account_state_history WHERE account_id = $1 ORDER BY n",
    "cursors": "SELECT log_id, contiguous_seq FROM event_cursors WHERE account_id = $1",
    "alerts": "SELECT topic, subject, dedupe_key, payload FROM outbox WHERE account_id = $1 ORDER BY id",
}


@dataclass
class Journal:
    """The rows of one account."""

    intents: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    fills: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    positions: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    cursors: list[Row] = field(default_factory=list)
    alerts: list[Row] = field(default_factory=list)


@dataclass
class VenueFile:
    """The venue's log of one account."""

    transactions: list[Row] = field(default_factory=list)
    requests: list[Row] = field(default_factory=list)
    executed: list[Row] = field(default_factory=list)
    manual: set[int] = field(default_factory=set)
    """Numbers of transactions that somebody made by hand."""
    baseline: int = 0
    """Transactions before the account was first connected to; they are in no journal."""
    numbers: set[int] | None = None
    """Numbers of the events that traders can hear of, where those are not the transactions themselves."""
    final: Row = field(default_factory=dict)
    """balance, equity, trades and orders at the end."""


@dataclass(frozen=True)
class Claim:
    """A process won the account."""

    account: str
    sender: str
    """Names the process; it is the token that its requests bear."""
    epoch: int
    at_ns: int


@dataclass(frozen=True)
class Span:
    """Something lasted from `start_ns` to `end_ns`; `account` is empty where it concerns all."""

    start_ns: int
    end_ns: int
    account: str = ""


@dataclass
class Evidence:
    """All that the invariants are judged by; accounts by the venue's name."""

    venue: dict[str, VenueFile]
    journal: dict[str, Journal]
    claims: list[Claim] = field(default_factory=list)
    active: list[Span] = field(default_factory=list)
    """When a process had recovered the account and lived."""
    outages: list[Span] = field(default_factory=list)
    """From the death of the database until it took connections again."""
    rearmed: list[Span] = field(default_factory=list)
    """When a person lifted a halt."""
    hits: Counter[str] = field(default_factory=Counter)


def read_venue(path: Path) -> tuple[dict[str, VenueFile], Counter[str]]:
    """Return the log of each account, and how often each fault struck."""
    accounts: dict[str, VenueFile] = defaultdict(VenueFile)
    hits: Counter[str] = Counter()
    text = path.read_text(encoding="utf-8")
    # Its writer may be at work on the last line.
    for line in text[: text.rfind("\n") + 1].splitlines():
        said = json.loads(line)
        what = said["what"]
        if what == "tx":
            accounts[said["account"]].transactions.append({**said["tx"], "at": said["at"]})
        elif what == "start":
            accounts[said["account"]].baseline = said["last_seq"]
        elif what == "request":
            accounts[said["account"]].requests.append(said)
        elif what == "executed":
            accounts[said["account"]].executed.append(said)
        elif what == "manual":
            accounts[said["account"]].manual.update(range(said["first"], said["last"] + 1))
            hits[f"by_hand_{said['action']}"] += 1
        elif what == "hits":
            hits.update(said["hits"])
        elif what in ("final", "state"):
            for account, state in said["accounts"].items():
                accounts[account].final = {**state, "at": said["at"]}
    return dict(accounts), hits


def read_numbers(path: Path) -> set[int]:
    """Return the numbers of the events in a gateway's log; what happened while it was away it told later."""
    if not path.exists():
        return set()
    text = path.read_text(encoding="utf-8")
    rows = (json.loads(line)["row"] for line in text[: text.rfind("\n") + 1].splitlines())
    return {row["seq"] for row in rows if "seq" in row}


async def read_paper_logs(url: str, account_ids: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Return the logs of paper accounts, which are their venues' logs. Arguments as `read_journal`."""
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        query = "SELECT payload, ts_ns AS at FROM paper_transactions WHERE account_id = $1 ORDER BY seq"
        found = {}
        for account, account_id in account_ids.items():
            rows = await connection.fetch(query, account_id)
            found[account] = [{**row["payload"], "at": row["at"]} for row in rows]
        return found
    finally:
        await connection.close()


async def read_journal(url: str, account_ids: Mapping[str, Any]) -> dict[str, Journal]:
    """Return the rows of each account.

    Args:
        url: Of the database, for a role that sees every tenant.
        account_ids: Journal's id by the venue's name of the account.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        found = {}
        # One moment for all tables: traders may be at work.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for account, account_id in account_ids.items():
                rows = {name: [dict(r) for r in await connection.fetch(q, account_id)] for name, q in TABLES.items()}
                found[account] = Journal(**rows)
        return found
    finally:
        await connection.close()
