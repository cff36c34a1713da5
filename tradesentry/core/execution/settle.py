"""Settle one bar: turn price touches into fills.

The only place where a touch becomes a fill; the back-test engine, the paper venue and the training environment call
`settle`, so they cannot disagree. In order, for one strategy on one market:

1. **Open.** Queued closes fill at the open. A position whose stop the open passed is closed there, worse than asked;
   one whose target the open passed is closed there, better than asked. Queued market entries fill, unless the open is
   further than half the stop distance from the signal or a gap in the data lies between. Resting entries that the open
   passed fill at the open; those whose stop it passed too are canceled.
2. **Inside**, knowing only open, high, low and close: resting entries first, in the order they were placed; then stops
   of all positions, also of those just entered; then partial and full targets, never of a position entered on this
   bar nor of a basket that filled an entry on it. A limit entry needs a trade through by one tick.
3. **Close.** Excursions, break-even and trailing (`protection`), scheduled exits at the close, marks to market.

Prices are bid; longs enter at ask = bid + spread and leave at bid, shorts the other way round. With finer bars (or
ticks as bars of zero length) 1 and 2 run on each of them, 3 once at the close of the execution bar.
"""

import math
from typing import Any

from tradesentry.core.execution.desk import bar_at, quote_at
from tradesentry.core.domain.orders import Action, ExitReason, OrderType, RejectCode, Status
from tradesentry.core.execution.book import (
    UNIT_DUST,
    cancel_group,
    note_reject,
    open_position,
    reduce_position,
    remove_order,
)
from tradesentry.core.execution.costs import commission, price_unit_value, slippage, to_account
from tradesentry.core.execution.protection import due_exit, protect
from tradesentry.core.utils.kernel import kernel

OK = int(Status.OK)
ENTER = int(Action.ENTER)
CLOSE = int(Action.CLOSE)
LIMIT = int(OrderType.LIMIT)
STRATEGY = int(ExitReason.STRATEGY)
TAKE_PROFIT = int(ExitReason.TAKE_PROFIT)
WEEKEND = int(ExitReason.WEEKEND)
OPEN_TOO_FAR = int(RejectCode.OPEN_TOO_FAR)
DATA_GAP = int(RejectCode.DATA_GAP)
GAP_BEYOND_STOP = int(RejectCode.GAP_BEYOND_STOP)
AMBIGUOUS_BAR = int(RejectCode.AMBIGUOUS_BAR)
ORDER_EXPIRED = int(RejectCode.ORDER_EXPIRED)
MAX_OPEN_DRIFT = 0.5
"""A market entry is canceled when the open lies further from the signal than this share of the stop distance."""

SLACK_TICKS = 1e-3
"""Prices closer than this share of a tick are equal: order prices lie on the grid, sums with a spread do not."""


@kernel
def _close_from_queue(
    market: Any, desk: Any, book: Any, account: Any, intent: Any, bar: Any, ask: float, slip: float
) -> None:
    """Reduce the positions that a queued CLOSE names to its remaining units, at the open."""
    seen = book.seen
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        is_meant = position.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, position.basket)
        units = position.units - intent.size
        if is_meant and intent.side in (0, position.side) and units > UNIT_DUST:
            price = bar.open if position.side > 0 else ask
            reason = intent.reason if intent.reason > 0 else STRATEGY
            if reduce_position(market, desk, book, account, i, units, price, slip, bar.open_ns, reason):
                continue
        i += 1


@kernel
def _close_everything(
    market: Any,
    desk: Any,
    book: Any,
    account: Any,
    bid: float,
    ask: float,
    slip: float,
    ts_ns: int,
    reason: int,
) -> None:
    """Close every position of the book at `bid` or `ask`."""
    seen = book.seen
    while seen.n_positions > 0:
        position = seen.positions[0]
        price = bid if position.side > 0 else ask
        reduce_position(market, desk, book, account, 0, position.units, price, slip, ts_ns, reason)


@kernel
def _positions_at_open(market: Any, desk: Any, book: Any, account: Any, bar: Any, ask: float, slip: float) -> None:
    """Close positions whose stop, target or FX week the open has already passed."""
    seen = book.seen
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        side = position.side
        price = bar.open if side > 0 else ask
        reason = 0
        slipped = slip
        if side * (price - position.stop_loss) <= 0.0:
            reason = position.stop_reason
        elif book.rules.weekend_flatten and bar.open_ns >= position.week_end_ns:
            reason = WEEKEND
        elif side * (price - position.take_profit) >= 0.0:
            reason = TAKE_PROFIT
            slipped = 0.0
        if reason != 0:
            if reduce_position(market, desk, book, account, i, position.units, price, slipped, bar.open_ns, reason):
                continue
        i += 1


