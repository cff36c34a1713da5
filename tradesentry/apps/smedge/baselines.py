"""What smedge must beat besides the general baselines: its own entry times, one bar later, with a random side.

The placebo (same side, stop and target at a random bar of similar ATR) is general and asks what the zone was worth;
`random_side` asks what the side was worth, trend and break together.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.smedge.config import SMEdgeConfig
from tradesentry.backtest.baselines import Baseline, Exits, Situation, Suite, exits_of_trades, names


def exits(config: SMEdgeConfig, trades: Any, _calendar: Any) -> Exits:
    """Return target and time limit of each trade; targets at pools are read from the trades.

    Args:
        config: Configuration of the strategy.
        trades: TRADE rows of one market.
        _calendar: CALENDAR of the market; no session ends a trade.
    """
    limit = np.full(len(trades), config.time_exit, np.int64)
    if config.target == "pool":
        return Exits(exits_of_trades(trades).target, limit)
    return Exits(np.full(len(trades), float(config.target.removesuffix("R"))), limit)


def _random_side(at: Situation, random: np.random.Generator, n: int) -> Any:
    # A limit fills because price came to it; only after that bar has closed does that help nobody.
    filled = np.searchsorted(at.bars["open_ns"], at.trades["entry_ns"], side="right") - 1
    rows = np.maximum(filled, 0)
    side = random.choice((-1, 1), (n, len(at.trades)))
    return at.entries(n, decide_ns=at.bars["close_ns"][rows], exit_ns=at.end_after(rows), side=side)


SUITE: Final = Suite(
    exits,
    (
        Baseline(
            "random_side",
            "Same times, random side",
            "One bar after the entries of the strategy, in a random direction: what was the side worth?",
            _random_side,
        ),
    ),
)
BASELINES: Final = names(SUITE.baselines)
