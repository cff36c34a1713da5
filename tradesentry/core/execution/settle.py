"""Settle one bar: turn price touches into fills.

The only place where a touch becomes a fill; the back-test engine, the paper venue and the training environment call
`settle`, so they cannot disagree. In order, for one strategy on one market:

1. **Open.** Queued closes fill at the open. A position whose stop the open passed is closed there, worse than asked;
   one whose target (or the step of a partial target) the open passed is closed there, better than asked. Queued market
   entries fill, unless the open is further than half the stop distance from the signal or a gap in the data lies
   between. Resting entries that the open passed fill at the open; those whose stop it passed too are canceled. A fill
   cancels the other orders of its group.
2. **Inside**, knowing only open, high, low and close: resting entries first, in the order they were placed; then stops
   of all positions, also of those just entered; then partial and full targets, never of a position entered on this
   bar nor of a basket that filled an entry on it. A limit entry needs a trade through by one tick.
3. **Close.** Excursions, break-even and trailing (`protection`), scheduled exits at the close, marks to market.

Prices are bid; longs enter at ask = bid + spread and leave at bid, shorts the other way round. A fill knows nothing of
what came after it: its slippage follows the ATR of the bars before, and it converts at the quotes known at its time; a
fill inside a bar whose moment is unknown is stamped with the bar's open (entries) or close (exits). With finer bars (or
ticks as bars of zero length) 1 and 2 run on each of them, 3 once at the close of the execution bar.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import RejectCode, Status
from tradesentry.core.execution.book import note_reject, reduce_position, remove_order
from tradesentry.core.execution.costs import commission, price_unit_value, to_account
from tradesentry.core.execution.desk import bar_at, quote_at
from tradesentry.core.execution.inside_fills import settle_inside
from tradesentry.core.execution.open_fills import settle_open
from tradesentry.core.execution.protection import due_exit, protect
from tradesentry.core.execution.quiet import refresh_quiet
from tradesentry.core.utils.kernel import kernel

OK = int(Status.OK)
ORDER_EXPIRED = int(RejectCode.ORDER_EXPIRED)


@kernel
def _expire_orders(book: Any, account: Any, ts_ns: int, desk: Any) -> None:
    """Cancel resting orders whose time is over at the close."""
    seen = book.seen
    i = 0
    while i < seen.n_orders:
        order = seen.orders[i]
        if order.expiry_ns > 0 and ts_ns >= order.expiry_ns:
            note_reject(account, desk, book, ts_ns, ORDER_EXPIRED, order, order.price, math.nan)
            remove_order(book, i)
        else:
            i += 1


@kernel
def widen_excursions(position: Any, bar: Any, spread: float) -> None:
    """Widen MAE and MFE by the bar; a position entered inside it gets only the close as its best price."""
    side = position.side
    worst = bar.low if side > 0 else bar.high + spread
    best = bar.high if side > 0 else bar.low + spread
    if position.is_inside:
        best = bar.close if side > 0 else bar.close + spread
        position.is_inside = False
    position.mae = max(position.mae, side * (position.entry_price - worst))
    position.mfe = max(position.mfe, side * (best - position.entry_price))


@kernel
def mark_positions(market: Any, desk: Any, book: Any, bid: float, ask: float, low: float, high_ask: float) -> None:
    """Value the open positions at (bid, ask) and at the adverse extreme (low, high_ask), account currency."""
    seen = book.seen
    unrealized = 0.0
    worst = 0.0
    margin = 0.0
    if seen.n_positions > 0:
        unit_value = price_unit_value(market, desk, bid, ask)
        for i in range(seen.n_positions):
            position = seen.positions[i]
            side = position.side
            price = bid if side > 0 else ask
            adverse = max(low, position.stop_loss) if side > 0 else min(high_ask, position.stop_loss)
            adverse = min(adverse, price) if side > 0 else max(adverse, price)
            entry = position.entry_price
            unrealized += to_account(market, desk, side * (price - entry) * position.units, bid, ask)
            worst += to_account(market, desk, side * (adverse - entry) * position.units, bid, ask)
            margin += position.units * price * unit_value * market.margin_fraction
    book.unrealized = unrealized
    book.worst_unrealized = worst
    book.margin_used = margin


@kernel
def mark_at_quote(market: Any, desk: Any, book: Any) -> None:
    """Value the open positions of `book` at the present quote of its market, account currency."""
    quote = quote_at(desk.quotes, market.index)
    mark_positions(market, desk, book, quote.bid, quote.ask, quote.bid, quote.ask)


@kernel
def settle_close(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> None:
    """Do what the close of `bar` decides. See the module docstring, 3. Arguments as `settle_open`."""
    seen = book.seen
    spread *= market.cost_scale
    quote = quote_at(desk.quotes, market.index)
    if seen.n_orders > 0:
        _expire_orders(book, account, bar.close_ns, desk)
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        widen_excursions(position, bar, spread)
        bars_held = seen.bar_index - position.entry_bar
        reason = due_exit(position, book.rules, seen.clock, bar.close_ns, bars_held)
        if reason != 0:
            price = bar.close if position.side > 0 else bar.close + spread
            if reduce_position(market, desk, book, account, i, position.units, price, True, bar.close_ns, reason):
                continue
        if position.exits.be_trigger_r > 0.0 or position.exits.trail_mode != 0:
            unit_value = price_unit_value(market, desk, bar.close, bar.close + spread)
            fee = commission(market, position.units, position.units * bar.close * unit_value)
            paid = (position.commission + fee - position.swap) / (position.units * unit_value)
            protect(position, quote, bars_held, paid)
        i += 1
    mark_positions(market, desk, book, bar.close, bar.close + spread, bar.low, bar.high + spread)


@kernel
def settle(
    market: Any,
    desk: Any,
    book: Any,
    account: Any,
    bar: Any,
    fine: int,
    fine_from: int,
    fine_to: int,
) -> int:
    """Settle one closed bar of one book, through its finer bars where there are any.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK to settle.
        account: ACCOUNT that pays and is paid.
        bar: BAR, closed.
        fine: Address of a sorted BAR array of finer bars (ticks: bars of zero length).
        fine_from: First row of `fine` inside `bar`.
        fine_to: Row after the last; equal to `fine_from` when there are none.

    Returns:
        A Status.
    """
    spread = quote_at(desk.quotes, market.index).spread
    status = OK
    if fine_to > fine_from:
        for i in range(fine_from, fine_to):
            finer = bar_at(fine, i)
            fine_spread = spread
            if finer.spread > 0.0:
                fine_spread = max(finer.spread, market.min_spread)
            book.settled += 1
            status = settle_open(market, desk, book, account, finer, fine_spread, i == fine_from)
            if status == OK:
                status = settle_inside(market, desk, book, account, finer, fine_spread)
            if status != OK:
                return status
    else:
        book.settled += 1
        status = settle_open(market, desk, book, account, bar, spread, True)
        if status == OK:
            status = settle_inside(market, desk, book, account, bar, spread)
        if status != OK:
            return status
    settle_close(market, desk, book, account, bar, spread)
    refresh_quiet(market, book)
    return OK
