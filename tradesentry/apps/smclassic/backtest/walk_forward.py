"""The walk-forward of smclassic, as data: what an optimizer may move, over which windows, and what it is judged by.

Variants are ranked by the lower bound of the mean R (mean less one standard error, weeks resampled). `main` walks
forward with these windows; what is given on the command line wins.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

from tradesentry.backtest.studies.folds import FoldPlan

SEARCH: Final[Mapping[str, tuple[Any, ...]]] = {
    "dep_atr": (1.0, 2.5),
    "base_atr": (0.5, 1.0),
    "max_touches": (0, 2),
    "discount": (0.0, 0.15),
    "min_rr": (0.8, 2.0),
    "stop_buffer": (0.05, 0.4),
    "er_max": (0.25, 0.45),
    "time_stop": (32, 256),
    "swing_left": (3, 10),
}
"""What an optimizer may move: (low, high) of a number. Both sides of a swing are moved by one, as `swing_right` is off;
at most 200 trials a walk-forward step."""
MAX_TRIALS: Final = 200
FOLDS: Final = FoldPlan(train="12m", test="3m", step="3m", embargo="5d")
"""The embargo covers the longest time stop, 256 bars of 15 minutes, with a weekend in it."""
MIN_TRADES: Final = 200
"""Train trades, over all markets, that make a variant eligible."""
TOP: Final = 3
"""Variants traded per market."""


def main() -> None:
    """Walk forward over the declared windows."""
    import typer

    from tradesentry.backtest.commands.shell import run_command
    from tradesentry.backtest.commands.walk_forward import walk_forward

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name="walk-forward")(walk_forward)
    windows = ["--train", FOLDS.train, "--test", FOLDS.test, "--step", FOLDS.step or "", "--embargo", FOLDS.embargo]
    chosen = ["--min-trades", str(MIN_TRADES), "--top", str(TOP)]
    sys.exit(run_command(app, ["smclassic", *windows, *chosen, *sys.argv[1:]], name="smclassic walk-forward"))


if __name__ == "__main__":
    main()
