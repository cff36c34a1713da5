"""What follows from an outcome: ask again, pause, halt, look again, or count it.

A command that was definitely not executed may be asked again after all gates: an entry at most twice at a new quote and
only while its decision is fresh, an exit as long as the trade is open, with growing pauses and a bound on attempts.
Whatever may have been executed is never repeated here; it is resolved by evidence (`order_resolution`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

from tradesentry.core.broker.base_broker import Accepted, NotSent, Outcome, RefusalClass, Refused, TradeRef, Unknown
from tradesentry.core.domain.live_account import Enter, Reduce
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.error_budget import Mishap
from tradesentry.core.execution.journal_rows import AttemptKind, LiveState
from tradesentry.core.execution.order_batch import Batch
from tradesentry.core.execution.order_desk import OrderDesk
from tradesentry.core.execution.order_file import OrderPlan
from tradesentry.core.execution.order_requests import Close, Place, SetProtection, is_definite_retry, slippage_left
from tradesentry.core.execution.order_sending import STALE_EPOCH, Job
from tradesentry.core.execution.order_status import DeniedHere
from tradesentry.core.execution.order_submission import request_of
from tradesentry.core.execution.verdicts import Allowed, Denied

PAUSED: Final = "refusals"
"""Reason code of an instrument that is paused after refusals in a row."""


def enter_of(plan: OrderPlan) -> Enter:
    """Return the wish that an entry was made of, as it stands."""
    intent = plan.intent
    return Enter(
        symbol=intent.symbol,
        side=intent.side,
        units=intent.units,
        type=intent.type,
        stop_loss=intent.stop_loss or 0.0,
        price=intent.limit_price if intent.limit_price is not None else intent.stop_price,
        take_profit=intent.take_profit,
        expires_ts_ns=intent.expires_ts_ns,
        reference_price=plan.reference_price,
        max_slippage_pips=intent.max_slippage_pips,
        group=intent.group_id,
        group_policy=plan.group_policy,
        allow_partial=intent.allow_partial,
        risk=plan.risk,
        tag=intent.tag,
        ticket=plan.ticket,
        number=intent.leg,
    )


class OrderFollowUp:
    """Acts on outcomes.

    Args:
        desk: Of the account.
        catch_up: Reads the venue's events again, in the background.
    """

    def __init__(self, desk: OrderDesk, *, catch_up: Callable[[], None]) -> None:
        self._desk, self._catch_up = desk, catch_up
        self._requotes: Counter[str] = Counter()
        self._back_offs: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._paused_until: dict[str, float] = {}

    def may_retry(self, job: Job, outcome: Outcome) -> bool:
        """Say whether the order of a job lives on after an outcome."""
        if job.key is None or job.kind not in (AttemptKind.PLACE, AttemptKind.CLOSE):
            return False
        if not is_definite_retry(outcome, job.effect) or (isinstance(outcome, Refused) and outcome.code == STALE_EPOCH):
            return False
        plan = self._plan(job.key)
        if plan is None:
            return False
        if job.kind is AttemptKind.CLOSE:
            return self._desk.n_exits(plan.intent.trade_ref or "") < self._desk.settings.max_exit_attempts
        if isinstance(outcome, Refused) and outcome.kind is RefusalClass.REQUOTE:
            return self._requotes[job.key] < self._desk.settings.max_requotes and self._is_fresh(plan)
        return self._is_fresh(plan)

    def after(self, job: Job, outcome: Outcome, may_retry: bool) -> None:
        """Act on a journaled outcome."""
        desk, now_ns = self._desk, self._desk.clock.now_ns()
        if isinstance(job.command, SetProtection):
            is_known = not isinstance(outcome, Unknown)
            desk.note_protection(job.command.target.trade_id, is_open=False, is_known=is_known)
        if isinstance(outcome, Accepted):
            self._refusals[job.symbol] = 0
        elif isinstance(outcome, Unknown):
            desk.gates.budget.note(Mishap.UNKNOWN, now_ns=now_ns)
        elif isinstance(outcome, NotSent):
            if outcome.reason not in ("fenced", "journal_away") and not may_retry:
                desk.alert("not_sent", f"Order {job.seq} was not sent: {outcome.reason}. {outcome.message}")
        else:
            self._refused(job, outcome)
        if may_retry and job.key is not None:
            desk.spawn(f"retry of order {job.seq}", self._retry(job, job.key, outcome))

    def _refused(self, job: Job, outcome: Refused) -> None:
        desk, now_ns = self._desk, self._desk.clock.now_ns()
        if outcome.code == STALE_EPOCH:
            desk.store.fence.lose()
            return
        if outcome.kind is RefusalClass.GONE:
            self._catch_up()
            return
        desk.gates.budget.note(Mishap.REFUSED, now_ns=now_ns)
        if outcome.kind is RefusalClass.HALT:
            text = f"The venue refused order {job.seq} with {outcome.code}: {outcome.message}"
            desk.spawn("halt", desk.set_state(LiveState.HALTED, f"{text} Nothing is opened until a person has looked."))
        if job.effect is Effect.OPEN:
            self._refusals[job.symbol] += 1
            if self._refusals[job.symbol] >= desk.settings.max_refusals:
                self._refusals[job.symbol] = 0
                desk.spawn(f"pause of {job.symbol}", self._pause(job.symbol, outcome))
        elif job.kind is AttemptKind.CLOSE and job.key is not None:
            self._exit_failed(job, outcome)

    def _exit_failed(self, job: Job, outcome: Refused) -> None:
        plan = self._plan(job.key or "")
        trade_ref = "" if plan is None else plan.intent.trade_ref or ""
        if self._desk.n_exits(trade_ref) >= self._desk.settings.max_exit_attempts:
            text = f"Trade {trade_ref} could not be closed: the last refusal was {outcome.code}. Close it by hand."
            self._desk.spawn("exit attempts", self._desk.set_state(LiveState.REDUCING, text))

    async def _pause(self, symbol: str, outcome: Refused) -> None:
        desk, watch = self._desk, self._desk.gates.watch
        text = f"{desk.settings.max_refusals} orders in a row were refused, the last with {outcome.code}."
        self._paused_until[symbol] = desk.clock.monotonic() + desk.settings.pause_seconds
        if watch.block(symbol, PAUSED, text):
            await desk.store.announce("instrument_paused", f"{symbol} is paused: {text} {outcome.message}")

    def lift_pauses(self) -> None:
        """Free the instruments whose pause is over; call it before an entry is judged."""
        now = self._desk.clock.monotonic()
        for symbol in [name for name, until in self._paused_until.items() if now >= until]:
            del self._paused_until[symbol]
            self._desk.gates.watch.unblock(symbol, PAUSED)

    # Asking again

    def _plan(self, key: str) -> OrderPlan | None:
        file = self._desk.book.file(key)
        return None if file is None else file.plan

    def _is_fresh(self, plan: OrderPlan) -> bool:
        """Say whether an entry may still be placed."""
        desk, intent = self._desk, plan.intent
        if intent.expires_ts_ns:
            return desk.clock.now_ns() < intent.expires_ts_ns
        decided_ns = intent.bar_close_ns or desk.store.sent_ns.get((intent.seq, 1), 0)
        return desk.seconds_since(decided_ns) <= desk.settings.max_decision_age_seconds

    def _pause_seconds(self, key: str, outcome: Outcome) -> float:
        if isinstance(outcome, Refused) and outcome.kind is RefusalClass.REQUOTE:
            self._requotes[key] += 1
            return 0.0
        self._back_offs[key] += 1
        return min(2.0 ** (self._back_offs[key] - 1), self._desk.settings.max_back_off_seconds)

    async def _retry(self, job: Job, key: str, outcome: Outcome) -> None:
        await self._desk.clock.sleep(self._pause_seconds(key, outcome))
        plan, order = self._plan(key), self._desk.book.orders.get(key)
        if plan is None or order is None or order.status is not OrderStatus.NEW:
            return
        again = await (self._ask_entry(key, plan) if job.kind is AttemptKind.PLACE else self.ask_exit(key, plan))
        if again is not None:
            await self._desk.sender.send(again)

    async def _ask_entry(self, key: str, plan: OrderPlan) -> Job | None:
        """Store another attempt of an entry after all gates, or its end."""
        desk, intent, wish = self._desk, plan.intent, enter_of(plan)
        run = None if intent.run is None else UUID(intent.run)
        batch = Batch(desk, run, intent.bar_close_ns)
        quote = await desk.entry_gates.fetch_quote(intent.symbol)
        await desk.entry_gates.refresh([intent.symbol])
        async with desk.store.journal.turn(desk.lease):
            return await self._store_entry(key, plan, batch, wish, quote)

    async def _store_entry(
        self, key: str, plan: OrderPlan, batch: Batch, wish: Enter, quote: Quote | None
    ) -> Job | None:
        desk, intent, run = self._desk, plan.intent, batch.run
        verdict, _ = desk.entry_gates.vet(wish, run, desk.store.state)
        request = request_of(desk, key, plan)
        if not self._is_fresh(plan):
            verdict = Denied("missed_decision", "The decision is too old to be asked for again.")
        elif quote is None or not slippage_left(intent, request.price_bound, quote):
            verdict = Denied("price_drift", "The price has left what the entry allows.")
        async with desk.store.writing() as writing:
            if isinstance(verdict, Allowed):
                await batch.lock_book(writing, without=intent.seq)
                verdict, exposure = batch.vet_book(wish)
                if isinstance(verdict, Allowed) and verdict.units == intent.units:
                    await batch.reserve(writing, intent.seq, intent.symbol, exposure)
                    kind, effect = AttemptKind.PLACE, Effect.OPEN
                    return await batch.ask(writing, intent.seq, key, kind, Place(request), intent.symbol, effect=effect)
            code = verdict.code if isinstance(verdict, Denied) else "headroom_gone"
            writing.note(key, DeniedHere(code))
        return None

    async def ask_exit(self, key: str, plan: OrderPlan) -> Job | None:
        """Store another attempt of an exit, or its end when there is nothing left to close."""
        desk, intent = self._desk, plan.intent
        remaining = plan.remaining_units if plan.remaining_units is not None else ZERO
        trade = desk.book.trade(intent.trade_ref or "")
        while trade is not None and self._must_wait(Reduce(trade.trade_ref, remaining)):
            await desk.clock.sleep(1.0)
            trade = desk.book.trade(intent.trade_ref or "")
        batch = Batch(desk, None if intent.run is None else UUID(intent.run))
        async with desk.store.writing() as writing:
            order = desk.book.orders.get(key)
            if order is None or order.status is not OrderStatus.NEW:
                return None
            if trade is None or trade.units <= remaining:
                writing.note(key, DeniedHere("nothing_to_do"))
                return None
            command = Close(TradeRef(trade.trade_ref, trade.symbol, client_order_id=key), remaining)
            desk.note_exit(trade.trade_ref)
            kind, effect = AttemptKind.CLOSE, Effect.REDUCE
            return await batch.ask(writing, intent.seq, key, kind, command, intent.symbol, effect=effect)

    def _must_wait(self, wish: Reduce) -> bool:
        desk = self._desk
        seen = desk.entry_gates.view("", None, desk.store.state, None)
        denied = desk.gates.vet_change(wish, replace(seen, is_journal_up=True), author="kill_switch")
        return denied is not None
