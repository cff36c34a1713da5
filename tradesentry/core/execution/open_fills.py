"""Fill what the open of a bar decides: queued closes and entries, stops, targets and orders that the open passed.

The rules are those of `settle`, step 1; prices here are the open and the open plus the spread.
"""

from typing import Any

from tradesentry.core.domain.orders import Action, ExitReason, OrderType, RejectCode, Status
from tradesentry.core.execution.book import (
    UNIT_DUST,
    cancel_group,
    note_reject,
    open_position,
    reduce_position,
    remove_order,
)
from tradesentry.core.execution.desk import quote_at
from tradesentry.core.execution.quotes import SLACK_TICKS
from tradesentry.core.execution.risk_manager import floor_to
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
ORDER_EXPIRED = int(RejectCode.ORDER_EXPIRED)
SIBLING_FILLED = int(RejectCode.SIBLING_FILLED)
MAX_OPEN_DRIFT = 0.5
"""A market entry is canceled when the open lies further from the signal than this share of the stop distance."""


@kernel
def _close_from_queue(market: Any, desk: Any, book: Any, account: Any, intent: Any, bar: Any, ask: float) -> None:
    """Reduce the positions that a queued CLOSE names to its remaining units, at the open."""
    seen = book.seen
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        is_meant = position.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, position.basket)
        units = position.units - intent["size"]
        if is_meant and intent.side in (0, position.side) and units > UNIT_DUST:
            price = bar.open if position.side > 0 else ask
            reason = intent.reason if intent.reason > 0 else STRATEGY
            if reduce_position(market, desk, book, account, i, units, price, True, bar.open_ns, reason):
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
    ts_ns: int,
    reason: int,
) -> None:
    """Close every position of the book at `bid` or `ask`."""
    seen = book.seen
    while seen.n_positions > 0:
        position = seen.positions[0]
        price = bid if position.side > 0 else ask
        reduce_position(market, desk, book, account, 0, position.units, price, True, ts_ns, reason)


@kernel
def take_partials(
    market: Any, desk: Any, book: Any, account: Any, index: int, at_open: float, best: float, ts_ns: int
) -> bool:
    """Take the partial profits that `best`, the best exit price so far, reaches; at the open if that is better.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK that holds the position.
        account: ACCOUNT that is paid.
        index: Row in `book.seen.positions`.
        at_open: Exit price at the open of the bar.
        best: Best exit price of the bar; the open itself when only the open is known.
        ts_ns: Time of the fills.

    Returns:
        True when the position is gone.
    """
    position = book.seen.positions[index]
    exits = position.exits
    distance = abs(position.entry_price - position.initial_stop)
    while position.n_partials < exits.partial_r.shape[0] and exits.partial_r[position.n_partials] > 0.0:
        price = position.entry_price + position.side * exits.partial_r[position.n_partials] * distance
        if position.side * (best - price) < -SLACK_TICKS * market.tick:
            return False
        if position.side * (at_open - price) > 0.0:
            price = at_open
        wanted = exits.partial_fraction[position.n_partials] * position.initial_units
        units = floor_to(wanted, market.unit_step)
        position.n_partials += 1
        if position.units - units < market.unit_min - UNIT_DUST:
            units = position.units
        if units > 0.0 and reduce_position(market, desk, book, account, index, units, price, False, ts_ns, TAKE_PROFIT):
            return True
    return False


@kernel
def _positions_at_open(market: Any, desk: Any, book: Any, account: Any, bar: Any, ask: float) -> None:
    """Close positions whose stop, target or FX week the open has already passed; take the partial targets it passed."""
    seen = book.seen
    slack = SLACK_TICKS * market.tick
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        side = position.side
        price = bar.open if side > 0 else ask
        reason = 0
        if side * (price - position.stop_loss) <= slack:
            reason = position.stop_reason
        elif book.rules.weekend_flatten and bar.open_ns >= position.week_end_ns:
            reason = WEEKEND
        elif side * (price - position.take_profit) >= -slack:
            reason = TAKE_PROFIT
        if reason != 0:
            slips = reason != TAKE_PROFIT
            if reduce_position(market, desk, book, account, i, position.units, price, slips, bar.open_ns, reason):
                continue
        elif position.exits.partial_r[0] > 0.0:
            if take_partials(market, desk, book, account, i, price, price, bar.open_ns):
                continue
        i += 1


