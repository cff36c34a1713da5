"""What `tradesentry status` calls healthy, and what it says of what is not."""

import os
from types import MappingProxyType
from uuid import UUID

import pytest

from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.database.accounts import AccountRow, RunRow
from tradesentry.database.overview import AgentBeat, AlertCounts, LeaseView
from tradesentry.workers.health import OK, Facts, account_rows, alert_problems, process_rows
from tradesentry.workers.status_command import duration

NOW = 1_767_268_800 * NS_PER_SECOND
ACCOUNT, USER, RUN = UUID(int=1), UUID(int=2), UUID(int=3)
QUIET = AlertCounts(0, 0.0, 0, is_relayed=True)
DEAD_PID = 2**22 + 1


def state(**pids):
    """What `up` wrote; every process was started a minute ago, twice."""
    processes = [
        {"name": name.replace("_", "-"), "pid": pid, "started_ns": NOW - 60 * NS_PER_SECOND, "starts": 2}
        for name, pid in pids.items()
    ]
    return {"pid": os.getpid(), "began_ns": NOW - 90 * NS_PER_SECOND, "processes": processes}


def health(name, pid, facts):
    rows = process_rows(state(**{name: pid}), facts, host="h", now_ns=NOW)
    return rows[1]["health"]


def account(lease=None, *, trading_state="active", desired="normal", reason="", is_leased=True, actual="running"):
    row = AccountRow(
        ACCOUNT, "paper", "demo", "paper", MappingProxyType({}), "h:0", is_leased, 3, desired, trading_state, reason
    )
    run = RunRow(RUN, ACCOUNT, "breakout", "main", MappingProxyType({}), "running", actual, "no such symbol")
    held = lease or LeaseView(ACCOUNT, "h:0", 3, is_wanted=True, is_leased=is_leased, age_seconds=2.04)
    (found,) = account_rows(Facts(leases={ACCOUNT: held}, accounts=[(row, [run])]))
    return found


def test_a_process_shows_how_long_it_lives_and_how_often_it_was_started_again():
    rows = process_rows(state(postgres=os.getpid()), Facts(alerts=QUIET), host="h", now_ns=NOW)

    assert [(row["process"], row["uptime_seconds"], row["restarts"], row["health"]) for row in rows] == [
        ("supervisor", 90.0, 0, OK),
        ("postgres", 60.0, 1, OK),
    ]


@pytest.mark.parametrize(
    ("name", "facts", "said"),
    [
        ("agent_0", Facts(beats=[AgentBeat("h:0", 2.0, 1)], alerts=QUIET), OK),
        ("agent_0", Facts(beats=[AgentBeat("h:0", 31.0, 1)], alerts=QUIET), "silent for 31 s"),
        ("agent_0", Facts(beats=[AgentBeat("other:0", 2.0, 1)], alerts=QUIET), "starting"),
        ("relay", Facts(alerts=QUIET), OK),
        ("relay", Facts(alerts=AlertCounts(0, 0.0, 0, is_relayed=False)), "delivers nothing yet"),
        ("postgres", Facts(), "does not answer"),
    ],
)
def test_a_process_is_judged_by_what_it_did_and_not_by_being_there(name, facts, said):
    assert health(name, os.getpid(), facts) == said


def test_a_process_that_is_gone_is_down_whatever_was_written_of_it():
    facts = Facts(beats=[AgentBeat("h:0", 2.0, 1)], alerts=QUIET)

    assert health("agent_0", None, facts) == "down, is started again"
    assert health("agent_0", DEAD_PID, facts) == "down, is started again"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, OK),
        ({"is_leased": False}, "wanted, and nobody trades it"),
        (
            {"trading_state": "reconciling", "reason": "recovering: takeover"},
            "is being recovered: recovering: takeover",
        ),
        ({"trading_state": "halted", "reason": "daily loss"}, "HALTED: daily loss"),
        ({"trading_state": "halted", "desired": "halted"}, OK),
        ({"actual": "failed"}, "breakout failed: no such symbol"),
    ],
)
def test_an_account_is_healthy_when_it_does_what_its_owner_wants(changes, said):
    assert account(**changes)["health"] == said


def test_the_age_of_a_lease_is_shown_and_none_where_nobody_owns_it():
    free = LeaseView(ACCOUNT, None, 3, is_wanted=False, is_leased=False, age_seconds=None)

    assert account()["lease_age_seconds"] == 2.0
    assert account(free, is_leased=False)["lease_age_seconds"] is None


def test_late_alerts_are_a_problem_where_somebody_is_to_be_told_and_violations_always():
    late = Facts(alerts=AlertCounts(2, 61.0, 0, is_relayed=True))
    broken = Facts(alerts=AlertCounts(0, 0.0, 1, is_relayed=True))

    assert alert_problems(late, has_addresses=True) == ["2 alerts wait, the oldest for 61 s"]
    assert alert_problems(late, has_addresses=False) == []
    assert alert_problems(broken, has_addresses=False) == [
        "1 invariants were violated within the hour: journal and venue differ"
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_times_are_said_as_people_say_them(seconds, said):
    assert duration(seconds) == said
