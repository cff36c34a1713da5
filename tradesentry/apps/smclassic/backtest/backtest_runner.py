"""The standard experiment of smclassic: markets, period, costs and variants, as data.

Sweep, walk-forward and report read `EXPERIMENT`: the declared product of 48 variants is screened on two symbols first,
and the number of variants tried is part of every result. The warm-up is `bars_needed`.
"""

from collections.abc import Mapping
from typing import Any, Final

from tradesentry.apps.smclassic.backtest.walk_forward import MAX_TRIALS, SEARCH
from tradesentry.apps.smclassic.layout import bars_needed
from tradesentry.apps.smclassic.strategy import SMClassicStrategy
from tradesentry.backtest.cli import backtest_command
from tradesentry.backtest.studies.experiment import Experiment

__all__ = ["EXPERIMENT", "GRID", "bars_needed", "main"]

GRID: Final[Mapping[str, tuple[Any, ...]]] = {
    "range_source": ("swings", "leg", "day"),
    "entry": ("limit", "rejection"),
    "eq_fraction": (1.0, 0.6),
    "regime": ("off", "er"),
    "zone_timeframe": ("h1", "h4"),
}
"""The declared product."""

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

main = backtest_command(SMClassicStrategy)

if __name__ == "__main__":
    main()
