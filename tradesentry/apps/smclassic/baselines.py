"""What smclassic must beat: the general baselines, above all the placebo, with the exits of its trades.

The placebo (the same side, stop distance and target at a random bar of similar ATR) asks what the zone was worth. Each
trade has its own distance to equilibrium, which a trade's row does not carry, so the target is the usual one of all
trades that reached it; the time limit is the configured one.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.smclassic.configs.smclassic_config import SMClassicConfig
from tradesentry.backtest.baselines import Exits, Suite, exits_of_trades


def exits(config: SMClassicConfig, trades: Any, _calendar: Any) -> Exits:
    """Return target and time limit of each trade.

    Args:
        config: Configuration of the strategy.
        trades: TRADE rows of one market.
    """
    seen = exits_of_trades(trades)
    return Exits(seen.target, np.full(len(trades), config.time_stop, np.int64))


SUITE: Final = Suite(exits)
