"""Alerts: real deliveries to a real HTTP server, and a caller that never waits."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.receivers import WAIT, Receiver
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.logger import configure_logging, reset_logging
from tradesentry.core.utils.notifier import Alert, AlertGate, DeliveryPolicy, GateLimits, Notifier, Severity


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def other_receiver():
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def make_notifier():
    made: list[Notifier] = []

    def make(urls, **arguments) -> Notifier:
        made.append(Notifier(urls, **arguments))
        return made[-1]

    yield make
    for notifier in made:
        assert notifier.close(WAIT)


def test_alert_arrives_at_a_real_server_with_title_body_and_kind(receiver, make_notifier):
    notifier = make_notifier([receiver.url])

    is_queued = notifier.notify("Trading halted", "Drawdown 12.1 % <limit 12 %>", severity=Severity.CRITICAL)

    assert notifier.close(WAIT)
    assert is_queued
    assert [(p["title"], p["message"], p["type"]) for p in receiver.payloads] == [
        ("Trading halted", "Drawdown 12.1 % <limit 12 %>", "failure")
    ]
    assert (notifier.stats()[0].n_sent, notifier.stats()[0].n_waiting) == (1, 0)


def test_caller_and_other_targets_go_on_while_one_server_hangs(receiver, other_receiver, make_notifier):
    receiver.may_answer.clear()
    notifier = make_notifier([receiver.url, other_receiver.url], policy=DeliveryPolicy(timeout_seconds=WAIT))

    for i in range(5):
        notifier.notify(f"alert {i}")

    assert receiver.arrived.acquire(timeout=WAIT)
    for _ in range(5):
        assert other_receiver.arrived.acquire(timeout=WAIT)
    assert len(receiver.payloads) == 1
    assert notifier.stats()[0].n_waiting == 5
    receiver.may_answer.set()
    assert notifier.close(WAIT)
    assert [p["title"] for p in receiver.payloads] == [f"alert {i}" for i in range(5)]


def test_hanging_server_is_given_up_after_the_timeout(receiver, make_notifier):
    receiver.may_answer.clear()
    policy = DeliveryPolicy(n_attempts=2, timeout_seconds=0.05)
    notifier = make_notifier([receiver.url], policy=policy, sleep=lambda seconds: None)

    notifier.notify("alert")

    assert notifier.close(WAIT)
    assert (notifier.stats()[0].n_sent, notifier.stats()[0].n_failed) == (0, 1)
    assert len(receiver.payloads) == 2


def test_close_returns_in_time_and_says_so_when_a_server_hangs(receiver, make_notifier):
    receiver.may_answer.clear()
    notifier = make_notifier([receiver.url], policy=DeliveryPolicy(timeout_seconds=WAIT))
    notifier.notify("alert")
    assert receiver.arrived.acquire(timeout=WAIT)

    is_done = notifier.close(timeout=0.01)

    assert not is_done
    assert not notifier.notify("too late")
    receiver.may_answer.set()


def test_full_queue_loses_the_oldest_of_the_least_severe_and_counts_it(receiver, make_notifier):
    receiver.may_answer.clear()
    policy = DeliveryPolicy(capacity=3, timeout_seconds=WAIT)
    notifier = make_notifier([receiver.url], policy=policy)
    notifier.notify("in flight")
    assert receiver.arrived.acquire(timeout=WAIT)

    notifier.notify("critical 1", severity=Severity.CRITICAL)
    for i in range(1, 5):
        notifier.notify(f"info {i}")

    assert notifier.stats()[0].n_dropped == 2
    receiver.may_answer.set()
    assert notifier.close(WAIT)
    assert [p["title"] for p in receiver.payloads] == ["in flight", "critical 1", "info 3", "info 4"]


def test_failed_delivery_is_repeated_with_growing_pauses_until_it_arrives(receiver, make_notifier):
    receiver.statuses = [500, 503, 500, 200]
    pauses: list[float] = []
    policy = DeliveryPolicy(n_attempts=5, pause_seconds=1.0, max_pause_seconds=3.0)
    notifier = make_notifier([receiver.url], policy=policy, sleep=pauses.append)

    notifier.notify("alert")

    assert notifier.close(WAIT)
    assert pauses == [1.0, 2.0, 3.0]
    assert len(receiver.payloads) == 4
    assert notifier.stats()[0].n_sent == 1


def test_retry_of_one_target_does_not_repeat_the_alert_at_another(receiver, other_receiver, make_notifier):
    receiver.statuses = [500, 200]
    notifier = make_notifier([receiver.url, other_receiver.url], sleep=lambda seconds: None)

    notifier.notify("alert")

    assert notifier.close(WAIT)
    assert (len(receiver.payloads), len(other_receiver.payloads)) == (2, 1)


def test_dead_target_is_logged_without_its_address_and_raises_nothing(capsys, receiver, make_notifier):
    configure_logging("debug")
    address = receiver.url.replace("json://", "json://user:hunter2@")
    receiver.statuses = [403] * 9
    notifier = make_notifier([address], policy=DeliveryPolicy(n_attempts=2), sleep=lambda seconds: None)

    notifier.notify("alert")

    assert notifier.close(WAIT)
    reset_logging()
    text = capsys.readouterr().err
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert events == ["alert_delivery_failed", "alert_delivery_failed", "alert_lost"]
    assert '"target": "json-1"' in text
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert "127.0.0.1" not in text


def test_closed_port_counts_as_failed(receiver, make_notifier):
    url = receiver.url
    receiver.close()
    notifier = make_notifier([url], policy=DeliveryPolicy(n_attempts=1))

    notifier.notify("alert")

    assert notifier.close(WAIT)
    assert notifier.stats()[0].n_failed == 1


def test_repeats_are_held_back_and_told_in_one_digest(receiver, make_notifier):
    now = [0.0]
    notifier = make_notifier([receiver.url], clock=lambda: now[0])
    queued = [notifier.notify("Feed stale", key="feed") for _ in range(4)]

    is_early = notifier.send_due_digest()
    now[0] = 600.0
    is_due = notifier.send_due_digest()

    assert queued == [True, False, False, False]
    assert (is_early, is_due) == (False, True)
    assert notifier.close(WAIT)
    assert [(p["title"], p["message"]) for p in receiver.payloads] == [
        ("Feed stale", "Feed stale"),
        ("3 more alerts", "3 x Feed stale"),
    ]
    assert notifier.n_held == 3


def test_digest_goes_out_by_itself_when_its_time_has_come(receiver, make_notifier):
    limits = GateLimits(repeat_seconds=0.05, window_seconds=0.05)
    notifier = make_notifier([receiver.url], limits=limits)

    notifier.notify("Feed stale")
    notifier.notify("Feed stale")

    assert receiver.arrived.acquire(timeout=WAIT)
    assert receiver.arrived.acquire(timeout=WAIT)
    assert [p["title"] for p in receiver.payloads] in (
        ["Feed stale", "1 more alerts"],
        # On a very slow machine the second alert comes after the window and is none to hold back.
        ["Feed stale", "Feed stale"],
    )


def test_close_tells_what_was_held_back(receiver, make_notifier):
    notifier = make_notifier([receiver.url], clock=lambda: 0.0)
    notifier.notify("Feed stale")
    notifier.notify("Feed stale")

    assert notifier.close(WAIT)

    assert [p["title"] for p in receiver.payloads] == ["Feed stale", "1 more alerts"]


def test_without_addresses_nobody_is_told_and_nothing_fails(make_notifier):
    notifier = make_notifier([])

    assert not notifier.notify("alert")
    assert notifier.stats() == []


def test_address_that_is_not_understood_is_refused_without_showing_it(capsys):
    with pytest.raises(ConfigError) as caught:
        Notifier(["json://127.0.0.1", "nosuch://bot-t0ken/chat"])

    assert "Notification address 2 is not understood (its scheme: nosuch)" in str(caught.value)
    assert "t0ken" not in str(caught.value) + capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "mailtos://user:password@example.com?to=me@example.com",
        "jsons://hooks.example.com/path",
        "slack://TokenA12345/TokenB12345/TokenC1234567890ABCDEFGHIJ/#alerts",
    ],
)
def test_common_addresses_are_understood(url, make_notifier):
    assert make_notifier([url]).stats()[0].name.endswith("-1")


def test_rate_limit_lets_only_critical_alerts_through():
    gate = AlertGate(GateLimits(n_per_window=2))

    admitted = [gate.admit(Alert(f"a{i}"), now=float(i)) for i in range(4)]
    is_critical_admitted = gate.admit(Alert("halt", severity=Severity.CRITICAL), now=4.0)

    assert admitted == [True, True, False, False]
    assert is_critical_admitted
    assert gate.n_held == 2
    assert gate.seconds_to_digest(5.0) == 595.0


def test_digest_lists_the_most_frequent_kinds_only():
    gate = AlertGate(GateLimits(n_per_window=0))
    for i in range(25):
        for _ in range(26 - i):
            gate.admit(Alert(f"kind {i}"), now=0.0)

    digest = gate.digest(0.0)

    assert digest is not None
    assert digest.body.splitlines()[0] == "26 x kind 0"
    assert digest.body.splitlines()[-1] == "and 5 other kinds"
    assert gate.digest(0.0) is None


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 199.0, 200.0, 370.0, 400.0]), st.integers(0, 6), st.sampled_from(Severity)
        ),
        max_size=60,
    ),
    n_per_window=st.integers(1, 3),
)
def test_every_alert_is_sent_or_told_in_a_digest_and_none_beyond_the_rate(steps, n_per_window):
    """Fails when the gate forgets to count what it holds back, or when the window slides too early."""
    limits = GateLimits(repeat_seconds=200.0, window_seconds=400.0, n_per_window=n_per_window)
    gate = AlertGate(limits)
    now, told, ordinary = 0.0, 0, []

    for pause, kind, severity in steps:
        now += pause
        if gate.admit(Alert(f"kind {kind}", severity=severity), now):
            told += 1
            if severity < Severity.CRITICAL:
                ordinary.append(now)

    digest = gate.flush(now)
    held = int(digest.title.split()[0]) if digest else 0
    assert told + held == len(steps)
    for at in ordinary:
        assert sum(at - 400.0 < other <= at for other in ordinary) <= n_per_window


def test_a_caller_learns_once_that_somebody_got_the_alert(receiver, other_receiver, make_notifier):
    """One of two targets is enough, and the second one's success is no second message."""
    receiver.statuses = [500]
    heard = []
    notifier = make_notifier([receiver.url, other_receiver.url], policy=DeliveryPolicy(n_attempts=1))

    notifier.notify("alert", on_done=heard.append)

    assert notifier.close(WAIT)
    assert heard == [True]


