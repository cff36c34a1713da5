"""Play the stretch between two events of an account that trades one market with one strategy.

Most bars only move the price: nothing fills, no schedule ends, no limit acts. With one market and one strategy there
is nothing to merge either, so those bars need none of the engine's walks over markets and books, and what only the end
of a stretch can see is written once, there. `coast` is made of the formulas of an instant of the engine, in the same
order, and stops in front of the first bar that needs more; tests play both ways to the same bits. It is separate from
the engine because it may be left out: the result is the same.
"""

import math
from typing import Any

from tradesentry.core.domain.records import BAR
from tradesentry.core.execution.account import (
    equity_floor,
    keep_extremes,
    market_floor,
    value_account,
    write_equity_point,
)
from tradesentry.core.execution.costs import FAR_FUTURE_NS, OWN_PRICE, bar_spread, conversion_rates
from tradesentry.core.execution.decide import call_strategy
from tradesentry.core.execution.desk import bar_at, book_at, lane_at, market_at, quote_at, series_at
from tradesentry.core.execution.quiet import carry, stays_inside, value
from tradesentry.core.execution.quotes import ATR_BARS, SLACK_TICKS, keep_recent, next_atr, show_price, true_range
from tradesentry.core.utils.kernel import inline_kernel, kernel, prefetch

BAR_BYTES = BAR.itemsize
LOOK_AHEAD_BARS = 16
"""Bars that are fetched ahead: the processor does so by itself, but not over the end of a page of memory."""
ROUNDING = 1e-12
"""Share of the account by which sums of its money may come out wrong, generously."""


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
def _measure(market: Any, book: Any, account: Any, calm: Any, equity: float, margin: float) -> None:
    """Write how far bid and ask may fall and rise until the account has something to note or a limit may act.

    Rather too little than too much; under 0 when the next bar may do so. Prices stay within a quarter of the present
    one, in which the margin used less than doubles and what a unit is worth changes by less than that too.

    Args:
        market: MARKET; no other market's quote converts, because the run is alone.
        book: BOOK.
        account: ACCOUNT.
        calm: CALM with the quote to count from.
        equity: What the account is worth at that quote.
        margin: Margin used at it.
    """
    seen = book.seen
    calm.fall = calm.rise = math.inf
    if seen.n_positions == 0:
        return
    by_rise = 0.0
    by_fall = 0.0
    for i in range(seen.n_positions):
        position = seen.positions[i]
        own_rate = 2.0 * position.entry_price / (calm.bid * calm.bid)
        rate = own_rate if market.conversion == OWN_PRICE else market.fixed_rate
        if position.side > 0:
            by_fall += position.units * rate
        else:
            by_rise += position.units * rate
    lowest = max(equity_floor(account), account.balance + market_floor(account) + book.day_start_value - book.realized)
    lowest = max(lowest, account.limits.stop_out_level * 2.0 * margin)
    lowest = max(lowest, account.peak_equity * (1.0 - account.max_drawdown))
    doubt = ROUNDING * account.peak_equity
    losing = (equity - lowest - doubt) / (by_fall + by_rise)
    gaining = (account.peak_equity - equity - doubt) / (by_fall + by_rise)
    far = 0.25 * calm.bid
    calm.fall = min(far, losing if by_fall > 0.0 else far, gaining if by_rise > 0.0 else far)
    calm.rise = min(far, losing if by_rise > 0.0 else far, gaining if by_fall > 0.0 else far)


@inline_kernel
def _narrow(book: Any, calm: Any) -> None:
    """Write the two bids between which a bar with the present spread settles and notes nothing."""
    slack = SLACK_TICKS * book.seen.tick
    low_ask = max(book.quiet_low_ask, calm.ask - calm.fall)
    high_ask = min(book.quiet_high_ask, calm.ask + calm.rise)
    calm.low = max(book.quiet_low, calm.bid - calm.fall, low_ask - calm.scaled) + slack
    calm.high = min(book.quiet_high, calm.bid + calm.rise, high_ask - calm.scaled) - slack


@kernel
def _change_spread(market: Any, book: Any, calm: Any, spread: float) -> None:
    """Go on with another spread."""
    calm.spread = spread
    calm.scaled = spread * market.cost_scale
    _narrow(book, calm)
    if spread > calm.widest:
        calm.low = math.inf


