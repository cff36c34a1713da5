"""The walk-forward of smgrid, as data: what an optimizer may move, over which windows, and what it is judged by.

Variants are ranked by the lower bound of the mean R (mean less one standard error, weeks resampled), never by profit
factor, win rate or Sharpe ratio: a grid wins often by construction. `main` walks forward with these windows; what is
given on the command line wins.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

from tradesentry.backtest.studies.folds import FoldPlan

SEARCH: Final[Mapping[str, tuple[Any, ...]]] = {
    "levels": (2, 8),
    "step": (0.25, 1.0),
    "stop_buffer": (0.1, 0.5),
    "tp": (0.2, 1.0),
    "regime_er": (None, 0.25, 0.3, 0.35, 0.4, 0.5),
    "time_stop": (24, 288),
    "reset_k": (2.0, 5.0),
    "reset_n": (1, 5),
    "cooldown": (4, 48),
}
"""What an optimizer may move: choices, or (low, high) of a number; at most 200 trials a walk-forward step."""
MAX_TRIALS: Final = 200
FOLDS: Final = FoldPlan(train="12m", test="3m", embargo="4d")
"""The embargo is the longest time stop, 288 bars of 15 minutes, and the weekend that may lie in it."""
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
    windows = ["--train", FOLDS.train, "--test", FOLDS.test, "--embargo", FOLDS.embargo]
    chosen = ["--min-trades", str(MIN_TRADES), "--top", str(TOP)]
    sys.exit(run_command(app, ["smgrid", *windows, *chosen, *sys.argv[1:]], name="smgrid walk-forward"))


if __name__ == "__main__":
    main()
