"""Live trades are compared with a back-test of the run's own bars: prices are measured, other decisions told once."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from tradesentry.backtest.resolve import RunSettings
from tradesentry.core.domain.clock import NS_PER_SECOND, FakeClock
from tradesentry.core.domain.live_account import LiveTrade
from tradesentry.core.market.bars import to_ns
from tradesentry.core.market.feeds import ReplayClock, ReplayFeed
from tradesentry.core.market.synthetic import synthetic_bars
from tradesentry.core.monitoring.metrics_collector import MetricsCollector
from tradesentry.core.monitoring.trade_tracker import TrackedTrade, TradeTracker
from tradesentry.core.strategy.live_memory import LiveRunSpec
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.config_loader import load_config
from tradesentry.workers.replay_check import EVERY_SECONDS, ReplayCheck, replayed, series_of

RUN = UUID(int=9)
BEGAN_NS = to_ns("2022-01-27")
NOW_NS = to_ns("2022-02-12")
PIPS = {"EURUSD": 0.0001}
SETTINGS = RunSettings(limits="off")


def spec():
    chosen = strategy("breakout")
    values = {"symbols": ["EURUSD"], "timeframe": "H1", "or_minutes": 60}
    return LiveRunSpec(RUN, chosen, load_config(chosen.Config, file_values=values).value)


@pytest.fixture(scope="module")
def instants():
    """Bars of the venue, from before the run's warm-up on."""
    bars = synthetic_bars(["EURUSD"], timeframe="H1", start="2021-12-01", end="2022-02-12")["EURUSD"].bars
    return list(ReplayFeed({"EURUSD": bars}, ReplayClock(FakeClock(0), 0)).known(NOW_NS))


def live(theirs, *, pips=0.0):
    """Return a trade of the replay as it went live, some seconds later and so many pips dearer."""
    entry = theirs.entry_price + theirs.side * pips * 0.0001
    r = Decimal(str(theirs.r_multiple)) - Decimal(str(pips)) / 10
    trade = LiveTrade(
        str(theirs.entry_ns), "k", 1, RUN, "EURUSD", theirs.side, Decimal(0), Decimal(1_000), entry,
        theirs.entry_ns + 3 * NS_PER_SECOND, None, None, None, initial_risk=Decimal(50), realized=50 * r,
        exit_ts_ns=theirs.entry_ns + 3_600 * NS_PER_SECOND,
    )  # fmt: skip
    return TrackedTrade(trade, 0, None, None, None, 0.0, 0.0, theirs.exit_price)


class Desk:
    """A check over given live trades, with what it told."""

    def __init__(self, instants, trades):
        self.clock, self.collector, self.told, self.asked = FakeClock(NOW_NS), MetricsCollector(), [], []
        tracker = TradeTracker(PIPS)
        tracker.closed = list(trades)

        async def past(start_ns, end_ns):
            self.asked.append((start_ns, end_ns))
            return [i for i in instants if start_ns < i.close_ns <= end_ns]

        self.check = ReplayCheck(
            past, SETTINGS, tracker, self.clock, self.collector.account("a"),
            lambda code, text: self.told.append((code, text)), PIPS, BEGAN_NS,
        )  # fmt: skip

    @property
    def metric(self):
        return next(iter(self.collector["ts_divergence_r"].collect()[0].samples)).value


@pytest.fixture(scope="module")
def theirs(instants):
    """The trades of the replay since the run began."""
    asked = Desk(instants, [])
    asyncio.run(asked.check.check(spec()))
    ((start_ns, _),) = asked.asked
    bars = series_of(spec(), [i for i in instants if i.close_ns > start_ns])
    return [trade for trade in replayed(spec(), bars, SETTINGS) if trade.entry_ns >= BEGAN_NS]


def test_what_went_live_as_in_the_replay_does_not_diverge(instants, theirs):
    desk = Desk(instants, [live(trade) for trade in theirs])

    found = asyncio.run(desk.check.check(spec()))

    assert len(found.pairs) == len(theirs) > 5
    assert found.is_same_decisions
    assert desk.metric == pytest.approx(0.0, abs=1e-9)


def test_dearer_entries_are_a_difference_of_execution(instants, theirs):
    desk = Desk(instants, [live(trade, pips=2.0) for trade in theirs])

    found = asyncio.run(desk.check.check(spec()))

    assert found.is_same_decisions
    assert [pair.entry_pips for pair in found.pairs] == pytest.approx([2.0] * len(theirs))
    assert desk.metric == pytest.approx(-0.2 * len(theirs))


def test_other_decisions_are_told_once(instants, theirs):
    """One trade of the replay was not made and one was made that it lacks; the next look finds the same.

    Seen to fail: with the counts of the last look forgotten people were told at every look.
    """
    stranger = live(theirs[0])
    stranger = replace(stranger, trade=replace(stranger.trade, side=-stranger.trade.side))
    desk = Desk(instants, [stranger, *(live(trade) for trade in theirs[1:])])

    async def work():
        running = asyncio.create_task(desk.check.run([spec()]))
        while len(desk.asked) < 3:
            await desk.clock.advance(EVERY_SECONDS)
            await asyncio.wait({running}, timeout=0.02)
        running.cancel()

    asyncio.run(work())

    ((code, text),) = desk.told
    assert code == "divergence"
    assert f"1 trades only in the replay, 1 only live, {len(theirs) - 1} in both" in text


def test_trades_of_other_runs_and_from_before_the_start_are_left_out(instants, theirs):
    foreign = live(theirs[0])
    foreign = replace(foreign, trade=replace(foreign.trade, run=UUID(int=3)))
    early = live(replace(theirs[0], entry_ns=BEGAN_NS - 7_200 * NS_PER_SECOND))
    desk = Desk(instants, [foreign, early, *(live(trade) for trade in theirs)])

    found = asyncio.run(desk.check.check(spec()))

    assert found.extra == ()
