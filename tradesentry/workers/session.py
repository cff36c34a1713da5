"""One account at work: open it, recover, let its strategies decide, obey its owner, end cleanly.

Order of work: open (broker, feed, clock) → recover → restore what the strategies remember → decide on bar after bar.
A run that is added or stopped begins the last two steps anew; connections and orders stay. Without any run left the
account is only looked after until nothing is open. A clean stop: decide nothing more → wait for commands under way →
take resting entries back → take in the last news → say so. A lost lease does none of this.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tradesentry.bootstrap import OpenAccount, Stores, is_replayed, open_account
from tradesentry.bootstrap.desk import Desk, desk_of, orchestrator_of, specs_of
from tradesentry.bootstrap.paper import Figures, figures_of
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.clock import Clock, within
from tradesentry.core.domain.errors import BrokerError, TradeSentryError
from tradesentry.core.domain.live_account import Cancel
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.execution.journal_rows import Claim, LiveState
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.feeds import Instant, PolledFeed
from tradesentry.core.monitoring.metrics_collector import MetricsCollector
from tradesentry.core.strategy.live_memory import LiveRunSpec, live_memory
from tradesentry.core.strategy.live_status import LiveStatus
from tradesentry.core.strategy.orchestrator import PortfolioOrchestrator
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.repositories.agents import LinkRecord
from tradesentry.database.repositories.runs import RunRecord
from tradesentry.settings import Settings
from tradesentry.workers.monitors import AccountMonitors
from tradesentry.workers.session_feed import SessionFeed

_log = get_logger(__name__)

STOP_SECONDS: Final = 15.0
"""Longest wait for a decision or recovery under way at a clean stop."""
HALTED_BY_OWNER: Final = "kill_switch: the owner halted the account"
WEEKEND_FACTOR: Final = 2
"""Bars of the past are asked for over twice their nominal time, because markets rest at weekends."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session is run."""

    max_instants: int | None = None
    """End after so many decided instants; None: never."""
    on_instant: Callable[[Instant], None] | None = None
    """Is told of each instant once it is decided."""
    metrics: MetricsCollector | None = None
    """Of the process; None: nobody watches."""
    tell: Callable[[str, str], None] | None = None
    """Shows what is delivered from the outbox as well; None: it is told like every alert."""


