"""Guard the trades of one run at a venue that does not do so itself; the watcher proposes, the order manager sends.

Break-even, trailing, partial targets, time, session end, week end and news are the compiled rules of the back-test,
handed in as `StopRules`. Two things move them:

1. a **closed bar** does what `settle` does to the position at the close: the same stop, to the last bit;
2. a **quote** only brings break-even, a partial target or an overdue exit forward; it never trails.

A stop is proposed only when it is tighter than the venue's, and units only when they are fewer, so a proposal that is
lost, late or doubled does no harm: it is made again as long as the venue shows otherwise. Stops are absolute prices,
sizes absolute remaining units. What a position remembers (excursions, bars held, partial targets taken) can be built
anew from the bars since its entry; if the watcher dies, the last stop stands at the venue.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.live_account import LiveTrade, Protect, Reduce
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import ExitReason, Side
from tradesentry.core.domain.records import BAR, INTENT, POSITION, RULES
from tradesentry.core.domain.venue import Quote
from tradesentry.core.utils.kernel import new_records

AT_OPEN_NS: Final = 5 * NS_PER_SECOND
"""A fill within the send limit after a bar's open counts as filled at the open; later ones did not see its extremes."""
WEEKEND_MARGIN_NS: Final = 120 * NS_PER_SECOND
"""A trade that may not be held over the week end is closed at least that long before it."""
REPEAT_SECONDS: Final = 5.0
"""A proposal that the venue does not show yet is made again after that long."""


@dataclass(frozen=True, slots=True)
class StopRules:
    """The compiled rules (`execution.stop_rules`); records come in arrays of one, which kernels take fastest."""

    at_close: Callable[[Any, int, Any, Any, Any, int], int]
    """(desk, market row, position, rules, bar, bars held) -> ExitReason that is due."""
    at_quote: Callable[[Any, int, Any, Any, float, float, int], int]
    """(desk, market row, copy of position, copy of rules, bid, ask, ns) -> ExitReason that is overdue."""
    left_after_partials: Callable[[Any, int, Any, float], float]
    """(desk, market row, position, best exit price) -> units that shall be left."""
    widen: Callable[[Any, Any, float], None]
    """(position, bar, spread): widen the excursions."""


