"""Write what became of orders: book and journal change together, or neither does.

One writer for one account, one transaction at a time. Whatever touches the book does so inside `writing`: the rows that
follow from it (transitions, orders, trades, fills, headroom given back, alerts) are stored in the same transaction, and
when that is not confirmed the book is as it was before. From the first commit that failed nothing more is written until
somebody has read the journal again (`reload`): what it holds is not known.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import JournalUnavailable, LeaseLost
from tradesentry.core.domain.events import BrokerEvent
from tradesentry.core.domain.live_account import AccountChange, LiveOrder, MoneyMoved, OrderMoved, TradeOpened
from tradesentry.core.domain.live_orders import Effect, OrderIntent, OrderStatus
from tradesentry.core.domain.live_orders import Evidence as Source
from tradesentry.core.domain.money import ZERO
from tradesentry.core.execution.account_book import AccountBook
from tradesentry.core.execution.account_limits import paid
from tradesentry.core.execution.journal_port import Journal, JournalTransaction
from tradesentry.core.execution.journal_rows import LOCAL, AccountRecord, AttemptKind, Lease, LiveState, Transition
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.order_file import OrderPlan, file_of_record
from tradesentry.core.execution.order_requests import Command, command_json
from tradesentry.core.execution.order_status import Answer, Answered, Asked, Evidence, is_reopened
from tradesentry.core.utils.crash_points import crash_point

AlertSink: TypeAlias = Callable[[str, str], None]
"""Takes a code and a text for people, at once; the stored alert is in the outbox."""
ChangeSink: TypeAlias = Callable[[Sequence[AccountChange]], None]
_OURS: Final = (
    OrderStatus.NEW,
    OrderStatus.SENDING,
    OrderStatus.DENIED,
    OrderStatus.REPLACING,
    OrderStatus.CANCELING,
)
"""Statuses that we give ourselves."""
KEPT: Final = 2_000
"""Orders and trades that are over and stay in memory; older ones are read back when an event names them."""
_PAGE: Final = 256
_PAGES: Final = 8


class Writing:
    """One transaction: the journal's, with the book that follows it.

    Args:
        transaction: Of the journal.
        book: Of the account.
        account: Short name for alerts.
    """

    def __init__(self, transaction: JournalTransaction, book: AccountBook, account: str) -> None:
        self.transaction, self.book, self._account = transaction, book, account
        self.changes: list[AccountChange] = []
        self.alerts: list[tuple[str, str]] = []
        self._is_first = True

    async def add_order(self, intent: OrderIntent, plan: OrderPlan, *, seen: dict[str, Any]) -> str:
        """Store an intent under the next number and take it into the book; return its key.

        Args:
            intent: What is wanted.
            plan: What we mean by it.
            seen: What the gates looked at.
        """
        if not self._is_first:
            await self.transaction.allocate()
        self._is_first = False
        intent = replace(intent, seq=self.transaction.seq)
        plan = replace(plan, intent=intent)
        key = await self.transaction.add_intent(intent, risk={**plan.risk_json(), "seen": seen})
        self.changes += self.book.add(key, plan)
        crash_point("after_intent")
        return key

    async def ask(self, seq: int, key: str | None, kind: AttemptKind, command: Command, *, terms: Any = None) -> int:
        """Store a request that is about to be sent; return its number.

        Args:
            seq: Order concerned.
            key: Of the order, when its status follows from the request; None for a protection.
            kind: What is asked.
            command: Exactly what will be sent.
            terms: What a replacement makes of the order.
        """
        attempt = await self.transaction.add_attempt(seq, kind, command_json(command))
        if key is not None:
            self.note(key, Asked(attempt, kind, self.book.newest, terms))
        return attempt

    def note(self, key: str, *items: Evidence, source: Source | None = None) -> None:
        """Add evidence of our own."""
        self.changes += self.book.note(key, *items, source=source)

    async def add_events(self, events: Sequence[BrokerEvent], source: Source) -> None:
        """Store what the venue said and fold it in; known events change nothing."""
        if not events:
            return
        await self.transaction.add_events(events)
        crash_point("mid_event_batch")
        self.changes += self.book.apply(events, source)
        for log_id in dict.fromkeys(event.log_id for event in events):
            await self.transaction.advance_cursor(log_id)
        fills = [fill for event in events for fill in self.book.fills_of(event)]
        if fills:
            await self.transaction.add_fills(fills)

    def alert(self, code: str, text: str) -> None:
        """Tell people, in this transaction."""
        self.alerts.append((code, text))

    async def store(self) -> None:
        """Write the rows that follow from the changes."""
        steps: list[tuple[int, Transition]] = []
        for change in self.changes:
            if isinstance(change, OrderMoved):
                steps += self._steps(change)
            elif isinstance(change, TradeOpened) and change.trade.key is None:
                text = f"A trade of {change.fill.units} {change.fill.symbol} was opened by somebody else"
                self.alert("external_trade", f"{text} ({change.trade.trade_ref}). It counts in every limit.")
        orders, trades = self.book.touched()
        over = [order.seq for order in orders if order.status.is_terminal and order.effect is Effect.OPEN]
        released = [seq for seq in over if seq is not None]
        await self.transaction.put_changes(steps, orders=orders, positions=trades, released=released)
        for code, text in self.alerts:
            await self.transaction.announce(
                f"alert.{code}", self._account, {"code": code, "text": text}, dedupe_key=f"{self._account}:{text}"
            )

    def _steps(self, change: OrderMoved) -> list[tuple[int, Transition]]:
        """Return the step of an order that is to be stored, if it is one of ours, and tell people what is odd."""
        order, old = change.order, change.old_status
        if order.seq is None:
            if old is None:
                what = f"{order.side.name.lower()} {order.units} {order.symbol}"
                self.alert("external_order", f"Order {order.key} ({what}) is not ours. It counts in every limit.")
            return []
        if order.status is OrderStatus.FILLED and self.book.is_overfilled(order.key):
            text = f"Order {order.key} on {order.symbol} filled {order.filled_units} of {order.units}."
            self.alert("over_fill", f"{text} {order.symbol} is not traded until a person has looked.")
        if old is None or order.status is old:
            return []
        if is_reopened(old, order.status):
            text = f"Order {order.key} on {order.symbol} was taken for {old.value} and is {order.status.value}."
            self.alert("order_reopened", f"{text} Its trade counts; look why the venue's word came late.")
        return [(order.seq, self._transition(order, old))]

    def _transition(self, order: LiveOrder, old: OrderStatus) -> Transition:
        file = self.book.file(order.key)
        standing = None if file is None else file.standing()
        if standing is not None and standing.status is not order.status:
            standing = None
        key = None if standing is None else standing.key
        is_ours = order.status in _OURS or order.evidence is None
        return Transition(
            from_status=old,
            to_status=order.status,
            cause=order.reason or (order.status.value if standing is None else standing.cause),
            evidence=LOCAL if is_ours or order.evidence is None else order.evidence.value,
            log_id=None if key is None or is_ours else self.book.log_of(key),
            event_seq=None if key is None or is_ours else key.seq,
        )


class OrderStore:
    """The writing side of one account.

    Args:
        journal: Where to.
        lease: On whose authority.
        book: What it changes.
        clock: Time.
        fence: Closes when another owner is found to write.
        alert: Is told of each alert as well as the outbox, and alone when that cannot be written.
    """

    def __init__(
        self, journal: Journal, lease: Lease, book: AccountBook, clock: Clock, *, fence: SelfFence, alert: AlertSink
    ) -> None:
        self.journal, self.lease, self.book, self.clock = journal, lease, book, clock
        self.fence = fence
        self.record: AccountRecord | None = None
        """Trading state and marks as stored."""
        self.listeners: list[ChangeSink] = []
        self.is_away = False
        """Whether a commit failed and the journal was not read again since."""
        self._alert = alert
        self._lock = asyncio.Lock()
        self._unconfirmed: dict[str, int] = {}
        self.n_reloads = 0
        """How often the account was read anew; whoever keeps a copy of it then reads it again."""
        self.sent_ns: dict[tuple[int, int], int] = {}
        """When each request of this owner or the one before was committed, by (seq, attempt)."""

    @property
    def state(self) -> LiveState:
        """The trading state as stored; RECONCILING until one was."""
        return LiveState.RECONCILING if self.record is None else self.record.state

    @asynccontextmanager
    async def writing(self, *, places: bool = False, is_durable: bool = True) -> AsyncIterator[Writing]:
        """Change book and journal together.

        Args:
            places: Whether an order number is taken.
            is_durable: False for what the venue can repeat.

        Raises:
            JournalUnavailable: Not confirmed; the book is as before and nothing may be sent.
            LeaseLost: Another owner writes now.
        """
        async with self._lock:
            self.check()
            try:
                with self.book.tentative():
                    begin = self.journal.effect(self.lease) if places else self.journal.fenced(
                        self.lease, is_durable=is_durable
                    )  # fmt: skip
                    async with begin as transaction:
                        writing = Writing(transaction, self.book, str(self.lease.account_id))
                        yield writing
                        record = await self._pay(writing)
                        await writing.store()
            except JournalUnavailable as error:
                self.fail(str(error))
                raise
            except LeaseLost:
                self.fence.lose()
                raise
        self.record = record or self.record
        if len(self.book.orders) > 2 * KEPT:
            self.book.forget_ended(KEPT)
        for code, text in writing.alerts:
            self._alert(code, text)
        if writing.changes:
            for listener in tuple(self.listeners):
                listener(writing.changes)

    async def _pay(self, writing: Writing) -> AccountRecord | None:
        """Keep payments out of the account's marks, in the transaction that journals them."""
        amount = sum((change.amount for change in writing.changes if isinstance(change, MoneyMoved)), ZERO)
        if not amount or self.record is None:
            return None
        record = paid(self.record, amount)
        await writing.transaction.put_account(record)
        return record

    def check(self) -> None:
        """Refuse to go on after a failed commit.

        Raises:
            JournalUnavailable: The journal has not been read again yet.
        """
        if self.is_away:
            raise JournalUnavailable(
                f"The journal of account {self.lease.account_id} did not confirm a commit, so what it holds is not "
                "known. Nothing is sent; run the recovery, which reads it again.",
                code="journal_away",
            )

    def fail(self, text: str) -> None:
        """Note that the journal does not answer; tell people directly, once."""
        if not self.is_away:
            self.is_away = True
            self._alert("journal_away", f"{text} Nothing is sent; stops and targets at the venue keep working.")

    def doubt(self, keys: Sequence[tuple[str, int]]) -> None:
        """Remember requests whose commit was not confirmed: whatever the journal holds, they were never sent."""
        self._unconfirmed.update(keys)

    async def reload(self) -> list[AccountChange]:
        """Read the journal again, into an empty book; return what was found out about requests in doubt.

        Raises:
            JournalUnavailable: It still does not answer.
        """
        async with self._lock:
            stored = await self.journal.read_account(self.lease)
            events: list[BrokerEvent] = []
            if stored.log_id is not None:
                events = await self._newest_events(stored.log_id, stored.cursor)
            self.book.clear()
            self.book.load(stored, events)
            await self._recall_openers()
            self.record = stored.account
            self.n_reloads += 1
            for attempt in stored.attempts:
                self.sent_ns.setdefault((attempt.seq, attempt.attempt), attempt.sending_ns)
            self.is_away = False
        return await self._settle_doubts()

    async def _recall_openers(self) -> None:
        """Take the orders that opened the open trades back into the book: plans and targets hang on them."""
        trades = self.book.trades.values()
        keys = sorted({trade.key for trade in trades if trade.key is not None} - set(self.book.orders))
        if keys:
            orders, _ = await self.journal.read_files(self.lease, keys, [])
            self.book.restore(map(file_of_record, orders), [])

    async def _newest_events(self, log_id: str, cursor: int) -> list[BrokerEvent]:
        """Return the events beyond the cursor, and those before it from the newest that states a balance."""
        found: list[BrokerEvent] = []
        after = cursor
        while page := await self.journal.read_events(self.lease, log_id, after=after, limit=10_000):
            found += page
            after = page[-1].seq
        before = cursor
        for _ in range(_PAGES):
            if before <= 0:
                break
            page = await self.journal.read_events(self.lease, log_id, after=max(0, before - _PAGE), limit=_PAGE)
            found = [event for event in page if event.seq <= before] + found
            if any(self.book.facts(event).balance is not None for event in page if event.seq <= cursor):
                break
            before -= _PAGE
        return found

    async def _settle_doubts(self) -> list[AccountChange]:
        doubts, self._unconfirmed = self._unconfirmed, {}
        known = {key: attempt for key, attempt in doubts.items() if key in self.book.orders}
        if not known:
            return []
        async with self.writing() as writing:
            for key, attempt in known.items():
                writing.note(key, Answered(attempt, Answer.ABSENT, "never_sent"))
        return writing.changes

    async def change_record(self, change: Callable[[AccountRecord], AccountRecord]) -> None:
        """Change the stored trading state and marks, if there are any; what `change` gives counts from then on.

        Args:
            change: Is given the record that no other writer can replace meanwhile: a halt that is stored while somebody
                else waits for the lock must not be overwritten by what that one read before.
        """
        async with self.writing() as writing:
            record = None if self.record is None else change(self.record)
            if record is not None:
                await writing.transaction.put_account(record)
        self.record = record or self.record

    async def announce(self, code: str, text: str) -> None:
        """Tell people, through the outbox and at once."""
        async with self.writing() as writing:
            writing.alert(code, text)

    def next_record(self, state: LiveState, reason: str, *, balance: Decimal, equity: Decimal) -> AccountRecord:
        """Return the stored record with another state, or the first one."""
        now_ns = self.clock.now_ns()
        if self.record is None:
            return AccountRecord(state, reason, balance, equity, max(equity, ZERO), equity, now_ns)
        return replace(self.record, state=state, reason=reason, balance=balance, equity=equity, as_of_ns=now_ns)
