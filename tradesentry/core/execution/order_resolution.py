"""Find out what became of orders whose outcome is not known, by evidence alone.

An order in flight is resolved by the venue's events; where those are complete and silent, NOT_PLACED needs all of J7:
the command is over, its horizon has passed, a complete reading of the events that began after that, nothing found by
its id, and no trade on the instrument that nobody explains. An exit is an absolute target: once the events are complete
the trade itself says whether it was reached, and it may be asked for again.
"""

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.live_account import AccountChange, LiveOrder
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.live_orders import Evidence as Source
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution.order_desk import OrderDesk
from tradesentry.core.execution.order_file import OrderFile
from tradesentry.core.execution.order_followup import OrderFollowUp
from tradesentry.core.execution.order_status import (
    CHANGES,
    IN_FLIGHT,
    WORKING,
    Answer,
    Answered,
    Asked,
    Claimed,
    DeniedHere,
    Evidence,
    answer_to,
    place_attempt,
)


class OrderResolver:
    """Resolves the orders of one account.

    Args:
        desk: Of the account.
        follow_up: Asks for exits again.
    """

    def __init__(self, desk: OrderDesk, follow_up: OrderFollowUp) -> None:
        self._desk, self._follow_up = desk, follow_up

    def pending(self) -> list[LiveOrder]:
        """Return the orders that evidence is wanted for."""
        return [order for order in self._desk.book.open_orders.values() if order.seq is not None and self._wants(order)]

    def _wants(self, order: LiveOrder) -> bool:
        desk = self._desk
        if order.seq is None or desk.sender.is_under_way(order.seq):
            return False
        if order.status in IN_FLIGHT or order.status in (OrderStatus.CANCELING, OrderStatus.REPLACING):
            return True
        is_market = order.type is OrderType.MARKET and order.status is OrderStatus.ACCEPTED
        return is_market and self._age(order) > desk.settings.fill_poll_seconds

    async def mark_found(self) -> list[AccountChange]:
        """Treat what an earlier owner was sending as unknown; entries it never sent are over, exits go on."""
        desk = self._desk
        found: list[tuple[str, Evidence]] = []
        for order in tuple(desk.book.open_orders.values()):
            file = desk.book.file(order.key)
            if order.seq is None or file is None or desk.sender.is_under_way(order.seq):
                continue
            asked = place_attempt(file.evidence)
            if order.status is OrderStatus.SENDING and asked is not None:
                found.append((order.key, Answered(asked.attempt, Answer.UNKNOWN, "owner_changed")))
            elif order.status is OrderStatus.NEW and order.effect is Effect.REDUCE:
                desk.spawn(f"exit {order.seq} again", self._again(order.key))
            elif order.status is OrderStatus.NEW:
                found.append((order.key, DeniedHere("never_sent")))
        return await self._note(found, None)

    async def resolve(self, *, caught_up_at: float) -> list[AccountChange]:
        """Note what is proven about orders in flight.

        Args:
            caught_up_at: Monotonic time at which the complete reading of the events began.
        """
        changes: list[AccountChange] = []
        for order in self.pending():
            file = self._desk.book.file(order.key)
            if file is None or file.plan is None:
                continue
            if order.status in IN_FLIGHT:
                changes += await self._in_flight(order, file, caught_up_at)
            elif order.status in WORKING:
                changes += await self._change(order, file, caught_up_at)
        return changes

    # One order

    async def _in_flight(self, order: LiveOrder, file: OrderFile, caught_up_at: float) -> list[AccountChange]:
        asked = place_attempt(file.evidence)
        if asked is None:
            return []
        if order.effect is Effect.REDUCE:
            return await self._exit(order, file, asked, caught_up_at)
        report = await self._desk.broker.find_order(order.key)
        if report is not None:
            return await self._found(order, asked, report)
        if not self._is_past(order, asked, caught_up_at) or self._has_stranger(order, asked):
            return []
        return await self._note([(order.key, Answered(asked.attempt, Answer.ABSENT, "absent"))], Source.INFERRED)

    async def _found(self, order: LiveOrder, asked: Asked, report: OrderReport) -> list[AccountChange]:
        """Note that the venue has the order; what became of it is in the events that are read next."""
        found: list[tuple[str, Evidence]] = [(order.key, Claimed(report.venue_order_id))]
        if report.status is OrderStatus.REJECTED:
            found.append((order.key, Answered(asked.attempt, Answer.REFUSED, report.reason or "rejected")))
        else:
            found.append((order.key, Answered(asked.attempt, Answer.ACCEPTED, "found")))
        return await self._note(found, Source.POLL)

    async def _exit(self, order: LiveOrder, file: OrderFile, asked: Asked, caught_up_at: float) -> list[AccountChange]:
        desk, plan = self._desk, file.plan
        if plan is None:
            return []
        remaining = plan.remaining_units if plan.remaining_units is not None else ZERO
        trade = desk.book.trade(plan.intent.trade_ref or "")
        if trade is None or trade.units <= remaining:
            reached = Answered(asked.attempt, Answer.DONE, "target_reached")
            return await self._note([(order.key, reached)], Source.INFERRED)
        if not self._is_past(order, asked, caught_up_at):
            return []
        absent = Answered(asked.attempt, Answer.RETRY, "absent")
        if desk.n_exits(trade.trade_ref) >= desk.settings.max_exit_attempts:
            absent = Answered(asked.attempt, Answer.ABSENT, "absent")
            return await self._note([(order.key, absent)], Source.INFERRED)
        changes = await self._note([(order.key, absent)], Source.INFERRED)
        desk.spawn(f"exit {order.seq} again", self._again(order.key))
        return changes

    async def _again(self, key: str) -> None:
        file = self._desk.book.file(key)
        if file is not None and file.plan is not None:
            job = await self._follow_up.ask_exit(key, file.plan)
            if job is not None:
                await self._desk.sender.send(job)

    async def _change(self, order: LiveOrder, file: OrderFile, caught_up_at: float) -> list[AccountChange]:
        """Note changes that the complete events know nothing of, once nothing can come of them any more."""
        found: list[tuple[str, Evidence]] = []
        for item in file.evidence:
            if not isinstance(item, Asked) or item.kind not in CHANGES:
                continue
            answer = answer_to(file.evidence, item.attempt)
            is_open = answer is None or answer.answer is Answer.UNKNOWN
            if is_open and self._is_past(order, item, caught_up_at):
                found.append((order.key, Answered(item.attempt, Answer.ABSENT, "absent")))
        return await self._note(found, Source.INFERRED)

    # Proof

    def _age(self, order: LiveOrder) -> float:
        at = max((at for (seq, _), at in self._desk.store.sent_ns.items() if seq == order.seq), default=0)
        return self._desk.seconds_since(at)

    def _is_past(self, order: LiveOrder, asked: Asked, caught_up_at: float) -> bool:
        """Say whether a complete reading of the events began after the horizon of a request."""
        desk = self._desk
        if order.seq is None or desk.sender.is_under_way(order.seq, asked.attempt) or desk.book.has_hole:
            return False
        sent_ns = desk.store.sent_ns.get((order.seq, asked.attempt))
        if sent_ns is None:
            sent_ns = desk.store.sent_ns[order.seq, asked.attempt] = desk.clock.now_ns()
        age_then = desk.seconds_since(sent_ns) - (desk.clock.monotonic() - caught_up_at)
        return age_then >= desk.broker.capabilities.absence_horizon_seconds

    def _has_stranger(self, order: LiveOrder, asked: Asked) -> bool:
        """Say whether a trade that no event explains may be this order's.

        Where an event told of its opening it told whose order that was, so a trade made by hand stands in nobody's way.
        """
        book = self._desk.book
        since = self._desk.store.sent_ns.get((order.seq or 0, asked.attempt), 0)
        return any(
            trade.key is None and trade.entry_ts_ns >= since and not book.is_explained(trade.trade_ref)
            for trade in book.trades.values()
            if (trade.symbol, trade.side) == (order.symbol, order.side)
        )

    async def _note(self, found: list[tuple[str, Evidence]], source: Source | None) -> list[AccountChange]:
        if not found:
            return []
        async with self._desk.store.writing() as writing:
            for key, item in found:
                writing.note(key, item, source=source)
        return writing.changes
