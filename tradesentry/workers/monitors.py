"""Watch what this process trades: metrics, trades, invariants, heartbeat, alerts. Nothing here sends an order.

`AccountMonitors` belong to one account and live from the end of its recovery to its release; `ProcessMonitors` belong
to the process. Either may fail or be left out without touching the trading.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import httpx

from tradesentry.core.broker.base_broker import BaseBroker, StreamsHeard
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.live_account import AccountChange, LiveOrder, MoneyMoved, OrderMoved
from tradesentry.core.domain.live_orders import Effect, Evidence, OrderStatus
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import AccountState, Quote
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import Lease, Reservation
from tradesentry.core.execution.lease import SAFE_FRACTION, TTL_SECONDS, SelfFence
from tradesentry.core.execution.live_exposure import net_legs
from tradesentry.core.execution.live_picture import PictureReader
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.recovery import Recovery
from tradesentry.core.monitoring.alerts import AlertDelivery, AlertSink
from tradesentry.core.monitoring.equity_track import EquityTrack
from tradesentry.core.monitoring.heartbeat import Heartbeat, LoopLag
from tradesentry.core.monitoring.invariants import InvariantMonitor, LimitUse, Violation
from tradesentry.core.monitoring.metrics_collector import AccountMetrics, MetricsCollector, MetricsServer, summary
from tradesentry.core.monitoring.trade_tracker import TradeTracker
from tradesentry.core.utils.logger import get_logger

_log = get_logger(__name__)
REFRESH_SECONDS: Final = 1.0
NS: Final = 1e9
DRIFT: Final = 1.05
"""Prices move between the gate and the look; beyond that a limit was not kept."""


class AccountMonitors:
    """What watches one account.

    Args:
        orders: Its order manager, recovered.
        recovery: What has recovered it.
        journal: Where it stores.
        lease: On it.
        fence: On the lease.
        clock: Time.
        metrics: Of the account.
        alert: Tells people (code, text).
        sources: Brokers whose streams it lives on: its venue, and whose prices it is shown.
    """

    def __init__(
        self,
        orders: OrderManager,
        recovery: Recovery,
        journal: Journal,
        lease: Lease,
        fence: SelfFence,
        clock: Clock,
        *,
        metrics: AccountMetrics,
        alert: AlertSink,
        sources: Sequence[BaseBroker],
    ) -> None:
        self._orders, self._lease, self._fence, self._clock = orders, lease, fence, clock
        self._recovery, self._sources, self.metrics = recovery, tuple(sources), metrics
        pips = {symbol: item.instrument.pip for symbol, item in orders.book.instruments.items()}
        self.trades = TradeTracker(pips, on_entry=self.metrics.observe_entry)
        self.trades.restore(tuple(orders.book.trades.values()))
        horizon_seconds = orders.desk.broker.capabilities.absence_horizon_seconds
        self._reader = PictureReader(
            orders, journal, lease, clock, horizon_seconds=horizon_seconds, limits=self._limits
        )
        self._invariants = InvariantMonitor(self._reader.read, clock, alert, on_counts=self.metrics.set_violations)
        record = orders.store.record
        self._equity = EquityTrack(
            orders.book.balance if record is None else record.equity,
            peak=ZERO if record is None else record.high_water_mark + record.flows,
            day_start=None if record is None else record.day_start_equity,
        )
        self._heard_at: dict[str, float] = {}
        self._seen: AccountState | None = None
        self._sent_at: dict[str, float] = {}
        self._has_entered = False
        self._denied: Counter[str] = Counter()
        self._listeners = (self.trades.on_changes, self.metrics.on_changes, self._on_changes)
        orders.listeners.extend(self._listeners)
        metrics.observe_reconcile(recovery.last_seconds)
        recovery.listeners.append(metrics.observe_reconcile)

    async def run(self) -> None:
        """Watch until canceled."""
        checking = asyncio.ensure_future(self._invariants.run())
        try:
            while not checking.done():
                self.refresh()
                await self._clock.sleep(REFRESH_SECONDS)
            checking.result()
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)

    async def check(self) -> list[Violation]:
        """Check the invariants once, now."""
        return await self._invariants.look()

    def close(self) -> None:
        """Stop listening; the account is another's now or at rest."""
        for listener in (*self._listeners, self._reader.on_changes):
            with suppress(ValueError):
                self._orders.listeners.remove(listener)
        with suppress(ValueError):
            self._recovery.listeners.remove(self.metrics.observe_reconcile)

    def note_quote(self, quote: Quote) -> None:
        """Take a quote of the stream, for excursions; the newest of each symbol is looked at every second anyway."""
        self._heard_at["quotes"] = self._clock.monotonic()
        self.trades.on_quote(quote)

    def stream_ages(self) -> dict[str, float]:
        """Return since when each stream is silent, seconds; heartbeats count where the venue has them."""
        heard_at = dict(self._heard_at)
        for source in self._sources:
            for stream, at in source.heard_at.items() if isinstance(source, StreamsHeard) else ():
                heard_at[stream] = max(at, heard_at.get(stream, at))
        now = self._clock.monotonic()
        return {stream: now - at for stream, at in heard_at.items()}

    def note_rearmed(self) -> None:
        """Take note that a person has re-armed the account."""
        self._reader.note_rearmed()

    def refresh(self) -> None:
        """Bring what is read, not counted, up to date."""
        orders, gates = self._orders, self._orders.desk.entry_gates
        for quote in gates.quotes.values():
            self.trades.on_quote(quote)
        if gates.account is not None and gates.account is not self._seen:
            self._seen = gates.account
            self._mark(gates.account)
        now_ns = self._clock.now_ns()
        ages = {symbol: (now_ns - quote.received_ts_ns) / NS for symbol, quote in gates.quotes.items()}
        self.metrics.set_ages(streams=self.stream_ages(), quotes=ages)
        self.metrics.set_state(orders.state.value)
        self.metrics.show_orders(orders.book.orders)
        renewed_ago = SAFE_FRACTION * TTL_SECONDS - self._fence.left_seconds
        self.metrics.set_lease(age_seconds=max(0.0, renewed_ago), epoch=self._lease.epoch)
        last_seq = self._seen.last_seq if self._seen is not None else orders.book.cursor
        watch = orders.gates.watch
        self.metrics.set_events(lag=max(0, last_seq - orders.book.cursor), hole_seconds=watch.hole_seconds(now_ns))
        offset = watch.clock_offset_seconds(now_ns)
        if offset is not None:
            self.metrics.set_clock_offset(offset)
        for code, n in (orders.gates.denied - self._denied).items():
            self.metrics.count_denied(code, n)
        self._denied = Counter(orders.gates.denied)

    def figures(self) -> dict[str, float]:
        """Return what a person asks for first: win rate, profit factor, net, drawdown."""
        return summary(self.trades.figures(), self._equity.figures)

    def _mark(self, state: AccountState) -> None:
        self._reader.note_account(state)
        self.metrics.set_equity(self._equity.mark(state.equity))
        held, equity = self._orders.desk.entry_gates.share(()).held, state.equity
        if equity > 0:
            net = net_legs(held)
            self.metrics.set_exposure(
                open_risk_fraction=float(sum((item.risk for item in held), ZERO) / equity),
                currencies={name: float(amount / equity) for name, amount in net.items()},
            )

    def _limits(self, reserved: Sequence[Reservation]) -> list[LimitUse]:
        """Return how far the account's own limits are used, if an entry was sent since the last look.

        Limits bind when an entry is sent; what prices do to them afterwards breaks nothing.
        """
        gates, has_entered = self._orders.desk.entry_gates, self._has_entered
        self._has_entered = False
        if not has_entered or gates.account is None or gates.account.equity <= 0:
            return []
        held, equity, limits = gates.share(reserved).held, gates.account.equity, self._orders.gates.limits
        net = {name: abs(amount) for name, amount in net_legs(held).items() if name != gates.account.currency}
        uses = (
            ("open_risk", sum((item.risk for item in held), ZERO), limits.max_open_risk),
            ("currency_net", max(net.values(), default=ZERO), limits.max_currency_net),
            ("leverage", sum((item.notional for item in held), ZERO), limits.max_leverage),
        )
        return [LimitUse(name, float(used / equity), float(allowed) * DRIFT) for name, used, allowed in uses]

    def _on_changes(self, changes: Sequence[AccountChange]) -> None:
        for change in changes:
            if isinstance(change, MoneyMoved):
                self._equity.flow(change.amount)
            elif isinstance(change, OrderMoved):
                self._note_order(change.order)

    def _note_order(self, order: LiveOrder) -> None:
        """Measure how long the venue takes to take an order."""
        if order.status is OrderStatus.SENDING:
            self._sent_at.setdefault(order.key, self._clock.monotonic())
            self._has_entered |= order.effect is Effect.OPEN
        elif order.status is not OrderStatus.UNKNOWN:
            sent_at = self._sent_at.pop(order.key, None)
            if sent_at is not None and order.evidence is Evidence.REPLY:
                self.metrics.observe_ack(self._clock.monotonic() - sent_at)


