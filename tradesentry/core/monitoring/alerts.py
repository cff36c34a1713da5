"""Tell people what the outbox says, until somebody has it; a second channel when nobody reacts.

An alert is an outbox row with the topic `alert.<code>`, written in the transaction of its cause, so it survives every
crash. Delivery reads rows that nobody has got yet and hands them to the notifier, whose threads send them; a row is
marked only when a target has taken it, alone or inside a digest. After a crash it is sent again: at least once. Repeats
of one dedupe key within ten minutes are marked without being sent.

The order of work per look: mark what has arrived, hand over what is new, escalate what nobody acknowledged.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.utils.logger import get_logger, scrub
from tradesentry.core.utils.notifier import Notifier, Severity

_log = get_logger(__name__)
AlertSink: TypeAlias = Callable[[str, str], None]
"""Takes a code and a text: what happened, why, what to do."""
TOPIC: Final = "alert."
CRITICAL_CODES: Final = (
    "halted", "over_fill", "journal_away", "journal_behind", "lease_lost", "order_work_failed", "order_reopened",
    "external", "unprotected", "reconcil", "invariant", "heartbeat", "loop_blocked", "account_mismatch",
    "account_failed",
)  # fmt: skip
"""Beginnings of codes for which somebody must act now."""
INFO_CODES: Final = ("journal_back", "recovered", "test")
_VENUE_ACCOUNT: Final = re.compile(r"\b\d{3}-\d{3}-\d{5,}-\d{3}\b")
_SHOWN: Final = 3


def masked(account: str) -> str:
    """Return an account number of which only the last three characters can be read."""
    return "*" * max(0, len(account) - _SHOWN) + account[-_SHOWN:] if len(account) > _SHOWN else "*" * len(account)


def safe_text(text: str, *, accounts: Collection[str] = ()) -> str:
    """Return a text that may leave the platform: without credentials and without account numbers in full.

    Args:
        text: Of an alert.
        accounts: Account numbers that may occur in it, besides those that look like OANDA's.
    """
    for account in sorted(accounts, key=len, reverse=True):
        if len(account) > _SHOWN:
            text = text.replace(account, masked(account))
    return _VENUE_ACCOUNT.sub(lambda match: masked(match[0]), scrub(text))


def severity_of(code: str, payload: Mapping[str, Any] | None = None) -> Severity:
    """Return how much an alert matters: what its payload says, else by its code; a warning when nothing is known."""
    said = str((payload or {}).get("severity", "")).upper()
    if said in Severity.__members__:
        return Severity[said]
    if code.startswith(INFO_CODES):
        return Severity.INFO
    return Severity.CRITICAL if code.startswith(CRITICAL_CODES) else Severity.WARNING


@dataclass(frozen=True, slots=True)
class OutboxAlert:
    """An alert as the outbox holds it."""

    id: int
    code: str
    subject: str
    """What it is about: an account or a run."""
    text: str
    severity: Severity = Severity.WARNING
    dedupe_key: str = ""
    is_repeat: bool = False
    """One of the same key has reached somebody within the repeat time."""

    @property
    def title(self) -> str:
        """The code in words."""
        return self.code.replace("_", " ").capitalize()


def alert_of_row(
    id: int,  # noqa: A002 - the column's name
    topic: str,
    subject: str,
    payload: Mapping[str, Any],
    *,
    dedupe_key: str | None,
    is_repeat: bool = False,
) -> OutboxAlert:
    """Return the alert that an outbox row holds."""
    code = topic.removeprefix(TOPIC)
    text = safe_text(str(payload.get("text", "")), accounts=[str(a) for a in payload.get("accounts", ())])
    return OutboxAlert(id, code, safe_text(subject), text, severity_of(code, payload), dedupe_key or "", is_repeat)


class OutboxSource(Protocol):
    """Where alerts wait. Marks are set once; a row that was pruned meanwhile is no error."""

    async def take(self, *, limit: int, exclude: Collection[int] = ()) -> Sequence[OutboxAlert]:
        """Return the oldest alerts that nobody has got, without those in `exclude`."""

    async def mark_delivered(self, ids: Collection[int]) -> None:
        """Note that somebody has them."""

    async def unacknowledged(
        self, *, older_than_seconds: float, limit: int, exclude: Collection[int] = ()
    ) -> Sequence[OutboxAlert]:
        """Return alerts of that age, delivered or not, that nobody acknowledged and that were not escalated."""

    async def mark_escalated(self, ids: Collection[int]) -> None:
        """Note that the second channel has them."""

    async def count_pending(self) -> int:
        """Return how many alerts nobody has got."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How alerts are delivered."""

    poll_seconds: float = 1.0
    batch: int = 100
    retry_seconds: float = 30.0
    """Until an alert is handed over again after every target failed; it doubles each time."""
    max_retry_seconds: float = 900.0
    escalate_seconds: float = 300.0
    """Age at which an unacknowledged alert goes to the second channel."""
    escalate_from: Severity = Severity.CRITICAL


