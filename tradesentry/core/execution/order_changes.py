"""Write wishes about what is there: take back or change a resting entry, close a trade, move its stop.

Each is an absolute target, so a twin does no harm; each is checked against the account as the venue's events tell it.
Stops only tighten. A replacement waits for the one before it and for its pace; a cancel waits for nobody.
"""

from tradesentry.core.broker.base_broker import OrderChange, OrderRef, TradeRef
from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.domain.live_account import Amend, Cancel, LiveOrder, LiveTrade, Protect, Reduce
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.execution.journal_rows import AttemptKind
from tradesentry.core.execution.order_batch import Batch, Prepared
from tradesentry.core.execution.order_desk import OrderDesk
from tradesentry.core.execution.order_file import OrderPlan
from tradesentry.core.execution.order_requests import (
    CancelOrder,
    Close,
    ReplaceOrder,
    Sent,
    SetProtection,
    amended_terms,
    exit_intent,
)
from tradesentry.core.execution.order_status import DeniedHere
from tradesentry.core.execution.order_store import Writing
from tradesentry.core.execution.verdicts import Allowed, Denied


async def write_change(batch: Batch, writing: Writing, wish: Cancel | Amend | Reduce | Protect) -> Prepared:
    """Store a change and return what is to be sent, or why nothing is.

    Args:
        batch: That it belongs to.
        writing: The transaction.
        wish: Anything but an entry.
    """
    desk = batch.desk
    seen = desk.entry_gates.view("", batch.run, desk.store.state, None)
    denied = desk.gates.vet_change(wish, seen, author=batch.author)
    if denied is not None:
        return Prepared(Sent(wish, denied))
    desk.gates.note_sent("change", now_ns=desk.clock.now_ns())
    if isinstance(wish, Cancel | Amend):
        order = desk.book.order(wish.seq)
        if order is None:
            text = f"There is no order {wish.seq} in the book. It ended long ago; look into the journal."
            return Prepared(Sent(wish, Denied("unknown_order", text), wish.seq))
        if isinstance(wish, Cancel):
            return await _cancel(batch, writing, wish, order)
        return await _amend(batch, writing, wish, order)
    trade = desk.book.trade(wish.trade_ref)
    if trade is None or not trade.is_open:
        return Prepared(Sent(wish, Denied("trade_gone", f"Trade {wish.trade_ref} is not open any more.")))
    if isinstance(wish, Reduce):
        return await _reduce(batch, writing, wish, trade)
    return await _protect(batch, writing, wish, trade)


def _working_refuses(order: LiveOrder) -> Denied | None:
    if order.status.is_terminal:
        return Denied("order_over", f"Order {order.key} is {order.status.value}: {order.reason or 'over'}.")
    return None


def order_ref(order: LiveOrder) -> OrderRef:
    """Return how the venue is told which order is meant."""
    return OrderRef(order.key, order.venue_order_ids[-1] if order.venue_order_ids else None)


async def _cancel(batch: Batch, writing: Writing, wish: Cancel, order: LiveOrder) -> Prepared:
    denied = _working_refuses(order)
    if denied is None and order.status is OrderStatus.CANCELING:
        denied = Denied("cancel_under_way", f"Order {order.key} is being canceled; wait for the venue's word.")
    if denied is not None:
        return Prepared(Sent(wish, denied, wish.seq))
    allowed = Allowed(order.units)
    if order.status is OrderStatus.NEW:
        writing.note(order.key, DeniedHere(f"withdrawn: {wish.reason}"))
        return Prepared(Sent(wish, allowed, wish.seq))
    command, kind = CancelOrder(order_ref(order)), AttemptKind.CANCEL
    job = await batch.ask(writing, wish.seq, order.key, kind, command, order.symbol, effect=Effect.REDUCE)
    return Prepared(Sent(wish, allowed, wish.seq), job)


async def _amend(batch: Batch, writing: Writing, wish: Amend, order: LiveOrder) -> Prepared:
    desk = batch.desk
    denied = _working_refuses(order)
    if denied is None and wish.seq in batch.withdrawn:
        denied = Denied("withdrawn", f"Order {order.key} is taken back by the same decision.")
    if denied is None and order.status not in (OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED):
        text = f"Order {order.key} is {order.status.value}; its terms are changed once the venue has answered."
        denied = Denied("change_under_way", text)
    pairs = ((order.stop_loss, wish.stop_loss), (order.take_profit, wish.take_profit))
    denied = denied or _pace_refuses(desk, order.symbol, f"order {wish.seq}", pairs)
    if denied is not None:
        return Prepared(Sent(wish, denied, wish.seq))
    change = OrderChange(stop_loss=wish.stop_loss, take_profit=wish.take_profit)
    command, kind = ReplaceOrder(order_ref(order), change), AttemptKind.REPLACE
    terms = amended_terms(order, wish)
    job = await batch.ask(writing, wish.seq, order.key, kind, command, order.symbol, effect=Effect.OPEN, terms=terms)
    desk.changed_ns[f"order {wish.seq}"] = desk.clock.now_ns()
    return Prepared(Sent(wish, Allowed(order.units), wish.seq), job)


