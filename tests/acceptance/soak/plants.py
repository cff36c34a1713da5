"""The faults of the mutants: each function breaks one rule in the product's own code, in this process for good."""

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tradesentry.core.broker.base_broker import CommandStamp, OrderRequest, TradeRef, Unknown
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.domain.live_account import Cancel, Enter, Protect, Reduce
from tradesentry.core.domain.live_orders import OrderStatus, client_order_id
from tradesentry.core.execution import order_changes, order_file
from tradesentry.core.execution.account_book import AccountBook
from tradesentry.core.execution.order_batch import Batch
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_protection import TradeGuard
from tradesentry.core.execution.order_requests import Place
from tradesentry.core.execution.order_resolution import OrderResolver
from tradesentry.core.execution.order_sending import OrderSender
from tradesentry.core.execution.order_status import Answer, Answered, Standing, answer_to, place_attempt
from tradesentry.database.repositories import journal, journal_transaction
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.repositories.journal_transaction import PostgresTransaction

BOOK_SECONDS: Final = 1.0


def resend() -> None:
    """M1: ask once, and send the same entry again when nothing is found."""
    call = OrderSender._call

    async def calling(self: OrderSender, command: Any) -> Any:
        outcome = await call(self, command)
        if not (isinstance(command, Place) and isinstance(outcome, Unknown)):
            return outcome
        found = await self._broker.find_order(command.request.client_order_id)
        return outcome if found is not None else await call(self, command)

    OrderSender._call = calling  # type: ignore[method-assign]


def refuse_silence() -> None:
    """M3: an order whose outcome is unknown is over, whatever the venue says later."""
    stand = order_file.stand

    def standing(evidence: Any, units: Decimal) -> Standing:
        placed = place_attempt(evidence)
        answer = None if placed is None else answer_to(evidence, placed.attempt)
        silent = [i for i in evidence if isinstance(i, Answered) and i.answer is Answer.UNKNOWN]
        if answer is not None and silent:
            return Standing(OrderStatus.REJECTED, "timeout", units)
        return stand(evidence, units)

    order_file.stand = standing


def jump() -> None:
    """M4: the newest number of a page is the cursor."""
    heard = AccountBook._heard

    def hearing(self: AccountBook, event: Any) -> bool:
        known = heard(self, event)
        self._set(self._through, event.log_id, max(event.seq, self._through.get(event.log_id, 0)))
        self._set(self._beyond, event.log_id, {})
        return known

    AccountBook._heard = hearing  # type: ignore[method-assign]
    contiguous = "coalesce((SELECT max(e.seq) FROM e, c WHERE e.seq = c.since + e.n), (SELECT since FROM c))"
    newest = "greatest((SELECT max(e.seq) FROM e), (SELECT since FROM c))"
    journal_transaction._CURSOR = journal_transaction._CURSOR.replace(contiguous, newest)  # type: ignore[misc]


