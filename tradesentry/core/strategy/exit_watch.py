"""Watch the exits of an account's runs where the venue does not do so itself: a trade watcher for each run.

Separate from the orchestrator, which decides on bars: stop rules act on closed bars and on quotes between them, and a
venue that has them itself (a paper account) needs none of this.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.live_account import LiveTrade, Wish
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.stop_rules import STOP_RULES
from tradesentry.core.monitoring.trade_watcher import TradeWatcher, WatchedMarket
from tradesentry.core.strategy.decision_memory import DecisionMemory
from tradesentry.core.strategy.live_books import LiveBook


class ExitWatch:
    """The trade watchers of one account.

    Args:
        memory: In which the account decides; its quotes and rules are looked at.
        clock: Time.
    """

    def __init__(self, memory: DecisionMemory, clock: Clock) -> None:
        markets: dict[UUID, dict[str, WatchedMarket]] = {}
        for lane in memory.lanes:
            row = lane.row
            watched = WatchedMarket(memory.desk, row, memory.markets[row], memory.quotes[row], lane.rules)
            markets.setdefault(lane.run, {})[lane.symbol] = watched
        self._watchers = {run: TradeWatcher(STOP_RULES, found, clock) for run, found in markets.items()}

    def adopt(self, trade: LiveTrade, book: LiveBook) -> None:
        """Take up an open trade with the excursions that its book remembers."""
        if trade.run in self._watchers and trade.ticket:
            mfe, mae, n_bars = book.excursions(trade.trade_ref)
            self._watchers[trade.run].adopt(trade, mfe=mfe, mae=mae, n_bars=n_bars)

    def propose(
        self, trades: Sequence[LiveTrade], bars: Mapping[str, Any], quotes: Mapping[str, Quote]
    ) -> dict[tuple[UUID, str], list[Wish]]:
        """Return the stops to tighten and trades to leave, by run and symbol.

        Args:
            trades: Open trades of the account.
            bars: BAR record by symbol, of bars that closed now.
            quotes: Newest quotes by symbol.
        """
        wanted: dict[tuple[UUID, str], list[Wish]] = {}
        for run, watcher in self._watchers.items():
            mine = [trade for trade in trades if trade.run == run]
            for proposal in watcher.propose(mine, bars, quotes):
                wanted.setdefault((run, proposal.symbol), []).append(proposal.wish)
        return wanted
