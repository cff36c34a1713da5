"""The journal in memory: the same promises as the database's, for one process, gone with it.

One transaction at a time; each write leaves a way back, so an error inside a transaction leaves nothing behind. Time is
a function given by the caller, so that leases expire when a test says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from tradesentry.core.domain.events import BrokerEvent, Fill
from tradesentry.core.domain.live_orders import OrderIntent, OrderStatus, client_order_id
from tradesentry.core.execution.journal_messages import already_sent, duplicate_decision, lease_lost, unknown_order
from tradesentry.core.execution.journal_port import JournalTransaction
from tradesentry.core.execution.journal_rows import (
    MAX_INSTANCE,
    NS_PER_SECOND,
    AccountJournal,
    AccountRecord,
    Attempt,
    AttemptKind,
    BookAccount,
    Claim,
    Durability,
    EquityRecord,
    Lease,
    OrderRecord,
    PositionRecord,
    Reservation,
    SavedState,
    StoredIntent,
    Transition,
)


@dataclass(slots=True)
class _Account:
    """All rows of one account."""

    account_id: UUID
    user_id: UUID
    broker: str
    environment: str
    instance: int
    is_wanted: bool = True
    owner: str | None = None
    epoch: int = 0
    until_ns: int | None = None
    seq: int = 0
    log_id: str | None = None
    intents: dict[int, StoredIntent] = field(default_factory=dict)
    attempts: dict[tuple[int, int], Attempt] = field(default_factory=dict)
    transitions: dict[tuple[int, int], Transition] = field(default_factory=dict)
    events: dict[tuple[str, int], BrokerEvent] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    fills: dict[tuple[str, int], Fill] = field(default_factory=dict)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    positions: dict[str, PositionRecord] = field(default_factory=dict)
    reservations: dict[int, Reservation] = field(default_factory=dict)
    states: dict[tuple[UUID, str], SavedState] = field(default_factory=dict)
    equity: dict[int, EquityRecord] = field(default_factory=dict)
    account: dict[str, AccountRecord] = field(default_factory=dict)
    """One entry, `now`."""
    history: list[AccountRecord] = field(default_factory=list)


class MemoryJournal:
    """A journal for one process.

    Args:
        now_ns: The clock that leases are judged by, ns UTC.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._accounts: dict[UUID, _Account] = {}
        self._decided: dict[tuple[str, int, int], int] = {}
        self.outbox: list[dict[str, Any]] = []
        self._lock = asyncio.Lock()

    def link(self, *, user_id: UUID | None = None, broker: str = "paper", environment: str = "paper") -> UUID:
        """Add a wanted account and return its id."""
        account_id = uuid4()
        instance = (len(self._accounts) * 7_919 + 1) % (MAX_INSTANCE + 1)
        self._accounts[account_id] = _Account(account_id, user_id or uuid4(), broker, environment, instance)
        return account_id

    def want(self, account_id: UUID, is_wanted: bool) -> None:
        """Say whether an account is to be traded."""
        self._accounts[account_id].is_wanted = is_wanted

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        ttl_seconds: float,
        reclaim: bool = False,
        brokers: Sequence[str] | None = None,
        accounts: Sequence[UUID] | None = None,
    ) -> list[Claim]:
        """Take accounts that are wanted and free."""
        now = self._now_ns()
        claims: list[Claim] = []
        for rows in sorted(self._accounts.values(), key=lambda rows: rows.account_id):
            is_free = rows.owner is None or (rows.until_ns or 0) < now or (reclaim and rows.owner == owner)
            if accounts is not None and rows.account_id not in accounts:
                continue
            if len(claims) == limit or not (rows.is_wanted and is_free) or (brokers and rows.broker not in brokers):
                continue
            old_owner, old_until_ns = rows.owner, rows.until_ns
            rows.owner, rows.epoch, rows.until_ns = owner, rows.epoch + 1, now + round(ttl_seconds * NS_PER_SECOND)
            lease = Lease(
                rows.account_id, rows.user_id, owner, rows.epoch, rows.instance, rows.broker, rows.environment
            )
            claims.append(Claim(lease, rows.seq, old_owner, old_until_ns, now))
        return claims

    async def renew(self, owner: str, leases: Sequence[Lease], *, ttl_seconds: float) -> set[UUID]:
        """Prolong leases whose epoch is the newest."""
        renewed = set()
        for lease in leases:
            rows = self._accounts[lease.account_id]
            if rows.owner == owner and rows.epoch == lease.epoch:
                rows.until_ns = self._now_ns() + round(ttl_seconds * NS_PER_SECOND)
                renewed.add(lease.account_id)
        return renewed

    async def release(self, lease: Lease) -> bool:
        """Give an account back."""
        rows = self._accounts[lease.account_id]
        if rows.owner != lease.owner or rows.epoch != lease.epoch:
            return False
        rows.owner = None
        return True

    def turn(self, lease: Lease) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        """Wait for nobody: transactions follow one another anyway."""
        return nullcontext()

    def effect(self, lease: Lease) -> AbstractAsyncContextManager[JournalTransaction]:
        """Begin a transaction that may place an order."""
        return self._transaction(lease, allocates=True)

    def fenced(
        self,
        lease: Lease,
        *,
        is_durable: bool = True,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[JournalTransaction]:
        """Begin a transaction that places nothing."""
        return self._transaction(lease, allocates=False)

    @asynccontextmanager
    async def _transaction(self, lease: Lease, *, allocates: bool) -> AsyncIterator[JournalTransaction]:
        async with self._lock:
            rows = self._owned(lease)
            transaction = _MemoryTransaction(self, rows, lease)
            if allocates:
                transaction.set_field("seq", rows.seq + 1)
            try:
                yield transaction
            except BaseException:
                transaction.roll_back()
                raise

    def _owned(self, lease: Lease) -> _Account:
        rows = self._accounts[lease.account_id]
        is_current = rows.owner == lease.owner and rows.epoch == lease.epoch
        if not is_current or (rows.until_ns or 0) <= self._now_ns():
            raise lease_lost(lease)
        return rows

    async def read_account(self, lease: Lease) -> AccountJournal:
        """Return all that recovery starts from."""
        rows = self._accounts[lease.account_id]
        orders = [order for order in rows.orders.values() if not order.status.is_terminal]
        open_seqs = {order.seq for order in orders}
        return AccountJournal(
            account=rows.account.get("now"),
            log_id=rows.log_id,
            cursor=rows.cursors.get(rows.log_id or "", 0),
            orders=sorted(orders, key=lambda order: order.order_key),
            attempts=[attempt for (seq, _), attempt in sorted(rows.attempts.items()) if seq in open_seqs],
            positions=[rows.positions[ref] for ref in sorted(rows.positions) if rows.positions[ref].units],
            reservations=[rows.reservations[seq] for seq in sorted(rows.reservations)],
        )

    async def read_intent(self, lease: Lease, client_order_id: str) -> StoredIntent | None:
        """Return an intent by its client order id."""
        stored = self._accounts[lease.account_id].intents.values()
        return next((intent for intent in stored if intent.client_order_id == client_order_id), None)

    async def read_files(
        self, lease: Lease, order_keys: Sequence[str], trade_refs: Sequence[str]
    ) -> tuple[list[OrderRecord], list[PositionRecord]]:
        """Return orders and trades by their keys."""
        rows = self._accounts[lease.account_id]
        orders = [rows.orders[key] for key in sorted(set(order_keys)) if key in rows.orders]
        return orders, [rows.positions[ref] for ref in sorted(set(trade_refs)) if ref in rows.positions]

    async def read_events(self, lease: Lease, log_id: str, *, after: int, limit: int) -> list[BrokerEvent]:
        """Return events with a higher number, in order."""
        events = self._accounts[lease.account_id].events
        keys = sorted(key for key in events if key[0] == log_id and key[1] > after)
        return [events[key] for key in keys[:limit]]

    async def read_fills(self, lease: Lease) -> list[Fill]:
        """Return all fills of an account, oldest first."""
        fills = self._accounts[lease.account_id].fills.values()
        return sorted(fills, key=lambda fill: (fill.ts_ns, fill.fill_id, fill.leg))

    async def read_state(self, lease: Lease, run_id: UUID, market: str) -> SavedState | None:
        """Return a strategy's saved memory."""
        return self._accounts[lease.account_id].states.get((run_id, market))

    async def durability(self) -> Durability:
        """Nothing here survives the process."""
        return Durability(fsync=False, full_page_writes=False)

    def book(self, user_id: UUID, environment: str) -> list[Reservation]:
        """Return the open reservations of a user in one environment."""
        books = [rows for rows in self._accounts.values() if (rows.user_id, rows.environment) == (user_id, environment)]
        return [reservation for rows in books for reservation in rows.reservations.values()]


class _MemoryTransaction:
    """Writes to one account, each with its way back."""

    def __init__(self, journal: MemoryJournal, rows: _Account, lease: Lease) -> None:
        self._journal = journal
        self._rows = rows
        self._lease = lease
        self._undo: list[Callable[[], object]] = []

    @property
    def lease(self) -> Lease:
        return self._lease

    @property
    def seq(self) -> int:
        return self._rows.seq

    @property
    def client_order_id(self) -> str:
        return client_order_id(self._lease.instance, self.seq)

    def roll_back(self) -> None:
        """Undo all writes, the last one first."""
        while self._undo:
            self._undo.pop()()

    def set_field(self, name: str, value: object) -> None:
        """Set a field of the account's row."""
        old = getattr(self._rows, name)
        self._undo.append(lambda: setattr(self._rows, name, old))
        setattr(self._rows, name, value)

    def _put(self, table: dict[Any, Any], key: object, value: object) -> None:
        """Set an entry of a table; `Any` because each table has its own key."""
        if key in table:
            old = table[key]
            self._undo.append(lambda: table.__setitem__(key, old))
        else:
            self._undo.append(lambda: table.pop(key, None))
        table[key] = value

    async def allocate(self) -> str:
        self.set_field("seq", self._rows.seq + 1)
        return self.client_order_id

    async def raise_seq(self, least: int) -> None:
        self.set_field("seq", max(least, self._rows.seq))

    async def lock_book(self) -> Sequence[Reservation]:
        return self._journal.book(self._rows.user_id, self._rows.environment)

    async def read_book(self) -> Sequence[BookAccount]:
        rows, found = self._rows, []
        for other in self._journal._accounts.values():
            if other is rows or (other.user_id, other.environment) != (rows.user_id, rows.environment):
                continue
            now = other.account.get("now")
            positions = tuple(other.positions[ref] for ref in sorted(other.positions) if other.positions[ref].units)
            equity, as_of_ns = (None, 0) if now is None else (now.equity, now.as_of_ns)
            found.append(BookAccount(other.account_id, "", equity, as_of_ns, positions))
        return sorted(found, key=lambda account: account.account_id)

    async def add_intent(self, intent: OrderIntent, *, risk: Mapping[str, Any]) -> str:
        if intent.run is not None and intent.bar_close_ns:
            key = (intent.run, intent.bar_close_ns, intent.intent_index)
            if key in self._journal._decided:
                raise duplicate_decision(intent)
            self._put(self._journal._decided, key, self.seq)
        stored = StoredIntent(replace(intent, seq=self.seq), self.client_order_id, self._lease.epoch, dict(risk))
        self._put(self._rows.intents, self.seq, stored)
        await self.add_transition(self.seq, Transition(None, OrderStatus.NEW, "decided"))
        return stored.client_order_id

    async def add_attempt(self, seq: int, kind: AttemptKind, request: Mapping[str, Any]) -> int:
        self._known(seq)
        if kind is AttemptKind.PLACE and self._last(seq).to_status is not OrderStatus.NEW:
            raise already_sent(seq)
        number = 1 + sum(1 for other, _ in self._rows.attempts if other == seq)
        attempt = Attempt(seq, number, kind, dict(request), self._journal._now_ns())
        self._put(self._rows.attempts, (seq, number), attempt)
        return number

    async def add_transition(self, seq: int, transition: Transition) -> int:
        self._known(seq)
        number = 1 + sum(1 for other, _ in self._rows.transitions if other == seq)
        self._put(self._rows.transitions, (seq, number), transition)
        return number

    def _known(self, seq: int) -> None:
        if seq not in self._rows.intents:
            raise unknown_order(seq)

    def _last(self, seq: int) -> Transition:
        number = max(n for other, n in self._rows.transitions if other == seq)
        return self._rows.transitions[seq, number]

    async def add_events(self, events: Sequence[BrokerEvent]) -> list[BrokerEvent]:
        new = []
        for event in events:
            if (event.log_id, event.seq) not in self._rows.events:
                self._put(self._rows.events, (event.log_id, event.seq), event)
                new.append(event)
        return new

    async def advance_cursor(self, log_id: str, *, start: int = 0) -> int:
        cursor = max(start, self._rows.cursors.get(log_id, 0))
        while (log_id, cursor + 1) in self._rows.events:
            cursor += 1
        self._put(self._rows.cursors, log_id, cursor)
        self.set_field("log_id", log_id)
        return cursor

    async def add_fills(self, fills: Sequence[Fill]) -> list[Fill]:
        new = []
        for fill in fills:
            if (fill.fill_id, fill.leg) not in self._rows.fills:
                self._put(self._rows.fills, (fill.fill_id, fill.leg), fill)
                new.append(fill)
        return new

    async def put_order(self, order: OrderRecord) -> None:
        self._put(self._rows.orders, order.order_key, order)

    async def put_changes(
        self,
        steps: Sequence[tuple[int, Transition]],
        *,
        orders: Sequence[OrderRecord],
        positions: Sequence[PositionRecord],
        released: Sequence[int],
    ) -> None:
        for seq, transition in steps:
            await self.add_transition(seq, transition)
        for order in orders:
            await self.put_order(order)
        for position in positions:
            await self.put_position(position)
        for seq in released:
            await self.release_reservation(seq)

    async def put_position(self, position: PositionRecord) -> None:
        self._put(self._rows.positions, position.trade_ref, position)

    async def reserve(self, reservation: Reservation) -> None:
        self._known(reservation.seq)
        self._put(self._rows.reservations, reservation.seq, reservation)

    async def release_reservation(self, seq: int) -> None:
        if seq in self._rows.reservations:
            old = self._rows.reservations.pop(seq)
            self._undo.append(lambda: self._rows.reservations.__setitem__(seq, old))

    async def put_account(self, account: AccountRecord) -> None:
        self._put(self._rows.account, "now", account)
        self._rows.history.append(account)
        self._undo.append(self._rows.history.pop)

    async def save_state(self, state: SavedState) -> None:
        self._put(self._rows.states, (state.run_id, state.market), state)

    async def add_equity(self, point: EquityRecord) -> None:
        if point.ts_ns not in self._rows.equity:
            self._put(self._rows.equity, point.ts_ns, point)

    async def announce(
        self, topic: str, subject: str, payload: Mapping[str, Any], *, dedupe_key: str | None = None
    ) -> None:
        row = {"topic": topic, "subject": subject, "payload": dict(payload), "dedupe_key": dedupe_key}
        self._journal.outbox.append(row)
        self._undo.append(self._journal.outbox.pop)