@dataclass(frozen=True, slots=True)
class WatchedMarket:
    """One market of the memory that the decision uses, so that both see the same ATR and clock."""

    desk: Any
    """DESK array, shape (1,)."""
    row: int
    """Of the market."""
    market: Any
    """MARKET record of that row."""
    quote: Any
    """QUOTE record of that row; it has been shown a bar before the watcher is."""
    rules: Any
    """RULES of the run."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """The same with what is asked for at every quote read out once."""

    at: WatchedMarket
    tick: float
    min_stop_distance: float
    rules: Any
    timeless: Any
    """Rules with bars of no length: at a quote there is no later bar to leave at."""


@dataclass(frozen=True, slots=True)
class StopProposal:
    """A wish of the watcher and what it rests on."""

    wish: Protect | Reduce
    symbol: str
    reason: ExitReason
    old_stop: float | None
    """Stop at the venue when it was made."""


@dataclass(slots=True)
class _Guarded:
    """One trade as the rules see it."""

    positions: Any
    """POSITION array, shape (1,)."""
    n_bars: int = 0
    last_close_ns: int = 0
    left: float | None = None
    """Units that partial targets leave."""
    exit_reason: int = 0
    """Set for good when a scheduled exit is due."""
    said: dict[str, tuple[object, float]] = field(default_factory=dict)
    """Last proposal of a kind and when, monotonic seconds."""

    @property
    def position(self) -> Any:
        """The POSITION record."""
        return self.positions[0]


class TradeWatcher:
    """Watches the trades of one run, which trades on one timeframe.

    Args:
        rules: The compiled rules.
        markets: What is watched, by symbol.
        clock: Says when a proposal is old enough to be repeated.
        repeat_seconds: How old that is.
    """

    def __init__(
        self,
        rules: StopRules,
        markets: Mapping[str, WatchedMarket],
        clock: Clock,
        *,
        repeat_seconds: float = REPEAT_SECONDS,
    ) -> None:
        self._rules, self._clock, self._repeat_seconds = rules, clock, repeat_seconds
        self._markets = {symbol: _watched(item) for symbol, item in markets.items()}
        self._guarded: dict[str, _Guarded] = {}
        self._bar, self._copy = new_records(1, BAR), new_records(1, POSITION)

    def propose(
        self, trades: Iterable[LiveTrade], bars: Mapping[str, Any], quotes: Mapping[str, Quote]
    ) -> list[StopProposal]:
        """Return what shall change at the venue.

        Args:
            trades: All open trades of the run. Those without a ticket are somebody else's and are left alone.
            bars: BAR records that have just closed, by symbol; a bar that was shown before is not counted twice.
            quotes: Present prices, by symbol; without one nothing is judged by price between bars.

        Returns:
            At most one exit, or one size and one stop, per trade.
        """
        proposals: list[StopProposal] = []
        present = set()
        for trade in trades:
            if not trade.is_open or not trade.ticket or trade.symbol not in self._markets:
                continue
            present.add(trade.trade_ref)
            guarded = self._guarded.get(trade.trade_ref)
            if guarded is None:
                guarded = self._guarded[trade.trade_ref] = self._take_up(trade)
            self._refresh(guarded, trade)
            bar, quote = bars.get(trade.symbol), quotes.get(trade.symbol)
            if bar is not None:
                self._on_bar(guarded, trade, bar)
            if quote is not None and quote.is_tradeable:
                self._on_quote(guarded, trade, quote)
            proposals += self._proposals(guarded, trade, quote)
        for trade_ref in set(self._guarded) - present:
            del self._guarded[trade_ref]
        return proposals

    def restore(self, trade: LiveTrade, bars: Iterable[Any]) -> None:
        """Take a trade up again after a restart: excursions, bars held and partial targets since its entry.

        Args:
            trade: Open, with a ticket and of a watched market.
            bars: BAR records since before its entry, oldest first.
        """
        guarded = self._guarded[trade.trade_ref] = self._take_up(trade)
        at, position = self._markets[trade.symbol].at, guarded.position
        position.units = position.initial_units
        for bar in bars:
            if bar["close_ns"] <= trade.entry_ts_ns:
                continue
            spread = max(float(bar["spread"]), float(at.market.min_spread))
            if not bar["spread"] > 0.0:
                spread = float(at.quote.spread)
            self._begin(guarded, trade, bar)
            self._partials_of_bar(guarded, trade, spread)
            self._rules.widen(guarded.positions, self._bar, spread)

    def adopt(self, trade: LiveTrade, *, mfe: float, mae: float, n_bars: int) -> None:
        """Take a trade up again after a restart from what a strategy's saved book remembers of it.

        Args:
            trade: Open, with a ticket and of a watched market.
            mfe: Best excursion so far, price units.
            mae: Worst excursion so far, price units.
            n_bars: Bars closed since its entry, that of the entry included.
        """
        guarded = self._guarded[trade.trade_ref] = self._take_up(trade)
        position, exits = guarded.position, guarded.position.exits
        position.mfe, position.mae, guarded.n_bars = mfe, mae, n_bars
        # Which partial targets were taken, the units say.
        left = position.units = float(trade.initial_units)
        distance = abs(trade.entry_price - float(position.initial_stop))
        for r in exits.partial_r:
            if not r > 0.0:
                return
            before = int(position.n_partials)
            left = self._left(trade, guarded, trade.entry_price + trade.side * float(r) * distance)
            if float(trade.units) > left:
                position.n_partials = before
                return
            position.units = guarded.left = left

    def wanted_stop(self, trade_ref: str) -> float | None:
        """Return the stop that the rules have for a trade, before it is rounded to the venue's tick."""
        guarded = self._guarded.get(trade_ref)
        return None if guarded is None else float(guarded.position.stop_loss)

    def _take_up(self, trade: LiveTrade) -> _Guarded:
        positions = new_records(1, POSITION)
        position = positions[0]
        ticket = np.frombuffer(bytes.fromhex(trade.ticket), INTENT)[0]
        initial = trade.initial_stop if trade.initial_stop is not None else float(ticket["stop_loss"])
        position.side, position.initial_units = int(trade.side), float(trade.initial_units)
        position.entry_price, position.entry_ns = trade.entry_price, trade.entry_ts_ns
        position.initial_stop, position.stop_reason = initial, int(ExitReason.STOP_LOSS)
        position.stop_loss = initial if trade.stop_loss is None else trade.stop_loss
        position.exits = ticket["exits"]
        calendar = self._markets[trade.symbol].at.market.calendar
        days = calendar.fx_days[: calendar.n_days]
        row = int(np.searchsorted(days["start_ns"], trade.entry_ts_ns, side="right")) - 1
        position.week_end_ns = int(days["week_end_ns"][max(row, 0)])
        return _Guarded(positions)

    def _refresh(self, guarded: _Guarded, trade: LiveTrade) -> None:
        """Bring in what only the venue knows: units, costs, and a stop that somebody tightened."""
        position = guarded.position
        position.entry_price = trade.entry_price
        position.units, position.initial_units = float(trade.units), float(trade.initial_units)
        if guarded.left:
            # A partial target that was asked for counts as taken.
            position.units = min(float(position.units), guarded.left)
        position.commission, position.swap = float(trade.commission), float(trade.swap)
        if trade.stop_loss is not None and self._is_tighter(trade, trade.stop_loss, float(position.stop_loss)):
            position.stop_loss, position.stop_reason = trade.stop_loss, int(ExitReason.STOP_LOSS)

    def _is_tighter(self, trade: LiveTrade, stop: float, than: float | None) -> bool:
        """Say whether a stop is tighter by more than rounding to the tick can make it."""
        return than is None or trade.side * (stop - than) > 0.5 * self._markets[trade.symbol].tick

    def _begin(self, guarded: _Guarded, trade: LiveTrade, bar: Any) -> None:
        guarded.position.is_inside = guarded.n_bars == 0 and trade.entry_ts_ns > int(bar["open_ns"]) + AT_OPEN_NS
        guarded.n_bars += 1
        guarded.last_close_ns = int(bar["close_ns"])
        self._bar[0] = bar

    def _partials_of_bar(self, guarded: _Guarded, trade: LiveTrade, spread: float) -> None:
        """Take the partial targets that a bar reached; never on the bar of the entry, which may have come after."""
        if guarded.n_bars > 1:
            bar = self._bar[0]
            self._take_partials(guarded, trade, float(bar["high"] if trade.side > 0 else bar["low"] + spread))

    def _take_partials(self, guarded: _Guarded, trade: LiveTrade, best: float) -> None:
        position = guarded.position
        if not position.exits.partial_r[0] > 0.0:
            return
        n_before = int(position.n_partials)
        left = self._left(trade, guarded, best)
        if position.n_partials > n_before:
            guarded.left = left
            position.units = left or position.units

    def _left(self, trade: LiveTrade, guarded: _Guarded, best: float) -> float:
        at = self._markets[trade.symbol].at
        return self._rules.left_after_partials(at.desk, at.row, guarded.positions, best)

    def _on_bar(self, guarded: _Guarded, trade: LiveTrade, bar: Any) -> None:
        close_ns = int(bar["close_ns"])
        if close_ns <= max(guarded.last_close_ns, trade.entry_ts_ns):
            return
        watched = self._markets[trade.symbol]
        at = watched.at
        self._begin(guarded, trade, bar)
        self._partials_of_bar(guarded, trade, float(at.quote.spread) * float(at.market.cost_scale))
        held = guarded.n_bars - 1
        reason = self._rules.at_close(at.desk, at.row, guarded.positions, watched.rules, self._bar, held)
        guarded.exit_reason = guarded.exit_reason or int(reason)

    def _on_quote(self, guarded: _Guarded, trade: LiveTrade, quote: Quote) -> None:
        watched, position, copy = self._markets[trade.symbol], guarded.position, self._copy
        at = watched.at
        self._take_partials(guarded, trade, quote.closing(trade.side))
        copy[0] = position
        reason = self._rules.at_quote(at.desk, at.row, copy, watched.timeless, quote.bid, quote.ask, quote.ts_ns)
        guarded.exit_reason = guarded.exit_reason or int(reason)
        moved = copy[0]
        if trade.side * (float(moved.stop_loss) - float(position.stop_loss)) > 0.0:
            position.stop_loss, position.stop_reason = moved.stop_loss, moved.stop_reason

    def _proposals(self, guarded: _Guarded, trade: LiveTrade, quote: Quote | None) -> list[StopProposal]:
        position = guarded.position
        stop, why = float(position.stop_loss), ExitReason(int(position.stop_reason))
        is_moved = self._is_tighter(trade, stop, trade.stop_loss)
        if is_moved and quote is not None and quote.is_tradeable:
            closing = quote.closing(Side(trade.side))
            if trade.side * (closing - stop) <= 0.0:
                # The venue would refuse a stop that price has passed: the trade has been stopped out.
                guarded.exit_reason = guarded.exit_reason or int(why)
            nearest = closing - trade.side * self._markets[trade.symbol].min_stop_distance
            stop = min(stop, nearest) if trade.side > 0 else max(stop, nearest)
            is_moved = self._is_tighter(trade, stop, trade.stop_loss)
        if guarded.exit_reason:
            reason = ExitReason(guarded.exit_reason)
            return self._say(guarded, trade, reason, Reduce(trade.trade_ref, ZERO, reason.name.lower()))
        proposals: list[StopProposal] = []
        if guarded.left is not None and decimal_of(guarded.left) < trade.units:
            left = decimal_of(guarded.left)
            proposals += self._say(
                guarded, trade, ExitReason.TAKE_PROFIT, Reduce(trade.trade_ref, left, "partial_target")
            )
        if is_moved:
            proposals += self._say(guarded, trade, why, Protect(trade.trade_ref, stop_loss=stop, reason=_words(why)))
        return proposals

    def _say(
        self, guarded: _Guarded, trade: LiveTrade, reason: ExitReason, wish: Protect | Reduce
    ) -> list[StopProposal]:
        """Return the proposal unless the same was made a moment ago."""
        kind, value = _terms(wish)
        now = self._clock.monotonic()
        last = guarded.said.get(kind)
        if last is not None and last[0] == value and now - last[1] < self._repeat_seconds:
            return []
        guarded.said[kind] = (value, now)
        return [StopProposal(wish, trade.symbol, reason, trade.stop_loss)]


def _watched(item: WatchedMarket) -> _Watched:
    rules, timeless = new_records(1, RULES), new_records(1, RULES)
    rules[0] = timeless[0] = item.rules
    timeless["bar_ns"] = 0
    # A back-test leaves at the last close of the week; a venue needs a price to leave at before it.
    timeless["weekend_lead_ns"] = max(int(item.rules["weekend_lead_ns"]), WEEKEND_MARGIN_NS)
    return _Watched(item, float(item.market.tick), float(item.market.min_stop_distance), rules, timeless)


def _terms(wish: Protect | Reduce) -> tuple[str, float | Decimal | None]:
    return ("stop", wish.stop_loss) if isinstance(wish, Protect) else ("units", wish.remaining_units)


def _words(reason: ExitReason) -> str:
    return reason.name.lower()