def test_an_alert_that_nobody_got_may_be_tried_again_at_once(receiver, make_notifier):
    """Seen to fail: the second try was held back as a repeat of the first, which had never arrived."""
    receiver.statuses = [500]
    failed = threading.Event()
    heard = []
    notifier = make_notifier([receiver.url], policy=DeliveryPolicy(n_attempts=1), clock=lambda: 0.0)
    notifier.notify("alert", on_done=lambda is_sent: (heard.append(is_sent), failed.set()))
    assert failed.wait(WAIT)

    is_queued = notifier.notify("alert", on_done=heard.append)

    assert notifier.close(WAIT)
    assert is_queued
    assert heard == [False, True]


def test_what_is_held_back_counts_as_told_when_the_digest_has_arrived(receiver, make_notifier):
    """Seen to fail: told at once, so that a crash before the digest lost it."""
    heard = []
    now = [0.0]
    notifier = make_notifier([receiver.url], clock=lambda: now[0])
    notifier.notify("alert")
    notifier.notify("alert", on_done=heard.append)
    before = list(heard)
    now[0] = 600.0

    notifier.send_due_digest()

    assert notifier.close(WAIT)
    assert (before, heard) == ([], [True])


def test_an_alert_that_a_full_queue_drops_is_reported_as_not_sent(receiver, make_notifier):
    receiver.may_answer.clear()
    heard = []
    notifier = make_notifier([receiver.url], policy=DeliveryPolicy(capacity=1, timeout_seconds=WAIT))
    notifier.notify("in flight")
    assert receiver.arrived.acquire(timeout=WAIT)

    notifier.notify("oldest", on_done=heard.append)
    notifier.notify("newest")

    assert heard == [False]
    receiver.may_answer.set()
