"""The trader under test: the order manager, recovery and polls of the product, driven by a seeded source of wishes.

Everything but the wishes is the product's: the journal in PostgreSQL, the adapter, gates, recovery, polls. A session
does what the orchestrator does: hear the news, decide on a closed bar, submit the wishes with the saved state of that
bar in one transaction.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from tests.acceptance.soak.brokers import broker_of
from tests.acceptance.soak.source import Sight, Source
from tests.acceptance.soak.venue import SYMBOLS
from tests.support.venues import venue_instrument
from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.domain.errors import BrokerError, JournalUnavailable, LeaseLost, UsageError
from tradesentry.core.domain.events import StreamDown
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.account_limits import AccountLimits, LimitSettings
from tradesentry.core.execution.error_budget import ErrorBudgetSettings
from tradesentry.core.execution.gate_view import GateSettings
from tradesentry.core.execution.journal import Claim, LiveState, SavedState
from tradesentry.core.execution.journal_outage import JournalOutage
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_exposure import BookLimits
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_requests import OrderSettings
from tradesentry.core.execution.polls import Polls, PollSettings
from tradesentry.core.execution.recovery import Recovery, RecoverySettings
from tradesentry.core.execution.venue_look import AccountLink
from tradesentry.core.utils.crash_points import crash_point

if TYPE_CHECKING:
    from tests.acceptance.soak.agent import Life

MARKET: Final = "ALL"
HALT_EVERY_NS: Final = 24 * 10**9
HALT_NS: Final = (7 * 10**9, 9 * 10**9)
"""The part of every 24 s in which the account is to be halted."""
log = logging.getLogger("soak")


@dataclass(frozen=True)
class Parts:
    """What a session is made of."""

    broker: Any
    orders: OrderManager
    recovery: Recovery
    polls: Polls


def assemble(life: "Life", claim: Claim, fence: SelfFence, broker: BaseBroker, gate: CommandGate) -> Parts:
    """Return the product's parts at scaled times, with limits that are met all the time."""
    soak, clock, lease = life.given.soak, life.clock, claim.lease
    times = soak.times
    many = {"max_refused": 10_000, "max_unknown": 10_000, "max_stream_losses": 10_000}
    gates = LiveGates(
        GateSettings(max_drift_pips=50.0, max_entries_per_minute=100_000, max_changes_per_minute=100_000),
        limits=BookLimits(
            max_currency_net=Decimal(str(soak.currency_net)), max_open_risk=Decimal(str(soak.open_risk)),
            max_app_risk=Decimal(1),
        ),
        budget=ErrorBudgetSettings(**many),
        alert=tell,
    )  # fmt: skip
    settings = OrderSettings(
        max_refusals=100, min_step_pips=0.1, min_interval_seconds=0.2, max_exit_attempts=100, pause_seconds=1.0
    )
    items = {symbol: venue_instrument(symbol) for symbol in SYMBOLS}
    orders = OrderManager(
        broker, life.journal, lease, fence, clock, instruments=items, gates=gates, settings=settings, alert=tell
    )
    gate._on_late = orders.on_late
    outage = JournalOutage(life.journal, lease, fence, clock, watch=gates.watch, alert=tell, ttl_seconds=times.ttl)
    limits = LimitSettings(daily_loss=Decimal(1), drawdown_warn=Decimal(1), drawdown_reduce=Decimal(1),
                           drawdown_halt=Decimal(1))  # fmt: skip
    recovery = Recovery(
        broker, orders, clock,
        link=AccountLink(account=life.given.account_ids[lease.account_id]), outage=outage,
        limits=AccountLimits(clock, limits, budget=gates.budget),
        settings=RecoverySettings(first_pause_seconds=0.05, last_pause_seconds=0.5), alert=tell,
        wait_seconds=claim.wait_seconds(times.max_send),
    )  # fmt: skip
    polls = Polls(
        broker, orders, recovery, clock,
        PollSettings(in_flight_seconds=0.2, heartbeat_seconds=0.3, orders_seconds=0.7, trades_seconds=0.8),
    )  # fmt: skip
    return Parts(broker, orders, recovery, polls)


def tell(code: str, text: str) -> None:
    """Note an alert that went out directly."""
    log.info("%s: %s", code, text)


