"""Back-test smclassic from a shell: `python -m tradesentry.apps.smclassic.backtest.cli_backtest`."""

from tradesentry.apps.smclassic.strategy import SMClassicStrategy
from tradesentry.backtest.cli import backtest_command

main = backtest_command(SMClassicStrategy)

if __name__ == "__main__":
    main()
