"""A second host takes accounts over, in time, all together, and the old owner writes nothing more (A7)."""

import math
import os
import signal
import time

import pytest

from tests.acceptance.soak.evidence import read_venue
from tests.support.live_hosts import LiveSite, quiet, say

TTL, MAX_SEND = 10.0, 5.0
N = 20
SECOND = 10**9
pytestmark = pytest.mark.slow

APPENDED = ("order_intents", "order_attempts", "order_transitions", "venue_events", "fills", "account_state_history")
UPDATED = ("orders", "positions", "account_states", "run_states", "event_cursors")


def stale(site, table, epochs, since_ns=None):
    """Return how many rows of a table bear an epoch older than `epochs`, only those updated since then if asked."""
    late = "" if since_ns is None else f"WHERE updated_at > to_timestamp({since_ns} / 1e9)"
    rows = site.query(f"SELECT account_id, epoch, count(*) FROM {table} {late} GROUP BY account_id, epoch")
    return sum(n for account_id, epoch, n in rows if epoch < epochs[account_id])


def sent_late(site, claimed_ns):
    """Return what the first host sent after the takeover; what it claimed anew since is its own again."""
    again = {row["account"]: row["at"] for row in reversed(site.notes("claim", 0)) if row["at"] > claimed_ns}
    logs = read_venue(site.folder / "venue.jsonl")[0]
    own = [(account, r) for account, log in logs.items() for r in log.requests if r["sender"].startswith("soak-0-")]
    return [r for account, r in own if claimed_ns < r["at"] < again.get(account, math.inf)]


def taken_over(site, doom, *, awaken=None):
    """Doom the host that holds all accounts while another waits; return what came of it.

    Returns:
        Seconds until the last account was claimed and until the last was ACTIVE, rows that the old owner wrote
        afterwards by table, and requests that it sent.
    """
    old = site.start(0)
    site.wait("active", 0, n=N, seconds=90)
    time.sleep(1.0)
    site.start(1)
    os.kill(old, doom)
    doomed_ns = time.time_ns()
    claimed_ns = site.wait("claim", 1, n=N, seconds=60)
    epochs = dict(site.query("SELECT account_id, epoch FROM account_leases"))
    before = {table: stale(site, table, epochs) for table in APPENDED}
    active_ns = site.wait("active", 1, n=N, seconds=60)
    if awaken is not None:
        os.kill(old, awaken)
    time.sleep(3.0)
    written = {table: stale(site, table, epochs) - before[table] for table in APPENDED}
    written |= {table: stale(site, table, epochs, claimed_ns) for table in UPDATED}
    claimed, active = (claimed_ns - doomed_ns) / SECOND, (active_ns - doomed_ns) / SECOND
    say(f"claimed after {claimed:.1f} s, active after {active:.1f} s")
    return claimed, active, written, sent_late(site, claimed_ns)


def test_twenty_accounts_of_a_frozen_host_move_together_and_it_writes_nothing_when_it_wakes():
    """All are of one user, so they share a book, and decide every second. Awake, it gets its share back, anew.

    Seen to fail: a host that froze inside a statement kept the lock on the book for good; one that looked for work on
    the connections of its sessions, which waited for that lock, found one account in five seconds; and with all of them
    waiting for the book inside their transactions nobody was renewed in time.
    """
    with LiveSite(N, quiet(ttl=TTL, max_send=MAX_SEND, bar=1.0), quotes_per_second=2.0) as site:
        claimed, active, written, sent = taken_over(site, signal.SIGSTOP, awaken=signal.SIGCONT)

    assert claimed <= TTL + 2.0
    assert active <= TTL + MAX_SEND + 3.0
    assert set(written.values()) == {0}, written
    assert sent == []


def test_a_zombie_that_neither_renews_nor_fences_itself_writes_nothing_after_the_takeover():
    """It goes on deciding all the time, and its journal refuses it.

    Seen to fail: without owner, epoch and time of the lease in the statement that opens a transaction and without the
    triggers that refuse an old epoch; each of the two alone keeps it out.
    """
    with LiveSite(N, quiet(ttl=TTL, max_send=MAX_SEND, bar=1.0), quotes_per_second=2.0) as site:
        claimed, active, written, sent = taken_over(site, signal.SIGUSR1)

    assert claimed <= TTL + 2.0
    assert active <= TTL + MAX_SEND + 3.0
    assert set(written.values()) == {0}, written
    assert sent == []
