"""The order manager of one account: the only door to its venue and the only writer of its orders.

Order of work for a batch of wishes: live gates → intents, headroom and requests committed with the strategies' memories
→ fence → first byte → outcome committed. Whatever the venue says, in a reply, on the stream or when asked, goes through
`ingest`: stored once, folded into the book, and what follows stored in the same transaction. What is not known is
resolved by evidence and never by time. The parts: `order_submission` and `order_changes` write, `order_sending` sends,
`order_followup` asks again, `order_groups` and `order_protection` act on fills, `order_resolution` finds out.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

from tradesentry.core.broker.base_broker import BaseBroker, Outcome
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import BrokerUnavailable, ReconciliationFailed
from tradesentry.core.domain.events import BrokerEvent
from tradesentry.core.domain.live_account import AccountChange, Cancel, LiveOrder, OrderMoved, Wish
from tradesentry.core.domain.live_orders import Evidence, parse_client_order_id
from tradesentry.core.domain.venue import AccountState, Quote, VenueInstrument
from tradesentry.core.execution.account_book import AccountBook
from tradesentry.core.execution.event_pages import EventPages
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import Lease, LiveState, SavedState
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_gates import Author, LiveGates
from tradesentry.core.execution.order_batch import Batch, Prepared
from tradesentry.core.execution.order_desk import OrderDesk
from tradesentry.core.execution.order_file import OrderFile, file_of_intent, file_of_record
from tradesentry.core.execution.order_followup import OrderFollowUp
from tradesentry.core.execution.order_gates import EntryGates
from tradesentry.core.execution.order_groups import OrderGroups
from tradesentry.core.execution.order_protection import TradeGuard, clearing, entries_of
from tradesentry.core.execution.order_requests import OrderSettings, Sent
from tradesentry.core.execution.order_resolution import OrderResolver
from tradesentry.core.execution.order_sending import OrderSender
from tradesentry.core.execution.order_store import AlertSink, ChangeSink, OrderStore
from tradesentry.core.execution.order_submission import commit
from tradesentry.core.execution.trade_file import trade_of_record
from tradesentry.core.utils.crash_points import crash_point

OVER_FILL: Final = "over_fill"
_TRIES: Final = 6
"""Readings of the events without progress before the venue is taken for incomplete."""


class OrderManager:
    """All orders of one account.

    Args:
        broker: The venue.
        journal: Where everything is stored first.
        lease: The right to act.
        fence: Says how long it may still be acted on.
        clock: Time.
        instruments: As the venue trades them, by symbol.
        gates: Judges entries and changes.
        settings: Pace, bounds, retries.
        alert: Is told of alerts at once (code, text); they are stored in the outbox as well.
    """

    def __init__(
        self,
        broker: BaseBroker,
        journal: Journal,
        lease: Lease,
        fence: SelfFence,
        clock: Clock,
        *,
        instruments: Mapping[str, VenueInstrument],
        gates: LiveGates,
        settings: OrderSettings | None = None,
        alert: AlertSink,
    ) -> None:
        book = AccountBook(lease, broker.facts, instruments)
        self.store = OrderStore(journal, lease, book, clock, fence=fence, alert=alert)
        self.gates, self.settings = gates, settings or OrderSettings()
        entry_gates = EntryGates(broker, lease, book, gates, fence, clock)
        self.desk = OrderDesk(broker, lease, clock, self.settings, gates, entry_gates, self.store, alert)
        self._follow_up = OrderFollowUp(self.desk, catch_up=lambda: self.desk.spawn("catch up", self.catch_up()))
        self.desk.sender = OrderSender(
            broker, self.store, fence, clock, may_retry=self._follow_up.may_retry, after=self._follow_up.after
        )
        self.desk.set_state, self.desk.act = self.set_state, self._act
        self._groups, self._guard = OrderGroups(self.desk), TradeGuard(self.desk)
        self._resolver = OrderResolver(self.desk, self._follow_up)
        self._broker, self._journal, self._lease, self._clock = broker, journal, lease, clock
        self._catching = asyncio.Lock()
        self._overfilled: set[str] = set()
        """Orders for whose excess an instrument was blocked; a person may have freed it since."""
        self.store.listeners += [self._on_changes, self._groups.on_changes, self._guard.on_changes]

    # What others look at

    @property
    def book(self) -> AccountBook:
        """The account from inside."""
        return self.store.book

    @property
    def state(self) -> LiveState:
        """The trading state, as stored."""
        return self.store.state

    @property
    def listeners(self) -> list[ChangeSink]:
        """Are told of changes once they are stored."""
        return self.store.listeners

    @property
    def on_late(self) -> Callable[..., None]:
        """Takes outcomes that nobody awaited; for `CommandGate.on_late`."""
        return self.desk.sender.on_late

    def note_quote(self, quote: Quote) -> None:
        """Take a quote of the stream."""
        self.desk.entry_gates.quotes[quote.symbol] = quote

    def note_account(self, state: AccountState) -> None:
        """Take the account's money as just read."""
        self.desk.entry_gates.account = state

    def take_instruments(self, instruments: Mapping[str, VenueInstrument]) -> None:
        """Take the venue's numbers of its instruments as just read."""
        self.book.instruments = instruments

    def name_run(self, run: UUID, app: str) -> None:
        """Say which strategy a run belongs to, for limits and locks by strategy."""
        self.desk.entry_gates.apps[run] = app

    # Sending

    async def submit(
        self,
        wishes: Sequence[Wish],
        *,
        run: UUID | None,
        bar_close_ns: int,
        states: Sequence[SavedState] = (),
        author: Author = "strategy",
    ) -> list[Sent]:
        """Commit wishes and strategies' memories together, then send; return what became of each at first.

        Args:
            wishes: In the order in which they are to be sent.
            run: Whose; None: a person's or the platform's own.
            bar_close_ns: The bar that decided them; 0: none.
            states: Memories after that bar; stored also when there are no wishes.
            author: Who wants them; a halted account obeys only a person and the kill switch.

        Returns:
            One result for each wish, in the same order. A retry goes on in the background.

        Raises:
            JournalUnavailable: The commit was not confirmed, or one before was not: nothing was sent.
            LeaseLost: Another owner acts for the account: nothing was sent.
            UsageError: That run decided that bar before (`duplicate_decision`): nothing was sent.
        """
        if not wishes and not states:
            return []
        crash_point("before_journal")
        self._follow_up.lift_pauses()
        prepared = await commit(Batch(self.desk, run, bar_close_ns, author), wishes, states)
        chains: dict[str, list[Prepared]] = {}
        for one in prepared:
            if one.job is not None:
                chains.setdefault(_target(one), []).append(one)
        outcomes: dict[int, Outcome] = {}
        work = [asyncio.create_task(self._send(chain, outcomes)) for chain in chains.values()]
        if work:
            await asyncio.shield(asyncio.gather(*work))
        return [one.with_outcome(outcomes.get(id(one))) for one in prepared]

    async def _send(self, chain: Sequence[Prepared], outcomes: dict[int, Outcome]) -> None:
        """Send what concerns one order or trade, one after another."""
        for one in chain:
            if one.job is not None:
                outcomes[id(one)] = await self.desk.sender.send(one.job)

    async def _act(self, wishes: Sequence[Wish]) -> list[Sent]:
        return await self.submit(wishes, run=None, bar_close_ns=0, author="protection")

    async def cancel_entries(self, reason: str, *, author: Author = "kill_switch") -> list[Sent]:
        """Take every entry of ours back."""
        wishes = [Cancel(seq, reason) for seq in entries_of(self.desk)]
        return await self.submit(wishes, run=None, bar_close_ns=0, author=author)

    async def flatten(self, reason: str, *, author: Author = "kill_switch") -> list[Sent]:
        """Take every entry back and close every trade of ours, and others' where that is configured."""
        canceled = await self.cancel_entries(reason, author=author)
        closes = await self.submit(clearing(self.desk, reason), run=None, bar_close_ns=0, author=author)
        return canceled + closes

    async def drain(self) -> None:
        """Wait until no command is under way and nothing follows from the last."""
        await self.desk.settle()

    async def close(self) -> None:
        """Wait for commands under way, and give up retries that wait for a later time."""
        await self.desk.close()

    # Hearing

    async def ingest(self, events: Sequence[BrokerEvent], *, evidence: Evidence) -> list[AccountChange]:
        """Store what the venue said and return what changed; known events change nothing.

        Args:
            events: In any order.
            evidence: How we heard of them.

        Raises:
            JournalUnavailable: Not stored; the book is as before. Keep the events.
            LeaseLost: Another owner acts for the account.
        """
        # Most events come three times: with the reply, on the stream, when asked. What the book heard is stored.
        events = [event for event in events if not self.book.has_heard(event)]
        if not events:
            self.gates.watch.note_hole(is_open=self.book.has_hole, now_ns=self._clock.now_ns())
            return []
        strangers = await self._recall(events)
        is_durable = any(self.book.facts(event).kind.value.startswith("order_") for event in events)
        async with self.store.writing(is_durable=is_durable) as writing:
            await writing.add_events(events, evidence)
            for client_order_id in strangers:
                parsed = parse_client_order_id(client_order_id)
                await writing.transaction.raise_seq(0 if parsed is None else parsed[1])
                text = f"The venue holds our order {client_order_id}, which the journal lacks"
                writing.alert("journal_behind", f"{text}: it is behind. Trading is halted until a person confirms.")
        self.gates.watch.note_hole(is_open=self.book.has_hole, now_ns=self._clock.now_ns())
        if strangers:
            await self.set_state(LiveState.HALTED, f"journal_behind: {', '.join(sorted(strangers))}")
        if self.book.has_hole and not self._catching.locked():
            self.desk.spawn("catch up", self.catch_up())
        return writing.changes

    async def _recall(self, events: Sequence[BrokerEvent]) -> set[str]:
        """Take orders and trades that events are about into the book; return ids of ours that the journal lacks."""
        keys, refs = self.book.unknown_to(events)
        if not keys and not refs:
            return set()
        self.store.check()
        orders, trades = await self._journal.read_files(self._lease, sorted(keys), sorted(refs))
        files: list[OrderFile] = [file_of_record(row) for row in orders]
        for key in keys - {file.key for file in files}:
            stored = await self._journal.read_intent(self._lease, key)
            files += [] if stored is None else [file_of_intent(stored)]
        self.book.restore(files, [trade_of_record(row) for row in trades])
        return keys - set(self.book.orders)

    async def catch_up(self) -> list[AccountChange]:
        """Read the venue's events until none is missing, and return what changed.

        Raises:
            ReconciliationFailed: The venue numbers its events anew; a full snapshot is needed.
            BrokerUnavailable: The venue cannot be read, or not completely.
        """
        changes: list[AccountChange] = []
        async with self._catching, EventPages(self._broker.events_since) as pages:
            tries = 0
            while True:
                before = self.book.cursor
                page = await pages.after(before)
                if self.book.log_id is not None and page.log_id != self.book.log_id:
                    raise ReconciliationFailed(
                        f"The venue numbers its events anew: {self.book.log_id} is {page.log_id} now. Nothing is sent; "
                        "recovery takes a full snapshot.",
                        code="event_log_replaced",
                    )
                changes += await self.ingest(page.events, evidence=Evidence.POLL)
                if self.book.cursor >= page.last_seq:
                    return changes
                tries = 0 if self.book.cursor > before else tries + 1
                if tries >= _TRIES:
                    raise BrokerUnavailable(
                        f"The venue says that it has {page.last_seq} events and shows none after {before}. Nothing new "
                        "is opened while events are missing; ask again.",
                        code="incomplete_events",
                    )
                if tries:
                    await self._clock.sleep(0.05 * 2.0**tries)

    async def resolve(self) -> list[AccountChange]:
        """Find out what became of orders whose outcome is not known; what cannot be proven yet stays as it is."""
        if not self._resolver.pending():
            return []
        changes: list[AccountChange] = []
        for _ in range(2):
            began = self._clock.monotonic()
            changes += await self.catch_up()
            found = await self._resolver.resolve(caught_up_at=began)
            changes += found
            if not found:
                break
        return changes

    async def protect_all(self) -> None:
        """See that every open trade of ours has its stop at the venue, no looser than it ever was (J10)."""
        await self._guard.check_all()

    async def guard(self, trade_ref: str, stop_loss: float | None) -> None:
        """Set the stop of a trade, or close the trade when the venue does not take it in time."""
        await self._guard.guard(trade_ref, stop_loss)

    # State

    async def load(self) -> list[AccountChange]:
        """Read the account from the journal, and treat what an earlier owner was sending as unknown."""
        changes = await self.store.reload()
        changes += await self._resolver.mark_found()
        for order in self.book.orders.values():
            self._halt_overfilled(order)
        self._groups.look_at_all()
        return changes

    async def set_state(self, state: LiveState, reason: str) -> None:
        """Store a trading state; it takes effect then. What is worse than ACTIVE is told to people."""
        if self.state is state and self.store.record is not None and self.store.record.reason == reason:
            return
        async with self.store.writing() as writing:
            account, stored = self.desk.entry_gates.account, self.store.record
            equity: Decimal = self.book.balance if stored is None else stored.equity
            equity = equity if account is None else account.equity
            record = self.store.next_record(state, reason, balance=self.book.balance, equity=equity)
            await writing.transaction.put_account(record)
            if state in (LiveState.HALTED, LiveState.REDUCING):
                writing.alert(state.value, f"The account is {state.value}: {reason}")
        self.store.record = record

    def _on_changes(self, changes: Sequence[AccountChange]) -> None:
        for change in changes:
            if isinstance(change, OrderMoved):
                self._halt_overfilled(change.order)

    def _halt_overfilled(self, order: LiveOrder) -> None:
        if order.key not in self._overfilled and self.book.is_overfilled(order.key):
            self._overfilled.add(order.key)
            text = f"order {order.key} filled {order.filled_units} of {order.units}"
            self.gates.watch.block(order.symbol, OVER_FILL, text)


def _target(one: Prepared) -> str:
    """Return what a command is about: commands about the same are sent one after another."""
    job, wish = one.job, one.sent.wish
    trade_ref = getattr(wish, "trade_ref", None)
    return f"trade {trade_ref}" if trade_ref is not None else f"order {0 if job is None else job.seq}"