def count_again() -> None:
    """M5: an event that comes again is a new one."""
    AccountBook.has_heard = lambda self, event: False  # type: ignore[method-assign,assignment]
    add_fills = PostgresTransaction.add_fills

    async def adding(self: PostgresTransaction, fills: Any) -> Any:
        return await add_fills(self, [replace(fill, leg=time.time_ns() // 1_000) for fill in fills])

    PostgresTransaction.add_fills = adding  # type: ignore[method-assign]


def unfenced() -> None:
    """M6: whoever has a connection may write, under the epoch of the day."""
    transaction = PostgresJournal._transaction
    proof = "AND owner = $2 AND epoch = $3 AND lease_until > now()"
    ours = "AND ($2::text IS NOT NULL OR $3::bigint IS NOT NULL)"
    effect, fenced = journal._EFFECT.replace(proof, ours), journal._FENCED.replace(proof, ours)

    def beginning(self: PostgresJournal, lease: Any, opening: str, commit: str) -> Any:
        return _Today(self, lease, transaction, effect if opening == journal._EFFECT else fenced, commit)

    PostgresJournal._transaction = beginning  # type: ignore[method-assign,assignment]


class _Today:
    """A transaction under the newest epoch, whoever owns it."""

    def __init__(self, own: PostgresJournal, lease: Any, begin: Any, opening: str, commit: str) -> None:
        self._own, self._lease, self._begin, self._how = own, lease, begin, (opening, commit)

    async def __aenter__(self) -> Any:
        query = "SELECT epoch FROM account_leases WHERE account_id = $1"
        rows = await self._own._fetch(query, self._lease.account_id)
        self._inner = self._begin(self._own, replace(self._lease, epoch=rows[0]["epoch"]), *self._how)
        return await self._inner.__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        return await self._inner.__aexit__(*error)


def forget_sending() -> None:
    """M7: what an old owner was sending counts as not placed."""
    mark_found = OrderResolver.mark_found

    async def marking(self: OrderResolver) -> Any:
        found = []
        for order in tuple(self._desk.book.open_orders.values()):
            file = self._desk.book.file(order.key)
            asked = None if file is None else place_attempt(file.evidence)
            if order.status in (OrderStatus.SENDING, OrderStatus.UNKNOWN) and asked is not None:
                found.append((order.key, Answered(asked.attempt, Answer.ABSENT, "owner_changed")))
        return [*await self._note(found, None), *await mark_found(self)]

    OrderResolver.mark_found = marking  # type: ignore[method-assign]


def lazy_commit() -> None:
    """M8: the commit before the first byte does not wait for the disk."""

    def effect(self: PostgresJournal, lease: Any) -> Any:
        return self._transaction(lease, journal._EFFECT, "off")

    PostgresJournal.effect = effect  # type: ignore[method-assign]


def careless() -> None:
    """M9: what cannot be journaled is sent all the same."""
    submit = OrderManager.submit

    async def submitting(self: OrderManager, wishes: Any, **how: Any) -> Any:
        try:
            return await submit(self, wishes, **how)
        except JournalUnavailable:
            await asyncio.gather(*(_send(self, wish) for wish in wishes))
            raise

    OrderManager.submit = submitting  # type: ignore[method-assign]


async def _send(orders: OrderManager, wish: Any) -> None:
    broker, book = orders.desk.broker, orders.book
    stamp = CommandStamp(orders.desk.lease.epoch)
    trade = book.trade(getattr(wish, "trade_ref", ""))
    if isinstance(wish, Enter):
        key = client_order_id(orders.desk.lease.instance, time.time_ns() % (1 << 40) + (1 << 41))
        asked = OrderRequest(
            key, wish.symbol, wish.side, wish.units, wish.type, wish.stop_loss, price=wish.price, stamp=stamp
        )
        await broker.place_order(asked)
    elif isinstance(wish, Reduce) and trade is not None:
        await broker.close_trade(TradeRef(trade.trade_ref, trade.symbol, stamp), remaining_units=wish.remaining_units)
    elif isinstance(wish, Protect) and trade is not None:
        ref = TradeRef(trade.trade_ref, trade.symbol, stamp)
        await broker.set_protection(ref, stop_loss=wish.stop_loss, take_profit=None)
    elif isinstance(wish, Cancel):
        order = next((order for order in book.orders.values() if order.seq == wish.seq), None)
        if order is not None:
            await broker.cancel_order(replace(order_changes.order_ref(order), stamp=stamp))


def drop_late_fills() -> None:
    """M10: a fill of an order that was canceled is not booked."""
    fold_fill, add_fills = AccountBook._fold_fill, PostgresTransaction.add_fills
    dropped: set[tuple[str, int]] = set()

    def folding(self: AccountBook, fill: Any, facts: Any, key: Any, source: Any) -> Any:
        owner = self._owner(fill.client_order_id, fill.venue_order_id)
        order = self._live_orders.get(owner or "")
        if order is not None and order.status is OrderStatus.CANCELED:
            dropped.add((fill.fill_id, fill.leg))
            return []
        return fold_fill(self, fill, facts, key, source)

    async def adding(self: PostgresTransaction, fills: Any) -> Any:
        return await add_fills(self, [fill for fill in fills if (fill.fill_id, fill.leg) not in dropped])

    AccountBook._fold_fill = folding  # type: ignore[method-assign]
    PostgresTransaction.add_fills = adding  # type: ignore[method-assign]


def unguarded() -> None:
    """M11: nobody looks whether a trade still has its stop."""

    async def guarding(self: TradeGuard, trade_ref: str, stop_loss: float | None) -> None:
        del self, trade_ref, stop_loss

    TradeGuard.guard = guarding  # type: ignore[method-assign]


def stale_book() -> None:
    """M12: the headroom is read before the lock, and may be a second old."""
    lock_book = Batch.lock_book
    seen: dict[UUID, tuple[float, list[Any], Any]] = {}

    async def locking(self: Batch, writing: Any, *, without: int | None = None) -> None:
        account, now = self.desk.lease.account_id, time.monotonic()
        if account not in seen or now - seen[account][0] > BOOK_SECONDS:
            await lock_book(self, writing, without=without)
            seen[account] = (now, list(self._reserved), self._others)
        _, self._reserved, self._others = seen[account][0], list(seen[account][1]), seen[account][2]

    Batch.lock_book = locking  # type: ignore[method-assign]


def overtake() -> None:
    """M13: a stop is moved although an earlier move may still be executed."""
    order_changes._unsettled_refuses = lambda batch, trade: None
