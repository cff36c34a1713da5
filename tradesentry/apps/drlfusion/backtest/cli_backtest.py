"""Back-test drlfusion from a shell: `python -m tradesentry.apps.drlfusion.backtest.cli_backtest`."""

from tradesentry.apps.drlfusion.strategy import DrlFusionStrategy
from tradesentry.backtest.cli import backtest_command

main = backtest_command(DrlFusionStrategy)

if __name__ == "__main__":
    main()
