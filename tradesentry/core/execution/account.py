"""Value the account and act on its limits: day roll and swap, margin stop-out, daily loss, drawdown.

Runs once per instant, after every book with a bar at that instant was settled and before any strategy decides, so the
order of markets cannot matter. Limits look at the adverse extreme of the bars: a loss that was there inside a bar
counts. What they order (flatten, cancel) is executed from the next open of each market.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import ExitReason, RejectCode, TradingState
from tradesentry.core.execution.book import cancel_all, pay, reduce_position
from tradesentry.core.execution.costs import swap_money, to_account
from tradesentry.core.execution.desk import book_at, equity_at, market_at, quote_at
from tradesentry.core.execution.quiet import disturb
from tradesentry.core.execution.settle import mark_at_quote
from tradesentry.core.utils.kernel import inline_kernel, kernel

ACTIVE = int(TradingState.ACTIVE)
REDUCING = int(TradingState.REDUCING)
HALTED = int(TradingState.HALTED)
MARGIN = int(ExitReason.MARGIN)
DAILY_LOSS = int(ExitReason.DAILY_LOSS)
DRAWDOWN = int(ExitReason.DRAWDOWN)
TRADING_STATE = int(RejectCode.TRADING_STATE)
MARKET_LOCKED = int(RejectCode.MARKET_LOCKED)


@kernel
def roll_account_day(account: Any, clock: Any) -> None:
    """Start the account's FX day: keep its start equity, lift a daily lock.

    Args:
        account: ACCOUNT, its equity as of the last instant of the day before.
        clock: CLOCK of a bar of the new day.
    """
    account.day_ns = clock.fx_day_start_ns
    account.day_end_ns = clock.fx_day_end_ns
    account.day_start_equity = account.equity
    account.daily_pnl = 0.0
    account.n_trades_today = 0
    if account.trading_state == REDUCING and account.state_reason == DAILY_LOSS:
        account.trading_state = ACTIVE
        account.state_reason = 0
        account.state_ns = clock.fx_day_start_ns


@kernel
def roll_book_day(market: Any, desk: Any, book: Any, account: Any, row: int) -> None:
    """End the FX days up to calendar row `row`: book swap on every position, start the market's day value.

    The swap belongs to the day that ends, but the account may have begun the new one with the bar of another market:
    so the swap is taken from the equity that day started with as well.

    Args:
        market: MARKET with its calendar.
        desk: DESK, the memory of the run.
        book: BOOK whose `seen.clock` still shows the day that ends.
        account: ACCOUNT that pays or is paid.
        row: FX-day row of the bar about to be settled.
    """
    seen = book.seen
    bid = quote_at(desk.quotes, market.index).prev_bid
    ask = quote_at(desk.quotes, market.index).prev_ask
    for ended in range(seen.clock.fx_day, row):
        day = market.calendar.fx_days[ended]
        for i in range(seen.n_positions):
            position = seen.positions[i]
            money = swap_money(market, desk, position, bid, ask, day)
            position.swap += money
            account.day_start_equity += money
            pay(book, account, money)
    book.day_start_value = book.realized + book.unrealized
    book.is_locked = False


@inline_kernel
def _sum_books(desk: Any, account: Any) -> float:
    """Write equity, margin and the worst equity of the instant; return the lowest day result of a market."""
    unrealized = 0.0
    worst = 0.0
    margin = 0.0
    lowest = 0.0
    for i in range(desk.n_lanes):
        book = book_at(desk.books, i)
        unrealized += book.unrealized
        worst += book.worst_unrealized
        margin += book.margin_used
        lowest = min(lowest, book.realized + book.worst_unrealized - book.day_start_value)
    equity = account.balance + unrealized
    value_account(account, equity, min(account.balance + worst, equity), margin)
    return lowest


@inline_kernel
def _is_short_of_margin(account: Any) -> bool:
    """Say whether equity is below the stop-out level of the margin used."""
    return account.margin_used > 0.0 and account.equity < account.limits.stop_out_level * account.margin_used


@inline_kernel
def value_account(account: Any, equity: float, worst: float, margin: float) -> None:
    """Write what the account is worth.

    Args:
        account: ACCOUNT.
        equity: Balance and unrealized, account currency.
        worst: The same at the adverse extreme of the bars.
        margin: Margin used.
    """
    account.equity = equity
    account.worst_equity = worst
    account.margin_used = margin
    account.free_margin = equity - margin
    account.daily_pnl = equity - account.day_start_equity


@inline_kernel
def keep_extremes(account: Any, equity: float, worst: float) -> None:
    """Keep the peak of equity and the deepest drawdown from it."""
    account.peak_equity = max(account.peak_equity, equity)
    if worst < account.peak_equity * (1.0 - account.max_drawdown):
        account.max_drawdown = 1.0 - worst / account.peak_equity


@inline_kernel
def equity_floor(account: Any) -> float:
    """Return the worst equity at which daily loss or drawdown asks for an act; minus infinity where limits are off."""
    limits = account.limits
    if not limits.is_on or account.trading_state == HALTED:
        return -math.inf
    drawdown = min(limits.drawdown_reduce, limits.drawdown_halt)
    return max(account.day_start_equity * (1.0 - limits.daily_loss), account.peak_equity * (1.0 - drawdown))


@inline_kernel
def market_floor(account: Any) -> float:
    """Return the day result of one market at which it is locked; minus infinity where limits are off."""
    limits = account.limits
    if not limits.is_on or account.trading_state == HALTED:
        return -math.inf
    return -limits.market_daily_loss * account.day_start_equity


@kernel
def write_equity_point(desk: Any, account: Any, now: int) -> None:
    """Append an equity point."""
    row = equity_at(desk.equity, account.n_equity)
    row.ts_ns = now
    row.equity = account.equity
    account.drawdown = 1.0 - account.worst_equity / account.peak_equity
    row.balance = account.balance
    row.worst_equity = account.worst_equity
    row.margin_used = account.margin_used
    row.trading_state = account.trading_state
    n = 0
    for b in range(desk.n_lanes):
        n += book_at(desk.books, b).seen.n_positions
    row.n_positions = n
    account.n_equity += 1
    account.next_equity_ns = now + account.equity_step_ns


@kernel
def _largest_loser(desk: Any) -> tuple[int, int]:
    """Return (book, position row) of the position that loses most at the present quotes; (-1, -1) if none is open."""
    found_book = -1
    found_row = -1
    worst = 0.0
    for b in range(desk.n_lanes):
        seen = book_at(desk.books, b).seen
        for i in range(seen.n_positions):
            position = seen.positions[i]
            market = market_at(desk.markets, book_at(desk.books, b).market)
            quote = quote_at(desk.quotes, market.index)
            price = quote.bid if position.side > 0 else quote.ask
            gain = position.side * (price - position.entry_price) * position.units
            money = to_account(market, desk, gain, quote.bid, quote.ask)
            if found_book < 0 or money < worst:
                found_book = b
                found_row = i
                worst = money
    return found_book, found_row


@kernel
def _stop_out(desk: Any, account: Any, ts_ns: int) -> None:
    """Close the largest losers at the present quotes until equity is above the stop-out level of the margin used."""
    while _is_short_of_margin(account):
        b, row = _largest_loser(desk)
        if b < 0:
            return
        book = book_at(desk.books, b)
        market = market_at(desk.markets, book.market)
        quote = quote_at(desk.quotes, market.index)
        position = book.seen.positions[row]
        price = quote.bid if position.side > 0 else quote.ask
        reduce_position(market, desk, book, account, row, position.units, price, False, ts_ns, MARGIN)
        mark_at_quote(market, desk, book)
        _sum_books(desk, account)


@kernel
def _set_state(desk: Any, account: Any, ts_ns: int, state: int, reason: int) -> None:
    """Worsen the trading state and cancel all entries."""
    account.trading_state = state
    account.state_reason = reason
    account.state_ns = ts_ns
    for i in range(desk.n_lanes):
        cancel_all(book_at(desk.books, i), account, desk, ts_ns, TRADING_STATE)


@kernel
def _flatten(desk: Any, reason: int) -> None:
    """Close everything at the next opens."""
    for i in range(desk.n_lanes):
        book = book_at(desk.books, i)
        if book.seen.n_positions > 0:
            book.flatten_reason = reason
            disturb(book)


@kernel
def _lock_markets(desk: Any, account: Any, ts_ns: int) -> None:
    """Lock and flatten a market that lost its daily share."""
    floor = -account.limits.market_daily_loss * account.day_start_equity
    for i in range(desk.n_lanes):
        book = book_at(desk.books, i)
        value = book.realized + min(book.worst_unrealized, book.unrealized) - book.day_start_value
        if not book.is_locked and value <= floor:
            book.is_locked = True
            cancel_all(book, account, desk, ts_ns, MARKET_LOCKED)
            if book.seen.n_positions > 0:
                book.flatten_reason = DAILY_LOSS
                disturb(book)


@kernel
def _apply_limits(desk: Any, account: Any, ts_ns: int, lowest: float) -> None:
    """Act on drawdown, daily loss and the daily loss of a market.

    The losses of the day act in every state but HALTED: a drawdown that lets positions run does not lift them, and its
    state, which no new day lifts, stays.
    """
    limits = account.limits
    floor = account.peak_equity * (1.0 - limits.drawdown_halt)
    if account.worst_equity <= floor:
        _set_state(desk, account, ts_ns, HALTED, DRAWDOWN)
        _flatten(desk, DRAWDOWN)
        return
    floor = account.peak_equity * (1.0 - limits.drawdown_reduce)
    if account.worst_equity <= floor and account.state_reason != DRAWDOWN:
        _set_state(desk, account, ts_ns, REDUCING, DRAWDOWN)
    if account.worst_equity <= account.day_start_equity * (1.0 - limits.daily_loss):
        if account.trading_state == ACTIVE:
            _set_state(desk, account, ts_ns, REDUCING, DAILY_LOSS)
        _flatten(desk, DAILY_LOSS)
    elif lowest <= -limits.market_daily_loss * account.day_start_equity:
        _lock_markets(desk, account, ts_ns)


@inline_kernel
def update_account(desk: Any, account: Any, ts_ns: int) -> None:
    """Mark the account to market at `ts_ns` and apply margin, daily loss and drawdown limits.

    Args:
        desk: DESK, the memory of the run.
        account: ACCOUNT, updated.
        ts_ns: The instant.
    """
    lowest = _sum_books(desk, account)
    if _is_short_of_margin(account):
        _stop_out(desk, account, ts_ns)
    account.last_ns = ts_ns
    keep_extremes(account, account.equity, account.worst_equity)
    if account.worst_equity <= equity_floor(account) or lowest <= market_floor(account):
        _apply_limits(desk, account, ts_ns, lowest)
