"""The compiled memory of a paper account: the records of the back-test, settled bar by bar, and what changed by it.

The kernels are handed in (`Matching`), so the paper account and the back-test run the same machine code. One book per
market; the number of an order at the venue travels in its `tag`, through position and trade, so that every change can
be told to the order it came from. Kernels tell nothing: what happened is read by comparing the book before and after.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from tradesentry.core.domain.errors import CapacityError, DataError
from tradesentry.core.domain.orders import Action, ExitReason, Status
from tradesentry.core.domain.records import (
    ACCOUNT,
    BAR,
    BOOK,
    EQUITY,
    INTENT,
    N_INTENTS,
    N_ORDERS,
    N_POSITIONS,
    QUOTE,
    REJECT,
    TRADE,
)
from tradesentry.core.domain.run_records import DESK, LANE, PAIR, SERIES
from tradesentry.core.utils.kernel import address_of, load_records, new_records, save_records

ROOM_PER_BOOK: Final = 4 * (N_POSITIONS + N_ORDERS)
"""Trades or refusals that one instant can cause in one book."""


@dataclass(frozen=True, slots=True)
class Matching:
    """The kernels of the back-test that a venue needs."""

    observe_market: Callable[[Any, Any, int], int]
    """(desk, account, market): show the next bar to the market's quote."""
    settle_book: Callable[[Any, Any, int], int]
    """(desk, account, book): fills, swaps, marks."""
    mark_account: Callable[[Any, Any, int], None]
    """(desk, account, ns): equity, margin and stop-out."""
    add_order: Callable[[Any, Any, Any, int], int]
    """(book, account, intent, ns): rest an order."""
    unit_value: Callable[[Any, int, Any, float, float], float]
    """(markets, market, desk, bid, ask): account money per unit for a price move of 1."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A position was opened."""

    tag: int
    position_id: int
    market: int
    side: int
    units: float
    price: float
    ts_ns: int
    commission: float
    stop_loss: float
    take_profit: float


