"""Alerts reach somebody at least once, whatever fails on the way, and say nothing that must stay secret."""

import asyncio
import threading

import pytest

from tests.support.receivers import Receiver
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.monitoring.alerts import (
    AlertDelivery,
    DeliverySettings,
    MemoryOutbox,
    direct_alerts,
    masked,
    safe_text,
    severity_of,
)
from tradesentry.core.utils.notifier import DeliveryPolicy, GateLimits, Notifier, Severity

ONE_TRY = DeliveryPolicy(n_attempts=1)


def row(code="external_order", text="Order 7 is not ours.", *, key="acc:7", **payload):
    return {"topic": f"alert.{code}", "subject": "acc", "payload": {"code": code, "text": text, **payload},
            "dedupe_key": key}  # fmt: skip


class Office:
    """An outbox, its delivery to one or two webhooks, and a clock."""

    def __init__(self, *rows, n_channels=1, **settings):
        self.clock = FakeClock(0)
        self.rows = list(rows)
        self.outbox = MemoryOutbox(self.rows, self.clock)
        self.receivers = [Receiver() for _ in range(n_channels)]
        self.settings = DeliverySettings(**settings)
        self.pending = []
        self.open()

    def open(self):
        """Begin to deliver, as a process does that has just started."""
        self.arrived = threading.Semaphore(0)
        now = self.clock.monotonic
        channels = [Notifier([r.url], policy=ONE_TRY, clock=now, limits=GateLimits()) for r in self.receivers]
        self.notifiers = [*channels, None]
        self.delivery = AlertDelivery(
            self.outbox, channels[0], self.clock, second=self.notifiers[1], settings=self.settings,
            on_pending=self.pending.append,
        )  # fmt: skip

    async def look(self):
        """Deliver what is due and wait until the threads are through with it."""
        n_handed = await self.delivery.deliver_due()
        for notifier in self.notifiers[:-1]:
            await asyncio.to_thread(_idle, notifier)
        return n_handed

    def titles(self, channel=0):
        return [payload["title"] for payload in self.receivers[channel].payloads]

    def close(self):
        asyncio.run(self.delivery.close())
        for receiver in self.receivers:
            receiver.close()


def _idle(notifier):
    """Wait until a notifier has nothing under way."""
    paused = threading.Event()
    for _ in range(2_000):
        if all(stats.n_waiting == 0 for stats in notifier.stats()):
            return
        paused.wait(0.005)
    raise AssertionError("the notifier is still at work")


