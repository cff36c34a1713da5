"""Play the stretch between two events of an account that trades one market with one strategy.

Most bars only move the price: nothing fills, no schedule ends, no limit acts. With one market and one strategy there
is nothing to merge either, so those bars need none of the engine's walks over markets and books, and what only the end
of a stretch can see is written once, there. `coast` is made of the formulas of an instant of the engine, in the same
order, and stops in front of the first bar that needs more; tests play both ways to the same bits. It is separate from
the engine because it may be left out: the result is the same.
"""

import math
from typing import Any

from tradesentry.core.execution.account import (
    equity_floor,
    keep_extremes,
    market_floor,
    value_account,
    write_equity_point,
)
from tradesentry.core.execution.costs import FAR_FUTURE_NS, bar_spread, conversion_rates
from tradesentry.core.execution.decide import call_strategy
from tradesentry.core.execution.desk import bar_at, book_at, lane_at, market_at, quote_at, series_at
from tradesentry.core.execution.quiet import drift, stays_inside
from tradesentry.core.execution.quotes import ATR_BARS, next_atr, next_recent, show_price, true_range
from tradesentry.core.utils.kernel import inline_kernel, kernel


@inline_kernel
def is_alone(desk: Any) -> bool:
    """Say whether the run is one strategy on one market without finer bars, which `coast` can play."""
    return bool(desk.n_lanes == 1 and desk.n_markets == 1 and series_at(desk.series, 0).n_fine == 0)


@inline_kernel
def _calm_until(quote: Any, book: Any, account: Any) -> int:
    """Return the close from which on a schedule may change something: clock, day, entry block, orders and exits."""
    rules = book.rules
    clock = book.seen.clock
    now = quote.last_close_ns
    until: int = min(book.quiet_until_ns, quote.cursor.next_ns, account.day_end_ns)
    if rules.weekend_flatten and now < clock.week_end_ns - rules.no_entry_lead_ns:
        until = min(until, clock.week_end_ns - rules.no_entry_lead_ns)
    if rules.uses_news:
        starts_ns = clock.blackout_start_ns - rules.bar_ns
        until = min(until, starts_ns + 1 if now <= starts_ns else clock.blackout_end_ns)
    return until


@inline_kernel
def _widest_spread(book: Any) -> float:
    """Return the spread above which a resting order is pulled, price units before the cost scale."""
    widest = math.inf
    seen = book.seen
    if seen.n_orders > 0 and book.rules.max_spread > 0.0:
        widest = book.rules.max_spread
    for i in range(seen.n_orders):
        limit = seen.orders[i].exits.max_spread
        if limit > 0.0:
            widest = min(widest, limit)
    return widest


@inline_kernel
def _show(quote: Any, bar: Any, spread: float, scaled: float, recent: int) -> None:
    """Show a bar to the quote: what conversions and trailing stops read."""
    show_price(quote, bar.close, scaled)
    quote.highs[recent] = bar.high
    quote.lows[recent] = bar.low + spread


@kernel
def coast(desk: Any, account: Any, intents: Any, n_steps: int) -> tuple[int, int]:  # noqa: PLR0915
    """Play bars from the next one on for as long as each leaves the book as it is.

    Args:
        desk: DESK of a run that `is_alone`.
        account: ACCOUNT.
        intents: INTENT array to write into.
        n_steps: Bars to play at most.

    Returns:
        Bars played; intents of the last of them, which the caller executes, or a negative status of the strategy.
    """
    row = series_at(desk.series, 0)
    market = market_at(desk.markets, 0)
    quote = quote_at(desk.quotes, 0)
    book = book_at(desk.books, 0)
    lane = lane_at(desk.lanes, 0)
    seen = book.seen
    if book.n_queue > 0 or quote.n_bars <= ATR_BARS:
        return 0, 0
    until = _calm_until(quote, book, account)
    widest = _widest_spread(book)
    floor = equity_floor(account)
    market_value = market_floor(account)
    drawn = account.peak_equity * (1.0 - account.max_drawdown)
    is_open = seen.n_positions > 0
    equity = account.equity
    worst = account.worst_equity
    margin = book.margin_used
    unrealized = book.unrealized
    worst_unrealized = book.worst_unrealized
    atr = quote.atr
    prev_atr = quote.prev_atr
    close = quote.prev_close
    recent = quote.recent_at
    i = first = row.next_bar
    last = min(row.n_bars, first + min(n_steps, desk.equity_room - account.n_equity - 2))
    n = 0
    while i < last and n == 0:
        bar = bar_at(row.bars, i)
        if bar.close_ns >= until:
            break
        spread = bar_spread(market, quote, bar)
        scaled = spread * market.cost_scale
        if spread > widest or not stays_inside(book, bar, scaled):
            break
        gain, loss = conversion_rates(market, desk, bar.close, bar.close + scaled)
        if is_open:
            money, lowest, held = drift(seen, bar, scaled, gain, loss, market.margin_fraction)
            present = account.balance + money
            if held > 0.0 and present < account.limits.stop_out_level * held:
                break
            at_worst = min(account.balance + lowest, present)
            if present > account.peak_equity or at_worst < drawn:
                keep_extremes(account, present, at_worst)
                drawn = account.peak_equity * (1.0 - account.max_drawdown)
                floor = equity_floor(account)
            if at_worst <= floor or book.realized + lowest - book.day_start_value <= market_value:
                break
            equity, worst, margin = present, at_worst, held
            unrealized, worst_unrealized = money, lowest
            seen.equity = equity
        prev_atr = atr
        atr = next_atr(atr, true_range(bar, close))
        close = bar.close
        recent = next_recent(recent)
        _show(quote, bar, spread, scaled, recent)
        seen.bar_index += 1
        seen.last_spread = spread
        seen.price_unit_value = loss
        n = call_strategy(lane, book, bar, intents)
        if bar.close_ns >= account.next_equity_ns:
            value_account(account, equity, worst, margin)
            write_equity_point(desk, account, bar.close_ns)
        i += 1
    value_account(account, equity, worst, margin)
    book.unrealized, book.worst_unrealized, book.margin_used = unrealized, worst_unrealized, margin
    quote.atr, quote.prev_atr, quote.recent_at = atr, prev_atr, recent
    _stand_at(row, quote, book, account, i)
    return i - first, n


@inline_kernel
def _stand_at(row: Any, quote: Any, book: Any, account: Any, i: int) -> None:
    """Write what follows from the last bar played, the one before row `i`."""
    n_played = i - row.next_bar
    if n_played == 0:
        return
    bar = bar_at(row.bars, i - 1)
    book.settled += n_played
    quote.n_bars += n_played
    quote.is_gap = bar.open_ns > bar_at(row.bars, i - 2).close_ns
    quote.spread = book.seen.last_spread
    quote.prev_close = bar.close
    quote.last_close_ns = bar.close_ns
    account.last_ns = bar.close_ns
    row.next_bar = i
    row.next_close_ns = bar_at(row.bars, i).close_ns if i < row.n_bars else FAR_FUTURE_NS