class AccountSession:
    """One account that this process owns.

    Args:
        claim: Of the account.
        fence: On its lease.
        stores: The database.
        settings: Secrets of this installation.
        clock: The real clock.
        alert: Tells people directly (code, text).
        options: How it is run.
    """

    def __init__(
        self,
        claim: Claim,
        fence: SelfFence,
        *,
        stores: Stores,
        settings: Settings,
        clock: Clock,
        alert: Callable[[str, str], None],
        options: SessionOptions | None = None,
    ) -> None:
        self._claim, self._lease, self._fence = claim, claim.lease, fence
        self._stores, self._settings, self._clock, self._alert = stores, settings, clock, alert
        self._options = options or SessionOptions()
        self._stop, self._end, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._account: OpenAccount | None = None
        self._desk: Desk | None = None
        self._feed: SessionFeed | None = None
        self._orchestrator: PortfolioOrchestrator | None = None
        self._background: list[asyncio.Task[None]] = []
        self._monitors: AccountMonitors | None = None
        self._trading: dict[UUID, str] = {}
        """Runs that decide now, and what they were last told."""
        self._was_halted = False
        """The owner's halt was seen; lifting it re-arms the account."""
        self.link: LinkRecord | None = None
        self.figures: Figures | None = None
        """What a replay came to; None while it runs and for real accounts."""

    # Looking

    def status(self) -> LiveStatus | None:
        """Return the account as it stands; None while it is not trading."""
        return None if self._orchestrator is None else self._orchestrator.status()

    @property
    def account(self) -> OpenAccount | None:
        """The parts of the account, once it is open."""
        return self._account

    @property
    def n_decided(self) -> int:
        """Instants decided since the start."""
        return 0 if self._feed is None else self._feed.n_decided

    # Running

    async def run(self) -> None:
        """Trade until `stop`, or until there is nothing left to do.

        Raises:
            TradeSentryError: The account cannot be traded; the message says why.
        """
        self._idle.clear()
        try:
            desk = await self._open()
            await desk.recovery.recover("start" if self._claim.old_owner is None else "takeover")
            self._watch(desk)
            while not self._stop.is_set():
                self._end.clear()
                specs = await self._specs()
                await (self._trade(desk, specs) if specs else self._look_after(desk))
                if not self._end.is_set():
                    break
            if not self._stop.is_set():
                await self._finish()
        finally:
            self._idle.set()

    async def _open(self) -> Desk:
        self.link = await self._stores.roster.link(self._lease)
        if is_replayed(self.link):
            self._stores = Stores.over(self._stores.pool, is_synced=False)
        specs, _ = specs_of(self._wanted(await self._stores.runs.of_account(self._lease)))
        self._account = await open_account(
            self.link, self._lease, self._fence, specs, stores=self._stores, settings=self._settings, clock=self._clock
        )
        self._feed = SessionFeed(self._account.feed, self._options.max_instants, self._options.on_instant)
        self._desk = await desk_of(
            self._account, self._claim, self._fence, self._stores, account_ref=self.link.account_ref,
            alert=self._alert, tell=self._options.tell,
        )  # fmt: skip
        self._background = [asyncio.ensure_future(work()) for work in self._account.background]
        return self._desk

    def _watch(self, desk: Desk) -> None:
        """Watch what is traded; a replay is watched by nobody."""
        account, _ = self._parts()
        if self._options.metrics is None or account.is_replay:
            return
        self._monitors = AccountMonitors(
            desk.orders, self._stores.journal, self._lease, self._fence, account.clock, metrics=self._options.metrics,
            alert=self._alert, horizon_seconds=account.broker.capabilities.absence_horizon_seconds,
        )  # fmt: skip
        self._background.append(asyncio.ensure_future(self._monitors.run()))

    @staticmethod
    def _wanted(records: Sequence[RunRecord]) -> list[RunRecord]:
        return [record for record in records if record.desired in ("running", "paused")]

    async def _specs(self) -> list[LiveRunSpec]:
        """Return the runs to trade now; one that cannot be is failed with its reason."""
        records = self._wanted(await self._stores.runs.of_account(self._lease))
        specs, refused = specs_of(records)
        for record, error in refused:
            await self._stores.runs.set_actual(self._lease, record.run_id, "failed", error=str(error))
        desired = {record.run_id: record.desired for record in records}
        self._trading = {spec.run_id: desired[spec.run_id] for spec in specs}
        return specs

    async def _trade(self, desk: Desk, specs: Sequence[LiveRunSpec]) -> None:
        """Let the strategies decide until the feed ends or something changes."""
        account, feed = self._parts()
        memory = live_memory(specs, account.setup)
        listeners = list(desk.orders.listeners)
        orchestrator = PortfolioOrchestrator(
            broker=account.broker,
            orders=desk.orders,
            polls=desk.polls,
            journal=self._stores.journal,
            lease=self._lease,
            clock=account.clock,
            feed=feed,
            memory=memory,
            orchestrators={spec.run_id: orchestrator_of(spec.strategy) for spec in specs},
        )
        try:
            for spec in specs:
                desk.orders.name_run(spec.run_id, spec.strategy.name)
            await self._begin(orchestrator, specs)
            self._orchestrator = orchestrator
            for run_id, desired in self._trading.items():
                await self._tell(run_id, desired)
            await orchestrator.run(self._end)
        finally:
            desk.orders.listeners[:] = listeners

    async def _begin(self, orchestrator: PortfolioOrchestrator, specs: Sequence[LiveRunSpec]) -> None:
        """Restore what the strategies remember, or warm them up on bars of the past."""
        account, feed = self._parts()
        newest = await orchestrator.begin()
        if newest:
            feed.start_after(newest)
        elif isinstance(account.feed, PolledFeed):
            n_bars = max(spec.strategy.bars_needed(spec.config) for spec in specs)
            length_ns = timeframe_ns(specs[0].config.timeframe)
            now_ns = account.clock.now_ns()
            past = await account.feed.past(now_ns - WEEKEND_FACTOR * (n_bars + 1) * length_ns, now_ns)
            await orchestrator.warm(past)

    def _parts(self) -> tuple[OpenAccount, SessionFeed]:
        if self._account is None or self._feed is None:
            raise RuntimeError("the account is not open")
        return self._account, self._feed

    async def _look_after(self, desk: Desk) -> None:
        """Follow an account that no run trades any more, until nothing is open or something changes."""
        _, feed = self._parts()
        polling = asyncio.ensure_future(desk.polls.run())
        ending = asyncio.ensure_future(self._end.wait())
        walking = asyncio.ensure_future(self._walk(desk, feed))
        try:
            await asyncio.wait({polling, ending, walking}, return_when=asyncio.FIRST_COMPLETED)
            for one in (polling, walking):
                if one.done():
                    one.result()
        finally:
            for task in (polling, ending, walking):
                task.cancel()
            await asyncio.gather(polling, ending, walking, return_exceptions=True)

    async def _walk(self, desk: Desk, feed: SessionFeed) -> None:
        while self._is_open(desk):
            async for _ in feed.instants():
                await desk.orders.catch_up()
                if not self._is_open(desk):
                    return
            if self._account is not None and self._account.is_replay:
                return

    def _is_open(self, desk: Desk) -> bool:
        book = desk.orders.book
        return bool(book.trades) or any(not order.status.is_terminal for order in book.orders.values())

    async def _finish(self) -> None:
        """Note what a replay came to, and that its runs are over."""
        account, _ = self._parts()
        if isinstance(account.broker, PaperBroker) and account.is_replay:
            if self._desk is not None:
                await self._desk.orders.catch_up()
            self.figures = figures_of(account.broker.venue)
        for run_id in self._trading:
            await self._stores.runs.set_actual(self._lease, run_id, "stopped")
        for record in await self._stores.runs.of_account(self._lease):
            if record.desired in ("stopped", "flatten") and self._desk is not None:
                await self._retire(self._desk, record)

    # Commands

    async def obey(self) -> None:
        """Look once at what the owner wants and do it."""
        if self._desk is None or (self._orchestrator is None and self._trading):
            return
        records = await self._stores.runs.of_account(self._lease)
        await self._obey_halt(self._desk, records)
        for record in records:
            if record.desired == "flatten":
                await self._flatten(self._desk, record)
            elif record.desired == "stopped":
                await self._retire(self._desk, record)
            elif record.run_id in self._trading and record.desired != self._trading[record.run_id]:
                await self._tell(record.run_id, record.desired)
        wanted = {record.run_id for record in self._wanted(records) if record.actual != "failed"}
        if wanted != set(self._trading):
            _log.info("runs_changed", account=str(self._lease.account_id), n_runs=len(wanted))
            self._end.set()

    async def _tell(self, run_id: UUID, desired: str) -> None:
        """Let a run enter or not, and say so."""
        if self._orchestrator is not None:
            (self._orchestrator.pause if desired == "paused" else self._orchestrator.resume)(run_id)
        self._trading[run_id] = desired
        await self._stores.runs.set_actual(self._lease, run_id, desired)

    async def _obey_halt(self, desk: Desk, records: Sequence[RunRecord]) -> None:
        wants_halt = any(record.desired_trading == "halted" for record in records)
        if wants_halt and desk.orders.state is not LiveState.HALTED:
            await desk.orders.set_state(LiveState.HALTED, HALTED_BY_OWNER)
            await desk.orders.cancel_entries("the owner halted the account")
        elif not wants_halt and self._was_halted and desk.orders.state is LiveState.HALTED:
            await desk.recovery.rearm()
            if self._monitors is not None:
                self._monitors.note_rearmed()
        self._was_halted = wants_halt

    async def _flatten(self, desk: Desk, record: RunRecord) -> None:
        """Close everything; said to be done when nothing of ours is open."""
        if self._trading.get(record.run_id) != "flatten":
            self._trading[record.run_id] = "flatten"
            if self._orchestrator is not None:
                self._orchestrator.pause(record.run_id)
            await desk.orders.flatten("the owner wants it flat", author="person")
        elif not self._is_open(desk):
            await self._stores.runs.set_actual(self._lease, record.run_id, "stopped")

    async def _retire(self, desk: Desk, record: RunRecord) -> None:
        """Take a run's entries back and say that it is over; its trades keep their stops at the venue."""
        await self._cancel_entries(desk, record.run_id)
        await self._stores.runs.set_actual(self._lease, record.run_id, "stopped")

    async def _cancel_entries(self, desk: Desk, run_id: UUID | None = None) -> None:
        orders = desk.orders.book.orders.values()
        mine = [
            order.seq
            for order in orders
            if order.seq is not None
            and not order.status.is_terminal
            and order.effect is Effect.OPEN
            and run_id in (None, order.run)
        ]
        if mine:
            wishes = [Cancel(seq, "stopped") for seq in mine]
            await desk.orders.submit(wishes, run=None, bar_close_ns=0, author="person")

    # Ending

    async def stop(self, *, keep_entries: bool) -> None:
        """End cleanly.

        Args:
            keep_entries: Resting entries stay at the venue.

        Raises:
            TradeSentryError: Something could not be taken back; the venue-side stops stand.
        """
        self._stop.set()
        self._end.set()
        try:
            await within(self._clock, STOP_SECONDS, self._wait_idle())
        except TimeoutError:
            _log.warning("stopped_in_the_middle", account=str(self._lease.account_id))
        desk = self._desk
        try:
            if desk is not None and self._orchestrator is not None:
                await desk.orders.drain()
                if not keep_entries:
                    await self._cancel_entries(desk)
                await desk.orders.drain()
                await desk.orders.catch_up()
                for record in await self._stores.runs.of_account(self._lease):
                    if record.desired == "stopped":
                        await self._stores.runs.set_actual(self._lease, record.run_id, "stopped")
        finally:
            await self._close()

    async def _wait_idle(self) -> None:
        await self._idle.wait()

    async def abandon(self) -> None:
        """Close all connections and forget the account; nothing is sent."""
        self._stop.set()
        self._end.set()
        self._orchestrator = None
        await self._close()

    async def _close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._background = []
        if self._monitors is not None:
            self._monitors.close()
        if self._desk is not None:
            try:
                await within(self._clock, STOP_SECONDS, self._desk.orders.close())
            except (TimeoutError, BrokerError) as error:
                _log.warning("close_incomplete", account=str(self._lease.account_id), error=type(error).__name__)
        if self._account is not None:
            try:
                await self._account.close()
            except TradeSentryError as error:
                _log.warning("close_incomplete", account=str(self._lease.account_id), error=error.code)
