"""The standard experiment of smedge: markets, period, costs, variants and baselines, as data.

`main` is the back-test command with the name filled in. Sweep, walk-forward and report read `EXPERIMENT`; the number of
variants tried is part of every result. A walk-forward trains 12 months, tests 3 and steps 3, ranks by the lower bound
of the mean R and searches `SEARCH`.
"""

from collections.abc import Mapping
from typing import Any, Final

from tradesentry.apps.smedge.baselines import BASELINES
from tradesentry.apps.smedge.strategy import SMEdgeStrategy
from tradesentry.backtest.cli import backtest_command
from tradesentry.backtest.studies.experiment import Experiment

GRID: Final[Mapping[str, tuple[Any, ...]]] = {
    "trigger": ("choch_sweep", "bos", "both"),
    "zone": ("fvg", "ob", "overlap"),
    "label_mode": ("state", "pattern"),
    "trend_mode": ("both", "ema"),
    "target": ("pool", "2R"),
}
"""The declared product, 72 variants."""
SEARCH: Final[Mapping[str, tuple[Any, ...]]] = {
    "left_bars": (3, 10),
    "displacement": (0.0, 1.5),
    "g_atr": (0.05, 0.5),
    "discount": (0.38, 0.705),
    "stop_buffer": (0.05, 0.3),
    "target_cap": (2.0, 6.0),
    "order_life": (8, 64),
    "lookback": (8, 48),
}
"""What an optimizer may move: (low, high) of a number; bars after a swing are as many as before it."""


EXPERIMENT: Final = Experiment(
    symbols=("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCAD", "XAUUSD"),
    timeframe="M15",
    source="mt5_london",
    cost_levels=(0.0, 1.0, 2.0),
    grid=GRID,
    baselines=BASELINES,
    search=SEARCH,
    max_trials=200,
)

main = backtest_command(SMEdgeStrategy)

if __name__ == "__main__":
    main()
