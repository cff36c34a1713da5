"""Read off a book what the kernels changed in it, as wishes for the order manager.

Kernels tell nothing: they queue intents, rest orders, remove them, move stops. What they did for one intent is the
difference between the book before and after it, so each wish keeps its place in the order of precedence that they
chose, and an entry made and taken back at the same instant is no wish at all.
"""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from tradesentry.core.domain.live_account import Amend, Cancel, Enter, Protect, Reduce, Wish
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import Action, ExitReason, OrderType, Side
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.live_books import LiveBook, Resting, ticket_text


class Lane(Protocol):
    """What a wish says of its lane."""

    @property
    def run(self) -> UUID:
        """The live run."""

    @property
    def symbol(self) -> str:
        """The market."""

    @property
    def strategy(self) -> type[BaseStrategy]:
        """The strategy."""


def _price(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


class LaneWishes:
    """The wishes of one strategy on one market.

    Args:
        lane: Names run, symbol and strategy.
        book: Its book.
    """

    def __init__(self, lane: Lane, book: LiveBook) -> None:
        self._lane, self._live = lane, book
        self._wishes: list[Wish] = []
        self._numbers: dict[int, int] = {}
        """Number of the row by `Enter.number`, of this instant."""
        self.closing: dict[str, Decimal] = {}
        """Remaining units that the venue has been asked for, by trade."""

    def begin(self) -> None:
        """Start an instant: note what limits and blackouts took back before any intent was carried out."""
        self._wishes, self._numbers = [], {}
        self.closing = {ref: left for ref, left in self.closing.items() if ref in self._live.trades}
        self._read_withdrawn("limits")
        self._read_flatten()

    def read(self, intent: Any) -> None:
        """Note what an intent changed that has just been carried out.

        Args:
            intent: INTENT with units, risk and rounded prices.
        """
        action = int(intent.action)
        if action == Action.ENTER:
            self._read_entry(intent)
        elif action == Action.CLOSE:
            self._read_close(intent)
            self._live.clear_sent_closes()
        elif action == Action.MODIFY:
            self._read_stops()
        self._read_withdrawn("strategy")

    def end(self) -> tuple[Wish, ...]:
        """Return the wishes of the instant in their order."""
        return tuple(self._wishes)

    def confirm(self, number: int, seq: int) -> None:
        """Say that an entry was sent as order `seq`."""
        row = self._numbers.get(number)
        if row is not None and row in self._live.entries:
            self._live.entries[row].seq = seq

    def refuse(self, number: int) -> None:
        """Say that an entry will never be sent."""
        row = self._numbers.get(number)
        if row is not None:
            self._live.drop(row)

    # Reading the book

    def _read_entry(self, intent: Any) -> None:
        live = self._live
        if int(intent.type) == OrderType.MARKET:
            new = next((row for row in live.queue if row.action == Action.ENTER and row.target_id == 0), None)
            if new is None:
                return
            live.account.next_id += 1
            new.target_id = row_number = int(live.account.next_id)
        else:
            ids = [int(row.id) for row in live.orders if int(row.id) not in live.entries]
            if not ids:
                return
            row_number = ids[0]
        number = len(self._numbers)
        self._numbers[number] = row_number
        is_queued = int(intent.type) == OrderType.MARKET
        live.entries[row_number] = Resting(None, is_queued, float(intent.stop_loss), float(intent.take_profit))
        self._wishes.append(self._entry(intent, number))

    def _entry(self, intent: Any, number: int) -> Enter:
        lane = self._lane
        tag = int(intent.tag)
        group = int(intent.group)
        return Enter(
            symbol=lane.symbol,
            side=Side(int(intent.side)),
            units=decimal_of(float(intent.units)),
            type=OrderType(int(intent.type)),
            stop_loss=float(intent.stop_loss),
            price=None if int(intent.type) == OrderType.MARKET else float(intent.price),
            take_profit=_price(intent.take_profit),
            expires_ts_ns=int(intent.expiry_ns),
            reference_price=_price(intent.signal_price),
            group=f"{lane.run.hex[:8]}-{lane.symbol}-{group}" if group else None,
            risk=decimal_of(float(intent.risk_money)),
            tag=lane.strategy.TAGS.get(tag, str(tag)),
            ticket=ticket_text(intent, self._live.place),
            number=number,
        )

    def _read_close(self, intent: Any) -> None:
        remaining = float(intent["size"])
        reason = ExitReason(int(intent.reason)).name.lower() if intent.reason > 0 else "strategy"
        for row in self._live.positions:
            is_meant = row.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, row.basket)
            if is_meant and intent.side in (0, row.side) and row.units - remaining > 0.0:
                self._reduce(row, decimal_of(remaining), reason)

    def _reduce(self, row: Any, remaining: Decimal, reason: str) -> None:
        ref = self._live.trade_of(int(row.id))
        if ref is None or self.closing.get(ref, Decimal("Infinity")) <= remaining:
            return
        self.closing[ref] = remaining
        self._wishes.append(Reduce(ref, remaining, reason))

    def _read_flatten(self) -> None:
        book = self._live.book
        if book.flatten_reason == 0:
            return
        reason = ExitReason(int(book.flatten_reason)).name.lower()
        for row in self._live.positions:
            self._reduce(row, ZERO, reason)
        book.flatten_reason = 0

    def _read_withdrawn(self, reason: str) -> None:
        live = self._live
        present = {int(row.id) for row in live.orders} | {int(row.target_id) for row in live.queue}
        for row_number in [number for number in live.entries if number not in present]:
            entry = live.entries.pop(row_number)
            if entry.seq is not None:
                self._wishes.append(Cancel(entry.seq, reason))
                continue
            # Made and taken back at once: it was never sent.
            made = {row: number for number, row in self._numbers.items()}.get(row_number)
            self._wishes = [w for w in self._wishes if not (isinstance(w, Enter) and w.number == made)]

    def _read_stops(self) -> None:
        live = self._live
        for row in live.positions:
            stop, target = live.stops[int(row.id)]
            ref = live.trade_of(int(row.id))
            moved = _moved(stop, float(row.stop_loss)), _moved(target, float(row.take_profit))
            if ref is not None and moved != (None, None):
                self._wishes.append(Protect(ref, *moved))
                live.stops[int(row.id)] = (float(row.stop_loss), float(row.take_profit))
        for row in live.orders:
            entry = live.entries[int(row.id)]
            moved = _moved(entry.stop_loss, float(row.stop_loss)), _moved(entry.take_profit, float(row.take_profit))
            if moved == (None, None):
                continue
            entry.stop_loss, entry.take_profit = float(row.stop_loss), float(row.take_profit)
            if entry.seq is not None:
                self._wishes.append(Amend(entry.seq, *moved))
            else:
                self._rewrite(int(row.id), entry)

    def _rewrite(self, row_number: int, entry: Resting) -> None:
        """Give an entry that is not sent yet the terms that it has now."""
        made = {row: number for number, row in self._numbers.items()}.get(row_number)
        self._wishes = [
            replace(w, stop_loss=entry.stop_loss, take_profit=_price(entry.take_profit))
            if isinstance(w, Enter) and w.number == made
            else w
            for w in self._wishes
        ]


def _moved(before: float, after: float) -> float | None:
    """Return the new price when it is one and differs."""
    return after if math.isfinite(after) and after != before else None
