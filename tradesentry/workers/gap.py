"""Tell the owner of an account that nobody traded it for a while, because its process died or stood still.

Stored as an alert in the outbox once the account is recovered, so that it is told once and with what was found: how
long it was, whether trades are open and whether each has its stop. A clean stop gives the lease back and is no gap.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.domain.live_account import LiveTrade
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import Claim, LiveState
from tradesentry.core.execution.lease import TTL_SECONDS

AGENT_LOST: Final = "agent_lost"
"""Code of the alert."""


def gap_payload(
    claim: Claim, *, now_ns: int, state: LiveState, trades: Collection[LiveTrade], ttl_seconds: float = TTL_SECONDS
) -> dict[str, Any] | None:
    """Return what there is to say of the time before a claim; None when the account was given back cleanly.

    Args:
        claim: Of the account.
        now_ns: When it was recovered, ns UTC.
        state: In which it was left by the recovery.
        trades: That are open.
        ttl_seconds: Length of a lease: the old process last renewed it that long before its end.
    """
    if claim.old_owner is None or claim.old_until_ns is None:
        return None
    since_ns = min(claim.old_until_ns - round(ttl_seconds * NS_PER_SECOND), claim.now_ns)
    seconds = (now_ns - since_ns) / NS_PER_SECOND
    n_bare = sum(trade.stop_loss is None for trade in trades)
    stops = "each with its stop" if not n_bare else f"{n_bare} without a stop"
    held = f"open trades: {len(trades)}, {stops}" if trades else "no trade is open"
    gone = f"{_time(since_ns)} to {_time(now_ns)} UTC ({seconds:.0f} s)"
    text = (
        f"Nobody traded this account from {gone}: its process died or stood still without giving it back. It is "
        f"recovered and {state.value}; {held}. If that repeats, read the agent's log."
    )
    return {
        "code": AGENT_LOST, "text": text, "since_ns": since_ns, "until_ns": now_ns, "seconds": round(seconds, 1),
        "old_owner": claim.old_owner, "epoch": claim.lease.epoch,
    }  # fmt: skip


async def tell_of_gap(journal: Journal, claim: Claim, payload: dict[str, Any]) -> None:
    """Store the alert about a gap.

    Args:
        journal: Of the account.
        claim: Of it.
        payload: Of `gap_payload`.

    Raises:
        LeaseLost: The account is another's now, who will tell.
        JournalUnavailable: It could not be stored.
    """
    account = str(claim.lease.account_id)
    async with journal.fenced(claim.lease) as transaction:
        key = f"{account}:{AGENT_LOST}:{claim.lease.epoch}"
        await transaction.announce(f"alert.{AGENT_LOST}", account, payload, dedupe_key=key)


def _time(ts_ns: int) -> str:
    return f"{datetime.fromtimestamp(ts_ns / NS_PER_SECOND, UTC):%H:%M:%S}"