@kernel
def _market_entry(market: Any, desk: Any, book: Any, account: Any, intent: Any, bar: Any, spread: float) -> int:
    """Fill a queued market entry at the open, or refuse it because the market has moved on.

    `spread` is that before the cost scale, because the refusal is a decision; the fill pays the scaled one.
    """
    price = bar.open + spread if intent.side > 0 else bar.open
    if quote_at(desk.quotes, market.index).is_gap:
        note_reject(account, desk, book, bar.open_ns, DATA_GAP, intent, price, intent.signal_price)
        return OK
    allowed = MAX_OPEN_DRIFT * abs(intent.signal_price - intent.stop_loss)
    if not abs(price - intent.signal_price) <= allowed + SLACK_TICKS * market.tick:
        note_reject(account, desk, book, bar.open_ns, OPEN_TOO_FAR, intent, abs(price - intent.signal_price), allowed)
        return OK
    if intent.side > 0:
        price = bar.open + spread * market.cost_scale
    return open_position(market, desk, book, account, intent, price, True, bar.open_ns, False)


@kernel
def _resting_at_open(market: Any, desk: Any, book: Any, account: Any, bar: Any, ask: float, is_first: bool) -> int:
    """Fill resting entries that the open has passed; cancel those that expired or whose stop it passed as well."""
    seen = book.seen
    slack = SLACK_TICKS * market.tick
    i = 0
    while i < seen.n_orders:
        order = seen.orders[i]
        side = order.side
        price = ask if side > 0 else bar.open
        exit_price = bar.open if side > 0 else ask
        is_limit = order.type == LIMIT
        through = side * (order.price - price) - market.tick if is_limit else side * (price - order.price)
        is_passed = through >= -slack
        code = 0
        if order.expiry_ns > 0 and bar.open_ns >= order.expiry_ns:
            code = ORDER_EXPIRED
        elif is_passed and side * (exit_price - order.stop_loss) <= slack:
            code = GAP_BEYOND_STOP
        if code != 0:
            note_reject(account, desk, book, bar.open_ns, code, order, price, order.price)
            remove_order(book, i)
        elif is_passed:
            status = open_position(market, desk, book, account, order, price, not is_limit, bar.open_ns, not is_first)
            if status != OK:
                return status
            group = order.group
            remove_order(book, i)
            cancel_group(book, account, desk, group, bar.open_ns, SIBLING_FILLED)
            i = 0
        else:
            i += 1
    return OK


@kernel
def settle_open(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float, is_first: bool) -> int:
    """Fill everything that the open of `bar` decides. See `settle`, step 1.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK to settle; its queue is emptied.
        account: ACCOUNT that pays and is paid.
        bar: BAR, or a finer bar inside it.
        spread: Spread of the bar before the cost scale, price units.
        is_first: False for the second and later finer bars: their open lies inside the execution bar.

    Returns:
        A Status.
    """
    ask = bar.open + spread * market.cost_scale
    if book.flatten_reason != 0:
        _close_everything(market, desk, book, account, bar.open, ask, bar.open_ns, book.flatten_reason)
        book.flatten_reason = 0
    for i in range(book.n_queue):
        if book.queue[i].action == CLOSE:
            _close_from_queue(market, desk, book, account, book.queue[i], bar, ask)
    _positions_at_open(market, desk, book, account, bar, ask)
    status = OK
    for i in range(book.n_queue):
        if book.queue[i].action == ENTER and status == OK:
            status = _market_entry(market, desk, book, account, book.queue[i], bar, spread)
    book.n_queue = 0
    if status == OK and book.seen.n_orders > 0:
        status = _resting_at_open(market, desk, book, account, bar, ask, is_first)
    return status