@kernel
def _market_entry(
    market: Any, desk: Any, book: Any, account: Any, intent: Any, bar: Any, ask: float, slip: float
) -> int:
    """Fill a queued market entry at the open, or refuse it because the market has moved on."""
    price = ask if intent.side > 0 else bar.open
    if quote_at(desk.quotes, market.index).is_gap:
        note_reject(account, desk, book, bar.open_ns, DATA_GAP, intent, price, intent.signal_price)
        return OK
    allowed = MAX_OPEN_DRIFT * abs(intent.signal_price - intent.stop_loss)
    if not abs(price - intent.signal_price) <= allowed:
        note_reject(account, desk, book, bar.open_ns, OPEN_TOO_FAR, intent, abs(price - intent.signal_price), allowed)
        return OK
    return open_position(market, desk, book, account, intent, price, slip, bar.open_ns, False)


@kernel
def _resting_at_open(market: Any, desk: Any, book: Any, account: Any, bar: Any, ask: float, slip: float) -> int:
    """Fill resting entries that the open has passed; cancel those that expired or whose stop it passed as well."""
    seen = book.seen
    i = 0
    while i < seen.n_orders:
        order = seen.orders[i]
        side = order.side
        price = ask if side > 0 else bar.open
        exit_price = bar.open if side > 0 else ask
        is_limit = order.type == LIMIT
        through = side * (order.price - market.tick - price) if is_limit else side * (price - order.price)
        code = 0
        if order.expiry_ns > 0 and bar.open_ns >= order.expiry_ns:
            code = ORDER_EXPIRED
        elif side * (exit_price - order.stop_loss) <= 0.0:
            code = GAP_BEYOND_STOP
        if code != 0:
            note_reject(account, desk, book, bar.open_ns, code, order, price, order.price)
            remove_order(book, i)
        elif through >= -SLACK_TICKS * market.tick:
            status = open_position(
                market, desk, book, account, order, price, 0.0 if is_limit else slip, bar.open_ns, False
            )
            if status != OK:
                return status
            group = order.group
            remove_order(book, i)
            cancel_group(book, group)
            i = 0
        else:
            i += 1
    return OK


@kernel
def settle_open(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> int:
    """Fill everything that the open of `bar` decides. See the module docstring, 1.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK to settle; its queue is emptied.
        account: ACCOUNT that pays and is paid.
        bar: BAR, or a finer bar inside it.
        spread: Spread of the bar with the cost scale, price units.

    Returns:
        A Status.
    """
    ask = bar.open + spread
    slip = slippage(market, quote_at(desk.quotes, market.index), book.settled)
    if book.flatten_reason != 0:
        _close_everything(market, desk, book, account, bar.open, ask, slip, bar.open_ns, book.flatten_reason)
        book.flatten_reason = 0
    for i in range(book.n_queue):
        if book.queue[i].action == CLOSE:
            _close_from_queue(market, desk, book, account, book.queue[i], bar, ask, slip)
    _positions_at_open(market, desk, book, account, bar, ask, slip)
    status = OK
    for i in range(book.n_queue):
        if book.queue[i].action == ENTER and status == OK:
            status = _market_entry(market, desk, book, account, book.queue[i], bar, ask, slip)
    book.n_queue = 0
    if status == OK and book.seen.n_orders > 0:
        status = _resting_at_open(market, desk, book, account, bar, ask, slip)
    return status


@kernel
def _is_reached(market: Any, order: Any, bar: Any, spread: float) -> bool:
    """Say whether the bar trades to a resting entry: through a limit by one tick, at a stop."""
    slack = SLACK_TICKS * market.tick
    if order.type == LIMIT:
        if order.side > 0:
            return bar.low + spread <= order.price - market.tick + slack
        return bar.high >= order.price + market.tick - slack
    if order.side > 0:
        return bar.high + spread >= order.price - slack
    return bar.low <= order.price + slack


@kernel
def _is_sibling_reached(market: Any, book: Any, index: int, bar: Any, spread: float) -> bool:
    """Say whether the bar also reaches another entry of the group of order `index`."""
    seen = book.seen
    group = seen.orders[index].group
    for i in range(seen.n_orders):
        if (
            i != index
            and group != 0
            and seen.orders[i].group == group
            and _is_reached(market, seen.orders[i], bar, spread)
        ):
            return True
    return False


@kernel
def _resting_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float, slip: float) -> int:
    """Fill the resting entries that the bar reaches, in the order they were placed."""
    seen = book.seen
    i = 0
    while i < seen.n_orders:
        order = seen.orders[i]
        if not _is_reached(market, order, bar, spread):
            i += 1
            continue
        group = order.group
        if order.skip_if_both and _is_sibling_reached(market, book, i, bar, spread):
            note_reject(account, desk, book, bar.open_ns, AMBIGUOUS_BAR, order, order.price, math.nan)
            cancel_group(book, group)
            i = 0
            continue
        slipped = 0.0 if order.type == LIMIT else slip
        status = open_position(market, desk, book, account, order, order.price, slipped, bar.open_ns, True)
        if status != OK:
            return status
        remove_order(book, i)
        if group != 0:
            cancel_group(book, group)
            i = 0
    return OK


@kernel
def _stops_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float, slip: float) -> None:
    """Close the positions whose stop the bar reaches; the stop comes before the target."""
    seen = book.seen
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        is_hit = bar.low <= position.stop_loss if position.side > 0 else bar.high + spread >= position.stop_loss
        if is_hit:
            stop = position.stop_loss
            if reduce_position(
                market, desk, book, account, i, position.units, stop, slip, bar.close_ns, position.stop_reason
            ):
                continue
        i += 1


