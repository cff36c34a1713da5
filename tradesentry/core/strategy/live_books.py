"""Write what a venue did into the book of one strategy, so that its `step` sees what there really is.

The one place where a live trade or order becomes a POSITION or ORDER record. A record that a decision made stays until
the venue's word about it comes; what the venue ended is taken out, what it opened is put in, in the order in which it
happened. Sums over the day grow as in a back-test. No kernel: a change costs microseconds and is rare.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.errors import CapacityError
from tradesentry.core.domain.live_account import (
    AccountChange,
    LiveOrder,
    LiveTrade,
    MoneyMoved,
    OrderMoved,
    ProtectionMoved,
    SwapBooked,
    TradeOpened,
    TradeReduced,
)
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.orders import Action, ExitReason, OrderType, Status
from tradesentry.core.domain.records import INTENT, N_INTENTS, N_OUTCOMES, N_POSITIONS
from tradesentry.core.execution.book import add_order
from tradesentry.core.execution.reflect import loss_rate

WITHOUT_STOP_RANGES: Final = 4.0
"""A position without a stop counts as if its stop were four daily ranges away."""
UNKNOWN_RANGE: Final = 0.01
"""Daily range while it is not known, as a share of the price."""


SHARED: Final = 1 << 40
"""Groups and baskets of strategies that share a market at a venue lie this far apart."""


def ticket_of(text: str) -> Any:
    """Return the INTENT record that a ticket holds, its group and basket as the strategy numbers them."""
    ticket = np.frombuffer(bytes.fromhex(text), INTENT).copy().view(np.recarray)[0]
    for name in ("group", "basket"):
        if ticket[name] >= SHARED:
            ticket[name] %= SHARED
    return ticket


def ticket_text(intent: Any, place: int) -> str:
    """Return an INTENT record in hexadecimal.

    Args:
        intent: INTENT.
        place: Of the strategy among those on its market, from 0; keeps its groups and baskets apart from theirs.
    """
    ticket = np.array(intent)
    for name in ("group", "basket"):
        if ticket[name] > 0:
            ticket[name] += place * SHARED
    return ticket.tobytes().hex()


@dataclass(slots=True)
class Resting:
    """An entry that a book holds: its number in the journal, None while it has not been sent, and its terms."""

    seq: int | None
    is_queued: bool
    stop_loss: float
    take_profit: float


class LiveBook:
    """One BOOK and what its rows are called outside.

    Args:
        book: BOOK record.
        account: ACCOUNT record that the book shares with others.
        desk: DESK array, shape (1,).
        place: Among the books of strategies on the same symbol, from 0.
    """

    def __init__(self, book: Any, account: Any, desk: Any, place: int = 0) -> None:
        self.book, self.account, self._desk, self.place = book, account, desk, place
        self.entries: dict[int, Resting] = {}
        """By the number that the row carries: `ORDER.id`, or `INTENT.target_id` in the queue."""
        self.trades: dict[str, int] = {}
        """Position id by the venue's name of the trade."""
        self.stops: dict[int, tuple[float, float]] = {}
        """Stop and target that the venue has, by position id."""
        self.n_closed = 0
        """Trades closed since the book was made."""

    # Reading

    @property
    def positions(self) -> Any:
        """Open POSITION rows; writable."""
        return self.book.seen.positions[: int(self.book.seen.n_positions)]

    @property
    def orders(self) -> Any:
        """Resting ORDER rows; writable."""
        return self.book.seen.orders[: int(self.book.seen.n_orders)]

    @property
    def queue(self) -> Any:
        """Queued INTENT rows; writable."""
        return self.book.queue[: int(self.book.n_queue)]

    def trade_of(self, position_id: int) -> str | None:
        """Return what the venue calls a position."""
        return next((ref for ref, number in self.trades.items() if number == position_id), None)

    def number_of(self, seq: int) -> int | None:
        """Return the number of the row that holds order `seq` of the journal."""
        return next((number for number, entry in self.entries.items() if entry.seq == seq), None)

    def excursions(self, trade_ref: str) -> tuple[float, float, int]:
        """Return best and worst excursion of a trade, price units, and the bars closed since its entry, that included.

        Args:
            trade_ref: A trade of this book.
        """
        number = self.trades[trade_ref]
        row = next(row for row in self.positions if row.id == number)
        return float(row.mfe), float(row.mae), int(self.book.seen.bar_index - row.entry_bar) + 1

    # What the venue did

    def take(self, change: AccountChange) -> None:
        """Write one change.

        Raises:
            CapacityError: The book is full.
        """
        match change:
            case TradeOpened():
                self._open(change)
            case TradeReduced():
                self._reduce(change)
            case SwapBooked():
                self._swap(change)
            case ProtectionMoved():
                self._move_stop(change)
            case OrderMoved():
                self.show_order(change.order)
            case MoneyMoved():
                self.account.day_start_equity += float(change.amount)
                self.account.peak_equity += float(change.amount)

    def _open(self, change: TradeOpened) -> None:
        trade, fill = change.trade, change.fill
        fee = float(fill.commission)
        self.book.realized -= fee
        row = self._position(trade)
        if row is None:
            self.account.n_trades_today += 1
            self.show_trade(trade, commission=fee)
            return
        row.units, row.entry_price = float(trade.units), trade.entry_price
        row.initial_units = float(trade.initial_units)
        row.commission += fee

    def _reduce(self, change: TradeReduced) -> None:
        trade, fill = change.trade, change.fill
        row = self._position(trade)
        gross, fee = float(fill.realized), float(fill.commission)
        self.book.realized += gross - fee
        if row is None:
            return
        row.realized += gross
        row.commission += fee
        row.exit_value += float(fill.units) * fill.price
        row.units = float(trade.units)
        if trade.is_open:
            return
        if row.risk_money > 0.0:
            net = row.realized - row.commission + row.swap
            self.account.outcomes[int(self.account.n_outcomes) % N_OUTCOMES] = net / row.risk_money
            self.account.n_outcomes += 1
        self.n_closed += 1
        self._remove_position(trade.trade_ref)

    def _swap(self, change: SwapBooked) -> None:
        row, amount = self._position(change.trade), float(change.amount)
        if row is not None:
            row.swap += amount
        self.account.day_start_equity += amount
        self.book.realized += amount

    def _move_stop(self, change: ProtectionMoved) -> None:
        row = self._position(change.trade)
        if row is None:
            return
        price = change.new
        if change.which == "stop_loss":
            row.stop_loss = self._far_stop(change.trade) if price is None else price
        else:
            row.take_profit = math.nan if price is None else price
        self.stops[int(row.id)] = (float(row.stop_loss), float(row.take_profit))

    def show_order(self, order: LiveOrder) -> None:
        """Bring the row of an entry to what the venue says: gone, filled in part, or to be put back."""
        if order.effect is Effect.REDUCE or order.seq is None:
            return
        number = self.number_of(order.seq)
        if order.status.is_terminal:
            if number is not None:
                self.drop(number)
        elif number is None:
            if order.ticket:
                self._put_back(order)
        elif not self.entries[number].is_queued:
            for row in self.orders:
                if row.id == number:
                    row.units = float(order.units - order.filled_units)

    def show_trade(self, trade: LiveTrade, *, commission: float | None = None) -> None:
        """Put a trade into the book that is not in it yet.

        Args:
            trade: Open trade.
            commission: Charged for the entry; the trade's own when None.

        Raises:
            CapacityError: The book is full.
        """
        seen = self.book.seen
        if int(seen.n_positions) >= N_POSITIONS:
            raise _full("open positions", "N_POSITIONS")
        row = seen.positions[int(seen.n_positions)]
        seen.n_positions += 1
        self.account.next_id += 1
        row.id, row.market, row.side = self.account.next_id, self.book.market, int(trade.side)
        row.units, row.initial_units = float(trade.units), float(trade.initial_units)
        row.entry_price, row.entry_ns = trade.entry_price, trade.entry_ts_ns
        row.entry_bar, row.entry_settled, row.week_end_ns = seen.bar_index, self.book.settled, seen.clock.week_end_ns
        first = trade.stop_loss if trade.initial_stop is None else trade.initial_stop
        row.initial_stop = self._far_stop(trade) if first is None else first
        row.stop_loss = row.initial_stop if trade.stop_loss is None else trade.stop_loss
        row.take_profit = math.nan if trade.take_profit is None else trade.take_profit
        row.stop_reason = int(ExitReason.STOP_LOSS)
        row.commission = float(trade.commission) if commission is None else commission
        row.swap, row.realized, row.exit_value = float(trade.swap), float(trade.realized), trade.exit_value
        row.mae = row.mfe = row.slippage = row.spread_cost = 0.0
        row.n_partials, row.is_inside = 0, False
        rate = float(loss_rate(self._desk, int(self.book.market), trade.entry_price, trade.entry_ts_ns))
        row.risk_money = abs(trade.entry_price - float(row.initial_stop)) * float(row.initial_units) * rate
        row.basket, row.tag, row.cause = 0, 0, 0
        row.exits = np.zeros((), row.exits.dtype)
        if trade.ticket:
            ticket = ticket_of(trade.ticket)
            row.basket, row.tag, row.cause, row.exits = ticket.basket, ticket.tag, ticket.cause, ticket.exits
        self.trades[trade.trade_ref] = int(row.id)
        self.stops[int(row.id)] = (float(row.stop_loss), float(row.take_profit))

    def _far_stop(self, trade: LiveTrade) -> float:
        return trade.entry_price * (1.0 - int(trade.side) * WITHOUT_STOP_RANGES * UNKNOWN_RANGE)

    # Rows

    def _position(self, trade: LiveTrade) -> Any | None:
        number = self.trades.get(trade.trade_ref)
        return None if number is None else next((row for row in self.positions if row.id == number), None)

    def _remove_position(self, trade_ref: str) -> None:
        number = self.trades.pop(trade_ref)
        self.stops.pop(number, None)
        _take_out(self.book.seen.positions, self.book.seen, "n_positions", "id", number)

    def drop(self, number: int) -> None:
        """Take an entry out of the book, resting or queued."""
        entry = self.entries.pop(number, None)
        if entry is None:
            return
        if entry.is_queued:
            _take_out(self.book.queue, self.book, "n_queue", "target_id", number)
        else:
            _take_out(self.book.seen.orders, self.book.seen, "n_orders", "id", number)

    def _put_back(self, order: LiveOrder) -> None:
        intent = ticket_of(order.ticket)
        intent.units = float(order.units - order.filled_units)
        stop, target = order.stop_loss, order.take_profit
        intent.stop_loss = intent.stop_loss if stop is None else stop
        intent.take_profit = intent.take_profit if target is None else target
        if order.type is OrderType.MARKET:
            self.account.next_id += 1
            intent.target_id = number = int(self.account.next_id)
            if int(self.book.n_queue) >= N_INTENTS:
                raise _full("queued intents", "N_INTENTS")
            self.book.queue[int(self.book.n_queue)] = intent
            self.book.n_queue += 1
        else:
            if add_order(self.book, self.account, intent, order.bar_close_ns) != Status.OK:
                raise _full("resting orders", "N_ORDERS")
            number = int(self.orders[-1].id)
        is_queued = order.type is OrderType.MARKET
        self.entries[number] = Resting(order.seq, is_queued, float(intent.stop_loss), float(intent.take_profit))

    # Beginning

    def mend(self, orders: Sequence[LiveOrder], trades: Sequence[LiveTrade]) -> None:
        """Make the book hold exactly these entries and trades; rows that are right already stay as they are.

        Args:
            orders: Entries that are not terminal, oldest first.
            trades: Open trades, oldest first.
        """
        wanted = {order.seq for order in orders if order.effect is Effect.OPEN and not order.status.is_terminal}
        for number, entry in tuple(self.entries.items()):
            if entry.seq not in wanted:
                self.drop(number)
        for order in orders:
            self.show_order(order)
        for ref in set(self.trades) - {trade.trade_ref for trade in trades}:
            self._remove_position(ref)
        for trade in trades:
            row = self._position(trade)
            if row is None:
                self.show_trade(trade)
                continue
            row.units = float(trade.units)
            self.show_protection(trade)

    def show_protection(self, trade: LiveTrade) -> None:
        """Give a position the stop and target that the venue has, after a move that it did not take."""
        row = self._position(trade)
        if row is None:
            return
        if trade.stop_loss is not None:
            row.stop_loss = trade.stop_loss
        row.take_profit = math.nan if trade.take_profit is None else trade.take_profit
        self.stops[int(row.id)] = (float(row.stop_loss), float(row.take_profit))

    def clear_sent_closes(self) -> None:
        """Take queued closes out: they are with the venue now."""
        kept = [row.copy() for row in self.queue if row.action == Action.ENTER]
        for i, row in enumerate(kept):
            self.book.queue[i] = row
        self.book.n_queue = len(kept)


def _take_out(rows: Any, holder: Any, count: str, name: str, number: int) -> None:
    """Remove the row whose field `name` is `number`; the others keep their order."""
    n = int(holder[count])
    for i in range(n):
        if rows[i][name] == number:
            rows[i : n - 1] = rows[i + 1 : n].copy()
            holder[count] = n - 1
            return


def _full(what: str, constant: str) -> CapacityError:
    return CapacityError(
        f"The account has no room for more {what} of one strategy on one market. Close some, or raise {constant} in "
        "tradesentry/core/domain/records.py."
    )