class AlertDelivery:
    """Delivers the alerts of an installation; one process does so at a time.

    Args:
        source: The outbox.
        notifier: The first channel.
        clock: Time between looks and tries.
        second: The second channel; None: nothing is escalated.
        settings: How often and how hard.
        on_pending: Told how many alerts wait, for the metric.
    """

    def __init__(
        self,
        source: OutboxSource,
        notifier: Notifier,
        clock: Clock,
        *,
        second: Notifier | None = None,
        settings: DeliverySettings | None = None,
        on_pending: Callable[[int], None] | None = None,
    ) -> None:
        self._source, self._clock, self._on_pending = source, clock, on_pending
        self._settings = settings or DeliverySettings()
        self._first = _Channel(notifier, clock, self._settings)
        self._second = None if second is None else _Channel(second, clock, self._settings)
        self._minor: set[int] = set()
        """Unacknowledged alerts that are not worth a second channel."""

    async def run(self) -> None:
        """Deliver until canceled; an outbox that cannot be read is tried again."""
        while True:
            try:
                await self.deliver_due()
            except TradeSentryError as error:
                _log.warning("outbox_unreadable", code=error.code)
            await self._clock.sleep(self._settings.poll_seconds)

    async def deliver_due(self) -> int:
        """Mark what has arrived, hand over what is due; return how many were handed over."""
        await self._settle()
        n_handed = 0
        if self._first.has_targets:
            rows = await self._source.take(limit=self._settings.batch, exclude=self._first.busy)
            repeats = [row.id for row in rows if row.is_repeat]
            if repeats:
                await self._source.mark_delivered(repeats)
            n_handed += sum(self._first.hand_over(row, row.title) for row in rows if not row.is_repeat)
        n_handed += await self._escalate()
        if self._on_pending is not None:
            self._on_pending(await self._source.count_pending())
        return n_handed

    async def close(self, timeout_seconds: float = 10.0) -> None:
        """Send what was handed over and mark it; what does not arrive in time stays in the outbox."""
        for channel in (self._first, self._second):
            if channel is not None:
                await asyncio.to_thread(channel.notifier.close, timeout_seconds)
        await self._settle()

    async def _settle(self) -> None:
        for channel, mark in ((self._first, self._source.mark_delivered), (self._second, self._source.mark_escalated)):
            arrived = [] if channel is None else channel.arrived()
            if arrived:
                try:
                    await mark(arrived)
                except TradeSentryError:
                    # Not marked is sent again; better twice than not at all, and best once: the mark is tried again.
                    if channel is not None:
                        channel.put_back(arrived)
                    raise

    async def _escalate(self) -> int:
        if self._second is None or not self._second.has_targets:
            return 0
        age = self._settings.escalate_seconds
        through = self._minor | self._second.busy
        rows = await self._source.unacknowledged(older_than_seconds=age, limit=self._settings.batch, exclude=through)
        # They would otherwise fill every batch and hide the ones that matter.
        self._minor |= {row.id for row in rows if row.severity < self._settings.escalate_from}
        due = [row for row in rows if row.id not in self._minor]
        return sum(self._second.hand_over(row, f"Not acknowledged: {row.title}") for row in due)


