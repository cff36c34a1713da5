"""Bookkeeping of one strategy on one market: positions opened, reduced and closed, orders added and removed.

Money moves here and nowhere else: commission leaves the balance when charged, swap when booked, price gains when units
are closed. So at any time balance = capital + sum of `BOOK.realized`, and when all is closed + sum of `TRADE.net`.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import ExitReason, Status
from tradesentry.core.domain.records import N_OUTCOMES
from tradesentry.core.execution.costs import commission, fill_key, slippage, to_account_at
from tradesentry.core.execution.desk import quote_at, reject_at, trade_at
from tradesentry.core.utils.kernel import copy_record, kernel

OK = int(Status.OK)
FULL_POSITIONS = int(Status.FULL_POSITIONS)
FULL_ORDERS = int(Status.FULL_ORDERS)
STOP_LOSS = int(ExitReason.STOP_LOSS)
UNIT_DUST = 1e-9
"""Units below this are rounding dust, far under any unit step."""


@kernel
def note_reject(
    account: Any, desk: Any, book: Any, ts_ns: int, code: int, ticket: Any, value: float, limit: float
) -> None:
    """Write one REJECT. The engine keeps room for all that one bar can cause.

    Args:
        account: ACCOUNT whose counter grows.
        book: BOOK of the refused intent or order.
        ts_ns: When.
        code: RejectCode.
        ticket: INTENT or ORDER with `side` and `tag`.
        value: What was measured.
        limit: What was allowed, in the same unit.
    """
    row = reject_at(desk.rejects, account.n_rejects)
    row.ts_ns = ts_ns
    row.market = book.market
    row.variant = book.variant
    row.code = code
    row.side = ticket.side
    row.tag = ticket.tag
    row.value = value
    row.limit = limit
    account.n_rejects += 1


@kernel
def pay(book: Any, account: Any, money: float) -> None:
    """Add `money` (negative: take it) to the balance, in account currency."""
    account.balance += money
    book.realized += money


@kernel
def basket_bit(basket: int) -> int:
    """Return the bit of a basket in `BOOK.filled_baskets`; baskets 63 numbers apart share one."""
    return 1 << (basket % 63)


@kernel
def open_position(
    market: Any,
    desk: Any,
    book: Any,
    account: Any,
    ticket: Any,
    price: float,
    slips: bool,
    ts_ns: int,
    is_inside: bool,
) -> int:
    """Open a position from an order or a queued intent and charge its commission.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK that receives the position.
        account: ACCOUNT that pays.
        ticket: ORDER or INTENT with side, units, stop_loss, take_profit, basket, tag, cause and exits.
        price: Fill price without slippage, at the side of the book that the order meets.
        slips: Whether slippage makes the price worse.
        ts_ns: Time of the fill.
        is_inside: True when the fill lies inside the bar rather than at its open.

    Returns:
        A Status: OK or FULL_POSITIONS.
    """
    seen = book.seen
    if seen.n_positions >= seen.positions.shape[0]:
        return FULL_POSITIONS
    position = seen.positions[seen.n_positions]
    seen.n_positions += 1
    side = ticket.side
    quote = quote_at(desk.quotes, market.index)
    if book.entry_ns != ts_ns:
        book.entry_ns = ts_ns
        book.n_at_entry = 0
    position.entry_number = book.n_at_entry
    position.n_exits = 0
    book.n_at_entry += 1
    slip = slippage(market, quote, fill_key(ts_ns, position.entry_number, 0)) if slips else 0.0
    fill = price + side * slip
    account.next_id += 1
    account.n_trades_today += 1
    position.id = account.next_id
    position.market = book.market
    position.side = side
    position.units = ticket.units
    position.initial_units = ticket.units
    position.entry_price = fill
    position.entry_ns = ts_ns
    position.entry_bar = seen.bar_index
    position.entry_settled = book.settled
    position.is_inside = is_inside
    position.week_end_ns = seen.clock.week_end_ns
    position.stop_loss = ticket.stop_loss
    position.initial_stop = ticket.stop_loss
    position.stop_reason = STOP_LOSS
    position.take_profit = ticket.take_profit
    position.basket = ticket.basket
    position.tag = ticket.tag
    for i in range(position.cause.shape[0]):
        position.cause[i] = ticket.cause[i]
    copy_record(position.exits, ticket.exits)
    position.mae = 0.0
    position.mfe = 0.0
    position.swap = 0.0
    position.realized = 0.0
    position.exit_value = 0.0
    position.n_partials = 0
    if ticket.basket != 0:
        book.filled_baskets |= basket_bit(ticket.basket)
    unit_value = -to_account_at(market, desk, -1.0, fill, fill, ts_ns)
    position.risk_money = abs(fill - ticket.stop_loss) * ticket.units * unit_value
    position.slippage = slip * ticket.units * unit_value
    position.spread_cost = 0.5 * (quote.ask - quote.bid) * ticket.units * unit_value
    fee = commission(market, ticket.units, ticket.units * fill * unit_value)
    position.commission = fee
    pay(book, account, -fee)
    return OK


@kernel
def remove_position(book: Any, index: int) -> None:
    """Take position `index` out of the book; the others keep their order."""
    seen = book.seen
    for i in range(index, seen.n_positions - 1):
        copy_record(seen.positions[i], seen.positions[i + 1])
    seen.n_positions -= 1


@kernel
def _write_trade(book: Any, account: Any, position: Any, desk: Any, ts_ns: int, reason: int) -> None:
    """Write the closed round trip of `position`, all its parts together."""
    trade = trade_at(desk.trades, account.n_trades)
    trade.market = position.market
    trade.variant = book.variant
    trade.id = position.id
    trade.side = position.side
    trade.units = position.initial_units
    trade.entry_ns = position.entry_ns
    trade.exit_ns = ts_ns
    trade.entry_price = position.entry_price
    trade.exit_price = position.exit_value / position.initial_units
    trade.stop_at_entry = position.initial_stop
    trade.gross = position.realized
    trade.commission = position.commission
    trade.swap = position.swap
    trade.slippage = position.slippage
    trade.spread_cost = position.spread_cost
    net = position.realized - position.commission + position.swap
    trade.net = net
    distance = abs(position.entry_price - position.initial_stop)
    trade.r_multiple = net / position.risk_money if position.risk_money > 0.0 else math.nan
    trade.mae_r = position.mae / distance if distance > 0.0 else math.nan
    trade.mfe_r = position.mfe / distance if distance > 0.0 else math.nan
    trade.bars_held = book.seen.bar_index - position.entry_bar
    trade.exit_reason = reason
    trade.basket = position.basket
    trade.tag = position.tag
    for i in range(position.cause.shape[0]):
        trade.cause[i] = position.cause[i]
    account.n_trades += 1
    if not math.isnan(trade.r_multiple):
        account.outcomes[account.n_outcomes % N_OUTCOMES] = trade.r_multiple
        account.n_outcomes += 1


@kernel
def reduce_position(
    market: Any,
    desk: Any,
    book: Any,
    account: Any,
    index: int,
    units: float,
    price: float,
    slips: bool,
    ts_ns: int,
    reason: int,
) -> bool:
    """Close `units` of position `index`; when nothing is left, write the trade and remove the position.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK that holds the position.
        account: ACCOUNT that is paid.
        index: Row in `book.seen.positions`.
        units: Units to close, at most those open.
        price: Fill price without slippage.
        slips: Whether slippage makes the price worse.
        ts_ns: Time of the fill.
        reason: ExitReason, kept when this closes the rest.

    Returns:
        True when the position is gone.
    """
    position = book.seen.positions[index]
    side = position.side
    quote = quote_at(desk.quotes, market.index)
    position.n_exits += 1
    key = fill_key(position.entry_ns, position.entry_number, position.n_exits)
    slip = slippage(market, quote, key) if slips else 0.0
    fill = price - side * slip
    half_spread = 0.5 * (quote.ask - quote.bid)
    gross = to_account_at(market, desk, side * (fill - position.entry_price) * units, fill, fill, ts_ns)
    unit_value = -to_account_at(market, desk, -1.0, fill, fill, ts_ns)
    fee = commission(market, units, units * fill * unit_value)
    position.realized += gross
    position.commission += fee
    position.slippage += slip * units * unit_value
    position.spread_cost += half_spread * units * unit_value
    position.exit_value += units * fill
    position.units -= units
    excursion = side * (fill - position.entry_price)
    position.mfe = max(position.mfe, excursion)
    position.mae = max(position.mae, -excursion)
    pay(book, account, gross - fee)
    if position.units > UNIT_DUST:
        return False
    _write_trade(book, account, position, desk, ts_ns, reason)
    remove_position(book, index)
    return True


@kernel
def add_order(book: Any, account: Any, intent: Any, ts_ns: int) -> int:
    """Rest a vetted limit or stop intent as an order.

    Returns:
        A Status: OK or FULL_ORDERS.
    """
    seen = book.seen
    if seen.n_orders >= seen.orders.shape[0]:
        return FULL_ORDERS
    order = seen.orders[seen.n_orders]
    seen.n_orders += 1
    account.next_id += 1
    order.id = account.next_id
    order.market = book.market
    order.side = intent.side
    order.type = intent.type
    order.price = intent.price
    order.units = intent.units
    order.stop_loss = intent.stop_loss
    order.take_profit = intent.take_profit
    order.expiry_ns = intent.expiry_ns
    order.basket = intent.basket
    order.group = intent.group
    order.skip_if_both = intent.skip_if_both
    order.tag = intent.tag
    for i in range(order.cause.shape[0]):
        order.cause[i] = intent.cause[i]
    order.placed_ns = ts_ns
    order.risk_money = intent.risk_money
    order.score = intent.score
    copy_record(order.exits, intent.exits)
    return OK


@kernel
def remove_order(book: Any, index: int) -> None:
    """Take order `index` out of the book; the others keep their order."""
    seen = book.seen
    for i in range(index, seen.n_orders - 1):
        copy_record(seen.orders[i], seen.orders[i + 1])
    seen.n_orders -= 1


@kernel
def cancel_group(book: Any, account: Any, desk: Any, group: int, ts_ns: int, code: int) -> None:
    """Remove every order of a one-cancels-the-others group, each noted as a REJECT with `code`; group 0 is none."""
    if group == 0:
        return
    i = 0
    while i < book.seen.n_orders:
        order = book.seen.orders[i]
        if order.group == group:
            note_reject(account, desk, book, ts_ns, code, order, order.price, math.nan)
            remove_order(book, i)
        else:
            i += 1


@kernel
def cancel_all(book: Any, account: Any, desk: Any, ts_ns: int, code: int) -> None:
    """Remove every resting order and queued entry, each noted as a REJECT with `code`."""
    seen = book.seen
    for i in range(seen.n_orders):
        order = seen.orders[i]
        note_reject(account, desk, book, ts_ns, code, order, order.price, math.nan)
    seen.n_orders = 0
    kept = 0
    for i in range(book.n_queue):
        intent = book.queue[i]
        if intent.action == 1:
            note_reject(account, desk, book, ts_ns, code, intent, intent.signal_price, math.nan)
        else:
            if kept != i:
                copy_record(book.queue[kept], intent)
            kept += 1
    book.n_queue = kept
