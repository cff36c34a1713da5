"""Decide on live memory: the records and kernels of a back-test, with positions that a venue reports.

At each instant the bars are shown to their quotes, the venue's changes are written into the books, the account is
marked, the strategies are asked, and their intents are sized and vetted: the calls of `execution.driver` in the same
order, without `settle`. What the kernels then changed in the books is read off as wishes, which is all that leaves this
module. Nobody is told of a wish here; whoever sends it says so with `confirm` or `refuse`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import numpy as np

from tradesentry.core.domain.errors import CapacityError, DataError, TradeSentryError
from tradesentry.core.domain.live_account import AccountChange, MoneyMoved, OrderMoved, SwapBooked, Wish
from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import BAR, BOOK, INTENT, N_INTENTS, N_ORDERS, N_POSITIONS, QUOTE, REJECT, TRADE
from tradesentry.core.domain.run_records import DESK, LANE, PAIR, SERIES
from tradesentry.core.execution.decide import failure
from tradesentry.core.execution.driver import decide_book, execute_best, mark_account, observe_market
from tradesentry.core.execution.portfolio_manager import sum_exposure
from tradesentry.core.execution.reflect import reflect_clock, reflect_marks
from tradesentry.core.execution.risk_manager import refresh_kelly
from tradesentry.core.execution.settle import mark_at_quote
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.live_books import LiveBook
from tradesentry.core.strategy.live_wishes import LaneWishes
from tradesentry.core.utils.kernel import address_of, native_address, new_records

ROOM_PER_BOOK: Final = N_POSITIONS + N_ORDERS + 2 * N_INTENTS
"""Refusals that one instant can cause on one book."""


@dataclass(frozen=True, slots=True)
class LiveLane:
    """One strategy on one market of a live account."""

    run: UUID
    symbol: str
    row: int
    """Of its market."""
    strategy: type[BaseStrategy]
    params: Any
    state: Any
    rules: Any
    """RULES record to copy."""
    variant: int = 0
    app: int = 0
    config: StrategyConfig | None = None
    """What the parameters were made from; no decision reads it."""


@dataclass(frozen=True, slots=True)
class LaneDecision:
    """What one strategy wants on one market."""

    lane: int
    wishes: tuple[Wish, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An intent that the kernels refused, or an entry that they took back."""

    lane: int
    ts_ns: int
    code: int
    """RejectCode."""
    value: float
    limit: float


