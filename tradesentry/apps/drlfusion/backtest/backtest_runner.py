"""The standard experiment of drlfusion: markets, costs, and the rules and gates that are set side by side.

Sweep and report read `EXPERIMENT`. The product sets every rule beside every gate, so that each gate is seen against
none; what no rule reads (`weights` of rules that have their own) makes variants that do the same. None of them is
chosen by its result here: the rule is chosen per fold on validation (`walk_forward`), and every rule tried counts.
"""

from collections.abc import Mapping
from typing import Any, Final

from tradesentry.apps.drlfusion.layout import BARS_NEEDED
from tradesentry.apps.drlfusion.strategy import DrlFusionStrategy
from tradesentry.backtest.cli import backtest_command
from tradesentry.backtest.studies.experiment import Experiment

__all__ = ["BARS_NEEDED", "EXPERIMENT", "GRID", "main"]

GRID: Final[Mapping[str, tuple[Any, ...]]] = {
    "rule": ("quorum", "mean", "softmax", "select", "hedge", "gate"),
    "weights": ("equal", "softmax"),
    "turbulence_gate": (True, False),
    "volatility_target": (0.0, 0.1),
}
"""The declared product, 48 variants."""

EXPERIMENT: Final = Experiment(
    symbols=("EURUSD", "GBPUSD", "USDJPY"),
    timeframe="H1",
    source="synthetic:teaching",
    cost_levels=(0.0, 1.0, 2.0),
    grid=GRID,
)

main = backtest_command(DrlFusionStrategy)

if __name__ == "__main__":
    main()
