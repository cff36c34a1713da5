"""The database dies under live traders: nothing is sent meanwhile, nothing is lost, they come back alone (A9)."""

import os
import signal
import time

import pytest

from tests.acceptance.soak.evidence import read_venue
from tests.support.live_hosts import LiveSite, quiet, say

SECOND = 10**9
pytestmark = pytest.mark.slow


def returned_to_active(site, after_ns):
    """Return when the account was ACTIVE again, ns; None while it is not."""
    rows = site.query(
        "SELECT min((extract(epoch FROM at) * 1e9)::bigint) FROM account_state_history"
        " WHERE trading_state = 'active' AND at > to_timestamp(%s / 1e9)",
        after_ns,
    )
    return rows[0][0]


def wait_for_active(site, after_ns, *, seconds=30.0):
    deadline = time.monotonic() + seconds
    while (at := returned_to_active(site, after_ns)) is None:
        assert time.monotonic() < deadline, "the account did not become ACTIVE again"
        time.sleep(0.02)
    return at


def test_a_killed_server_is_answered_by_active_within_five_seconds_of_its_return():
    with LiveSite(1, quiet()) as site:
        site.start(0)
        site.wait("active", 0, n=1)
        time.sleep(2.0)
        site.database.kill(lambda pid: os.kill(pid, signal.SIGKILL), away_seconds=1.0)
        back_ns = site.database.outages[-1].end_ns

        active_ns = wait_for_active(site, back_ns)

    say(f"ACTIVE {(active_ns - back_ns) / SECOND:.2f} s after the server took connections")
    assert (active_ns - back_ns) / SECOND <= 5.0


def test_a_long_outage_sends_no_byte_and_loses_no_event():
    """Ten minutes at a TTL of 10 s, scaled to 20 s at 0.6 s: the lease is long over when the server returns."""
    account = "001-001-1234567-001"
    with LiveSite(1, quiet(ttl=0.6, max_send=0.2)) as site:
        site.start(0)
        site.wait("active", 0, n=1)
        time.sleep(3.0)

        def die(pid):
            os.kill(pid, signal.SIGKILL)
            site.venue.tell("bulk", account=account, trades=2, events=200)

        site.database.kill(die, away_seconds=20.0)
        outage = site.database.outages[-1]
        wait_for_active(site, outage.end_ns)
        (site.folder / "calm").touch()
        time.sleep(3.0)
        last = site.venue.tell("state")[account]["last_seq"]
        cursor = site.query("SELECT max(contiguous_seq) FROM event_cursors")[0][0]
        n_events = site.query("SELECT count(*) FROM venue_events")[0][0]
        n_positions = site.query("SELECT count(*) FROM positions WHERE units > 0 AND seq IS NULL")[0][0]
        sent = read_venue(site.folder / "venue.jsonl")[0][account].requests

    away = [r for r in sent if outage.start_ns + 0.2 * SECOND < r["at"] < outage.end_ns]
    assert away == []
    assert any(r["at"] < outage.start_ns for r in sent)
    assert any(r["at"] > outage.end_ns for r in sent)
    assert cursor == last
    assert n_events == last - 1
    assert n_positions == 2
