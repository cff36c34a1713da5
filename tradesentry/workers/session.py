"""One account at work: open it, recover, let its strategies decide, obey its owner, end cleanly.

Order of work: open (broker, feed, clock) → recover → restore what the strategies remember → decide on bar after bar.
A run that is added or stopped begins the last two steps anew; connections and orders stay. Without any run left the
account is only looked after until nothing is open. A clean stop: decide nothing more → wait for commands under way →
take resting entries back → take in the last news → say so. A lost lease does none of this.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from tradesentry.bootstrap import OpenAccount, Stores, is_replayed, open_account
from tradesentry.bootstrap.desk import Desk, desk_of, keepers_of, orchestrator_of, specs_of
from tradesentry.bootstrap.paper import Figures, figures_of
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.clock import Clock, within
from tradesentry.core.domain.errors import BrokerError, TradeSentryError
from tradesentry.core.execution.journal_rows import Claim, LiveState
from tradesentry.core.execution.journal_timing import timed
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_locks import LockBoard
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.feeds import Instant, PolledFeed
from tradesentry.core.monitoring.metrics_collector import AccountMetrics, MetricsCollector
from tradesentry.core.strategy.live_memory import LiveRunSpec, live_memory
from tradesentry.core.strategy.live_status import LiveStatus
from tradesentry.core.strategy.orchestrator import PortfolioOrchestrator
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.repositories.agents import LinkRecord
from tradesentry.settings import Settings
from tradesentry.workers.alerting import Alerting
from tradesentry.workers.gap import AGENT_LOST, gap_payload, tell_of_gap
from tradesentry.workers.monitors import AccountMonitors
from tradesentry.workers.replay_check import compared
from tradesentry.workers.session_feed import SessionFeed
from tradesentry.workers.session_runs import AccountRuns, cancel_entries, is_open

_log = get_logger(__name__)

STOP_SECONDS: Final = 15.0
"""Longest wait for a decision or recovery under way at a clean stop."""
WARM_PIECE: Final = 50
"""Instants of the past that are decided before other work gets its turn."""
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


class AccountSession:
    """One account that this process owns.

    Args:
        claim: Of the account.
        fence: On its lease.
        stores: The database.
        settings: Secrets of this installation.
        clock: The real clock.
        alerts: Tells people.
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
        alerts: Alerting,
        options: SessionOptions | None = None,
    ) -> None:
        self._claim, self._lease, self._fence = claim, claim.lease, fence
        self._stores, self._settings, self._clock, self._alerts = stores, settings, clock, alerts
        self._options = options or SessionOptions()
        self._stop, self._end, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._account: OpenAccount | None = None
        self._runs = AccountRuns(stores.runs, claim.lease)
        self._desk: Desk | None = None
        self._feed: SessionFeed | None = None
        self._background: list[asyncio.Task[None]] = []
        self._metrics: AccountMetrics | None = None
        self._monitors: AccountMonitors | None = None
        self.link: LinkRecord | None = None
        self.figures: Figures | None = None
        """What a replay came to; None while it runs and for real accounts."""

    # Looking

    def status(self) -> LiveStatus | None:
        """Return the account as it stands; None while it is not trading."""
        orchestrator = self._runs.orchestrator
        return None if orchestrator is None else orchestrator.status()

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
            state = await desk.recovery.recover("start" if self._claim.old_owner is None else "takeover")
            await self._tell_of_gap(desk, state)
            self._watch(desk)
            while not self._stop.is_set():
                self._end.clear()
                specs = await self._runs.choose()
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
            self._runs = AccountRuns(self._stores.runs, self._lease)
        self._runs.environment = self.link.environment
        specs, _ = specs_of(await self._runs.wanted())
        self._measure(specs)
        self._account = await open_account(
            self.link, self._lease, self._fence, specs, stores=self._stores, settings=self._settings, clock=self._clock
        )
        self._feed = SessionFeed(self._account.feed, self._options.max_instants, self._options.on_instant)
        ref = self.link.account_ref
        self._desk = self._runs.desk = await desk_of(
            self._account, self._claim, self._fence, self._stores, account_ref=ref,
            alert=self._alerts.direct(ref), tell=self._alerts.stored(ref),
        )  # fmt: skip
        self._background = [asyncio.ensure_future(work()) for work in self._account.background]
        return self._desk

    async def _tell_of_gap(self, desk: Desk, state: LiveState) -> None:
        """Tell the owner if nobody traded the account before us; a replay without a pace has nobody who waits."""
        account, _ = self._parts()
        payload = gap_payload(
            self._claim, now_ns=self._clock.now_ns(), state=state, trades=tuple(desk.orders.book.trades.values())
        )
        if payload is None or (account.is_replay and not account.is_paced):
            return
        if self._alerts.is_first(f"gap:{self._lease.account_id}:{self._lease.epoch}"):
            await tell_of_gap(self._stores.journal, self._claim, payload)
            self._alerts.stored(str(self._lease.account_id))(AGENT_LOST, payload["text"])

    def _measure(self, specs: Sequence[LiveRunSpec]) -> None:
        """Measure the account from its first commit on; a replay is watched by nobody."""
        if self._options.metrics is None or self.link is None or is_replayed(self.link):
            return
        apps = {spec.strategy.name for spec in specs}
        app = apps.pop() if len(apps) == 1 else ""
        self._metrics = self._options.metrics.account(str(self._lease.account_id), app=app)
        journal = timed(self._stores.journal, self._clock, self._metrics.observe_commit)
        self._stores = replace(self._stores, journal=journal)

    def _watch(self, desk: Desk) -> None:
        """Watch what is traded."""
        account, _ = self._parts()
        if self._metrics is None or self.link is None:
            return
        self._monitors = self._runs.monitors = AccountMonitors(
            desk.orders, desk.recovery, self._stores.journal, self._lease, self._fence, account.clock,
            metrics=self._metrics, alert=self._alerts.direct(self.link.account_ref),
            sources=(account.broker, *account.others),
        )  # fmt: skip
        self._background.append(asyncio.ensure_future(self._monitors.run()))

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
            on_quote=None if self._monitors is None else self._monitors.note_quote,
        )
        try:
            locks = LockBoard(desk.orders, account.clock, keepers_of(self._runs.records))
            await locks.begin(self._stores.journal, self._lease)
            await self._begin(orchestrator, specs)
            await self._runs.begun(orchestrator)
            async with self._compared(account, specs):
                await orchestrator.run(self._end)
        finally:
            desk.orders.listeners[:] = listeners

    def _compared(self, account: OpenAccount, specs: Sequence[LiveRunSpec]) -> AbstractAsyncContextManager[None]:
        """Compare what is traded with a replay of the same bars, where somebody watches."""
        if self.link is None:
            return nullcontext()
        return compared(account, self.link, specs, self._monitors, self._alerts.direct(self.link.account_ref))

    async def _begin(self, orchestrator: PortfolioOrchestrator, specs: Sequence[LiveRunSpec]) -> None:
        """Restore what the strategies remember; warm each run that remembers nothing up on bars of the past.

        Beside runs that were saved a fresh one is warmed up to the bar where those stand, and all go on together.
        """
        account, feed = self._parts()
        newest = await orchestrator.begin()
        now_ns = account.clock.now_ns()
        for spec in (spec for spec in specs if spec.run_id in orchestrator.fresh):
            if isinstance(account.feed, PolledFeed):
                n_bars = spec.strategy.bars_needed(spec.config)
                start_ns = now_ns - WEEKEND_FACTOR * (n_bars + 1) * timeframe_ns(spec.config.timeframe)
                await self._warm(orchestrator, spec, await account.feed.past(start_ns, newest or now_ns))
            elif account.past is not None:
                await self._warm(orchestrator, spec, account.past(newest or 0))
        if newest:
            feed.start_after(newest)

    async def _warm(self, orchestrator: PortfolioOrchestrator, spec: LiveRunSpec, instants: Sequence[Instant]) -> None:
        """Warm a run up in pieces: leases are renewed and other accounts trade meanwhile."""
        for first in range(0, len(instants), WARM_PIECE):
            orchestrator.warm(spec.run_id, instants[first : first + WARM_PIECE])
            await self._clock.sleep(0.0)

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
        while is_open(desk):
            async for _ in feed.instants():
                await desk.orders.catch_up()
                if not is_open(desk):
                    return
            if self._account is not None and self._account.is_replay:
                return

    async def _finish(self) -> None:
        """Note what a replay came to, and that its runs are over."""
        account, _ = self._parts()
        if isinstance(account.broker, PaperBroker) and account.is_replay:
            if self._desk is not None:
                await self._desk.orders.catch_up()
            self.figures = figures_of(account.broker.venue)
        await self._runs.end_replay()

    async def obey(self) -> None:
        """Look once at what the owner wants and do it."""
        if await self._runs.obey():
            self._end.set()

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
            if desk is not None and self._runs.orchestrator is not None:
                await desk.orders.drain()
                if not keep_entries:
                    await cancel_entries(desk)
                await desk.orders.drain()
                await desk.orders.catch_up()
                await self._runs.confirm_stops()
        finally:
            await self._close()

    async def _wait_idle(self) -> None:
        await self._idle.wait()

    async def abandon(self) -> None:
        """Close all connections and forget the account; nothing is sent."""
        self._stop.set()
        self._end.set()
        self._runs.orchestrator = None
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
