"""Start the program's own command line for one strategy, for an app's entry file.

The app knows neither agents nor databases; `python -m tradesentry.apps.breakout.live_trader ARGS` is
`tradesentry live breakout ARGS`.
"""

import runpy
import sys
from collections.abc import Callable

from tradesentry.core.strategy.base_strategy import BaseStrategy


def live_command(strategy: type[BaseStrategy]) -> Callable[[], None]:
    """Return the live command of one strategy.

    Args:
        strategy: The strategy whose name is filled in.
    """

    def main() -> None:
        sys.argv = ["tradesentry", "live", strategy.name, *sys.argv[1:]]
        runpy.run_module("tradesentry.cli", run_name="__main__")

    return main