@dataclass(frozen=True, slots=True)
class Reduced:
    """A position was reduced or closed."""

    position_id: int
    market: int
    side: int
    """Of the position."""
    units: float
    price: float
    ts_ns: int
    reason: ExitReason
    realized: float
    commission: float
    is_closed: bool
    r_multiple: float | None = None
    """Of the whole trade, when this closed it and its first stop was known."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """Overnight interest was booked."""

    position_id: int
    amount: float
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """An order left the book, or a market order its queue, without a fill."""

    tag: int
    code: int
    """RejectCode; 0 when none was noted."""
    ts_ns: int


Change: TypeAlias = Opened | Reduced | Swapped | Dropped


@dataclass(frozen=True, slots=True)
class _Open:
    tag: int
    side: int
    units: float
    initial_units: float
    realized: float
    commission: float
    swap: float
    exit_value: float


class PaperMemory:
    """Records of one account on several markets, with one book each.

    Args:
        markets: MARKET array with calendars and conversions, shape (n,).
        account: ACCOUNT array, shape (1,); its limits should leave only the stop-out to the venue.
        rules: RULES record of all books.
        matching: The kernels.
    """

    SAVED: Final = {"account": ACCOUNT, "quotes": QUOTE, "books": BOOK, "bars": BAR, "pairs": PAIR}

    def __init__(
        self, markets: np.recarray[Any, Any], account: np.recarray[Any, Any], rules: Any, matching: Matching
    ) -> None:
        n = len(markets)
        self.markets, self.account, self.matching = markets, account, matching
        self.quotes = new_records(n, QUOTE)
        self.quotes["atr"] = np.nan
        self.pairs = new_records(n * n, PAIR)
        self.bars = new_records(n, BAR)
        self.books = new_records(n, BOOK)
        self.trades = new_records(n * ROOM_PER_BOOK, TRADE)
        self.rejects = new_records(n * ROOM_PER_BOOK, REJECT)
        self._unused = new_records(1, EQUITY)
        self._series, self._lanes, self.desk = new_records(n, SERIES), new_records(n, LANE), new_records(1, DESK)
        for m in range(n):
            book = self.books[m]
            book.market = m
            book.rules = rules
            for name in ("tick", "pip", "unit_step", "unit_min"):
                book.seen[name] = markets[m][name]
        self._lay_out()

    def _lay_out(self) -> None:
        n = len(self.markets)
        for m in range(n):
            row = self._series[m]
            row.bars, row.n_bars, row.next_bar = address_of(self.bars), n, m
            self._lanes[m].market = m
        desk = self.desk[0]
        for name, records in (
            ("markets", self.markets),
            ("quotes", self.quotes),
            ("pairs", self.pairs),
            ("series", self._series),
            ("lanes", self._lanes),
            ("books", self.books),
            ("trades", self.trades),
            ("equity", self._unused),
            ("rejects", self.rejects),
        ):
            desk[name] = address_of(records)
        desk.n_markets = desk.n_lanes = n
        desk.trade_room, desk.reject_room = len(self.trades), len(self.rejects)

    def positions(self, m: int) -> Any:
        """Return the POSITION records that are open on market `m`; writable."""
        seen = self.books[m].seen
        return seen.positions[: int(seen.n_positions)]

    def position(self, m: int, position_id: int) -> Any | None:
        """Return one open POSITION, None when it is gone."""
        return next((row for row in self.positions(m) if row.id == position_id), None)

    def orders(self, m: int) -> Any:
        """Return the resting ORDER records of market `m`; writable."""
        seen = self.books[m].seen
        return seen.orders[: int(seen.n_orders)]

    def queue(self, m: int, intent: Any) -> None:
        """Queue a market entry or a close for the next open of market `m`.

        Raises:
            CapacityError: The queue is full.
        """
        book = self.books[m]
        if book.n_queue >= N_INTENTS:
            raise _full("queued intents", "N_INTENTS")
        book.queue[int(book.n_queue)] = intent
        book.n_queue += 1

    def rest(self, m: int, intent: Any, ts_ns: int) -> None:
        """Rest a limit or stop order.

        Raises:
            CapacityError: The book is full.
        """
        if self.matching.add_order(self.books[m], self.account[0], intent, ts_ns) != Status.OK:
            raise _full("resting orders", "N_ORDERS")

    def withdraw(self, m: int, tag: int) -> bool:
        """Take a resting order or a queued entry out; say whether it was there."""
        seen, book = self.books[m].seen, self.books[m]
        for rows, holder, count in ((seen.orders, seen, "n_orders"), (book.queue, book, "n_queue")):
            n = int(holder[count])
            for i in range(n):
                is_entry = count == "n_orders" or rows[i].action == Action.ENTER
                if is_entry and rows[i].tag == tag:
                    rows[i : n - 1] = rows[i + 1 : n].copy()
                    holder[count] = n - 1
                    return True
        return False

    def settle(self, bars: Mapping[int, Any], now_ns: int, *, is_quote: bool) -> list[Change]:
        """Settle the markets that have a bar at `now_ns` and mark the account; return what changed, in order.

        Args:
            bars: BAR record by market row.
            now_ns: The instant.
            is_quote: The bars are single quotes, so the time between them is no gap in the data.

        Raises:
            CapacityError: A book is full.
            DataError: A bar lies outside the calendar.
        """
        for m in sorted(bars):
            self.bars[m] = bars[m]
            self._check(int(self.matching.observe_market(self.desk, self.account, m)), m)
            if is_quote:
                self.quotes[m].is_gap = False
        return self._settle(sorted(bars), now_ns)

    def settle_again(self, m: int, now_ns: int) -> list[Change]:
        """Settle market `m` once more at the quote it has, after a command; return what changed."""
        bid, spread = float(self.quotes[m].bid), float(self.quotes[m].spread)
        self.bars[m] = (now_ns, now_ns, bid, bid, bid, bid, 0.0, spread)
        return self._settle([m], now_ns)

    def reduce_at(
        self,
        reduce: Callable[[Any, Any, Any, Any, int, float, float, bool, int, int], bool],
        m: int,
        parts: Sequence[tuple[int, float]],
        *,
        price: float,
        now_ns: int,
    ) -> list[Change]:
        """Close units of positions on market `m` at a given price; return what changed.

        Args:
            reduce: The kernel `reduce_position`.
            m: Market row.
            parts: (position id, units).
            price: Of all closes, without slippage.
            now_ns: The instant.
        """
        before = self._look(m)
        bid, spread = float(self.quotes[m].bid), float(self.quotes[m].spread)
        self.bars[m] = (now_ns, now_ns, bid, bid, bid, bid, 0.0, spread)
        self.account.n_trades[0] = self.account.n_rejects[0] = 0
        for position_id, units in parts:
            row = next(i for i, position in enumerate(self.positions(m)) if position.id == position_id)
            records = self.markets[m], self.desk[0], self.books[m], self.account[0]
            reduce(*records, row, units, price, False, now_ns, int(ExitReason.STRATEGY))
        changes = self._compare(m, before, set(), now_ns)
        return changes + self.settle_again(m, now_ns)

    def _settle(self, due: list[int], now_ns: int) -> list[Change]:
        before = {m: self._look(m) for m in range(len(self.books))}
        queued = {m: self._tags(m) for m in due}
        self.account.n_trades[0] = self.account.n_rejects[0] = 0
        for m in due:
            self._check(int(self.matching.settle_book(self.desk, self.account, m)), m)
        self.matching.mark_account(self.desk, self.account, now_ns)
        changes: list[Change] = []
        for m, positions in before.items():
            changes += self._compare(m, positions, queued.get(m, set()), now_ns)
        return changes

    def _look(self, m: int) -> dict[int, _Open]:
        names = ("tag", "side", "units", "initial_units", "realized", "commission", "swap", "exit_value")
        return {int(row.id): _Open(*(row[name].item() for name in names)) for row in self.positions(m)}

    def _tags(self, m: int) -> set[int]:
        book = self.books[m]
        queued = {int(row.tag) for row in book.queue[: int(book.n_queue)] if row.action == Action.ENTER}
        return queued | {int(row.tag) for row in self.orders(m)}

    def _compare(self, m: int, before: dict[int, _Open], tags: set[int], now_ns: int) -> list[Change]:
        changes: list[Change] = []
        trades = {int(t.id): t for t in self.trades[: int(self.account.n_trades[0])] if t.market == m}
        open_ns = int(self.bars[m].open_ns)
        for row in self.positions(m):
            if int(row.id) not in before:
                changes.append(_opened(m, row, float(row.initial_units), float(row.commission)))
            else:
                changes += _reduced_in_part(m, row, before[int(row.id)], min(open_ns, now_ns))
        for position_id, trade in trades.items():
            entry = before.get(position_id)
            if entry is None:
                opened = _opened(m, trade, float(trade.units), 0.0)
                changes.append(opened)
                entry = _Open(opened.tag, opened.side, opened.units, opened.units, 0.0, 0.0, 0.0, 0.0)
            changes += _closed(m, trade, entry)
        filled = {change.tag for change in changes if isinstance(change, Opened)}
        codes = {int(r.tag): int(r.code) for r in self.rejects[: int(self.account.n_rejects[0])] if r.market == m}
        # An order that is still in the book was added by nobody here: commands come between settlements only.
        resting = {int(row.tag) for row in self.orders(m)}
        gone = tags - filled - resting
        changes += [Dropped(tag, codes.get(tag, 0), now_ns) for tag in sorted(gone)]
        return sorted(changes, key=lambda change: change.ts_ns)

    def _check(self, status: int, m: int) -> None:
        if status == Status.OK:
            return
        if status == Status.NO_CALENDAR:
            raise DataError(
                f"The quote of market {m} at {int(self.bars[m].open_ns)} ns lies outside the calendar of this account. "
                "Build the calendar for the period that is traded."
            )
        raise _full("open positions", "N_POSITIONS")

    def save(self) -> dict[str, Any]:
        """Return a snapshot of all records but the markets, which belong to the configuration."""
        return {name: save_records(getattr(self, name)) for name in self.SAVED}

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot.

        Raises:
            StateMismatch: It was written with another layout.
        """
        for name, dtype in self.SAVED.items():
            setattr(self, name, load_records(snapshot[name], dtype))
        self._lay_out()