class TraderSession:
    """One account, traded by the product."""

    def __init__(self, life: "Life", claim: Claim, fence: SelfFence) -> None:
        self._life, self._claim, self._fence, self._lease = life, claim, fence, claim.lease
        times = life.given.soak.times
        self._gate = CommandGate(
            life.clock, throttle=Throttle(life.clock, per_second=100.0, burst=200.0),
            max_send_seconds=times.max_send, may_send=lambda stamp: fence.is_open and stamp.epoch == claim.lease.epoch,
        )  # fmt: skip
        self._account = life.given.account_ids[self._lease.account_id]
        soak = life.given.soak
        self._source = Source(soak.seed, self._account, draws=soak.draws, protects=soak.protects)
        self._quotes: dict[str, Quote] = {}
        self._is_stopping = False
        self._is_recovered = asyncio.Event()
        if soak.broker != "paper":
            self._set_up(broker_of(life.given, claim.lease.account_id, life.clock, gate=self._gate))

    def _set_up(self, broker: BaseBroker) -> None:
        self._parts = assemble(self._life, self._claim, self._fence, broker, self._gate)
        self._parts.orders.listeners.append(self._source.hear)

    async def run(self) -> None:
        """Recover, then trade until canceled or the lease is lost."""
        why = "start" if self._claim.wait_seconds(0.0) == 0.0 else "takeover"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_quotes())
                await self._parts.recovery.recover(why)
                self._is_recovered.set()
                self._life.log.write("active", self._lease.account_id)
                group.create_task(self._parts.polls.run())
                for app, run in enumerate(self._runs()):
                    group.create_task(self._decide(app, run))
        except ExceptionGroup as group_error:
            lost, others = group_error.split((LeaseLost, JournalUnavailable))
            if others is not None:
                raise
            raise (lost or group_error).exceptions[0] from group_error
        finally:
            with suppress(Exception):
                await asyncio.shield(self._parts.broker.close())

    def _runs(self) -> list[UUID | None]:
        """Return the run of each strategy of the account."""
        given, account = self._life.given, self._lease.account_id
        return [given.runs[account], *given.more_runs.get(account, ()), *[None] * given.soak.runless]

    async def _watch_quotes(self) -> None:
        if self._life.given.soak.broker == "gateway":
            # A terminal answers one at a time, and recovery asks it enough.
            await self._is_recovered.wait()
        while not await self._knows_instruments():
            await self._life.clock.sleep(0.05)
        async for quote in self._parts.broker.quotes(SYMBOLS):
            if not isinstance(quote, StreamDown):
                self._quotes[quote.symbol] = quote
                self._parts.orders.note_quote(quote)

    async def _knows_instruments(self) -> bool:
        """Say whether the venue said what can be traded; prices are wanted while the account is still recovered."""
        try:
            return bool(await self._parts.broker.instruments())
        except LeaseLost:
            raise
        except BrokerError:
            return False

    async def _decide(self, app: int, run: UUID | None) -> None:
        """Decide on each bar as one of several strategies, which meet at the same headroom.

        Args:
            app: Which one; the first has the hand on the switch as well.
            run: Its run, whose state is stored with its decision; None: it has none, and is asked as a person is.
        """
        bar_ns = round(self._life.given.soak.times.bar * 1e9)
        clock, orders = self._life.clock, self._parts.orders
        saved = None if run is None else await self._life.journal.read_state(self._lease, run, MARKET)
        decided_ns = 0 if saved is None else saved.bar_close_ns
        while not self._is_stopping:
            await clock.sleep((bar_ns - clock.now_ns() % bar_ns) / 1e9)
            close_ns = clock.now_ns() // bar_ns * bar_ns
            if close_ns <= decided_ns or not self._life.may_decide():
                continue
            try:
                if app == 0:
                    await self._halt_or_arm(close_ns)
                book = orders.book
                seen = Sight(close_ns, tuple(book.orders.values()), tuple(book.trades.values()), dict(self._quotes))
                wishes = [] if self._is_stopping else self._source.wishes(seen, app)
                decided_ns = close_ns
                states = [] if run is None else [_state(run, close_ns)]
                await orders.submit(wishes, run=run, bar_close_ns=close_ns if run else 0, states=states)
            except LeaseLost:
                raise
            except UsageError as error:
                # The bar was decided by an earlier life whose commit nobody confirmed.
                if error.code != "duplicate_decision":
                    raise
            except BrokerError as error:
                tell("bar_missed", str(error))

    async def _halt_or_arm(self, now_ns: int) -> None:
        """Halt the account by hand for a while and re-arm it, through kills and takeovers."""
        if not self._life.given.soak.chaos.halts:
            return
        orders = self._parts.orders
        offset = int(self._account[-1]) * HALT_EVERY_NS // 2
        is_due = HALT_NS[0] <= (now_ns + offset) % HALT_EVERY_NS < HALT_NS[1]
        if is_due and orders.state is LiveState.ACTIVE:
            await orders.set_state(LiveState.HALTED, "kill_switch: halted by hand in the soak")
        elif not is_due and orders.state is LiveState.HALTED:
            self._life.log.write("rearm", self._lease.account_id)
            await self._parts.recovery.rearm()

    async def stop(self) -> None:
        """Decide nothing more, wait for what is under way, take in the last news."""
        self._is_stopping = True
        with suppress(BrokerError):
            await asyncio.wait_for(self._parts.orders.drain(), 2.0)
            crash_point("during_shutdown")
            await self._parts.orders.catch_up()
            last_look = self._parts.recovery.recover("a last look")
            await asyncio.wait_for(last_look, self._life.given.soak.times.settle)


def _state(run: UUID, close_ns: int) -> SavedState:
    memory: Mapping[str, int] = {"decided_ns": close_ns}
    return SavedState(run, MARKET, close_ns, "soak", json.dumps(memory).encode())
