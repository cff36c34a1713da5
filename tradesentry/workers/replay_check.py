"""Replay what the runs of an account have traded, and say how far live is from it.

Separate from the monitors, which count what happens: here the back-test is asked what should have happened on the
venue's own bars since this process trades them. It runs in a thread with bars of its own, so trading never waits for
it. A price that differs is a figure; a trade that only one of the two has is told, once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import play
from tradesentry.bootstrap.parts import OpenAccount, polled_feed
from tradesentry.core.broker.account_settings import paper_settings, venue_settings
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.domain.orders import Side
from tradesentry.core.market.bars import BarSeries, timeframe_ns
from tradesentry.core.market.feeds import Instant
from tradesentry.core.monitoring.alerts import AlertSink
from tradesentry.core.monitoring.divergence import Divergence, ReplayedTrade, compare
from tradesentry.core.monitoring.metrics_collector import AccountMetrics
from tradesentry.core.monitoring.trade_tracker import TrackedTrade, TradeTracker
from tradesentry.core.strategy.live_memory import LiveRunSpec
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.repositories.agents import LinkRecord
from tradesentry.workers.monitors import AccountMonitors

_log = get_logger(__name__)
EVERY_SECONDS: Final = 6 * 3_600.0
WEEKEND_FACTOR: Final = 2
UNFINISHED: Final = "end_of_data"
"""Exit reason of what a back-test closes because its bars end."""

Past = Callable[[int, int], Awaitable[Sequence[Instant]]]
"""(start_ns, end_ns): the closed bars of the account's markets."""


@dataclass(frozen=True, slots=True)
class ReplayCheck:
    """The comparison of one account.

    Args:
        past: Brings bars of the past.
        settings: The account as a back-test sees it: money, costs, limits.
        trades: What the account traded since this process began.
        clock: Time.
        metrics: Told the difference.
        alert: Tells people of other decisions (code, text).
        pip_sizes: Price of a pip by symbol.
        began_ns: Since when this process trades, ns UTC.
    """

    past: Past
    settings: RunSettings
    trades: TradeTracker
    clock: Clock
    metrics: AccountMetrics
    alert: AlertSink
    pip_sizes: Mapping[str, float]
    began_ns: int

    async def run(self, specs: Sequence[LiveRunSpec]) -> None:
        """Compare every six hours until canceled; what cannot be compared now is compared then."""
        told: dict[str, tuple[int, int]] = {}
        while True:
            await self.clock.sleep(EVERY_SECONDS)
            for spec in specs:
                try:
                    found = await self.check(spec)
                except TradeSentryError as error:
                    _log.warning("replay_not_compared", app=spec.strategy.name, code=error.code)
                    continue
                counts = (len(found.missed), len(found.extra))
                if any(counts) and told.get(spec.strategy.name) != counts:
                    self._tell(spec, found)
                told[spec.strategy.name] = counts

    async def check(self, spec: LiveRunSpec) -> Divergence:
        """Replay one run up to now and return how far live is from it.

        Raises:
            TradeSentryError: The bars cannot be had, or the back-test refuses them.
        """
        bar_ns = timeframe_ns(spec.config.timeframe)
        start_ns = self.began_ns - WEEKEND_FACTOR * (spec.strategy.bars_needed(spec.config) + 1) * bar_ns
        instants = await self.past(start_ns, self.clock.now_ns())
        bars = series_of(spec, instants)
        theirs = [] if bars is None else await asyncio.to_thread(replayed, spec, bars, self.settings)
        mine: list[TrackedTrade] = [*self.trades.closed, *self.trades.open.values()]
        found = compare(
            [item for item in mine if item.trade.run == spec.run_id and item.trade.entry_ts_ns >= self.began_ns],
            [item for item in theirs if item.entry_ns >= self.began_ns],
            pip_sizes=self.pip_sizes,
            within_ns=bar_ns,
        )
        self.metrics.set_divergence(spec.strategy.name, found.total_r)
        return found

    def _tell(self, spec: LiveRunSpec, found: Divergence) -> None:
        missed, extra = len(found.missed), len(found.extra)
        self.alert(
            "divergence",
            f"{spec.strategy.name} ({spec.variant}) and a replay of its bars decided otherwise: {missed} trades only "
            f"in the replay, {extra} only live, {len(found.pairs)} in both. Look for denials, missed bars, pauses and "
            "other runs of the account in that time; if none explains it, stop the run and report it.",
        )


def series_of(spec: LiveRunSpec, instants: Sequence[Instant]) -> dict[str, BarSeries] | None:
    """Return the bars of a run as a back-test takes them; None when a market has none.

    Args:
        spec: The run.
        instants: Of all markets of the account, oldest first.
    """
    found: dict[str, BarSeries] = {}
    for symbol in dict.fromkeys(name for instant in instants for name in instant.bars):
        rows: list[Any] = [instant.bars[symbol] for instant in instants if symbol in instant.bars]
        bars = np.array(rows, dtype=rows[0].dtype).view(np.recarray)
        found[symbol] = BarSeries(bars, symbol, "venue", spec.config.timeframe, "bid")
    return found if set(spec.symbols) <= set(found) else None


def replayed(spec: LiveRunSpec, bars: Mapping[str, BarSeries], settings: RunSettings) -> list[ReplayedTrade]:
    """Return the trades of a back-test of a run on given bars, without those that only the end of the bars closed.

    Args:
        spec: The run.
        bars: By symbol.
        settings: Of the account.
    """
    # Finer prices of the past are not to be had from a venue.
    config = spec.config.model_dump(mode="json") | {"intrabar": "pessimistic"}
    run = resolve_run(spec.strategy.name, bars=bars, config=config, settings=settings)
    return [
        ReplayedTrade(
            row["symbol"], Side(row["side"]), row["entry_ns"], row["entry_price"], row["exit_price"],
            row["r_multiple"], row["exit_reason"],
        )
        for row in play(run).trades.iter_rows(named=True)
        if row["exit_reason"] != UNFINISHED
    ]  # fmt: skip


@asynccontextmanager
async def compared(
    account: OpenAccount,
    link: LinkRecord,
    specs: Sequence[LiveRunSpec],
    monitors: AccountMonitors | None,
    alert: AlertSink,
) -> AsyncIterator[None]:
    """Compare an account with its replay for the length of a block, if it is watched.

    Args:
        account: Its parts.
        link: As it is linked.
        specs: Its runs.
        monitors: What watches it; None: nobody does.
        alert: Tells people (code, text).
    """
    if monitors is None:
        yield
        return
    values = paper_settings(link.settings) if link.broker == "paper" else venue_settings(link.settings)
    source = account.others[0] if account.others else account.broker
    feed = polled_feed(source, list(account.setup.instruments), specs[0].config.timeframe, account.clock)
    settings = RunSettings(
        capital=account.setup.capital, account_currency=values.currency, costs=values.costs, limits=values.limits,
        rates=values.rates, news=values.news,
    )  # fmt: skip
    pips = {symbol: item.pip for symbol, item in account.setup.instruments.items()}
    check = ReplayCheck(
        feed.past, settings, monitors.trades, account.clock, monitors.metrics, alert, pips, account.clock.now_ns()
    )
    task = asyncio.ensure_future(check.run(specs))
    try:
        yield
    finally:
        task.cancel()
        for end in await asyncio.gather(task, return_exceptions=True):
            if isinstance(end, Exception):
                _log.error("replay_check_failed", account=str(link.account_id), exc_info=end)