class _Channel:
    """A notifier with what it has been given and what became of it."""

    def __init__(self, notifier: Notifier, clock: Clock, settings: DeliverySettings) -> None:
        self.notifier, self._clock, self._settings = notifier, clock, settings
        self._under_way: set[int] = set()
        self._done: deque[tuple[int, bool]] = deque()
        self._marked_later: list[int] = []
        self._retries: dict[int, tuple[int, float]] = {}

    @property
    def has_targets(self) -> bool:
        return self.notifier.has_targets

    @property
    def busy(self) -> set[int]:
        """Alerts that are under way, or that failed and wait for their time."""
        now = self._clock.monotonic()
        return self._under_way | {id_ for id_, (_, due) in self._retries.items() if due > now}

    def hand_over(self, alert: OutboxAlert, title: str) -> bool:
        """Give an alert to the notifier; its threads report into a queue that the next look reads."""
        if alert.id in self._under_way:
            return False
        self._under_way.add(alert.id)
        key = f"{alert.subject}:{alert.dedupe_key or alert.id}"
        done, body = self._done, f"{alert.text}\n({alert.subject})" if alert.subject else alert.text

        def on_done(is_sent: bool) -> None:
            done.append((alert.id, is_sent))

        self.notifier.notify(title, body, severity=alert.severity, key=key, on_done=on_done)
        return True

    def arrived(self) -> list[int]:
        """Return the alerts that somebody has got since the last call; those that failed get a time to be retried."""
        arrived, self._marked_later = self._marked_later, []
        while self._done:
            id_, is_sent = self._done.popleft()
            if is_sent:
                arrived.append(id_)
                self._retries.pop(id_, None)
            else:
                self._under_way.discard(id_)
                n_tries = self._retries.get(id_, (0, 0.0))[0] + 1
                pause = min(self._settings.retry_seconds * 2 ** (n_tries - 1), self._settings.max_retry_seconds)
                self._retries[id_] = (n_tries, self._clock.monotonic() + pause)
        self._under_way.difference_update(arrived)
        return arrived

    def put_back(self, ids: Collection[int]) -> None:
        """Keep alerts that have arrived but could not be marked."""
        self._marked_later += ids
        self._under_way.update(ids)


def direct_alerts(notifier: Notifier, account: str = "") -> AlertSink:
    """Return a sink that goes past the outbox, for when the database is away.

    Args:
        notifier: The first channel.
        account: Venue's number or platform's id; masked in what is sent. Empty: it is about the whole process.
    """

    def tell(code: str, text: str) -> None:
        alert = OutboxAlert(0, code, masked(account), safe_text(text, accounts=(account,)))
        body = f"{alert.text}\n({alert.subject})" if account else alert.text
        notifier.notify(alert.title, body, severity=severity_of(code), key=f"{account}:{code}" if account else "")

    return tell


class MemoryOutbox:
    """An outbox in memory: the rows of `MemoryJournal.outbox`, or any like them.

    Args:
        rows: Dicts with topic, subject, payload and dedupe_key; their position is their id. Read afresh at each look.
        clock: For the age of an alert.
        repeat_seconds: How long a key counts as told.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], clock: Clock, *, repeat_seconds: float = 600.0) -> None:
        self._rows, self._clock, self._repeat_seconds = rows, clock, repeat_seconds
        self._seen_at: dict[int, float] = {}
        self.delivered: dict[int, float] = {}
        """When an alert was delivered, monotonic seconds, by id."""
        self.escalated: set[int] = set()
        self.acknowledged: set[int] = set()

    async def take(self, *, limit: int, exclude: Collection[int] = ()) -> Sequence[OutboxAlert]:
        """Return the oldest alerts that nobody has got."""
        pending = (id_ for id_ in self._ids() if id_ not in self.delivered and id_ not in exclude)
        return [self._alert(id_) for id_, _ in zip(pending, range(limit), strict=False)]

    async def mark_delivered(self, ids: Collection[int]) -> None:
        """Note that somebody has them."""
        self.delivered |= {id_: self._clock.monotonic() for id_ in ids if id_ not in self.delivered}

    async def unacknowledged(
        self, *, older_than_seconds: float, limit: int, exclude: Collection[int] = ()
    ) -> Sequence[OutboxAlert]:
        """Return old alerts that nobody acknowledged."""
        now, through = self._clock.monotonic(), self.acknowledged | self.escalated | set(exclude)
        silent = (id_ for id_ in self._ids() if id_ not in through)
        old = [self._alert(id_) for id_ in silent if now - self._seen_at[id_] >= older_than_seconds]
        return old[:limit]

    async def mark_escalated(self, ids: Collection[int]) -> None:
        """Note that the second channel has them."""
        self.escalated |= set(ids)

    async def count_pending(self) -> int:
        """Return how many alerts nobody has got."""
        return sum(id_ not in self.delivered for id_ in self._ids())

    def _ids(self) -> list[int]:
        ids = [id_ for id_, row in enumerate(self._rows) if str(row["topic"]).startswith(TOPIC)]
        for id_ in ids:
            self._seen_at.setdefault(id_, self._clock.monotonic())
        return ids

    def _alert(self, id_: int) -> OutboxAlert:
        row = self._rows[id_]
        key, now = row["dedupe_key"], self._clock.monotonic()
        is_repeat = key is not None and any(
            self._rows[other]["dedupe_key"] == key and now - at < self._repeat_seconds
            for other, at in self.delivered.items()
        )
        return alert_of_row(id_, row["topic"], row["subject"], row["payload"], dedupe_key=key, is_repeat=is_repeat)
