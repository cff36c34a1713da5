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
from tradesentry.core.execution.costs import FAR_FUTURE_NS, OWN_PRICE, bar_spread, conversion_rates
from tradesentry.core.execution.decide import call_strategy
from tradesentry.core.execution.desk import bar_at, book_at, lane_at, market_at, quote_at, series_at
from tradesentry.core.execution.quiet import carry, stays_inside, value
from tradesentry.core.execution.quotes import ATR_BARS, SLACK_TICKS, next_atr, next_recent, show_price, true_range
from tradesentry.core.utils.kernel import inline_kernel, kernel

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
def _reach(market: Any, book: Any, account: Any, equity: float, margin: float, bid: float) -> float:
    """Return how far bid and ask may move until the account has something to note or a limit may act, price units.

    Rather too near than too far; under 0 when the next bar may do so. Prices stay within a quarter of the present one,
    in which the margin used less than doubles and what a unit is worth changes by less than that too.

    Args:
        market: MARKET; another market's quote converts nothing, because the run is alone.
        book: BOOK.
        account: ACCOUNT.
        equity: What the account is worth at the present quote.
        margin: Margin used at it.
        bid: Present bid.
    """
    seen = book.seen
    money_per_price = 0.0
    for i in range(seen.n_positions):
        position = seen.positions[i]
        rate = 2.0 * position.entry_price / (bid * bid) if market.conversion == OWN_PRICE else market.fixed_rate
        money_per_price += position.units * rate
    if money_per_price == 0.0:
        return math.inf
    lowest = max(equity_floor(account), account.balance + market_floor(account) + book.day_start_value - book.realized)
    lowest = max(lowest, account.limits.stop_out_level * 2.0 * margin)
    lowest = max(lowest, account.peak_equity * (1.0 - account.max_drawdown))
    room = min(equity - lowest, account.peak_equity - equity) - ROUNDING * account.peak_equity
    return min(room / money_per_price, 0.25 * bid)


@inline_kernel
def _bids(book: Any, bid: float, ask: float, reach: float, scaled: float) -> tuple[float, float]:
    """Return two bids between which a bar with this spread settles and notes nothing; rather too near than too far."""
    slack = SLACK_TICKS * book.seen.tick
    low_ask = max(book.quiet_low_ask, ask - reach)
    high_ask = min(book.quiet_high_ask, ask + reach)
    low = max(max(book.quiet_low, bid - reach), low_ask - scaled) + slack
    high = min(min(book.quiet_high, bid + reach), high_ask - scaled) - slack
    return low, high


@inline_kernel
def _note(market: Any, book: Any, account: Any, bar: Any, scaled: float, gain: float, loss: float) -> bool:
    """Let the account note a bar that settles nothing; False, and nothing that counts is written, if a limit may act.

    What is written before is written again in the same way when the engine plays the bar.
    """
    money, lowest, margin = value(book.seen, bar, scaled, gain, loss, market.margin_fraction)
    equity = account.balance + money
    worst = min(account.balance + lowest, equity)
    if margin > 0.0 and equity < account.limits.stop_out_level * margin:
        return False
    keep_extremes(account, equity, worst)
    book.margin_used = margin
    account.equity = equity
    return worst > equity_floor(account) and book.realized + lowest - book.day_start_value > market_floor(account)


@kernel
def _mark(market: Any, desk: Any, book: Any, account: Any, bar: Any, scaled: float) -> None:
    """Write what book and account are worth at the close of a quiet bar."""
    gain, loss = conversion_rates(market, desk, bar.close, bar.close + scaled)
    marks = value(book.seen, bar, scaled, gain, loss, market.margin_fraction)
    book.unrealized, book.worst_unrealized, book.margin_used = marks
    equity = account.balance + book.unrealized
    value_account(account, equity, min(account.balance + book.worst_unrealized, equity), book.margin_used)


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
    if book.n_queue > 0 or quote.n_bars <= ATR_BARS:
        return 0, 0
    until = _calm_until(quote, book, account)
    widest = _widest_spread(book)
    bid, ask = quote.bid, quote.ask
    reach = _reach(market, book, account, account.equity, book.margin_used, bid)
    bid_low = bid_high = 0.0
    gain, loss = conversion_rates(market, desk, bid, ask)
    atr = prev_atr = quote.atr
    recent = quote.recent_at
    scaled = scaled_before = -1.0
    i = first = row.next_bar
    last = min(row.n_bars, first + min(n_steps, desk.equity_room - account.n_equity - 2))
    n = 0
    while i < last and n == 0:
        bar = bar_at(row.bars, i)
        if bar.close_ns >= until:
            break
        spread = bar_spread(market, quote, bar)
        wide = spread * market.cost_scale
        if wide != scaled:
            bid_low, bid_high = _bids(book, bid, ask, reach, wide)
        if market.conversion == OWN_PRICE:
            gain, loss = conversion_rates(market, desk, bar.close, bar.close + wide)
        if bar.low <= bid_low or bar.high >= bid_high or spread > widest:
            if spread > widest or not stays_inside(book, bar, wide):
                break
            if seen.n_positions > 0:
                if not _note(market, book, account, bar, wide, gain, loss):
                    break
                bid, ask = bar.close, bar.close + wide
                reach = _reach(market, book, account, account.equity, book.margin_used, bid)
                bid_low, bid_high = _bids(book, bid, ask, reach, wide)
        if seen.n_positions > 0:
            seen.equity = account.balance + carry(seen, bar, wide, gain, loss)
        scaled_before, scaled = scaled, wide
        recent = next_recent(recent)
        quote.highs[recent] = bar.high
        quote.lows[recent] = bar.low + spread
        seen.bar_index += 1
        seen.last_spread = spread
        seen.price_unit_value = loss
        n = call_strategy(lane, book, bar, intents)
        prev_atr = atr
        atr = next_atr(atr, true_range(bar, bar_at(row.bars, i - 1).close))
        if bar.close_ns >= account.next_equity_ns:
            _mark(market, desk, book, account, bar, scaled)
            write_equity_point(desk, account, bar.close_ns)
        i += 1
    if i > first:
        quote.atr, quote.prev_atr, quote.recent_at = atr, prev_atr, recent
        _mark(market, desk, book, account, bar_at(row.bars, i - 1), scaled)
        _show_last(row, quote, i, scaled, scaled_before)
        _stand_at(row, quote, book, account, i)
    return i - first, n


@inline_kernel
def _show_last(row: Any, quote: Any, i: int, scaled: float, scaled_before: float) -> None:
    """Show the last two of the bars played, up to row `i`, to the quote, with their scaled spreads."""
    if i - row.next_bar > 1:
        show_price(quote, bar_at(row.bars, i - 2).close, scaled_before)
    show_price(quote, bar_at(row.bars, i - 1).close, scaled)


@inline_kernel
def _stand_at(row: Any, quote: Any, book: Any, account: Any, i: int) -> None:
    """Write what follows from the last bar played, the one before row `i`."""
    n_played = i - row.next_bar
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