def new_intent(action: Action, **values: Any) -> Any:
    """Return an INTENT record with prices that are not given NaN."""
    row = np.zeros(1, INTENT).view(np.recarray)
    for name in ("price", "stop_loss", "take_profit", "signal_price"):
        row[name] = np.nan
    row["action"] = action
    for name, value in values.items():
        row[name] = value
    return row[0]


def _full(what: str, constant: str) -> CapacityError:
    return CapacityError(
        f"The paper account has no room for more {what} on one market. Close some, or raise {constant} in "
        "tradesentry/core/domain/records.py."
    )


def _opened(m: int, row: Any, units: float, commission: float) -> Opened:
    is_trade = "stop_at_entry" in row.dtype.names
    stop, target = (row.stop_at_entry, np.nan) if is_trade else (row.stop_loss, row.take_profit)
    numbers = (float(row.entry_price), int(row.entry_ns), commission, float(stop), float(target))
    return Opened(int(row.tag), int(row.id), m, int(row.side), units, *numbers)


def _reduced_in_part(m: int, row: Any, entry: _Open, ts_ns: int) -> list[Change]:
    changes: list[Change] = []
    if float(row.swap) != entry.swap:
        changes.append(Swapped(int(row.id), float(row.swap) - entry.swap, ts_ns))
    units = entry.units - float(row.units)
    if units > 0.0:
        price = (float(row.exit_value) - entry.exit_value) / units
        realized, commission = float(row.realized) - entry.realized, float(row.commission) - entry.commission
        numbers = (units, price, ts_ns, ExitReason.STRATEGY, realized, commission, False)
        changes.append(Reduced(int(row.id), m, entry.side, *numbers))
    return changes


def _closed(m: int, trade: Any, entry: _Open) -> list[Change]:
    changes: list[Change] = []
    ts_ns, trade_id = int(trade.exit_ns), int(trade.id)
    if float(trade.swap) != entry.swap:
        changes.append(Swapped(trade_id, float(trade.swap) - entry.swap, ts_ns))
    price = float(trade.exit_price)
    if entry.exit_value != 0.0:
        price = (price * entry.initial_units - entry.exit_value) / entry.units
    realized, commission = float(trade.gross) - entry.realized, float(trade.commission) - entry.commission
    numbers = (entry.units, price, ts_ns, ExitReason(int(trade.exit_reason)), realized, commission, True)
    r_multiple = float(trade.r_multiple)
    return [*changes, Reduced(trade_id, m, entry.side, *numbers, r_multiple if np.isfinite(r_multiple) else None)]
