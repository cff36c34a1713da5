"""Keep the present of a market: clock, bid and ask, gap flag, ATR, recent extremes, daily returns.

`observe` runs once per closed bar and market, before any book on that market is settled, so books that share a market
(variants of a sweep on one portfolio) and markets that convert for others all see the same quote.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import N_RECENT, N_RETURNS
from tradesentry.core.execution.costs import bar_spread
from tradesentry.core.market.clock import advance
from tradesentry.core.utils.kernel import inline_kernel, kernel

OK = int(Status.OK)
ATR_BARS = 14
"""Length of the ATR that slippage and trailing stops use."""
SLACK_TICKS = 1e-3
"""Prices closer than this share of a tick are equal: order prices lie on the grid, sums with a spread do not."""
PER_ATR_BAR = 1.0 / ATR_BARS


@inline_kernel
def true_range(bar: Any, prev_close: float) -> float:
    """Return the true range of `bar`, price units."""
    return max(bar.high - bar.low, abs(bar.high - prev_close), abs(bar.low - prev_close))


@inline_kernel
def next_atr(atr: float, tr: float) -> float:
    """Return Wilder's ATR(14) one bar on, from the true range of that bar."""
    return atr + (tr - atr) * PER_ATR_BAR


@inline_kernel
def next_recent(row: int) -> int:
    """Return the row after `row` in the rings of recent extremes."""
    return (row + 1) & (N_RECENT - 1)


@inline_kernel
def keep_recent(quote: Any, bar: Any, spread: float) -> None:
    """Add a bar to the rings of recent extremes; `spread` is that before the cost scale."""
    row = next_recent(quote.recent_at)
    quote.recent_at = row
    quote.highs[row] = bar.high
    quote.lows[row] = bar.low + spread


@inline_kernel
def _track_volatility(quote: Any, bar: Any, spread: float) -> None:
    """Update the ATR and the rings of the highest bids and lowest asks, the prices at which one leaves.

    `spread` is that before the cost scale: where a stop trails is a decision.
    """
    n = quote.n_bars
    if n > ATR_BARS:
        quote.atr = next_atr(quote.atr, true_range(bar, quote.prev_close))
    elif n > 0:
        quote.atr_sum += true_range(bar, quote.prev_close)
        if n == ATR_BARS:
            quote.atr = quote.atr_sum / ATR_BARS
    keep_recent(quote, bar, spread)


@kernel
def _close_day(quote: Any) -> None:
    """Append the log return of the FX day that has just ended to the ring of daily returns."""
    if quote.day_close > 0.0:
        quote.returns[quote.n_returns % N_RETURNS] = math.log(quote.prev_close / quote.day_close)
        quote.n_returns += 1
    quote.day_close = quote.prev_close


@inline_kernel
def show_price(quote: Any, close: float, scaled: float) -> None:
    """Move bid and ask to a close and its scaled spread."""
    quote.prev_bid = quote.bid
    quote.prev_ask = quote.ask
    quote.bid = close
    quote.ask = close + scaled


@inline_kernel
def observe(market: Any, quote: Any, bar: Any) -> int:
    """Show one closed bar to the quote of its market.

    Args:
        market: MARKET with its calendar.
        quote: QUOTE, updated.
        bar: BAR, later than the last one.

    Returns:
        A Status: OK, or NO_CALENDAR when the bar lies outside the calendar.
    """
    day_end_ns = quote.clock.fx_day_end_ns
    status = advance(market.calendar, quote.cursor, quote.clock, bar.open_ns, bar.close_ns)
    if status != OK:
        return status
    if bar.open_ns >= day_end_ns and quote.n_bars > 0:
        _close_day(quote)
    spread = bar_spread(market, quote, bar)
    show_price(quote, bar.close, spread * market.cost_scale)
    quote.prev_atr = quote.atr
    _track_volatility(quote, bar, spread)
    quote.is_gap = quote.n_bars > 0 and bar.open_ns > quote.last_close_ns
    quote.spread = spread
    quote.prev_close = bar.close
    quote.last_close_ns = bar.close_ns
    quote.n_bars += 1
    return OK


@kernel
def annual_volatility(quote: Any) -> float:
    """Return the annualized standard deviation of daily log returns, fraction; NaN under 20 days.

    Source: sample deviation (ddof = 1) times sqrt(252).
    """
    n = min(quote.n_returns, N_RETURNS)
    if n < 20:
        return math.nan
    mean = 0.0
    for i in range(n):
        mean += quote.returns[i]
    mean /= n
    total = 0.0
    for i in range(n):
        total += (quote.returns[i] - mean) ** 2
    return math.sqrt(total / (n - 1) * 252.0)
