"""Bring an account to where it may trade: after a start, a reconnect, a takeover and a return of the database alike.

One code path, in this order:

1. RECONCILING is stored, with the state to return to;
2. nothing is sent before the old owner's last request must have left (takeover);
3. connect; the account must be the linked one; look at the clock;
4. the event stream is opened into a buffer, *then* a snapshot is taken;
5. events since the cursor until they are complete, then what the buffer holds;
6. orders of unknown outcome are resolved by evidence; one that cannot be yet blocks its instrument, nothing waits;
7. journal and venue are compared;
8. repairs are stored as new rows, and every open trade has its stop;
9. back to ACTIVE, REDUCING or HALTED, as the causes that are left say.

What fails is tried again with growing pauses and an alert every 60 s; the account stays RECONCILING meanwhile. After an
outage of the journal the first step is to read it again, because what it holds is not known.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pydantic import Field

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import (
    BrokerError,
    JournalUnavailable,
    ReconciliationFailed,
)
from tradesentry.core.domain.live_orders import Evidence
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.execution.account_limits import (
    RECOVERING,
    AccountLimits,
    causes_of,
    rearmed,
    reason_of,
    settled_state,
)
from tradesentry.core.execution.account_watch import FINAL, AccountWatch
from tradesentry.core.execution.event_follower import EventFollower
from tradesentry.core.execution.journal_outage import JournalOutage
from tradesentry.core.execution.journal_rows import AccountRecord, LiveState
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.repairs import OwnIdUnknown, Repair
from tradesentry.core.execution.venue_comparison import MISMATCH, VenueComparison
from tradesentry.core.execution.venue_look import AccountLink, check_link
from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.core.utils.crash_points import crash_point

__all__ = ["FINAL", "Recovery", "RecoverySettings"]


class RecoverySettings(FrozenModel):
    """How recovery repeats itself."""

    first_pause_seconds: float = Field(1.0, gt=0, le=60, description="Pause after the first failed attempt.")
    last_pause_seconds: float = Field(30.0, gt=0, le=600, description="Longest pause between attempts.")
    alert_seconds: float = Field(60.0, gt=0, le=3_600, description="How often a recovery that fails tells somebody.")


class Recovery:
    """Recovers one account, and looks after its limits.

    Args:
        broker: The venue.
        orders: The account's orders; its journal is read here.
        clock: Time.
        link: What the account was when it was linked.
        outage: Watches whether the journal answers.
        limits: What the account may lose.
        settings: How recovery repeats itself.
        alert: Tells people directly.
        wait_seconds: Nothing is sent before that (`Claim.wait_seconds`), counted from now.
    """

    def __init__(
        self,
        broker: BaseBroker,
        orders: OrderManager,
        clock: Clock,
        *,
        link: AccountLink,
        outage: JournalOutage,
        limits: AccountLimits,
        settings: RecoverySettings | None = None,
        alert: Callable[[str, str], None],
        wait_seconds: float = 0.0,
    ) -> None:
        self._broker, self.orders, self._clock = broker, orders, clock
        self._link, self.outage = link, outage
        self.watch = AccountWatch(broker, orders, clock, limits)
        self._settings, self._alert = settings or RecoverySettings(), alert
        self._store, self._gates = orders.store, orders.gates
        self._ready_at = clock.monotonic() + wait_seconds
        self.follower = EventFollower(broker)
        self.comparison = VenueComparison(
            broker,
            self._store,
            self._gates.watch,
            guard=orders.guard,
            catch_up=orders.catch_up,
        )
        self.last_seconds = 0.0
        """How long the last recovery took."""
        self.listeners: list[Callable[[float], None]] = []
        """Are told how long each recovery took, seconds."""
        self._one = asyncio.Lock()
        self._is_loaded = False
        self._is_running = False

    async def recover(self, why: str = "start") -> LiveState:
        """Bring the account to where it may trade and return the state that it is in then.

        Args:
            why: What made it necessary: start, reconnect, takeover, journal, or a person.

        Raises:
            AccountMismatch: The venue shows another account.
            BrokerAuthError: The venue does not accept the token or password.
            LeaseLost: The account is another's now.
        """
        async with self._one:
            began = self._clock.monotonic()
            state = await self._until_done(why, began)
            self.last_seconds = self._clock.monotonic() - began
            for listener in tuple(self.listeners):
                listener(self.last_seconds)
            return state

    async def _until_done(self, why: str, began: float) -> LiveState:
        told: float | None = None
        pause = 0.0
        while True:
            try:
                return await self._attempt(why)
            except FINAL:
                raise
            except JournalUnavailable as error:
                failure: BrokerError = error
                self.outage.lost()
                await self.outage.wait(self.follower.buffer)
            except BrokerError as error:
                failure = error
                pause = pause or self._settings.first_pause_seconds
            now = self._clock.monotonic()
            is_first_outage = isinstance(failure, JournalUnavailable) and not pause
            if not is_first_outage and (told is None or now - told >= self._settings.alert_seconds):
                told = now
                self._alert("recovery_fails", f"The account is not recovered after {now - began:.0f} s: {failure}")
            await self._clock.sleep(pause)
            pause = min(2 * pause or self._settings.first_pause_seconds, self._settings.last_pause_seconds)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Keep the event stream open inside the block: somebody takes from `follower` as events come."""
        self._is_running = True
        self.follower.open()
        try:
            yield
        finally:
            self._is_running = False

    async def _attempt(self, why: str) -> LiveState:
        if self._store.is_away or not self._is_loaded:
            await self.orders.load()
            self._is_loaded = True
        await self._enter(why)
        self.outage.answers()
        await self._clock.sleep(max(0.0, self._ready_at - self._clock.monotonic()))
        state = await self._connect()
        self.follower.open()
        try:
            await self._start_log(state)
            await self.orders.catch_up()
            await self._drain()
            await self.orders.resolve()
            repairs = await self.compare()
            crash_point("during_reconcile")
            await self._drain()
            await self.orders.protect_all()
            return await self._leave(repairs)
        finally:
            if not self._is_running:
                await self.follower.close()

    async def _enter(self, why: str) -> None:
        """Step 1: store RECONCILING and the state to return to; the causes of that state stay in the reason."""

        def entered(record: AccountRecord) -> AccountRecord:
            """Return the record in RECONCILING."""
            kept = {code: text for code, text in causes_of(record.reason).items() if code != RECOVERING}
            reason = reason_of({RECOVERING: why} | kept)
            return replace(record, state=LiveState.RECONCILING, return_state=settled_state(record), reason=reason)

        await self._store.change_record(entered)

    async def _connect(self) -> AccountState:
        """Step 3: connect, prove the account, look at the clock."""
        state = await self._broker.connect()
        check_link(self._link, state)
        await self.look_at_clock()
        return state

    async def look_at_clock(self) -> None:
        """Read the venue's clock; a difference is reported from 1 s, and the gates deny from 5 s."""
        sample = await self._broker.server_clock()
        self._gates.watch.note_clock(sample, now_ns=self._clock.now_ns())
        offset = sample.offset_ns / NS_PER_SECOND
        if abs(offset) > self._gates.settings.clock_warn_seconds:
            deny = self._gates.settings.clock_deny_seconds
            text = f"The venue's clock is {offset:+.2f} s from ours; above {deny:g} s nothing is opened."
            self._alert("clock_offset", f"{text} Synchronize this machine's clock.")

    async def _start_log(self, state: AccountState) -> None:
        """Begin to follow a numbering that the journal does not know.

        The first one of an account begins at its snapshot. One that replaces another is read from its beginning: it
        may tell again what only the lost one knew, and what the journal knows already changes nothing.
        """
        book = self._store.book
        if book.log_id == state.log_id:
            return
        known = book.log_id
        start = state.last_seq if known is None else 0
        async with self._store.writing() as writing:
            book.start_log(state.log_id, start)
            book.anchor(state)
            await writing.transaction.advance_cursor(state.log_id, start=start)
            if known is not None:
                text = f"The venue numbers its events anew ({known} is {state.log_id} now)"
                writing.alert("event_log_replaced", f"{text}; the account was taken from a full snapshot.")

    async def _drain(self) -> None:
        """Step 5, second half: journal what the stream brought meanwhile."""
        events = self.follower.buffer.take()
        try:
            await self.orders.ingest(events, evidence=Evidence.STREAM)
        except BrokerError:
            self.follower.buffer.put_back(events)
            raise

    async def _leave(self, repairs: Sequence[Repair]) -> LiveState:
        """Step 9: go to the state that the causes which are left ask for."""
        reading = await self.watch.read()
        if reading is None:
            raise ReconciliationFailed(
                "Balance and events of the venue do not come to rest, so no limit can be judged."
            )
        behind = _behind(repairs)
        while True:
            before = self._store.record
            judgment = self.watch.judge(before, reading)
            record = judgment.record
            causes = {code: text for code, text in causes_of(record.reason).items() if code != RECOVERING}
            state = settled_state(record)
            if behind:
                causes["journal_behind"] = behind
                state = LiveState.HALTED
            record = replace(record, state=state, return_state=None, reason=reason_of(causes))
            if await self.watch.settle(replace(judgment, record=record), reading, before=before):
                self.outage.ended()
                return state

    async def compare(self, *, with_trades: bool = True) -> list[Repair]:
        """Compare with the venue and carry out what was found; arguments and errors as `VenueComparison.compare`."""
        repairs = await self.comparison.compare(with_trades=with_trades)
        behind = _behind(repairs)
        if behind and self._store.state is not LiveState.RECONCILING:
            await self.orders.set_state(LiveState.HALTED, reason_of({"journal_behind": behind}))
        return repairs

    async def look_at_money(self) -> LiveState:
        """Judge the account by a fresh reading and return its state; errors as `AccountWatch.look`."""
        return await self.watch.look()

    # By hand

    async def rearm(self) -> LiveState:
        """Lift what only a person may lift, on the word of one who has looked.

        Limits begin anew at the present equity. Positions that their fills do not explain are taken as the venue holds
        them; what cannot be read now stays blocked.
        """
        await self._store.change_record(rearmed)
        self._gates.watch.free_all(but=MISMATCH)
        for symbol in sorted(self.comparison.blocked):
            try:
                await self.comparison.accept_venue(symbol)
            except (*FINAL, JournalUnavailable):
                raise
            except BrokerError as error:
                self._alert("not_accepted", f"{symbol} stays blocked: {error} Re-arm again when the venue answers.")
        return self._store.state


def _behind(repairs: Sequence[Repair]) -> str:
    """Return in words that the venue holds orders of ours which the journal lacks; empty when it does not."""
    ids = sorted(repair.client_order_id for repair in repairs if isinstance(repair, OwnIdUnknown))
    return f"the venue holds {', '.join(ids)} of ours, the journal does not" if ids else ""
