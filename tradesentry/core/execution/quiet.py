"""Know when a bar settles nothing, so that most bars cost a few comparisons.

After a bar was settled, `refresh_quiet` writes the prices and the time up to which no stop, target, order or schedule
of the book can be touched. A bar inside them has the same outcome through `carry` and `value` as through `settle`, to
the last bit; a test plays both ways. Whoever changes a book between bars calls `disturb`.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution.costs import FAR_FUTURE_NS
from tradesentry.core.execution.quotes import SLACK_TICKS
from tradesentry.core.utils.kernel import inline_kernel, kernel

LIMIT = int(OrderType.LIMIT)


@inline_kernel
def disturb(book: Any) -> None:
    """Say that the next bar of this book has to be settled in full."""
    book.quiet_until_ns = 0


@kernel
def _watch_positions(book: Any) -> bool:
    """Narrow the quiet prices by the open positions; False when one needs work on every bar."""
    seen = book.seen
    rules = book.rules
    slack = SLACK_TICKS * seen.tick
    for i in range(seen.n_positions):
        position = seen.positions[i]
        exits = position.exits
        if exits.be_trigger_r > 0.0 or exits.trail_mode != 0 or exits.max_bars > 0 or exits.partial_r[0] > 0.0:
            return False
        if position.is_inside:
            return False
        if exits.exit_ns > 0:
            book.quiet_until_ns = min(book.quiet_until_ns, exits.exit_ns)
        if rules.weekend_flatten:
            last_ns = position.week_end_ns - rules.weekend_lead_ns - rules.bar_ns
            book.quiet_until_ns = min(book.quiet_until_ns, last_ns)
        if position.side > 0:
            book.quiet_low = max(book.quiet_low, position.stop_loss + slack)
            if not math.isnan(position.take_profit):
                book.quiet_high = min(book.quiet_high, position.take_profit - slack)
        else:
            book.quiet_high_ask = min(book.quiet_high_ask, position.stop_loss - slack)
            if not math.isnan(position.take_profit):
                book.quiet_low_ask = max(book.quiet_low_ask, position.take_profit + slack)
    return True


@kernel
def _watch_orders(market: Any, book: Any) -> None:
    """Narrow the quiet prices by the resting orders, one tick early."""
    seen = book.seen
    for i in range(seen.n_orders):
        order = seen.orders[i]
        if order.expiry_ns > 0:
            book.quiet_until_ns = min(book.quiet_until_ns, order.expiry_ns)
        is_limit = order.type == LIMIT
        if order.side > 0:
            book.quiet_low = max(book.quiet_low, order.stop_loss)
            if is_limit:
                book.quiet_low_ask = max(book.quiet_low_ask, order.price)
            else:
                book.quiet_high_ask = min(book.quiet_high_ask, order.price - market.tick)
        else:
            book.quiet_high_ask = min(book.quiet_high_ask, order.stop_loss)
            if is_limit:
                book.quiet_high = min(book.quiet_high, order.price)
            else:
                book.quiet_low = max(book.quiet_low, order.price + market.tick)


@kernel
def refresh_quiet(market: Any, book: Any) -> None:
    """Write how far price and time may go before the book has to be settled in full."""
    book.quiet_until_ns = FAR_FUTURE_NS
    book.quiet_low = -math.inf
    book.quiet_high = math.inf
    book.quiet_low_ask = -math.inf
    book.quiet_high_ask = math.inf
    if (book.rules.news_flatten and book.seen.n_positions > 0) or not _watch_positions(book):
        disturb(book)
        return
    _watch_orders(market, book)


@inline_kernel
def stays_inside(book: Any, bar: Any, spread: float) -> bool:
    """Say whether the prices of `bar` stay inside those at which something happens."""
    return (
        bar.low > book.quiet_low
        and bar.high < book.quiet_high
        and bar.low + spread > book.quiet_low_ask
        and bar.high + spread < book.quiet_high_ask
    )


@inline_kernel
def is_quiet(book: Any, bar: Any, spread: float) -> bool:
    """Say whether `bar` leaves everything in the book as it is."""
    return bar.close_ns < book.quiet_until_ns and book.n_queue == 0 and stays_inside(book, bar, spread)


@inline_kernel
def carry(seen: Any, bar: Any, spread: float, gain: float, loss: float) -> float:
    """Carry the open positions over a quiet bar: widen their excursions, return what they are worth at its close.

    Args:
        seen: VIEW with the positions.
        bar: BAR.
        spread: Its spread with the cost scale.
        gain: Conversion rate of gains (`conversion_rates`).
        loss: Conversion rate of losses.
    """
    unrealized = 0.0
    for i in range(seen.n_positions):
        position = seen.positions[i]
        entry = position.entry_price
        if position.side > 0:
            gained = bar.close - entry
            ahead = bar.high - entry
            against = entry - bar.low
        else:
            gained = entry - (bar.close + spread)
            ahead = entry - (bar.low + spread)
            against = bar.high + spread - entry
        position.mfe = max(position.mfe, ahead)
        position.mae = max(position.mae, against)
        money = gained * position.units
        unrealized += money * (gain if money > 0.0 else loss)
    return unrealized


@inline_kernel
def value(seen: Any, bar: Any, spread: float, gain: float, loss: float, fraction: float) -> tuple[float, float, float]:
    """Return what the open positions are worth on a quiet bar, as `settle` marks them.

    Args:
        seen: VIEW with the positions.
        bar: BAR.
        spread: Its spread with the cost scale.
        gain: Conversion rate of gains (`conversion_rates`).
        loss: Conversion rate of losses.
        fraction: Margin per notional.

    Returns:
        Unrealized, the same at the adverse extreme, and margin used, account currency.
    """
    unrealized = 0.0
    worst = 0.0
    margin = 0.0
    for i in range(seen.n_positions):
        position = seen.positions[i]
        entry = position.entry_price
        if position.side > 0:
            price = bar.close
            gained = price - entry
            at_worst = bar.low - entry
        else:
            price = bar.close + spread
            gained = entry - price
            at_worst = entry - (bar.high + spread)
        units = position.units
        money = gained * units
        lowest = at_worst * units
        unrealized += money * (gain if money > 0.0 else loss)
        worst += lowest * (gain if lowest > 0.0 else loss)
        margin += units * price * loss * fraction
    return unrealized, worst, margin
