"""Commit a batch of wishes: what is denied, what is sent, and the strategies' memories, in one transaction.

J1 and J2 share it: intents, headroom and the exact requests with SENDING are durable together before the first byte
leaves. Entries pass the live gates before it and the book's limits inside it, under the book's lock; each shares the
headroom with those before it. Exits, cancels and protection name what is there and need no headroom
(`order_changes`).
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.domain.live_account import Cancel, Enter, Reduce, Wish
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.execution.gate_view import GateView
from tradesentry.core.execution.journal_rows import AttemptKind, SavedState
from tradesentry.core.execution.live_exposure import Exposure
from tradesentry.core.execution.order_batch import Batch, Prepared
from tradesentry.core.execution.order_changes import write_change
from tradesentry.core.execution.order_desk import OrderDesk
from tradesentry.core.execution.order_file import OrderPlan
from tradesentry.core.execution.order_requests import Place, Sent, entry_intent, entry_request, price_bound
from tradesentry.core.execution.order_status import DeniedHere
from tradesentry.core.execution.order_store import Writing
from tradesentry.core.execution.verdicts import Allowed, Denied, Verdict


def request_of(desk: OrderDesk, key: str, plan: OrderPlan) -> OrderRequest:
    """Return the request that places an entry, bounded by the slippage that it allows."""
    item = desk.entry_gates.item(plan.intent.symbol)
    pip = 0.0 if item is None else item.instrument.pip
    bound = price_bound(plan.intent, plan.reference_price, pips=desk.settings.max_slippage_pips, pip=pip)
    return entry_request(key, plan, bound=bound, has_brackets=desk.broker.capabilities.brackets)


async def commit(batch: Batch, wishes: Sequence[Wish], states: Sequence[SavedState] = ()) -> list[Prepared]:
    """Store a batch and return what is to be sent.

    Args:
        batch: Whose wishes, decided when.
        wishes: In the order in which they are to be sent.
        states: Memories of strategies that belong to the same decision.

    Raises:
        JournalUnavailable: Not confirmed; nothing of it may be sent.
        LeaseLost: Another owner acts for the account.
        UsageError: That run decided that bar before (`duplicate_decision`).
    """
    desk = batch.desk
    entries = [wish for wish in wishes if isinstance(wish, Enter)]
    if entries and not _is_late(batch):
        await desk.entry_gates.refresh(wish.symbol for wish in entries)
    # What waited for its turn is judged afterwards: prices and ages are those of then.
    async with desk.store.journal.turn(desk.lease) if entries else nullcontext():
        return await _store(batch, wishes, entries, states)


async def _store(
    batch: Batch, wishes: Sequence[Wish], entries: Sequence[Enter], states: Sequence[SavedState]
) -> list[Prepared]:
    desk = batch.desk
    judged = {id(wish): _judge(batch, wish) for wish in entries}
    batch.withdrawn = frozenset(wish.seq for wish in wishes if isinstance(wish, Cancel))
    places = any(isinstance(wish, Enter | Reduce) for wish in wishes)
    prepared: list[Prepared] = []
    try:
        async with desk.store.writing(places=places) as writing:
            if any(isinstance(verdict, Allowed) for verdict, _ in judged.values()):
                await batch.lock_book(writing)
            for wish in wishes:
                if isinstance(wish, Enter):
                    prepared.append(await _enter(batch, writing, wish, *judged[id(wish)]))
                else:
                    prepared.append(await write_change(batch, writing, wish))
            for state in states:
                await writing.transaction.save_state(state)
    except JournalUnavailable:
        desk.store.doubt(batch.asked)
        raise
    return prepared


def _is_late(batch: Batch) -> bool:
    if not batch.bar_close_ns:
        return False
    return batch.desk.seconds_since(batch.bar_close_ns) > batch.desk.settings.max_decision_age_seconds


def _judge(batch: Batch, wish: Enter) -> tuple[Verdict, GateView]:
    gates, state = batch.desk.entry_gates, batch.desk.store.state
    if _is_late(batch):
        age, most = batch.desk.seconds_since(batch.bar_close_ns), batch.desk.settings.max_decision_age_seconds
        text = f"The bar closed {age:.1f} s ago; an entry may be {most:g} s old. The strategy decides anew."
        return Denied("missed_decision", text), gates.view(wish.symbol, batch.run, state, None)
    return gates.vet(wish, batch.run, state)


async def _enter(batch: Batch, writing: Writing, wish: Enter, verdict: Verdict, seen: GateView) -> Prepared:
    desk, gates, exposure = batch.desk, batch.desk.entry_gates, Exposure({}, wish.risk)
    if isinstance(verdict, Allowed):
        verdict, exposure = batch.vet_book(wish)
    units = verdict.units if isinstance(verdict, Allowed) else wish.units
    account = str(desk.lease.account_id)
    intent = entry_intent(account, wish, run=batch.run, bar_close_ns=batch.bar_close_ns, units=units)
    price = gates.entry_price(wish)
    rate = None if price is None else gates.rate(wish, price)
    plan = OrderPlan(
        intent=intent,
        ticket=wish.ticket,
        reference_price=wish.reference_price,
        group_policy=wish.group_policy,
        risk=exposure.risk,
        rate=None if rate is None else float(rate),
    )
    key = await writing.add_order(intent, plan, seen=seen.snapshot())
    seq = writing.transaction.seq
    if isinstance(verdict, Denied):
        writing.note(key, DeniedHere(verdict.code))
        return Prepared(Sent(wish, verdict, seq))
    await batch.reserve(writing, seq, wish.symbol, exposure)
    command = Place(request_of(desk, key, replace(plan, intent=replace(intent, seq=seq))))
    job = await batch.ask(writing, seq, key, AttemptKind.PLACE, command, wish.symbol, effect=Effect.OPEN)
    desk.gates.note_sent("entry", now_ns=desk.clock.now_ns())
    return Prepared(Sent(wish, verdict, seq), job)
