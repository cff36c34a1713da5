"""Record what became of every live trade, and of the account: R, excursions, slippage, costs, equity.

Listens to the account's changes and to quotes; it decides nothing and sends nothing, so it may be lost without harm.
R is the initial risk frozen at the entry fill; a result counts all partial exits, commissions and swap. Excursions are
measured at the price at which the trade could have been left: bid for a long, ask for a short.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from uuid import UUID

import numpy as np

from tradesentry.core.domain.live_account import (
    AccountChange,
    LiveTrade,
    OrderMoved,
    ProtectionMoved,
    SwapBooked,
    TradeOpened,
    TradeReduced,
)
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.records import INTENT
from tradesentry.core.domain.venue import Quote

STOP_REASONS: Final = ("stop_loss", "trailing", "break_even")
"""Parts of exit reasons, in any venue's words, that mean a stop."""
TARGET_REASONS: Final = ("take_profit",)
MAX_CLOSED: Final = 10_000
"""Closed trades kept in memory; the journal has all."""


@dataclass(frozen=True, slots=True)
class TrackedTrade:
    """One trade, open or closed, with what can be said of it so far."""

    trade: LiveTrade
    bar_close_ns: int
    """Bar that decided it; 0 unknown."""
    signal_price: float | None
    """What the decision expected to pay."""
    entry_slippage_pips: float | None
    """Paid more than that, above 0."""
    exit_slippage_pips: float | None
    """Left worse than the stop or target that ended it; None when neither did."""
    mfe_r: float
    """Best excursion, at least 0."""
    mae_r: float
    """Worst excursion, at least 0."""
    exit_price: float | None
    """Weighted by units over all exits; None while untouched."""

    @property
    def r_multiple(self) -> float:
        """Net result so far in units of the initial risk; NaN when there was none."""
        risk = self.trade.initial_risk
        return float(self.trade.net / risk) if risk else math.nan

    @property
    def hold_seconds(self) -> float:
        """From the entry to the last exit; 0 while untouched."""
        return max(0, self.trade.exit_ts_ns - self.trade.entry_ts_ns) / 1e9 if self.trade.exit_ts_ns else 0.0


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """What closed trades came to. Money in account currency; nan where there is nothing to divide by."""

    n_trades: int
    net: Decimal
    commission: Decimal
    swap: Decimal
    win_rate: float
    """Share of trades with a net result above 0."""
    profit_factor: float
    """Net of the winners over the loss of the losers; infinity without losers."""
    expectancy_r: float
    """Mean R over trades whose risk is known."""
    mean_slippage_pips: float
    """Of entries whose signal price is known."""
    mean_hold_seconds: float
    exit_reasons: Mapping[str, int]


@dataclass(slots=True)
class _Following:
    """An open trade and its extremes."""

    trade: LiveTrade
    bar_close_ns: int
    order_type: OrderType | None
    best: float
    worst: float
    stop_loss: float | None
    take_profit: float | None