async def _reduce(batch: Batch, writing: Writing, wish: Reduce, trade: LiveTrade) -> Prepared:
    desk = batch.desk
    if trade.units <= wish.remaining_units:
        text = f"Trade {trade.trade_ref} has {trade.units} units left; {wish.remaining_units} were wanted."
        return Prepared(Sent(wish, Denied("nothing_to_do", text)))
    denied = _exit_refuses(desk, wish, trade)
    if denied is not None:
        return Prepared(Sent(wish, denied))
    intent = exit_intent(str(desk.lease.account_id), wish, trade, run=batch.run or trade.run)
    plan = OrderPlan(intent, remaining_units=wish.remaining_units)
    key = await writing.add_order(intent, plan, seen={"state": desk.store.state.value})
    seq = writing.transaction.seq
    command = Close(TradeRef(trade.trade_ref, trade.symbol, client_order_id=key), wish.remaining_units)
    job = await batch.ask(writing, seq, key, AttemptKind.CLOSE, command, trade.symbol, effect=Effect.REDUCE)
    desk.note_exit(trade.trade_ref)
    return Prepared(Sent(wish, Allowed(intent.units), seq), job)


def _exit_refuses(desk: OrderDesk, wish: Reduce, trade: LiveTrade) -> Denied | None:
    for order in desk.book.open_orders.values():
        file = desk.book.file(order.key)
        plan = None if file is None else file.plan
        if plan is None or plan.intent.trade_ref != trade.trade_ref or plan.remaining_units is None:
            continue
        if plan.remaining_units <= wish.remaining_units:
            text = f"Order {order.key} brings trade {trade.trade_ref} down to {plan.remaining_units} already."
            return Denied("exit_under_way", text)
    if desk.n_exits(trade.trade_ref) >= desk.settings.max_exit_attempts:
        minutes = desk.settings.exit_window_seconds / 60
        text = f"{desk.n_exits(trade.trade_ref)} attempts to close {trade.trade_ref} within {minutes:g} minutes failed."
        return Denied("exit_attempts", f"{text} Its stop stays; close it by hand at the venue.")
    return None


async def _protect(batch: Batch, writing: Writing, wish: Protect, trade: LiveTrade) -> Prepared:
    desk = batch.desk
    if trade.seq is None:
        text = f"Trade {trade.trade_ref} was opened by somebody else; its stop is theirs."
        return Prepared(Sent(wish, Denied("external_trade", text)))
    denied = None
    if wish.stop_loss is not None and trade.stop_loss is not None:
        if trade.side * (wish.stop_loss - trade.stop_loss) < 0:
            text = f"Stop {wish.stop_loss} of trade {trade.trade_ref} is looser than {trade.stop_loss}."
            denied = Denied("loosens_stop", f"{text} Stops only tighten.")
    pairs = ((trade.stop_loss, wish.stop_loss), (trade.take_profit, wish.take_profit))
    name = f"trade {trade.trade_ref}"
    denied = denied or _unsettled_refuses(batch, trade) or _pace_refuses(desk, trade.symbol, name, pairs)
    if denied is not None:
        return Prepared(Sent(wish, denied, trade.seq))
    desk.note_protection(trade.trade_ref, is_open=True, is_known=False)
    command = SetProtection(
        TradeRef(trade.trade_ref, trade.symbol, client_order_id=trade.key), wish.stop_loss, wish.take_profit
    )
    kind = AttemptKind.PROTECT
    job = await batch.ask(writing, trade.seq, None, kind, command, trade.symbol, effect=Effect.REDUCE)
    desk.changed_ns[name] = desk.clock.now_ns()
    return Prepared(Sent(wish, Allowed(trade.units), trade.seq), job)


def _unsettled_refuses(batch: Batch, trade: LiveTrade) -> Denied | None:
    """Refuse to move a stop while an earlier request may still be executed.

    A stop that is missing is set at once, but not on a strategy's word: whoever protects trades sets it, and would be
    loosened by the strategy's earlier move as well.
    """
    seconds = batch.desk.unsettled_seconds(trade)
    if seconds <= 0.0 or batch.author == "protection" or (trade.stop_loss is None and batch.author != "strategy"):
        return None
    text = f"An earlier change of trade {trade.trade_ref} may still be executed for {seconds:.1f} s"
    return Denied("change_under_way", f"{text} and would then loosen this one. Its stop stands meanwhile.")


def _pace_refuses(
    desk: OrderDesk, symbol: str, target: str, pairs: tuple[tuple[float | None, float | None], ...]
) -> Denied | None:
    """Refuse a change that is too small or comes too soon; a stop that is missing is set at once."""
    moves = [(old, new) for old, new in pairs if new is not None and new != old]
    if not moves:
        return Denied("nothing_to_do", f"The terms of {target} are as wished already.")
    if any(old is None for old, _ in moves):
        return None
    item = desk.entry_gates.item(symbol)
    pip = 0.0 if item is None else item.instrument.pip
    largest = max(abs(new - old) for old, new in moves if old is not None)
    if largest < desk.settings.min_step_pips * pip * (1 - 1e-9):
        text = f"The change of {target} by {largest / pip:.2f} pips is below {desk.settings.min_step_pips:g}."
        return Denied("change_too_small", f"{text} It is made with the next one.")
    since = desk.seconds_since(desk.changed_ns.get(target, -NS_PER_SECOND * 10**6))
    if since < desk.settings.min_interval_seconds:
        text = f"The terms of {target} were changed {since:.1f} s ago"
        return Denied("change_too_soon", f"{text}; the least interval is {desk.settings.min_interval_seconds:g} s.")
    return None
