"""The standard experiment of breakout: markets, period, costs, variants and baselines, as data.

`main` is the back-test command with the name filled in. Sweep, walk-forward and report read `EXPERIMENT`: the declared
product of 486 variants is screened on two symbols first, and the number of variants tried is part of every result.
"""

from collections.abc import Mapping
from typing import Any, Final

from tradesentry.apps.breakout.baselines import BASELINES
from tradesentry.apps.breakout.strategy import BreakoutStrategy
from tradesentry.backtest.cli import backtest_command
from tradesentry.backtest.studies.experiment import Experiment

GRID: Final[Mapping[str, tuple[Any, ...]]] = {
    "modes": (("orb",), ("london",), ("bb",)),
    "sessions": (("london",), ("new_york",)),
    "or_minutes": (15, 30, 60),
    "entry_mode": ("close", "stop", "retest"),
    "direction": ("none", "or_candle", "htf"),
    "target": (1.0, 2.0, None),
}
"""The declared product. Modes london and bb do not read sessions and or_minutes, so fewer variants are distinct."""
SEARCH: Final[Mapping[str, tuple[Any, ...]]] = {
    "or_minutes": (15, 30, 60),
    "buf_atr": (0.0, 0.25),
    "w_lo": (0.05, 0.25),
    "w_hi": (0.4, 1.2),
    "rvol_min": (None, 0.8, 2.0),
    "stop": ("opposite", "mid", "atr", "day_atr"),
    "target": (1.0, 1.5, 2.0, 3.0, 10.0, None),
    "entry_window": (60, 240),
    "direction": ("none", "or_candle", "htf"),
}
"""What an optimizer may move: choices, or (low, high) of a number; at most 200 trials a walk-forward step."""


EXPERIMENT: Final = Experiment(
    symbols=("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCAD", "EURJPY"),
    screen_symbols=("EURUSD", "GBPUSD"),
    timeframe="M15",
    source="mt5_london",
    cost_levels=(0.0, 1.0, 2.0),
    grid=GRID,
    baselines=BASELINES,
    search=SEARCH,
    max_trials=200,
)

main = backtest_command(BreakoutStrategy)

if __name__ == "__main__":
    main()