@kernel
def _take_partials(
    market: Any, desk: Any, book: Any, account: Any, index: int, at_open: float, best: float, ts_ns: int
) -> bool:
    """Take the partial profits of a position that `best` (its best exit price on the bar) reaches, at the open if better.

    Returns:
        True when the position is gone.
    """
    position = book.seen.positions[index]
    exits = position.exits
    distance = abs(position.entry_price - position.initial_stop)
    while position.n_partials < exits.partial_r.shape[0] and exits.partial_r[position.n_partials] > 0.0:
        price = position.entry_price + position.side * exits.partial_r[position.n_partials] * distance
        if position.side * (best - price) < 0.0:
            return False
        if position.side * (at_open - price) > 0.0:
            price = at_open
        wanted = exits.partial_fraction[position.n_partials] * position.initial_units
        units = math.floor(wanted / market.unit_step + 1e-9) * market.unit_step
        position.n_partials += 1
        if position.units - units < market.unit_min - UNIT_DUST:
            units = position.units
        if units > 0.0 and reduce_position(market, desk, book, account, index, units, price, 0.0, ts_ns, TAKE_PROFIT):
            return True
    return False


@kernel
def _targets_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> None:
    """Close the positions whose target the bar reaches, except those (and their baskets) entered on it."""
    seen = book.seen
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        is_new = position.entry_settled == book.settled
        is_basket_new = position.basket != 0 and position.basket == book.cross_fill_basket
        if is_new or is_basket_new:
            i += 1
            continue
        side = position.side
        best = bar.high if side > 0 else bar.low + spread
        if position.exits.partial_r[0] > 0.0:
            at_open = bar.open if side > 0 else bar.open + spread
            if _take_partials(market, desk, book, account, i, at_open, best, bar.close_ns):
                continue
        if side * (best - position.take_profit) >= 0.0:
            target = position.take_profit
            if reduce_position(market, desk, book, account, i, position.units, target, 0.0, bar.close_ns, TAKE_PROFIT):
                continue
        i += 1


@kernel
def settle_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> int:
    """Fill what happens inside `bar` after its open. See the module docstring, 2. Arguments as `settle_open`."""
    slip = slippage(market, quote_at(desk.quotes, market.index), book.settled)
    if book.seen.n_orders > 0:
        status = _resting_inside(market, desk, book, account, bar, spread, slip)
        if status != OK:
            return status
    if book.seen.n_positions > 0:
        _stops_inside(market, desk, book, account, bar, spread, slip)
        _targets_inside(market, desk, book, account, bar, spread)
    book.cross_fill_basket = 0
    return OK


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
def _excursions(position: Any, bar: Any, spread: float) -> None:
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
def _mark(market: Any, desk: Any, book: Any, bid: float, ask: float, low: float, high_ask: float) -> None:
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
    _mark(market, desk, book, quote.bid, quote.ask, quote.bid, quote.ask)


@kernel
def settle_close(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> None:
    """Do what the close of `bar` decides. See the module docstring, 3. Arguments as `settle_open`."""
    seen = book.seen
    quote = quote_at(desk.quotes, market.index)
    if seen.n_orders > 0:
        _expire_orders(book, account, bar.close_ns, desk)
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        _excursions(position, bar, spread)
        bars_held = seen.bar_index - position.entry_bar
        reason = due_exit(position, book.rules, seen.clock, bar.close_ns, bars_held)
        if reason != 0:
            price = bar.close if position.side > 0 else bar.close + spread
            slip = slippage(market, quote, book.settled)
            if reduce_position(market, desk, book, account, i, position.units, price, slip, bar.close_ns, reason):
                continue
        if position.exits.be_trigger_r > 0.0 or position.exits.trail_mode != 0:
            unit_value = price_unit_value(market, desk, bar.close, bar.close + spread)
            fee = commission(market, position.units, position.units * bar.close * unit_value)
            paid = (position.commission + fee - position.swap) / (position.units * unit_value)
            protect(position, quote, bars_held, paid)
        i += 1
    _mark(market, desk, book, bar.close, bar.close + spread, bar.low, bar.high + spread)


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
    spread = quote_at(desk.quotes, market.index).spread * market.cost_scale
    status = OK
    if fine_to > fine_from:
        for i in range(fine_from, fine_to):
            finer = bar_at(fine, i)
            fine_spread = spread
            if finer.spread > 0.0:
                fine_spread = max(finer.spread, market.min_spread) * market.cost_scale
            book.settled += 1
            status = settle_open(market, desk, book, account, finer, fine_spread)
            if status == OK:
                status = settle_inside(market, desk, book, account, finer, fine_spread)
            if status != OK:
                return status
    else:
        book.settled += 1
        status = settle_open(market, desk, book, account, bar, spread)
        if status == OK:
            status = settle_inside(market, desk, book, account, bar, spread)
        if status != OK:
            return status
    settle_close(market, desk, book, account, bar, spread)
    return OK
