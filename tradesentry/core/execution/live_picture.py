"""Read one picture of a live account for the invariants: the journal, the account book, and what was sent when.

Separate from the invariants, which may not know the journal, and from the order manager, which must not be checked by
itself: events, fills and intents are read back from the journal, orders and trades are taken from the book.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.events import BrokerEvent, EventFacts
from tradesentry.core.domain.live_account import AccountChange, OrderMoved
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import AttemptKind, Lease, LiveState, Reservation
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_status import Asked
from tradesentry.core.monitoring.invariants import LimitUse, Picture

PAGE: Final = 1_000
MAX_EVENTS: Final = 50_000
"""Of one period; then a new one begins."""
SKEW_NS: Final = 5 * NS_PER_SECOND
"""The venue's clock may be that far ahead, so a fill of before may bear a time of after the period's beginning."""


LimitReader: TypeAlias = Callable[[Sequence[Reservation]], Sequence[LimitUse]]
"""Takes the open reservations of the account."""


def _no_limits(_: Sequence[Reservation]) -> Sequence[LimitUse]:
    return ()


class PictureReader:
    """Reads pictures of one account; its period begins when it is made, after recovery.

    Args:
        orders: The account's order manager.
        journal: Where it stores.
        lease: The account.
        clock: Time.
        horizon_seconds: `Capabilities.absence_horizon_seconds` of the venue.
        limits: Says how far each limit is used now.
    """

    def __init__(
        self,
        orders: OrderManager,
        journal: Journal,
        lease: Lease,
        clock: Clock,
        *,
        horizon_seconds: float,
        limits: LimitReader = _no_limits,
    ) -> None:
        self._orders, self._journal, self._lease, self._clock = orders, journal, lease, clock
        self._horizon_seconds, self._limits = horizon_seconds, limits
        book = orders.book
        self._log_id, self._after, self._since_ns = book.log_id, book.cursor, clock.now_ns() + SKEW_NS
        self._facts: list[EventFacts] = []
        self._sent_ns: dict[int, list[int]] = {}
        self._sent_when_halted: list[str] = []
        self._venue: AccountState | None = None
        self._n_rearmed = 0
        orders.listeners.append(self.on_changes)

    def note_account(self, state: AccountState) -> None:
        """Take the account's money as the venue has just shown it."""
        self._venue = state

    def note_rearmed(self) -> None:
        """Take note that a person has re-armed the account."""
        self._n_rearmed += 1

    async def read(self) -> Picture | None:
        """Return a picture; None while the account recovers or its events are not complete.

        Raises:
            JournalUnavailable: The journal cannot be read.
        """
        orders, book = self._orders, self._orders.book
        record = orders.store.record
        if orders.state is LiveState.RECONCILING or record is None or book.log_id is None or book.has_hole:
            return None
        await self._read_events(book.log_id)
        fills = await self._journal.read_fills(self._lease)
        intents = await self._intents()
        reserved = (await self._journal.read_account(self._lease)).reservations
        if self._after != book.cursor:
            # Something came in while the journal was read; the next look sees it whole.
            return None
        return Picture(
            account=str(self._lease.account_id)[-12:],
            now_ns=self._clock.now_ns(),
            instance=self._lease.instance,
            orders=tuple(book.orders.values()),
            trades=tuple(book.trades.values()),
            facts=tuple(self._facts),
            since_ns=self._since_ns,
            fills=fills,
            intents=intents,
            placements=self._placements(),
            balance=book.balance,
            venue_balance=self._venue_balance(),
            state=orders.state.value,
            epoch=self._lease.epoch,
            high_water_mark=record.high_water_mark,
            horizon_seconds=self._horizon_seconds,
            sent_when_halted=tuple(self._sent_when_halted),
            n_rearmed=self._n_rearmed,
            limits=tuple(self._limits(reserved)),
        )

    def _venue_balance(self) -> Decimal | None:
        """Return what the venue says of the balance, if that is as of the newest event that the book has."""
        venue, book = self._venue, self._orders.book
        is_same = venue is not None and (venue.log_id, venue.last_seq) == (book.log_id, book.cursor)
        return venue.balance if venue is not None and is_same else None

    async def _read_events(self, log_id: str) -> None:
        """Read what the journal has stored since the last picture; a new log begins a new period."""
        is_new_log = log_id != self._log_id
        if is_new_log:
            self._log_id, self._after = log_id, self._orders.book.cursor
        if is_new_log or len(self._facts) > MAX_EVENTS:
            self._since_ns = self._clock.now_ns() + SKEW_NS
            self._facts.clear()
        while True:
            events: list[BrokerEvent] = await self._journal.read_events(
                self._lease, log_id, after=self._after, limit=PAGE
            )
            for event in events:
                if event.seq != self._after + 1:
                    return
                self._facts.append(self._orders.book.facts(event))
                self._after = event.seq
            if len(events) < PAGE:
                return

    async def _intents(self) -> frozenset[int]:
        """Return the numbers of the orders in the events whose intent can be read back."""
        found = set()
        for key in {facts.client_order_id for facts in self._facts if self._orders.book.is_own(facts.client_order_id)}:
            stored = None if key is None else await self._journal.read_intent(self._lease, key)
            if stored is not None:
                found.add(stored.intent.seq)
        return frozenset(found)

    def _placements(self) -> dict[int, list[int]]:
        placements = {}
        for order in self._orders.book.orders.values():
            file = self._orders.book.file(order.key)
            if order.seq is not None and file is not None:
                n_asked = sum(isinstance(item, Asked) and _places(item) for item in file.evidence)
                known = self._sent_ns.get(order.seq, [])[-n_asked:] if n_asked else []
                placements[order.seq] = [0] * (n_asked - len(known)) + known
        return placements

    def on_changes(self, changes: Sequence[AccountChange]) -> None:
        """Note what is committed for sending, and when; a listener of the order manager."""
        for change in changes:
            if not isinstance(change, OrderMoved) or change.old_status is OrderStatus.SENDING:
                continue
            order = change.order
            if order.status is not OrderStatus.SENDING:
                continue
            if order.seq is not None:
                self._sent_ns.setdefault(order.seq, []).append(self._clock.now_ns())
            if order.effect is Effect.OPEN and self._orders.state is LiveState.HALTED:
                self._sent_when_halted.append(order.key)


def _places(item: Asked) -> bool:
    return item.kind in (AttemptKind.PLACE, AttemptKind.CLOSE)
