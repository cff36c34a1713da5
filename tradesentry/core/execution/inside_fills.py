"""Fill what happens inside a bar of which only open, high, low and close are known: the pessimistic path.

The rules are those of `settle`, step 2: entries in the order they were placed, then stops, then partial and full
targets.
"""

from typing import Any

from tradesentry.core.domain.orders import ExitReason, OrderType, RejectCode, Status
from tradesentry.core.execution.book import (
    basket_bit,
    cancel_group,
    open_position,
    reduce_position,
    remove_order,
)
from tradesentry.core.execution.open_fills import take_partials
from tradesentry.core.execution.quotes import SLACK_TICKS
from tradesentry.core.utils.kernel import kernel

OK = int(Status.OK)
LIMIT = int(OrderType.LIMIT)
TAKE_PROFIT = int(ExitReason.TAKE_PROFIT)
AMBIGUOUS_BAR = int(RejectCode.AMBIGUOUS_BAR)
SIBLING_FILLED = int(RejectCode.SIBLING_FILLED)


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
def _resting_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> int:
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
            cancel_group(book, account, desk, group, bar.open_ns, AMBIGUOUS_BAR)
            i = 0
            continue
        slips = order.type != LIMIT
        status = open_position(market, desk, book, account, order, order.price, slips, bar.open_ns, True)
        if status != OK:
            return status
        remove_order(book, i)
        if group != 0:
            cancel_group(book, account, desk, group, bar.open_ns, SIBLING_FILLED)
            i = 0
    return OK


@kernel
def _stops_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> None:
    """Close the positions whose stop the bar reaches; the stop comes before the target.

    An entry at this open may already stand beyond its stop, when the spread has widened: then the open is its price.
    """
    seen = book.seen
    slack = SLACK_TICKS * market.tick
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        stop = position.stop_loss
        is_hit = bar.low <= stop + slack if position.side > 0 else bar.high + spread >= stop - slack
        if is_hit:
            if not position.is_inside:
                stop = min(stop, bar.open) if position.side > 0 else max(stop, bar.open + spread)
            if reduce_position(
                market, desk, book, account, i, position.units, stop, True, bar.close_ns, position.stop_reason
            ):
                continue
        i += 1


@kernel
def _targets_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> None:
    """Close the positions whose target the bar reaches, except those (and their baskets) entered on it."""
    seen = book.seen
    i = 0
    while i < seen.n_positions:
        position = seen.positions[i]
        is_new = position.entry_settled == book.settled
        if is_new or (position.basket != 0 and book.filled_baskets & basket_bit(position.basket) != 0):
            i += 1
            continue
        side = position.side
        best = bar.high if side > 0 else bar.low + spread
        if position.exits.partial_r[0] > 0.0:
            at_open = bar.open if side > 0 else bar.open + spread
            if take_partials(market, desk, book, account, i, at_open, best, bar.close_ns):
                continue
        if side * (best - position.take_profit) >= -SLACK_TICKS * market.tick:
            target = position.take_profit
            if reduce_position(
                market, desk, book, account, i, position.units, target, False, bar.close_ns, TAKE_PROFIT
            ):
                continue
        i += 1


@kernel
def settle_inside(market: Any, desk: Any, book: Any, account: Any, bar: Any, spread: float) -> int:
    """Fill what happens inside `bar` after its open. See `settle`, step 2. Arguments as `settle_open`."""
    spread *= market.cost_scale
    if book.seen.n_orders > 0:
        status = _resting_inside(market, desk, book, account, bar, spread)
        if status != OK:
            return status
    if book.seen.n_positions > 0:
        _stops_inside(market, desk, book, account, bar, spread)
        _targets_inside(market, desk, book, account, bar, spread)
    book.filled_baskets = 0
    return OK