@pytest.fixture
def office():
    made = []

    def make(*rows, **settings):
        made.append(Office(*rows, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_alert_is_marked_only_after_somebody_has_it(office):
    """Seen to fail with a mark at the hand-over: a crash in between lost the alert."""
    desk = office(row())

    async def work():
        await desk.look()
        handed = dict(desk.outbox.delivered)
        await desk.look()
        return handed

    handed = asyncio.run(work())

    assert handed == {}
    assert list(desk.outbox.delivered) == [0]
    assert desk.receivers[0].payloads[0]["message"] == "Order 7 is not ours.\n(acc)"
    assert desk.titles() == ["External order"]
    assert desk.pending == [1, 0]


def test_rows_that_are_no_alerts_are_left_alone(office):
    desk = office({"topic": "equity.point", "subject": "acc", "payload": {}, "dedupe_key": None})

    assert asyncio.run(desk.look()) == 0
    assert desk.pending == [0]


def test_an_alert_that_nobody_got_is_tried_again_with_growing_pauses(office):
    """Two failures: 30 s, then 60 s. Seen to fail without pauses: it was tried at every look."""
    desk = office(row())
    desk.receivers[0].statuses = [500, 500]

    async def work():
        tried = []
        for second in range(0, 120, 5):
            if await desk.look():
                tried.append(second)
            await desk.clock.advance(5.0)
        return tried

    assert asyncio.run(work()) == [0, 35, 100]
    assert list(desk.outbox.delivered) == [0]


def test_after_a_crash_what_was_handed_over_is_sent_again(office):
    desk = office(row())

    async def work():
        await desk.look()
        desk.open()
        await desk.look()
        await desk.look()

    asyncio.run(work())

    assert desk.titles() == ["External order"] * 2
    assert list(desk.outbox.delivered) == [0]


def test_a_repeat_of_what_somebody_has_is_marked_without_being_sent(office):
    """Also after a restart, when no memory of it is left but the outbox. Seen to fail without the mark's memory."""
    desk = office(row())

    async def work():
        await desk.look()
        await desk.look()
        desk.open()
        desk.rows.append(row())
        await desk.look()
        await desk.clock.advance(700.0)
        desk.rows.append(row())
        await desk.look()
        await desk.look()

    asyncio.run(work())

    assert desk.titles() == ["External order"] * 2
    assert set(desk.outbox.delivered) == {0, 1, 2}


def test_a_flood_becomes_ten_alerts_and_a_digest_and_all_are_marked_then(office):
    desk = office(*(row("guard_blocks", f"Guard {i} blocks.", key=f"k{i}") for i in range(25)))

    async def work():
        await desk.look()
        await desk.look()
        before = len(desk.outbox.delivered)
        await desk.clock.advance(601.0)
        desk.notifiers[0].send_due_digest()
        await desk.look()
        await desk.look()
        return before

    before = asyncio.run(work())

    assert before == 10
    assert (len(desk.titles()), desk.titles()[-1]) == (11, "15 more alerts")
    assert len(desk.outbox.delivered) == 25


def test_the_second_channel_hears_of_what_nobody_acknowledged(office):
    """After five minutes, once, and only what is critical. Seen to fail without the mark: it came at every look."""
    desk = office(row(key="a"), row(key="b"), row("guard_blocks", key="c"), n_channels=2)

    async def work():
        await desk.look()
        desk.outbox.acknowledged.add(1)
        await desk.clock.advance(299.0)
        await desk.look()
        early = desk.titles(1)
        await desk.clock.advance(2.0)
        for _ in range(4):
            await desk.look()
            await desk.clock.advance(1.0)
        return early

    assert asyncio.run(work()) == []
    assert desk.titles(1) == ["Not acknowledged: External order"]
    assert desk.outbox.escalated == {0}


def test_the_second_channel_hears_of_what_the_first_cannot_deliver(office):
    desk = office(row(), n_channels=2)
    desk.receivers[0].statuses = [500] * 100

    async def work():
        await desk.look()
        await desk.clock.advance(301.0)
        await desk.look()
        await desk.look()

    asyncio.run(work())

    assert desk.titles(1) == ["Not acknowledged: External order"]
    assert desk.outbox.delivered == {}


class Broken(MemoryOutbox):
    """An outbox in a database that goes away."""

    is_away = False

    async def mark_delivered(self, ids):
        if self.is_away:
            raise JournalUnavailable("The database does not answer. Wait.")
        await super().mark_delivered(ids)


def test_an_outbox_that_goes_away_before_the_mark_is_marked_when_it_is_back(office):
    """And the alert is not sent twice. Seen to fail: what had arrived was forgotten with the failed mark."""
    desk = office(row())
    desk.outbox = Broken(desk.rows, desk.clock)
    desk.open()

    async def work():
        await desk.look()
        desk.outbox.is_away = True
        running = asyncio.create_task(desk.delivery.run())
        await desk.clock.advance(5.0)
        assert not running.done()
        desk.outbox.is_away = False
        await desk.clock.advance(2.0)
        running.cancel()

    asyncio.run(work())

    assert desk.titles() == ["External order"]
    assert list(desk.outbox.delivered) == [0]


def test_without_a_channel_alerts_wait(office):
    desk = office(row())
    desk.delivery = AlertDelivery(desk.outbox, Notifier([]), desk.clock, on_pending=desk.pending.append)

    assert asyncio.run(desk.delivery.deliver_due()) == 0
    assert desk.pending == [1]


def test_alerts_past_the_outbox_go_out_at_once(office):
    desk = office()
    tell = direct_alerts(desk.notifiers[0], "001-004-1234567-001")

    tell("journal_away", "The database is away for account 001-004-1234567-001. Nothing is sent.")
    _idle(desk.notifiers[0])

    (payload,) = desk.receivers[0].payloads
    assert payload["type"] == "failure"
    assert "1234567" not in payload["message"]
    assert payload["message"].endswith("(****************001)")


@pytest.mark.parametrize(
    ("text", "accounts", "shown"),
    [
        ("Account 001-004-1234567-001 is halted.", (), "Account ****************001 is halted."),
        ("Login 50012345 is halted.", ("50012345",), "Login *****345 is halted."),
        ("See https://user:hunter2@host/x", (), "See https://***@host/x"),
        ("Authorization: Bearer abcdef123456", (), "Authorization: Bearer ***"),
    ],
)
def test_what_leaves_carries_no_secret_and_no_full_account_number(text, accounts, shown):
    assert safe_text(text, accounts=accounts) == shown


@pytest.mark.parametrize(("account", "shown"), [("50012345", "*****345"), ("123", "***"), ("", "")])
def test_only_the_last_three_characters_of_an_account_are_shown(account, shown):
    assert masked(account) == shown


@pytest.mark.parametrize(
    ("code", "payload", "severity"),
    [
        ("over_fill", {}, Severity.CRITICAL),
        ("invariant_i8", {}, Severity.CRITICAL),
        ("guard_blocks", {}, Severity.WARNING),
        ("journal_back", {}, Severity.INFO),
        ("guard_blocks", {"severity": "critical"}, Severity.CRITICAL),
    ],
)
def test_an_alert_matters_as_much_as_its_code_or_payload_says(code, payload, severity):
    assert severity_of(code, payload) is severity
