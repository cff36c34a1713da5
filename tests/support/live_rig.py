"""A live account over a paper venue on known bars: everything between closed bar and journal is the real thing."""

from dataclasses import dataclass
from typing import Any

from tradesentry.backtest.arena import Arena
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.runner import new_arena
from tradesentry.bootstrap.desk import NO_BOOK_LIMITS, NO_BUDGET, NO_LOSS_LIMITS, OPEN_GATES, UNPACED
from tradesentry.bootstrap.paper import venue_instrument
from tradesentry.core.broker.base_broker import CommandStamp
from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.broker.paper_feed import PaperFeed
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.execution.account_limits import AccountLimits
from tradesentry.core.execution.journal_outage import JournalOutage
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.matching import MATCHING
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.polls import Polls
from tradesentry.core.execution.recovery import Recovery
from tradesentry.core.execution.setup import new_account
from tradesentry.core.execution.venue_look import AccountLink
from tradesentry.core.market.feeds import ReplayClock, ReplayFeed
from tradesentry.core.strategy.decision_memory import DecisionMemory
from tradesentry.core.strategy.live_memory import (
    LiveRunSpec,
    LiveSetup,
    live_currencies,
    live_markets,
    live_memory,
)
from tradesentry.core.strategy.orchestrator import AsyncOrchestrator, PortfolioOrchestrator
from tradesentry.core.strategy.run_rules import rules_of


@dataclass
class LiveRig:
    """One process that trades one account."""

    broker: PaperBroker
    orders: OrderManager
    portfolio: PortfolioOrchestrator
    memory: DecisionMemory
    feed: PaperFeed
    alerts: list[tuple[str, str]]

    @property
    def venue(self) -> PaperVenue:
        """The paper account."""
        return self.broker.venue


def setup_of(run: ResolvedRun) -> LiveSetup:
    """Return what an account needs to trade a resolved back-test."""
    series = run.data.series
    return LiveSetup(
        instruments={item.symbol: item for item in run.items},
        costs=run.costs,
        limits=run.limits,
        capital=run.settings.capital,
        currency=run.settings.account_currency,
        calendar_ns=(
            min(int(s.bars["open_ns"][0]) for s in series),
            max(int(s.bars["close_ns"][-1]) for s in series),
        ),
        rates=run.settings.rates,
        converts=tuple(s.symbol for s in series[run.data.n_traded :]),
    )


def paper_venue(run: ResolvedRun, spec: LiveRunSpec, *, account: str = "paper-1") -> PaperVenue:
    """Return the paper account of a run, before its first bar."""
    setup = setup_of(run)
    currencies = live_currencies([spec], setup)
    off = run.limits.model_copy(update={"is_on": False})
    money = new_account(setup.capital, off, n_currencies=len(currencies), equity_step_ns=1)
    rules = [rules_of(run.config, pip=item.pip, is_always_open=item.is_always_open) for item in run.items]
    memory = PaperMemory(live_markets(spec, setup, currencies), money, rules[0], MATCHING)
    for m, rule in enumerate(rules):
        memory.books[m].rules = rule
    items = [venue_instrument(item) for item in run.items]
    return PaperVenue(memory, items, account=account, log_id="log-1", fills_on="bar")


async def start(
    run: ResolvedRun,
    spec: LiveRunSpec,
    venue: PaperVenue,
    journal: Any,
    claim: Any,
    *,
    broker: type[PaperBroker] = PaperBroker,
    orchestrator: type[AsyncOrchestrator] = AsyncOrchestrator,
) -> LiveRig:
    """Start a process on an account: recover, restore, and stand before the next bar.

    Args:
        run: The resolved back-test whose bars are replayed.
        spec: The same strategy as a live run.
        venue: The account as it stands.
        journal: Where it was kept.
        claim: On the account.
        broker: Class of the broker.
        orchestrator: Class of the strategy's orchestrator.
    """
    lease, alerts = claim.lease, []
    first_ns = min(int(s.bars["open_ns"][0]) for s in run.data.series)
    clock = ReplayClock(SystemClock(), first_ns)
    clock.move_to(venue.now_ns)
    fence = SelfFence(clock.monotonic, ttl_seconds=3_600)
    fence.renewed(fence.ask())

    def may_send(stamp: CommandStamp) -> bool:
        return fence.is_open and stamp.epoch == lease.epoch

    def alert(code: str, text: str) -> None:
        alerts.append((code, text))

    throttle = Throttle(clock, per_second=1e6, burst=1e6)
    wire = broker(venue, clock, gate=CommandGate(clock, throttle=throttle, may_send=may_send))
    gates = LiveGates(OPEN_GATES, limits=NO_BOOK_LIMITS, budget=NO_BUDGET, alert=alert)
    orders = OrderManager(
        wire, journal, lease, fence, clock,
        instruments=venue.instruments, gates=gates, settings=UNPACED, alert=alert,
    )  # fmt: skip
    outage = JournalOutage(journal, lease, fence, clock, watch=gates.watch, alert=alert, ttl_seconds=3_600)
    recovery = Recovery(
        wire, orders, clock, link=AccountLink(account=venue.account), outage=outage,
        limits=AccountLimits(clock, NO_LOSS_LIMITS, budget=gates.budget), alert=alert,
    )  # fmt: skip
    bars = {s.symbol: s.bars for s in run.data.series}
    feed = PaperFeed(ReplayFeed(bars, clock), wire)
    memory = live_memory([spec], setup_of(run))
    portfolio = PortfolioOrchestrator(
        broker=wire, orders=orders, polls=Polls(wire, orders, recovery, clock), journal=journal, lease=lease,
        clock=clock, feed=feed, memory=memory, orchestrators={spec.run_id: orchestrator},
    )  # fmt: skip
    await recovery.recover()
    feed.start_after(await portfolio.begin())
    return LiveRig(wire, orders, portfolio, memory, feed, alerts)


@dataclass(frozen=True)
class BackTest:
    """A back-test, instant by instant."""

    account: dict[int, tuple[float, float]]
    """Balance and equity after every instant, by its time."""
    entries: list[tuple[str, int, int, float, float]]
    """Symbol, time, side, units and price of every entry, sorted."""
    arena: Arena
    """Its memory after the last instant."""


def back_test(run: ResolvedRun) -> BackTest:
    """Play a resolved run and stop before what is open at its end is closed."""
    arena = new_arena(run)
    arena.warm_up()
    points = {}
    is_more = True
    while is_more:
        is_more = arena.play(1)
        account = arena.account[0]
        points[int(account.last_ns)] = (float(account.balance), float(account.equity))
    rows = list(arena.trade_rows)
    sizes = [(row, float(row.units)) for row in rows]
    for book in arena.books:
        sizes += [(row, float(row.initial_units)) for row in book.seen.positions[: int(book.seen.n_positions)]]
    symbols = [series.symbol for series in run.data.series]
    entries = [
        (symbols[int(row.market)], int(row.entry_ns), int(row.side), units, float(row.entry_price))
        for row, units in sizes
    ]
    return BackTest(points, sorted(entries), arena)


def entries_of(venue: PaperVenue) -> list[tuple[str, int, int, float, float]]:
    """Return the entries that the paper venue filled, as `BackTest.entries`."""
    fills = [row for row in venue.transactions if row["kind"] == "order_filled" and row["effect"] == "open"]
    return sorted((row["symbol"], row["ts_ns"], row["side"], float(row["units"]), row["price"]) for row in fills)
