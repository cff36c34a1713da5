"""A second host takes accounts over, in time, all together, and the old owner writes nothing more (A7)."""

import os
import signal
import time

import pytest

from tests.support.live_hosts import LiveSite, quiet, say

TTL, MAX_SEND = 10.0, 5.0
N = 20
SECOND = 10**9
pytestmark = pytest.mark.slow

STALE = "SELECT count(*) FROM {table} WHERE epoch = 1 AND {at} > to_timestamp(%s / 1e9)"
"""Rows of the old owner, whose epoch was the first, after the takeover."""


def test_twenty_accounts_of_a_frozen_host_move_together_and_it_writes_nothing_when_it_wakes():
    """All are of one user, so they share a book, and decide every second.

    Seen to fail: a host that froze inside a statement kept the lock on the book for good, and one that looked for work
    on the connections of its sessions, which waited for that lock, found one account in five seconds.
    """
    with LiveSite(N, quiet(ttl=TTL, max_send=MAX_SEND, bar=1.0)) as site:
        old = site.start(0)
        site.wait("active", 0, n=N, seconds=90)
        time.sleep(1.0)
        site.start(1)
        os.kill(old, signal.SIGSTOP)
        frozen_ns = time.time_ns()

        claimed_ns = site.wait("claim", 1, n=N, seconds=60)
        active_ns = site.wait("active", 1, n=N, seconds=60)
        os.kill(old, signal.SIGCONT)
        time.sleep(3.0)
        n_attempts = site.query(STALE.format(table="order_attempts", at="sending_at"), claimed_ns)[0][0]
        n_steps = site.query(STALE.format(table="order_transitions", at="at"), claimed_ns)[0][0]
        owners = site.query("SELECT DISTINCT owner FROM account_leases")

    say(f"claimed after {(claimed_ns - frozen_ns) / SECOND:.1f} s, active after {(active_ns - frozen_ns) / SECOND:.1f}")
    assert owners == [("host1:0",)]
    assert (claimed_ns - frozen_ns) / SECOND <= TTL + 2.0
    assert (active_ns - frozen_ns) / SECOND <= TTL + MAX_SEND + 3.0
    assert (n_attempts, n_steps) == (0, 0)
