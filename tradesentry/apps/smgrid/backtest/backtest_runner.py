"""The standard experiment of smgrid: markets, period, costs, variants; and what its results must show of baskets.

Sweep, walk-forward and report read `EXPERIMENT`: the declared product of 144 variants is screened on two symbols first,
and the number of variants tried is part of every result. The figures of baskets are `basket_figures` of `figures`.
"""

from collections.abc import Mapping
from typing import Any, Final

from tradesentry.apps.smgrid.backtest.walk_forward import MAX_TRIALS, SEARCH
from tradesentry.apps.smgrid.layout import bars_needed
from tradesentry.apps.smgrid.strategy import SMGridStrategy
from tradesentry.backtest.cli import backtest_command
from tradesentry.backtest.studies.experiment import Experiment

__all__ = ["EXPERIMENT", "GRID", "bars_needed", "main"]

GRID: Final[Mapping[str, tuple[Any, ...]]] = {
    "anchor": ("zone", "atr_band"),
    "levels": (3, 5, 8),
    "weights": ("equal", "linear"),
    "tp": (0.3, 0.5, "eq"),
    "recycle": (False, True),
    "dual": (False, True),
}
"""The declared product. With `recycle` tp is not read, so fewer variants are distinct in what they do."""

EXPERIMENT: Final = Experiment(
    symbols=("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCAD", "EURJPY"),
    screen_symbols=("EURUSD", "GBPUSD"),
    timeframe="M15",
    source="mt5_london",
    cost_levels=(0.0, 1.0, 2.0),
    grid=GRID,
    search=SEARCH,
    max_trials=MAX_TRIALS,
)

main = backtest_command(SMGridStrategy)

if __name__ == "__main__":
    main()
