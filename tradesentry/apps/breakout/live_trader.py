"""Trade breakout live, on paper or in a replay from a shell: `python -m tradesentry.apps.breakout.live_trader`."""

from tradesentry.apps.breakout.strategy import BreakoutStrategy
from tradesentry.bootstrap.entry import live_command

main = live_command(BreakoutStrategy)

if __name__ == "__main__":
    main()
