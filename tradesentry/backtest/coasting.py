"""Play the stretch between two events of an account that trades one market with one strategy.

Most bars only move the price: nothing fills, no schedule ends, no limit acts. With one market and one strategy there
is nothing to merge either, so those bars need none of the engine's walks over markets and books. `coast` is made of the
same pieces as an instant of the engine, in the same order, and stops in front of the first bar that needs more; a test
plays both ways to the same bits. It is separate from the engine because it may be left out: the result is the same.
"""

from typing import Any

from tradesentry.core.execution.account import value_alone, write_equity_point
from tradesentry.core.execution.costs import bar_spread, price_unit_value
from tradesentry.core.execution.decide import call_strategy
from tradesentry.core.execution.desk import bar_at, book_at, lane_at, market_at, quote_at, series_at
from tradesentry.core.execution.quiet import drift, is_quiet
from tradesentry.core.execution.quotes import take_bar
from tradesentry.core.utils.kernel import inline_kernel, kernel

FAR_FUTURE = 1 << 62


@inline_kernel
def is_alone(desk: Any) -> bool:
    """Say whether the run is one strategy on one market without finer bars, which `coast` can play."""
    return desk.n_lanes == 1 and desk.n_markets == 1 and series_at(desk.series, 0).n_fine == 0


@inline_kernel
def _calm_until(quote: Any, book: Any, account: Any) -> int:
    """Return the close from which on a schedule may change something: clock, day, entry block, orders and exits."""
    rules = book.rules
    clock = book.seen.clock
    now = quote.last_close_ns
    until = min(book.quiet_until_ns, quote.cursor.next_ns, account.day_end_ns)
    if rules.weekend_flatten and now < clock.week_end_ns - rules.no_entry_lead_ns:
        until = min(until, clock.week_end_ns - rules.no_entry_lead_ns)
    if rules.uses_news:
        starts_ns = clock.blackout_start_ns - rules.bar_ns
        until = min(until, starts_ns + 1 if now <= starts_ns else clock.blackout_end_ns)
    return until


@kernel
def coast(step: Any, desk: Any, account: Any, intents: Any, n_steps: int) -> tuple[int, int]:
    """Play bars from the next one on for as long as each leaves the book as it is.

    Args:
        step: First-class function of the strategy.
        desk: DESK of a run that `is_alone`, with room for an equity point per bar.
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
    if book.n_queue > 0 or quote.n_bars == 0:
        return 0, 0
    until = _calm_until(quote, book, account)
    first = row.next_bar
    i = first
    last = min(row.n_bars, first + min(n_steps, desk.equity_room - account.n_equity - 2))
    n = 0
    while i < last and n == 0:
        bar = bar_at(row.bars, i)
        if bar.close_ns >= until:
            break
        spread = bar_spread(market, quote, bar)
        scaled = spread * market.cost_scale
        if not is_quiet(book, bar, scaled):
            break
        if seen.n_positions > 0:
            drift(desk, market, book, bar, scaled)
            if not value_alone(account, book):
                break
            seen.equity = account.equity
        book.settled += 1
        seen.bar_index += 1
        take_bar(market, quote, bar, spread)
        seen.last_spread = spread
        seen.price_unit_value = price_unit_value(market, desk, quote.bid, quote.ask)
        n = call_strategy(step, lane, book, bar, intents)
        if bar.close_ns >= account.next_equity_ns:
            write_equity_point(desk, account, bar.close_ns)
        i += 1
    if i > first:
        account.last_ns = bar_at(row.bars, i - 1).close_ns
        row.next_bar = i
        row.next_close_ns = bar_at(row.bars, i).close_ns if i < row.n_bars else FAR_FUTURE
    return i - first, n
