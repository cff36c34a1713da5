"""Decide: show the strategy its view, take its intents, size and vet them, and put them where they will be executed.

One function for every driver. Market entries and closes wait in the book's queue for the next open; limit and stop
entries rest as orders; cancels and moved stops take effect at once, before the next bar. Entries that rest where none
may be made any more (week end, news, locks, a spread above what they allow) are pulled before the strategy is asked.
Intents of one instant compete by (score, market, sequence), so the order in which strategies were asked does not
matter. A refusal is a REJECT with its reason, never an exception and never silent.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import Action, OrderType, RejectCode, Status
from tradesentry.core.domain.records import BAR, INTENT, VIEW
from tradesentry.core.execution.book import add_order, cancel_all, note_reject, remove_order
from tradesentry.core.execution.costs import plain_ask, plain_unit_value
from tradesentry.core.execution.desk import book_at, market_at, quote_at
from tradesentry.core.execution.portfolio_manager import is_quota_used, note_acceptance, vet_portfolio
from tradesentry.core.execution.protection import tighten
from tradesentry.core.execution.quiet import disturb
from tradesentry.core.execution.quotes import SLACK_TICKS
from tradesentry.core.execution.risk_manager import (
    check_prices,
    entry_block,
    is_too_wide,
    least_distance,
    round_to,
    size_entry,
)
from tradesentry.core.utils.kernel import (
    OPAQUE,
    array_type,
    copy_record,
    counting,
    function_at,
    inline_kernel,
    kernel,
    record_at,
    record_type,
)

opaque_at = record_at(OPAQUE)
OK = int(Status.OK)
FULL_QUEUE = int(Status.FULL_QUEUE)
FULL_INTENTS = int(Status.FULL_INTENTS)
STRATEGY_FAILED = int(Status.STRATEGY)
ENTER = int(Action.ENTER)
CANCEL = int(Action.CANCEL)
CLOSE = int(Action.CLOSE)
MODIFY = int(Action.MODIFY)
MARKET_ORDER = int(OrderType.MARKET)
DUPLICATE = int(RejectCode.DUPLICATE)
QUOTA = int(RejectCode.QUOTA)
SHRUNK = int(RejectCode.SHRUNK)
UNKNOWN_TARGET = int(RejectCode.UNKNOWN_TARGET)
LOOSENS_STOP = int(RejectCode.LOOSENS_STOP)
SPREAD = int(RejectCode.SPREAD)
STOP_SIDE = int(RejectCode.STOP_SIDE)
STOP_TOO_NEAR = int(RejectCode.STOP_TOO_NEAR)
TARGET_SIDE = int(RejectCode.TARGET_SIDE)


def step_signature(params: Any, state: Any) -> Any:
    """Return the signature of a `step` whose parameters and state have these dtypes."""
    return counting(record_type(params), record_type(state), record_type(BAR), record_type(VIEW), array_type(INTENT))


ANY_STEP = step_signature(OPAQUE, OPAQUE)
"""How loops know every step: parameters and state are opaque."""
step_at = function_at(ANY_STEP)


@inline_kernel
def show(market: Any, desk: Any, book: Any, account: Any, close_ns: int) -> int:
    """Bring the strategy's view up to date with the closed bar; return why entries are blocked, 0 if they are not.

    Positions and orders live in the view already; this writes account, quote and clock.
    """
    seen = book.seen
    quote = quote_at(desk.quotes, market.index)
    seen.last_spread = quote.spread
    seen.price_unit_value = plain_unit_value(market, desk)
    seen.equity = account.equity
    seen.balance = account.balance
    seen.trading_state = account.trading_state
    code = entry_block(book, account, close_ns)
    seen.is_blocked = code != 0
    return code


@kernel
def _pull_orders(market: Any, desk: Any, book: Any, account: Any, close_ns: int) -> None:
    """Remove the resting entries that do not allow the present spread."""
    seen = book.seen
    quote = quote_at(desk.quotes, market.index)
    i = 0
    while i < seen.n_orders:
        order = seen.orders[i]
        if is_too_wide(book, quote, order.exits):
            limit = order.exits.max_spread if order.exits.max_spread > 0.0 else book.rules.max_spread
            note_reject(account, desk, book, close_ns, SPREAD, order, quote.spread, limit)
            remove_order(book, i)
        else:
            i += 1


@inline_kernel
def call_strategy(lane: Any, book: Any, bar: Any, intents: Any) -> int:
    """Call `step` on a closed bar; return the number of intents, none during warm-up, or a negative status.

    The status is the strategy's own, or FULL_INTENTS when it asked for more than its array holds less one.

    Args:
        lane: LANE with the addresses of its step, parameters and state.
        book: BOOK whose view shows the bar.
        bar: BAR, closed.
        intents: INTENT array to write into.
    """
    n = step_at(lane.step, opaque_at(lane.params, 0), opaque_at(lane.state, 0), bar, book.seen, intents)
    if n <= 0:
        return n
    if n >= intents.shape[0]:
        return -FULL_INTENTS
    return 0 if book.seen.bar_index <= book.rules.warmup_bars else n


@inline_kernel
def ask_strategy(lane: Any, market: Any, desk: Any, book: Any, account: Any, bar: Any, intents: Any) -> int:
    """Show the strategy its view and let it decide; return the number of intents or a negative status of its own.

    Args:
        lane: LANE of the strategy.
        market: MARKET.
        desk: DESK, the memory of the run.
        book: BOOK, settled up to the bar.
        account: ACCOUNT, marked up to the bar.
        bar: BAR, closed.
        intents: INTENT array to write into, shape (N_INTENTS + 1,).
    """
    code = show(market, desk, book, account, bar.close_ns)
    if book.seen.n_orders > 0:
        if code != 0:
            cancel_all(book, account, desk, bar.close_ns, code)
        else:
            _pull_orders(market, desk, book, account, bar.close_ns)
    return call_strategy(lane, book, bar, intents)


@kernel
def failure(n: int) -> int:
    """Return the Status that a negative answer of `ask_strategy` ends the run with."""
    return FULL_INTENTS if n == -FULL_INTENTS else STRATEGY_FAILED - n


@kernel
def _is_duplicate(book: Any, intent: Any, close_ns: int) -> bool:
    """Say whether the book already holds the same entry from this bar."""
    for i in range(book.n_queue):
        other = book.queue[i]
        if (
            other.action == ENTER
            and other.side == intent.side
            and other.basket == intent.basket
            and intent.type == MARKET_ORDER
        ):
            return True
    seen = book.seen
    for i in range(seen.n_orders):
        order = seen.orders[i]
        if order.placed_ns == close_ns and order.side == intent.side and order.type == intent.type:
            if order.price == intent.price and order.basket == intent.basket:
                return True
    return False


@kernel
def _enter(desk: Any, account: Any, book: Any, intent: Any, close_ns: int) -> int:
    """Vet one entry and queue or rest it."""
    market = market_at(desk.markets, book.market)
    quote = quote_at(desk.quotes, market.index)
    code = entry_block(book, account, close_ns)
    if code == 0:
        code = check_prices(market, quote, book, intent, close_ns)
    if code == 0 and _is_duplicate(book, intent, close_ns):
        code = DUPLICATE
    if code == 0:
        code = size_entry(market, desk, book, account, intent)
    asked = intent.units
    if code == 0:
        code = vet_portfolio(desk, account, book, intent)
    if code == 0 and is_quota_used(account, book, intent):
        code = QUOTA
    if code != 0:
        note_reject(account, desk, book, close_ns, code, intent, intent.stop_loss, intent.signal_price)
        return OK
    if intent.units < asked:
        note_reject(account, desk, book, close_ns, SHRUNK, intent, asked, intent.units)
    note_acceptance(account, book, intent)
    if intent.type != MARKET_ORDER:
        return add_order(book, account, intent, close_ns)
    return _queue(book, intent)


@kernel
def _queue(book: Any, intent: Any) -> int:
    """Queue an intent for the next open."""
    if book.n_queue >= book.queue.shape[0]:
        return FULL_QUEUE
    copy_record(book.queue[book.n_queue], intent)
    book.n_queue += 1
    return OK


@kernel
def _has_position(book: Any, target_id: int) -> bool:
    """Say whether position `target_id` is open."""
    for i in range(book.seen.n_positions):
        if book.seen.positions[i].id == target_id:
            return True
    return False


@kernel
def _cancel(book: Any, intent: Any) -> bool:
    """Remove the orders that a CANCEL names; say whether there was one."""
    seen = book.seen
    found = False
    i = 0
    while i < seen.n_orders:
        order = seen.orders[i]
        is_meant = order.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, order.basket)
        if is_meant and intent.side in (0, order.side):
            remove_order(book, i)
            found = True
        else:
            i += 1
    return found


@kernel
def _modify_order(market: Any, quote: Any, order: Any, stop: float, target: float) -> int:
    """Move stop and target of a resting order; its stop comes closer to the entry, as near as one may be placed.

    Return a RejectCode; refused, the order stays as it is.
    """
    slack = SLACK_TICKS * market.tick
    if not math.isnan(stop) and stop != order.stop_loss:
        if (stop - order.stop_loss) * order.side < 0.0:
            return LOOSENS_STOP
        if (order.price - stop) * order.side <= slack:
            return STOP_SIDE
        if (order.price - stop) * order.side < least_distance(market, quote):
            return STOP_TOO_NEAR
    if not math.isnan(target):
        if (target - order.price) * order.side <= slack:
            return TARGET_SIDE
        order.take_profit = target
    if not math.isnan(stop):
        order.stop_loss = stop
    return 0


@kernel
def _modify_position(market: Any, quote: Any, position: Any, stop: float, target: float) -> int:
    """Move stop and target of an open position: the stop tighter, the target ahead of the price at which it leaves.

    Return a RejectCode; refused, the position stays as it is.
    """
    if not math.isnan(target):
        price = quote.bid if position.side > 0 else plain_ask(quote)
        if (target - price) * position.side <= SLACK_TICKS * market.tick:
            return TARGET_SIDE
    if not math.isnan(stop) and stop != position.stop_loss and not tighten(position, stop, position.stop_reason):
        return LOOSENS_STOP
    if not math.isnan(target):
        position.take_profit = target
    return 0


@kernel
def _modify(market: Any, quote: Any, book: Any, intent: Any) -> int:
    """Move stop and target of what a MODIFY names, up to the first refusal. Return a RejectCode."""
    seen = book.seen
    stop = round_to(intent.stop_loss, market.tick)
    target = round_to(intent.take_profit, market.tick)
    code = UNKNOWN_TARGET
    for i in range(seen.n_positions):
        position = seen.positions[i]
        is_meant = position.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, position.basket)
        if is_meant:
            code = _modify_position(market, quote, position, stop, target)
            if code != 0:
                return code
    for i in range(seen.n_orders):
        order = seen.orders[i]
        is_meant = order.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, order.basket)
        if is_meant:
            code = _modify_order(market, quote, order, stop, target)
            if code != 0:
                return code
    return code


@kernel
def execute(desk: Any, account: Any, intent: Any, close_ns: int) -> int:
    """Carry out one intent of a closed bar.

    Args:
        desk: DESK, the memory of the run.
        account: ACCOUNT.
        intent: INTENT; prices are rounded, units and risk are written.
        close_ns: Close of the bar that decided.

    Returns:
        A Status; a refusal is a REJECT, not a status.
    """
    book = book_at(desk.books, intent.lane)
    disturb(book)
    action = intent.action
    if action == ENTER:
        return _enter(desk, account, book, intent, close_ns)
    if action == CLOSE:
        if intent.target_id > 0 and not _has_position(book, intent.target_id):
            note_reject(account, desk, book, close_ns, UNKNOWN_TARGET, intent, float(intent.target_id), math.nan)
            return OK
        return _queue(book, intent)
    if action == CANCEL:
        if not _cancel(book, intent) and intent.target_id > 0:
            note_reject(account, desk, book, close_ns, UNKNOWN_TARGET, intent, float(intent.target_id), math.nan)
    elif action == MODIFY:
        code = _modify(market_at(desk.markets, book.market), quote_at(desk.quotes, book.market), book, intent)
        if code != 0:
            note_reject(account, desk, book, close_ns, code, intent, intent.stop_loss, intent.take_profit)
    return OK


@kernel
def goes_before(a: Any, b: Any) -> bool:
    """Say whether intent `a` is executed before `b`: closes and cancels first, then higher score, market, sequence."""
    a_enters = a.action == ENTER
    b_enters = b.action == ENTER
    if a_enters != b_enters:
        return b_enters
    if a.score != b.score and a_enters:
        return a.score > b.score
    if a.lane != b.lane:
        return a.lane < b.lane
    return a.seq < b.seq