class DecisionMemory:
    """Records of one live account.

    Args:
        markets: MARKET array with calendars that reach into the future, shape (n,).
        symbols: Symbol per market row.
        account: ACCOUNT array, shape (1,). Its stop-out level should be 0: the venue does that.
        lanes: Strategies on markets.
    """

    def __init__(
        self, markets: np.recarray[Any, Any], symbols: Sequence[str], account: Any, lanes: Sequence[LiveLane]
    ) -> None:
        n = len(markets)
        self.markets, self.symbols, self.account = markets, tuple(symbols), account
        self.lanes = tuple(lanes)
        self.quotes = new_records(n, QUOTE)
        self.quotes["atr"] = np.nan
        self._pairs, self._bars = new_records(n * n, PAIR), new_records(n, BAR)
        self._series, self._lane_rows = new_records(n, SERIES), new_records(len(lanes), LANE)
        # Trades and orders of others are held in one more book per market.
        rows = [lane.row for lane in lanes] + list(range(n))
        self.book_records = new_records(len(rows), BOOK)
        self._intents = new_records(len(lanes) * N_INTENTS + 1, INTENT)
        self._rejects = new_records(len(rows) * ROOM_PER_BOOK, REJECT)
        self._unused = new_records(1, TRADE)
        self.desk = new_records(1, DESK)
        self._lay_out(rows)
        before = [[other.symbol for other in lanes[:b]].count(lane.symbol) for b, lane in enumerate(lanes)]
        places = before + [0] * n
        self.books = [
            LiveBook(book, account[0], self.desk, place) for book, place in zip(self.book_records, places, strict=True)
        ]
        self._wishes = [LaneWishes(lane, book) for lane, book in zip(lanes, self.books, strict=False)]
        self.refusals: list[Refusal] = []
        """Of the last instant."""
        self.due: tuple[int, ...] = ()
        """Lanes that had a bar at the last instant."""

    def _lay_out(self, rows: Sequence[int]) -> None:
        for m in range(len(self.markets)):
            self._series[m].bars, self._series[m].n_bars, self._series[m].next_bar = address_of(self._bars), 1, m
        for b, m in enumerate(rows):
            book, market = self.book_records[b], self.markets[m]
            book.market, book.app = m, -1
            for name in ("tick", "pip", "unit_step", "unit_min"):
                book.seen[name] = market[name]
            if b < len(self.lanes):
                lane, row = self.lanes[b], self._lane_rows[b]
                book.rules, book.variant, book.app = lane.rules, lane.variant, lane.app
                row.market, row.step = m, native_address(lane.strategy.pointer())
                row.params, row.state = address_of(lane.params), address_of(lane.state)
        desk = self.desk[0]
        for name, records in (
            ("markets", self.markets),
            ("quotes", self.quotes),
            ("pairs", self._pairs),
            ("series", self._series),
            ("lanes", self._lane_rows),
            ("books", self.book_records),
            ("trades", self._unused),
            ("equity", self._unused),
            ("rejects", self._rejects),
        ):
            desk[name] = address_of(records)
        desk.n_markets, desk.n_lanes = len(self.markets), len(self.book_records)
        desk.reject_room = len(self._rejects)

    def book_of(self, run: UUID | None, symbol: str) -> LiveBook | None:
        """Return the book of a strategy on a market, or that of others' trades on it; None for an unknown symbol."""
        for lane, book in zip(self.lanes, self.books, strict=False):
            if lane.run == run and lane.symbol == symbol:
                return book
        if symbol not in self.symbols:
            return None
        return self.books[len(self.lanes) + self.symbols.index(symbol)]

    def rows_of(self, lane: int) -> list[int]:
        """Return the market rows that a lane reads: its own, then those that only convert for its run."""
        traded = {other.row for other in self.lanes}
        converting = [row for row in self._rows_of_run(self.lanes[lane].run) if row not in traded]
        return [self.lanes[lane].row, *converting]

    def _rows_of_run(self, run: UUID) -> range:
        """Return the market rows of a run, which lie together."""
        start = min(lane.row for lane in self.lanes if lane.run == run)
        after = [lane.row for lane in self.lanes if lane.row > start and lane.run != run]
        return range(start, min(after, default=len(self.symbols)))

    def closing(self, lane: int) -> Mapping[str, Decimal]:
        """Return the remaining units that closes under way ask for, by trade."""
        return self._wishes[lane].closing

    def set_closing(self, lane: int, closing: Mapping[str, str]) -> None:
        """Say which closes were under way when a lane was saved."""
        self._wishes[lane].closing = {ref: Decimal(left) for ref, left in closing.items()}

    def open_risk(self) -> float:
        """Return the loss at the stops of everything that is open or resting, account currency."""
        sum_exposure(self.desk[0], self.account[0], self.book_records[0])
        return float(self.account[0].exposure.open_risk)

    def decide(
        self,
        bars: Mapping[str, Any],
        changes: Sequence[AccountChange],
        *,
        balance: Decimal,
        blocked: int = 0,
        run: UUID | None = None,
    ) -> list[LaneDecision]:
        """Play one instant; return what the strategies want, oldest lane first.

        Args:
            bars: BAR record by symbol, all closed at the same time.
            changes: What the venue did since the last instant, in the order it did it.
            balance: Of the account now.
            blocked: TradingState that something outside the kernels imposes; ACTIVE (0) imposes nothing.
            run: Only this run sees the bars; None: all.

        Raises:
            CapacityError: A record is full.
            DataError: A bar lies outside the calendar.
            TradeSentryError: A strategy reported a failure.
        """
        mine = range(len(self.symbols)) if run is None else self._rows_of_run(run)
        rows = [m for m in mine if self._is_new(m, bars)]
        if not rows:
            self.due = ()
            return []
        for m in rows:
            self._bars[m] = bars[self.symbols[m]]
            self._check(int(observe_market(self.desk, self.account, m)), m)
        self._reflect(rows, changes)
        now = max(int(self._bars[m].close_ns) for m in rows)
        account = self.account[0]
        account.balance = float(balance)
        account.n_rejects = account.n_trades = 0
        mark_account(self.desk, self.account, now)
        self.due = due = tuple(b for b, lane in enumerate(self.lanes) if lane.row in rows)
        own_state = int(account.trading_state)
        account.trading_state = max(own_state, blocked)
        decisions = self._ask(due, now)
        account.trading_state = own_state
        self.refusals = self._read_refusals()
        return decisions

    def _is_new(self, m: int, bars: Mapping[str, Any]) -> bool:
        """Say whether a market has a bar that it has not seen: after a restart the runs may stand at different bars."""
        symbol = self.symbols[m]
        return symbol in bars and int(bars[symbol]["close_ns"]) > int(self.quotes[m].last_close_ns)

    def _reflect(self, rows: Sequence[int], changes: Sequence[AccountChange]) -> None:
        """Write the venue's changes into the books and mark them."""
        due = [b for b, book in enumerate(self.books) if int(book.book.market) in rows]
        n_closed = sum(book.n_closed for book in self.books)
        touched: set[int] = set()
        # Overnight interest belongs to the day that ends.
        for change in changes:
            if isinstance(change, SwapBooked):
                self._take(change)
        for b in due:
            reflect_clock(self.desk, b)
        for change in changes:
            if not isinstance(change, SwapBooked):
                touched |= self._take(change)
        for b in due:
            reflect_marks(self.desk, b)
        for b in touched.difference(due):
            mark_at_quote(self.markets[int(self.books[b].book.market)], self.desk[0], self.books[b].book)
        if sum(book.n_closed for book in self.books) != n_closed:
            refresh_kelly(self.desk[0], self.account[0])

    def _take(self, change: AccountChange) -> set[int]:
        if isinstance(change, MoneyMoved):
            self.books[0].take(change)
            return set()
        told = change.order if isinstance(change, OrderMoved) else change.trade
        book = self.book_of(told.run, told.symbol)
        if book is None:
            return set()
        book.take(change)
        return {self.books.index(book)}

    def _ask(self, due: Sequence[int], now: int) -> list[LaneDecision]:
        """Ask the strategies and carry their intents out in the books."""
        n = 0
        for b in due:
            asked = int(decide_book(self.desk, self.account, self._intents[n : n + N_INTENTS + 1], b))
            if asked < 0:
                raise self._failure(int(failure(asked)), self.lanes[b])
            self._intents["seq"][n : n + asked] = range(n, n + asked)
            n += asked
        for wishes in self._wishes:
            wishes.begin()
        for _ in range(n):
            lanes = self._intents["lane"][:n].copy()
            status = int(execute_best(self.desk, self.account, self._intents, n, now))
            if status != Status.OK:
                raise self._failure(status, self.lanes[int(lanes.max())])
            done = int(np.flatnonzero(lanes != self._intents["lane"][:n])[0])
            self._wishes[int(lanes[done])].read(self._intents[done])
        return [LaneDecision(b, wishes.end()) for b, wishes in enumerate(self._wishes)]

    def confirm(self, lane: int, number: int, seq: int) -> None:
        """Say that the entry with `Enter.number` was sent as order `seq` of the journal."""
        self._wishes[lane].confirm(number, seq)

    def refuse(self, lane: int, number: int) -> None:
        """Say that the entry with `Enter.number` will never be sent."""
        self._wishes[lane].refuse(number)

    def _read_refusals(self) -> list[Refusal]:
        rows = self._rejects[: int(self.account[0].n_rejects)]
        by_place = {(lane.row, lane.variant): b for b, lane in reversed(tuple(enumerate(self.lanes)))}
        return [
            Refusal(
                by_place.get((int(row.market), int(row.variant)), -1),
                int(row.ts_ns),
                int(row.code),
                float(row.value),
                float(row.limit),
            )
            for row in rows
        ]

    def _check(self, status: int, m: int) -> None:
        if status != Status.OK:
            raise DataError(
                f"The bar of {self.symbols[m]} at {int(self._bars[m].open_ns)} ns lies outside the calendar of this "
                "account. Restart the run, which builds the calendar anew from today on.",
                code="no_calendar",
            )

    def _failure(self, status: int, lane: LiveLane) -> TradeSentryError:
        if status < Status.STRATEGY:
            return CapacityError(
                f"{lane.strategy.name} asked for more on {lane.symbol} than a book can hold (status {status}). Lower "
                "what it may keep in its configuration."
            )
        return TradeSentryError(
            f"{lane.strategy.name} reported status {status - Status.STRATEGY} on {lane.symbol}. Its module says what "
            "that means.",
            code="strategy_failed",
        )