@dataclass(frozen=True, slots=True)
class ProcessMonitors:
    """What watches the process; made by `watching`."""

    metrics: MetricsCollector
    lag: LoopLag
    url: str | None
    """Where the metrics are shown; None: nowhere."""


@asynccontextmanager
async def watching(
    clock: Clock,
    alert: AlertSink,
    *,
    metrics_port: int | None = None,
    heartbeat_url: str | None = None,
    name: str = "this process",
    health: Callable[[], str | None] | None = None,
    delivery: AlertDelivery | None = None,
) -> AsyncIterator[ProcessMonitors]:
    """Watch this process while a block runs.

    Args:
        clock: Time.
        alert: Tells people (code, text).
        metrics_port: Loopback port of the metrics, 0 any; None: they are not shown.
        heartbeat_url: Of the outside watcher; None: there is none.
        name: Of the process, for its heartbeat.
        health: Says why no heartbeat may go out; None: it lives, therefore it beats.
        delivery: Of the outbox's alerts, in the one process that delivers them.

    Raises:
        ConfigError: The port is taken.
    """
    metrics, lag = MetricsCollector(), LoopLag(clock, alert=alert)
    server = None if metrics_port is None else MetricsServer(metrics, port=metrics_port)
    client = httpx.AsyncClient()
    works = [lag.run(), _show_lag(clock, metrics, lag)]
    if heartbeat_url is not None:
        works.append(Heartbeat(client, heartbeat_url, clock, alert=alert, name=name, health=health).run())
    if delivery is not None:
        works.append(delivery.run())
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield ProcessMonitors(metrics, lag, None if server is None else server.url)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if delivery is not None:
            await delivery.close()
        await client.aclose()
        if server is not None:
            await asyncio.to_thread(server.close)


async def _show_lag(clock: Clock, metrics: MetricsCollector, lag: LoopLag) -> None:
    while True:
        await clock.sleep(REFRESH_SECONDS)
        metrics.set_loop_lag(lag.take_worst())
