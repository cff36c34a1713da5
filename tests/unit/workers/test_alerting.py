"""One way for alerts of a process: what is not in the outbox is shown and sent, the rest only shown, numbers masked."""

import pytest

from tests.support.receivers import WAIT, Receiver
from tradesentry.core.utils.notifier import DeliveryPolicy, Notifier
from tradesentry.workers.alerting import Alerting

LOGIN = "50012345"


@pytest.fixture
def desk():
    """An alerting with its webhook, and what it showed."""
    receiver, shown = Receiver(), []
    notifier = Notifier([receiver.url], policy=DeliveryPolicy(n_attempts=1))
    yield Alerting(notifier, lambda code, text: shown.append((code, text))), receiver, shown
    notifier.close()
    receiver.close()


def test_what_cannot_wait_for_the_outbox_is_shown_and_sent_with_its_severity(desk):
    alerting, receiver, shown = desk

    alerting.direct(LOGIN)("account_failed", f"Login {LOGIN} cannot be traded.")

    assert receiver.arrived.acquire(timeout=WAIT)
    assert shown == [("account_failed", "Login *****345 cannot be traded. (*****345)")]
    (payload,) = receiver.payloads
    assert payload["title"] == "Account failed"
    assert payload["type"] == "failure"
    assert payload["message"] == "Login *****345 cannot be traded.\n(*****345)"


def test_what_the_outbox_holds_is_only_shown(desk):
    """Seen to fail: with a stored alert that was sent as well the webhook got it first."""
    alerting, receiver, shown = desk

    alerting.stored(LOGIN)("halted", "Why.")
    alerting.direct()("loop_blocked", "Why not.")

    assert receiver.arrived.acquire(timeout=WAIT)
    assert shown == [("halted", "Why. (*****345)"), ("loop_blocked", "Why not.")]
    assert [payload["title"] for payload in receiver.payloads] == ["Loop blocked"]
    assert receiver.payloads[0]["message"] == "Why not."


def test_the_same_trouble_of_two_accounts_is_no_repeat(desk):
    alerting, receiver, _ = desk

    for account in ("50012345", "50054321"):
        alerting.direct(account)("account_failed", "Why.")
        alerting.direct(account)("account_failed", "Why.")

    for _ in range(2):
        assert receiver.arrived.acquire(timeout=WAIT)
    assert [payload["message"][-6:-1] for payload in receiver.payloads] == ["**345", "**321"]