class TradeTracker:
    """Follows the trades of one account.

    Args:
        pip_sizes: Price of a pip by symbol.
        on_closed: Told of each trade once it is closed.
        on_entry: Told of each new trade.
    """

    def __init__(
        self,
        pip_sizes: Mapping[str, float],
        *,
        on_closed: Callable[[TrackedTrade], None] | None = None,
        on_entry: Callable[[TrackedTrade], None] | None = None,
    ) -> None:
        self._pips = dict(pip_sizes)
        self._on_closed, self._on_entry = on_closed, on_entry
        self._following: dict[str, _Following] = {}
        self._orders: dict[str, tuple[int, OrderType]] = {}
        self.closed: list[TrackedTrade] = []
        """Oldest first, at most `MAX_CLOSED`."""

    @property
    def open(self) -> Mapping[str, TrackedTrade]:
        """Open trades by the venue's name."""
        return {ref: self._tracked(item) for ref, item in self._following.items()}

    def restore(self, trades: Sequence[LiveTrade]) -> None:
        """Go on with trades that were open before the start; their excursions begin anew at the entry price."""
        for trade in trades:
            if trade.is_open and trade.trade_ref not in self._following:
                self._follow(trade)

    def on_changes(self, changes: Sequence[AccountChange]) -> None:
        """Take in what happened, in order; a listener of the order manager."""
        for change in changes:
            if isinstance(change, OrderMoved):
                self._remember(change)
            elif isinstance(change, TradeOpened):
                self._opened(change)
            elif isinstance(change, TradeReduced):
                self._reduced(change)
            elif isinstance(change, SwapBooked | ProtectionMoved):
                self._refresh(change.trade)

    def on_quote(self, quote: Quote) -> None:
        """Widen the excursions of the trades on a symbol."""
        for item in self._following.values():
            if item.trade.symbol == quote.symbol:
                _widen(item, quote.closing(item.trade.side))

    def figures(self, *, run: UUID | None = None) -> TradeFigures:
        """Return what the closed trades came to.

        Args:
            run: Only those of this run; all when None.
        """
        return figures_of([item for item in self.closed if run is None or item.trade.run == run])

    def _remember(self, change: OrderMoved) -> None:
        """Keep which bar decided an order until its trade shows up; either may be told first."""
        order = change.order
        known = (order.bar_close_ns, order.type)
        item = next((item for item in self._following.values() if item.trade.key == order.key), None)
        if item is not None:
            item.bar_close_ns, item.order_type = known
        elif order.status.is_terminal and not order.filled_units:
            self._orders.pop(order.key, None)
        else:
            self._orders[order.key] = known

    def _opened(self, change: TradeOpened) -> None:
        trade = change.trade
        if trade.trade_ref in self._following:
            self._refresh(trade)
            return
        item = self._follow(trade)
        if self._on_entry is not None:
            self._on_entry(self._tracked(item))

    def _follow(self, trade: LiveTrade) -> _Following:
        bar_close_ns, kind = self._orders.pop(trade.key or "", (0, None))
        item = _Following(
            trade, bar_close_ns, kind, trade.entry_price, trade.entry_price, trade.stop_loss, trade.take_profit
        )
        self._following[trade.trade_ref] = item
        return item

    def _refresh(self, trade: LiveTrade) -> None:
        item = self._following.get(trade.trade_ref)
        if item is None:
            return
        item.trade = trade
        # A closed trade has neither; what ended it is the last one it had.
        item.stop_loss = item.stop_loss if trade.stop_loss is None else trade.stop_loss
        item.take_profit = item.take_profit if trade.take_profit is None else trade.take_profit

    def _reduced(self, change: TradeReduced) -> None:
        trade = change.trade
        item = self._following.get(trade.trade_ref) or self._follow(trade)
        self._refresh(trade)
        _widen(item, change.fill.price)
        if trade.is_open:
            return
        reason = trade.exit_reason or change.reason
        item.trade = replace(trade, exit_reason=reason)
        tracked = replace(self._tracked(item), exit_slippage_pips=self._exit_slippage(item, reason, change.fill.price))
        del self._following[trade.trade_ref]
        self.closed.append(tracked)
        del self.closed[:-MAX_CLOSED]
        if self._on_closed is not None:
            self._on_closed(tracked)

    def _exit_slippage(self, item: _Following, reason: str, price: float) -> float | None:
        words = reason.lower()
        expected = None
        if any(word in words for word in STOP_REASONS):
            expected = item.stop_loss
        elif any(word in words for word in TARGET_REASONS):
            expected = item.take_profit
        return None if expected is None else self._pips_of(item.trade, item.trade.side * (expected - price))

    def _tracked(self, item: _Following) -> TrackedTrade:
        trade = item.trade
        signal = _signal_price(trade, item.order_type)
        paid = None if signal is None else self._pips_of(trade, trade.side * (trade.entry_price - signal))
        exited = trade.initial_units - trade.units
        return TrackedTrade(
            trade=trade,
            bar_close_ns=item.bar_close_ns,
            signal_price=signal,
            entry_slippage_pips=paid,
            exit_slippage_pips=None,
            mfe_r=_excursion_r(trade, item.best, trade.side),
            mae_r=_excursion_r(trade, item.worst, Side(-trade.side)),
            exit_price=trade.exit_value / float(exited) if exited > 0 and trade.exit_value else None,
        )

    def _pips_of(self, trade: LiveTrade, distance: float) -> float | None:
        pip = self._pips.get(trade.symbol)
        return None if pip is None else distance / pip


def figures_of(trades: Sequence[TrackedTrade]) -> TradeFigures:
    """Return what closed trades came to."""
    nets = [item.trade.net for item in trades]
    won = sum((net for net in nets if net > ZERO), ZERO)
    lost = -sum((net for net in nets if net < ZERO), ZERO)
    return TradeFigures(
        n_trades=len(trades),
        net=sum(nets, ZERO),
        commission=sum((item.trade.commission for item in trades), ZERO),
        swap=sum((item.trade.swap for item in trades), ZERO),
        win_rate=sum(net > ZERO for net in nets) / len(nets) if nets else math.nan,
        profit_factor=float(won / lost) if lost else math.inf if won else math.nan,
        expectancy_r=_mean([item.r_multiple for item in trades if not math.isnan(item.r_multiple)]),
        mean_slippage_pips=_mean([s for item in trades if (s := item.entry_slippage_pips) is not None]),
        mean_hold_seconds=_mean([item.hold_seconds for item in trades]),
        exit_reasons=Counter(item.trade.exit_reason or "unknown" for item in trades),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _widen(item: _Following, price: float) -> None:
    side = item.trade.side
    if side * (price - item.best) > 0:
        item.best = price
    if side * (price - item.worst) < 0:
        item.worst = price


def _excursion_r(trade: LiveTrade, extreme: float, towards: Side) -> float:
    if trade.initial_stop is None or trade.initial_stop == trade.entry_price:
        return math.nan
    return max(0.0, towards * (extreme - trade.entry_price)) / abs(trade.entry_price - trade.initial_stop)


def _signal_price(trade: LiveTrade, kind: OrderType | None) -> float | None:
    """Return what the decision expected to pay: the price of a resting entry, else the quote it was decided on."""
    if not trade.ticket:
        return None
    ticket = np.frombuffer(bytes.fromhex(trade.ticket), INTENT)[0]
    is_market = OrderType(int(ticket["type"]) if kind is None else kind) is OrderType.MARKET
    price = float(ticket["signal_price"] if is_market else ticket["price"])
    return price if math.isfinite(price) else None
