"""Send what was committed, once, and journal what became of it.

Order of work, from the commit on: fence → first byte → outcome committed. A job runs in a task of its own, so canceling
whoever awaits it neither stops the command nor loses its outcome. Nothing is sent a second time here; whether it may
be, is decided by who is told of the outcome.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import nextafter
from typing import Final

from tradesentry.core.broker.base_broker import (
    Accepted,
    BaseBroker,
    CommandStamp,
    NotSent,
    Outcome,
    Refused,
)
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import JournalUnavailable, LeaseLost
from tradesentry.core.domain.events import EventKind
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.live_orders import Evidence as Source
from tradesentry.core.execution.journal_rows import AttemptKind
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.order_requests import (
    CancelOrder,
    Close,
    Command,
    Place,
    ReplaceOrder,
    answer_of,
    events_of,
    stamped,
)
from tradesentry.core.execution.order_status import START, Claimed
from tradesentry.core.execution.order_store import OrderStore
from tradesentry.core.utils.crash_points import crash_point

STALE_EPOCH: Final = "STALE_EPOCH"
"""Refusal of a venue of ours: another process owns the account."""


@dataclass(frozen=True, slots=True)
class Job:
    """One committed request."""

    seq: int
    """Order concerned."""
    key: str | None
    """Of the order whose status follows from the outcome; None for a protection."""
    attempt: int
    kind: AttemptKind
    command: Command
    symbol: str
    effect: Effect
    committed_at: float
    """Monotonic seconds at the commit."""


class OrderSender:
    """Sends the commands of one account.

    Args:
        broker: Where to.
        store: Where outcomes go.
        fence: Whether the lease may still be acted on.
        clock: Time.
        may_retry: Whether a definite refusal leaves the order alive.
        after: Is told of each outcome once it is journaled, and of whether the order lives on.
    """

    def __init__(
        self,
        broker: BaseBroker,
        store: OrderStore,
        fence: SelfFence,
        clock: Clock,
        *,
        may_retry: Callable[[Job, Outcome], bool],
        after: Callable[[Job, Outcome, bool], None],
    ) -> None:
        self._broker, self._store, self._fence, self._clock = broker, store, fence, clock
        self._may_retry, self._after = may_retry, after
        self._running: dict[tuple[int, int], asyncio.Task[Outcome]] = {}
        self._stamps: dict[float, Job] = {}
        self._last_stamp = 0.0

    def committed_at(self) -> float:
        """Return the time to stamp a request with, a different one for each; call it before the commit."""
        self._last_stamp = max(nextafter(self._last_stamp, float("inf")), self._clock.monotonic())
        return self._last_stamp

    def is_under_way(self, seq: int, attempt: int | None = None) -> bool:
        """Say whether a request of an order, or one of them, has no outcome yet."""
        return any(key[0] == seq and attempt in (None, key[1]) for key in self._running)

    def start(self, job: Job) -> "asyncio.Task[Outcome]":
        """Begin to send a job and return the task that ends with its outcome, journaled."""
        task = asyncio.create_task(self._run(job))
        self._running[job.seq, job.attempt] = task
        task.add_done_callback(lambda _: self._running.pop((job.seq, job.attempt), None))
        return task

    async def send(self, job: Job) -> Outcome:
        """Return the outcome of a job; canceling this call does not cancel the job."""
        return await asyncio.shield(self.start(job))

    async def drain(self) -> None:
        """Wait until every command has its outcome."""
        while self._running:
            await asyncio.wait(set(self._running.values()))

    def on_late(self, name: str, stamp: CommandStamp, outcome: Outcome | BaseException) -> None:
        """Journal an outcome that nobody awaited any more; for `CommandGate.on_late`."""
        job = self._stamps.get(stamp.committed_at if stamp.committed_at is not None else -1.0)
        if job is None or isinstance(outcome, BaseException) or self.is_under_way(job.seq, job.attempt):
            return
        task = asyncio.create_task(self._finish(job, outcome), name=f"late {name}")
        self._running[job.seq, job.attempt] = task
        task.add_done_callback(lambda _: self._running.pop((job.seq, job.attempt), None))

    async def _run(self, job: Job) -> Outcome:
        stamp = CommandStamp(self._store.lease.epoch, job.committed_at, job.attempt)
        self._stamps[job.committed_at] = job
        if not self._fence.is_open:
            outcome: Outcome = NotSent("fenced", "The lease was not renewed in time; nothing may be sent on it.")
        elif self._store.is_away:
            outcome = NotSent("journal_away", "A commit was not confirmed since; nothing is sent until recovery.")
        else:
            crash_point("after_sending_commit")
            outcome = await self._call(stamped(job.command, stamp))
        return await self._finish(job, outcome)

    async def _finish(self, job: Job, outcome: Outcome) -> Outcome:
        self._stamps.pop(job.committed_at, None)
        may_retry = self._may_retry(job, outcome)
        crash_point("before_outcome_commit")
        try:
            await self._journal(job, outcome, may_retry=may_retry)
        except (JournalUnavailable, LeaseLost):
            # The order stays SENDING in the journal; whoever reads it next resolves it by the venue's evidence.
            return outcome
        self._after(job, outcome, may_retry)
        return outcome

    async def _call(self, command: Command) -> Outcome:
        broker = self._broker
        if isinstance(command, Place):
            return await broker.place_order(command.request)
        if isinstance(command, Close):
            return await broker.close_trade(command.target, remaining_units=command.remaining_units)
        if isinstance(command, CancelOrder):
            return await broker.cancel_order(command.target)
        if isinstance(command, ReplaceOrder):
            return await broker.replace_order(command.target, command.change)
        stop, target = command.stop_loss, command.take_profit
        return await broker.set_protection(command.target, stop_loss=stop, take_profit=target)

    async def _journal(self, job: Job, outcome: Outcome, *, may_retry: bool) -> None:
        book, events = self._store.book, events_of(outcome)
        if job.key is None and not events:
            return
        async with self._store.writing() as writing:
            if job.key is not None:
                claims = [Claimed(venue_id) for venue_id in self._created(job, outcome)]
                writing.note(job.key, *claims, source=Source.REPLY)
            await writing.add_events(events, Source.REPLY)
            if job.key is not None:
                through = max((book.key_of(event.log_id, event.seq) for event in events), default=START)
                answer = answer_of(job.attempt, outcome, may_retry=may_retry, through=through)
                writing.note(job.key, answer, source=Source.REPLY)

    def _created(self, job: Job, outcome: Outcome) -> list[str]:
        """Return the venue's ids of the order that a reply created."""
        found = []
        if isinstance(outcome, Accepted) and outcome.order is not None and job.kind is AttemptKind.PLACE:
            found.append(outcome.order.venue_order_id)
        if isinstance(outcome, Accepted | Refused) and job.kind is AttemptKind.CLOSE:
            for event in outcome.events:
                facts = self._store.book.facts(event)
                if facts.kind is EventKind.ORDER_ACCEPTED and facts.venue_order_id is not None:
                    found.append(facts.venue_order_id)
        return list(dict.fromkeys(found))
