"""A second host takes accounts over, in time, all together, and the old owner writes nothing more (A7)."""

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


def stale(site, table, condition="true", *values):
    """Return how many rows of a table an owner before the present one wrote."""
    old = f"FROM {table} t JOIN account_leases l USING (account_id) WHERE t.epoch < l.epoch AND {condition}"
    return site.query(f"SELECT count(*) {old}", *values)[0][0]


def taken_over(site, doom, *, awaken=None):
    """Doom the host that holds all accounts while another waits; return what came of it.

    Returns:
        Seconds until the last account was claimed and ACTIVE, rows that the old owner wrote by table and the requests
        that it sent after the last claim, and the owners.
    """
    old = site.start(0)
    site.wait("active", 0, n=N, seconds=90)
    time.sleep(1.0)
    site.start(1)
    os.kill(old, doom)
    doomed_ns = time.time_ns()
    claimed_ns = site.wait("claim", 1, n=N, seconds=60)
    before = {table: stale(site, table) for table in APPENDED}
    active_ns = site.wait("active", 1, n=N, seconds=60)
    if awaken is not None:
        os.kill(old, awaken)
    time.sleep(3.0)
    written = {table: stale(site, table) - before[table] for table in APPENDED}
    late = "t.updated_at > to_timestamp(%s / 1e9)"
    written |= {table: stale(site, table, late, claimed_ns) for table in UPDATED}
    logs = read_venue(site.folder / "venue.jsonl")[0]
    sent = [
        r for log in logs.values() for r in log.requests if r["at"] > claimed_ns and r["sender"].startswith("soak-0-")
    ]
    owners = site.query("SELECT DISTINCT owner FROM account_leases")
    claimed, active = (claimed_ns - doomed_ns) / SECOND, (active_ns - doomed_ns) / SECOND
    say(f"claimed after {claimed:.1f} s, active after {active:.1f} s")
    return claimed, active, written, sent, owners


def test_twenty_accounts_of_a_frozen_host_move_together_and_it_writes_nothing_when_it_wakes():
    """All are of one user, so they share a book, and decide every second.

    Seen to fail: a host that froze inside a statement kept the lock on the book for good; one that looked for work on
    the connections of its sessions, which waited for that lock, found one account in five seconds; and with all of them
    waiting for the book inside their transactions nobody was renewed in time.
    """
    with LiveSite(N, quiet(ttl=TTL, max_send=MAX_SEND, bar=1.0)) as site:
        claimed, active, written, sent, owners = taken_over(site, signal.SIGSTOP, awaken=signal.SIGCONT)

    assert owners == [("host1:0",)]
    assert claimed <= TTL + 2.0
    assert active <= TTL + MAX_SEND + 3.0
    assert set(written.values()) == {0}, written
    assert sent == []


def test_a_zombie_that_neither_renews_nor_fences_itself_writes_nothing_after_the_takeover():
    """It goes on deciding all the time, and its journal refuses it.

    Seen to fail: without owner, epoch and time of the lease in the statement that opens a transaction and without the
    triggers that refuse an old epoch; each of the two alone keeps it out.
    """
    with LiveSite(N, quiet(ttl=TTL, max_send=MAX_SEND, bar=1.0)) as site:
        claimed, active, written, sent, owners = taken_over(site, signal.SIGUSR1)

    assert owners == [("host1:0",)]
    assert claimed <= TTL + 2.0
    assert active <= TTL + MAX_SEND + 3.0
    assert set(written.values()) == {0}, written
    assert sent == []
