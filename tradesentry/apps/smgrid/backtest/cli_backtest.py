"""Back-test smgrid from a shell: `python -m tradesentry.apps.smgrid.backtest.cli_backtest`."""

from tradesentry.apps.smgrid.strategy import SMGridStrategy
from tradesentry.backtest.cli import backtest_command

main = backtest_command(SMGridStrategy)

if __name__ == "__main__":
    main()