@kernel
def _note(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> bool:
    """Let the account note a bar that settles nothing, and count from there; False if there is more to do on it.

    What is written before a False is written again in the same way when the engine plays the bar.
    """
    calm = desk.calm
    if spread > calm.widest or not stays_inside(book, bar, calm.scaled):
        return False
    if book.seen.n_positions == 0:
        return True
    gain, loss = conversion_rates(market, desk, bar.close, bar.close + calm.scaled)
    money, lowest, margin = value(book.seen, bar, calm.scaled, gain, loss, market.margin_fraction)
    equity = account.balance + money
    worst = min(account.balance + lowest, equity)
    if margin > 0.0 and equity < account.limits.stop_out_level * margin:
        return False
    keep_extremes(account, equity, worst)
    if worst <= equity_floor(account) or book.realized + lowest - book.day_start_value <= market_floor(account):
        return False
    calm.bid, calm.ask = bar.close, bar.close + calm.scaled
    _measure(market, book, account, calm, equity, margin)
    _narrow(book, calm)
    return True


@kernel
def _mark(market: Any, desk: Any, book: Any, account: Any, bar: Any, scaled: float) -> None:
    """Write what book and account are worth at the close of a quiet bar."""
    gain, loss = conversion_rates(market, desk, bar.close, bar.close + scaled)
    marks = value(book.seen, bar, scaled, gain, loss, market.margin_fraction)
    book.unrealized, book.worst_unrealized, book.margin_used = marks
    equity = account.balance + book.unrealized
    value_account(account, equity, min(account.balance + book.worst_unrealized, equity), book.margin_used)


@kernel
def _set_out(desk: Any, account: Any) -> None:
    """Write how far the account may go from the present quote."""
    quote = quote_at(desk.quotes, 0)
    book = book_at(desk.books, 0)
    calm = desk.calm
    calm.until_ns = _calm_until(quote, book, account)
    calm.widest = _widest_spread(book)
    calm.bid, calm.ask = quote.bid, quote.ask
    calm.spread = -1.0
    _measure(market_at(desk.markets, 0), book, account, calm, account.equity, book.margin_used)


@kernel
def coast(desk: Any, account: Any, intents: Any, n_steps: int) -> tuple[int, int]:
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
    calm = desk.calm
    if book.n_queue > 0 or quote.n_bars <= ATR_BARS:
        return 0, 0
    _set_out(desk, account)
    bars = row.bars
    i = first = row.next_bar
    last = min(row.n_bars, first + min(n_steps, desk.equity_room - account.n_equity - 2))
    n = 0
    # Nearly every bar is calm, so what such a bar needs is read and written in memory: the loop calls the strategy,
    # and a call saves no registers.
    while i < last and n == 0:
        bar = bar_at(bars, i)
        prefetch(bars + (i + LOOK_AHEAD_BARS) * BAR_BYTES)
        if bar.close_ns >= calm.until_ns:
            break
        spread = bar_spread(market, quote, bar)
        if spread != calm.spread:
            _change_spread(market, book, calm, spread)
        scaled = calm.scaled
        if (bar.low <= calm.low or bar.high >= calm.high) and not _note(market, desk, book, account, bar, spread):
            break
        gain, loss = conversion_rates(market, desk, bar.close, bar.close + scaled)
        show_price(quote, bar.close, scaled)
        quote.prev_atr = quote.atr
        quote.atr = next_atr(quote.atr, true_range(bar, bar_at(bars, i - 1).close))
        keep_recent(quote, bar, spread)
        if seen.n_positions > 0:
            seen.equity = account.balance + carry(seen, bar, scaled, gain, loss)
        seen.bar_index += 1
        seen.last_spread = spread
        seen.price_unit_value = loss
        n = call_strategy(lane, book, bar, intents)
        if bar.close_ns >= account.next_equity_ns:
            _mark(market, desk, book, account, bar, scaled)
            write_equity_point(desk, account, bar.close_ns)
        i += 1
    if i > first:
        _arrive(desk, account, i)
    return i - first, n


@kernel
def _arrive(desk: Any, account: Any, i: int) -> None:
    """Write what follows from the last of the bars played, the one before row `i`."""
    row = series_at(desk.series, 0)
    quote = quote_at(desk.quotes, 0)
    book = book_at(desk.books, 0)
    market = market_at(desk.markets, 0)
    bar = bar_at(row.bars, i - 1)
    _mark(market, desk, book, account, bar, book.seen.last_spread * market.cost_scale)
    n_played = i - row.next_bar
    book.settled += n_played
    quote.n_bars += n_played
    quote.is_gap = bar.open_ns > bar_at(row.bars, i - 2).close_ns
    quote.spread = book.seen.last_spread
    quote.prev_close = bar.close
    quote.last_close_ns = bar.close_ns
    account.last_ns = bar.close_ns
    row.next_bar = i
    row.next_close_ns = bar_at(row.bars, i).close_ns if i < row.n_bars else FAR_FUTURE_NS
