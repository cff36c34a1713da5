"""The rules that guard one live position, as the trade watcher calls them: those of `settle`, without its fills.

Separate from `settle`, which keeps whole books and fills by itself: at a venue without exits of its own only the
decision is ours, the fill is the venue's. Each kernel calls what `settle` calls, so a stop that the watcher asks for is
the stop of the back-test to the last bit; a test compares them bar by bar.
"""

from typing import Any, Final

from tradesentry.core.execution.book import UNIT_DUST
from tradesentry.core.execution.costs import commission, price_unit_value
from tradesentry.core.execution.desk import market_at, quote_at
from tradesentry.core.execution.protection import due_exit, protect
from tradesentry.core.execution.quotes import SLACK_TICKS
from tradesentry.core.execution.risk_manager import floor_to
from tradesentry.core.execution.settle import widen_excursions
from tradesentry.core.monitoring.trade_watcher import StopRules
from tradesentry.core.utils.kernel import kernel


@kernel
def _protect(market: Any, desk: Any, quote: Any, position: Any, bars_held: int, bid: float, ask: float) -> None:
    """Apply break-even and trailing; break-even pays for the commissions, the coming one too, and the swap."""
    exits = position.exits
    if exits.be_trigger_r > 0.0 or exits.trail_mode != 0:
        unit_value = price_unit_value(market, desk, bid, ask)
        fee = commission(market, position.units, position.units * bid * unit_value)
        paid = (position.commission + fee - position.swap) / (position.units * unit_value)
        protect(position, quote, bars_held, paid)


@kernel
def guard_at_close(desks: Any, m: int, positions: Any, rules: Any, bars: Any, bars_held: int) -> int:
    """Do to one position what the close of a bar does to it in `settle`, but for closing it.

    Args:
        desks: DESK array, shape (1,). The QUOTE of the market has been shown the bar.
        m: Row of the market.
        positions: POSITION array, shape (1,); its excursions and its stop move.
        rules: RULES array, shape (1,).
        bars: BAR array, shape (1,): the bar that has closed.
        bars_held: Bars since that of the entry, 0 on the bar of the entry.

    Returns:
        The ExitReason of a scheduled exit that is due; 0 none.
    """
    desk, position, bar = desks[0], positions[0], bars[0]
    market, quote = market_at(desk.markets, m), quote_at(desk.quotes, m)
    spread = quote.spread * market.cost_scale
    widen_excursions(position, bar, spread)
    reason = due_exit(position, rules[0], quote.clock, bar.close_ns, bars_held)
    if reason == 0:
        _protect(market, desk, quote, position, bars_held, bar.close, bar.close + spread)
    return reason


@kernel
def guard_at_quote(desks: Any, m: int, positions: Any, rules: Any, bid: float, ask: float, ts_ns: int) -> int:
    """Apply break-even and the schedule to one position at a price; trailing and counted bars wait for the close.

    Args:
        desks: DESK array, shape (1,).
        m: Row of the market.
        positions: POSITION array, shape (1,), a copy: its stop, its excursion and its exits change.
        rules: RULES array, shape (1,), with `bar_ns` 0: there is no later bar to leave at.
        bid: Present bid.
        ask: Present ask.
        ts_ns: Of the price.

    Returns:
        The ExitReason of a scheduled exit that is overdue; 0 none.
    """
    desk, position = desks[0], positions[0]
    market, quote = market_at(desk.markets, m), quote_at(desk.quotes, m)
    price = bid if position.side > 0 else ask
    position.mfe = max(position.mfe, position.side * (price - position.entry_price))
    position.exits.trail_mode = 0
    position.exits.max_bars = 0
    reason = due_exit(position, rules[0], quote.clock, ts_ns, 0)
    if reason == 0:
        _protect(market, desk, quote, position, 0, bid, ask)
    return reason


@kernel
def left_after_partials(desks: Any, m: int, positions: Any, best: float) -> float:
    """Count the partial targets that `best`, an exit price, reaches and return the units that shall be left.

    Args:
        desks: DESK array, shape (1,).
        m: Row of the market.
        positions: POSITION array, shape (1,); the targets taken are counted in it.
        best: Best exit price there was.
    """
    position, market = positions[0], market_at(desks[0].markets, m)
    exits = position.exits
    distance = abs(position.entry_price - position.initial_stop)
    left = position.units
    while position.n_partials < exits.partial_r.shape[0] and exits.partial_r[position.n_partials] > 0.0:
        price = position.entry_price + position.side * exits.partial_r[position.n_partials] * distance
        if position.side * (best - price) < -SLACK_TICKS * market.tick:
            return left
        wanted = exits.partial_fraction[position.n_partials] * position.initial_units
        units = floor_to(wanted, market.unit_step)
        position.n_partials += 1
        if left - units < market.unit_min - UNIT_DUST:
            return 0.0
        left -= units
    return left


@kernel
def widen(positions: Any, bars: Any, spread: float) -> None:
    """Widen MAE and MFE of a position by a bar that is over, as when its history is read again."""
    widen_excursions(positions[0], bars[0], spread)


STOP_RULES: Final = StopRules(guard_at_close, guard_at_quote, left_after_partials, widen)
"""For `TradeWatcher`, wherever one is made."""
