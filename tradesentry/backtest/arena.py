"""The memory of one run: allocate every record, play the bars, grow what fills up, hand out the results.

The engine is a pure loop over memory; this class owns that memory and turns status codes into errors. It knows neither
files nor configuration: `runner` resolves those.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tradesentry.backtest import engine
from tradesentry.core.domain.errors import CapacityError, DataError, TradeSentryError
from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import BAR, BOOK, EQUITY, INTENT, N_INTENTS, QUOTE, REJECT, TRADE
from tradesentry.core.domain.run_records import DESK, LANE, PAIR, SERIES
from tradesentry.core.execution.costs import FAR_FUTURE_NS
from tradesentry.core.utils.kernel import address_of, native_address, new_records, plain_record

NO_BARS = np.zeros(0, BAR)
STEPS_PER_CALL = 1_000_000
"""Instants between two looks at progress and interrupts; a fraction of a second."""
MAX_FIRST_ROOM = 1 << 18
"""Rows that an output array has at most before it grows."""
FULL = {
    Status.FULL_POSITIONS: ("open positions", "N_POSITIONS"),
    Status.FULL_ORDERS: ("resting orders", "N_ORDERS"),
    Status.FULL_QUEUE: ("queued intents", "N_INTENTS"),
    Status.FULL_INTENTS: ("intents on one bar", "N_INTENTS"),
}


@dataclass(frozen=True, slots=True)
class Lane:
    """One strategy on one market, with its own book, parameters and state."""

    market: int
    params: np.recarray[Any, Any]
    state: np.recarray[Any, Any]
    rules: Any
    """RULES record to copy."""
    variant: int = 0
    app: int = 0


class Arena:
    """Everything a run needs in memory.

    Args:
        step: First-class function of the strategy (`BaseStrategy.pointer`).
        markets: MARKET array, in the canonical order of symbols.
        bars: BAR array per market, sorted; kept alive, never copied or written.
        lanes: Strategies on markets.
        account: ACCOUNT array, shape (1,).
        fine: Finer BAR array per market, empty where there is none.
    """

    def __init__(
        self,
        step: Any,
        *,
        markets: np.recarray[Any, Any],
        bars: Sequence[np.ndarray[Any, Any]],
        lanes: Sequence[Lane],
        account: np.recarray[Any, Any],
        fine: Sequence[np.ndarray[Any, Any]] | None = None,
    ) -> None:
        self.step = step
        self.markets = markets
        self.bars = [np.ascontiguousarray(b, BAR) for b in bars]
        self.fine = [np.ascontiguousarray(b, BAR) for b in (fine or [NO_BARS] * len(bars))]
        self.lanes = list(lanes)
        self.account = account
        self.quotes = new_records(len(self.bars), QUOTE)
        self.quotes["atr"] = np.nan
        self.pairs = new_records(len(self.bars) ** 2, PAIR)
        self.series = self._new_series()
        self.books = new_records(len(self.lanes), BOOK)
        self.lane_rows = new_records(len(self.lanes), LANE)
        self._fill_lanes()
        # Memory that is never touched costs nothing, while growing copies: room for a trade every sixteen bars.
        # Rows are written as a whole, so what was there before does not matter.
        room = max(4_096, 2 * engine.ROOM_PER_LANE * len(self.lanes))
        busy = max(room, min(MAX_FIRST_ROOM, sum(map(len, self.bars)) // 16))
        self.intents = new_records(len(self.lanes) * N_INTENTS + 1, INTENT)
        self.trades = np.empty(busy, TRADE).view(np.recarray)
        self.equity = np.empty(max(8_192, busy), EQUITY).view(np.recarray)
        self.rejects = np.empty(room, REJECT).view(np.recarray)
        self.desk = new_records(1, DESK)
        self._plain = tuple(part.view(np.ndarray) for part in (self.desk, self.account, self.intents))
        """The same memory without attributes for its fields, which a call takes five times as fast."""
        self._lay_out()

    def _new_series(self) -> np.recarray[Any, Any]:
        series = new_records(len(self.bars), SERIES)
        for m, (bars, fine) in enumerate(zip(self.bars, self.fine, strict=True)):
            row = plain_record(series, m)
            row["bars"], row["n_bars"] = address_of(bars), len(bars)
            row["next_close_ns"] = bars["close_ns"][0] if len(bars) else FAR_FUTURE_NS
            row["fine"], row["n_fine"] = address_of(fine), len(fine)
        return series

    def _fill_lanes(self) -> None:
        for b, lane in enumerate(self.lanes):
            book, row = plain_record(self.books, b), plain_record(self.lane_rows, b)
            market = plain_record(self.markets, lane.market)
            book["market"] = row["market"] = lane.market
            book["variant"], book["app"] = lane.variant, lane.app
            book["rules"] = lane.rules
            for name in ("tick", "pip", "unit_step", "unit_min"):
                book["seen"][name] = market[name]
            row["step"] = native_address(self.step)
            row["params"], row["state"] = address_of(lane.params), address_of(lane.state)

    def warm_up(self) -> None:
        """Load the compiled loops without playing a bar; compiles them where no cache has them yet."""
        self.desk.steps_left[0] = 0
        engine.run(self.desk, self.account, self.intents)
        nothing = self.desk.copy()
        nothing["n_lanes"] = 0
        engine.finish(nothing, self.account.copy())

    def play(self, n_steps: int = STEPS_PER_CALL) -> bool:
        """Play at most `n_steps` instants; say whether bars are left.

        Raises:
            CapacityError: A fixed-size record is full.
            DataError: A bar lies outside the calendar.
            TradeSentryError: The strategy reported a failure.
        """
        desk, account, intents = self._plain
        desk["steps_left"][0] = n_steps
        while True:
            status = engine.run(desk, account, intents)
            if status == Status.GROW_TRADES:
                self.grow("trades")
            elif status == Status.GROW_EQUITY:
                self.grow("equity")
            elif status == Status.GROW_REJECTS:
                self.grow("rejects")
            elif status in (Status.OK, Status.PAUSED):
                return bool(status == Status.PAUSED)
            else:
                raise self._failure(int(status))

    def run(self, progress: Callable[[int], None] | None = None) -> None:
        """Play all bars and close what is open at the end.

        Args:
            progress: Called with the number of bars played so far.
        """
        while self.play():
            if progress is not None:
                progress(int(self.series["next_bar"].sum()))
        self.finish()

    def finish(self) -> None:
        """Close what is open at the last quotes and write the last equity point."""
        room = engine.ROOM_PER_LANE * len(self.lanes)
        while len(self.trades) < int(self.account.n_trades[0]) + room:
            self.grow("trades")
        while len(self.rejects) < int(self.account.n_rejects[0]) + room:
            self.grow("rejects")
        if len(self.equity) < int(self.account.n_equity[0]) + 2:
            self.grow("equity")
        engine.finish(self.desk, self.account)

    def grow(self, name: str) -> None:
        """Double an output array and tell the desk where it lies now."""
        full = getattr(self, name)
        larger = np.empty(2 * len(full), full.dtype).view(np.recarray)
        larger[: len(full)] = full
        setattr(self, name, larger)
        self._lay_out()

    def _lay_out(self) -> None:
        """Write the addresses and lengths of all memory into the desk."""
        desk = plain_record(self.desk)
        for name, records in (
            ("markets", self.markets),
            ("quotes", self.quotes),
            ("pairs", self.pairs),
            ("series", self.series),
            ("lanes", self.lane_rows),
            ("books", self.books),
            ("trades", self.trades),
            ("equity", self.equity),
            ("rejects", self.rejects),
        ):
            desk[name] = address_of(records)
        desk["n_markets"], desk["n_lanes"] = len(self.markets), len(self.lanes)
        desk["trade_room"], desk["equity_room"] = len(self.trades), len(self.equity)
        desk["reject_room"] = len(self.rejects)

    def _failure(self, status: int) -> TradeSentryError:
        row = min(range(len(self.series)), key=lambda m: int(self.series["next_close_ns"][m]))
        when = np.datetime64(int(self.series["next_close_ns"][row]), "ns")
        if status in FULL:
            what, constant = FULL[Status(status)]
            return CapacityError(
                f"More {what} than a book can hold at {when} UTC. The strategy keeps too many; "
                f"lower them in its configuration, or raise {constant} in tradesentry/core/domain/records.py."
            )
        if status == Status.NO_CALENDAR:
            return DataError(
                f"The bar that closes at {when} UTC lies outside the calendar of the run. "
                "Bars must lie in the period given to the run; check the source clock of the series.",
                code="no_calendar",
            )
        return TradeSentryError(
            f"The strategy reported status {status - Status.STRATEGY} at {when} UTC. Its module says what that means.",
            code="strategy_failed",
        )

    @property
    def trade_rows(self) -> np.recarray[Any, Any]:
        """Closed round trips so far, TRADE array."""
        rows: np.recarray[Any, Any] = self.trades[: int(self.account.n_trades[0])].view(np.recarray)
        return rows

    @property
    def equity_rows(self) -> np.recarray[Any, Any]:
        """Equity points so far, EQUITY array."""
        rows: np.recarray[Any, Any] = self.equity[: int(self.account.n_equity[0])].view(np.recarray)
        return rows

    @property
    def reject_rows(self) -> np.recarray[Any, Any]:
        """Refused intents and canceled orders so far, REJECT array."""
        rows: np.recarray[Any, Any] = self.rejects[: int(self.account.n_rejects[0])].view(np.recarray)
        return rows
