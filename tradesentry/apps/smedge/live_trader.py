"""Trade smedge live, on paper or in a replay from a shell: `python -m tradesentry.apps.smedge.live_trader`."""

from tradesentry.apps.smedge.strategy import SMEdgeStrategy
from tradesentry.bootstrap.entry import live_command

main = live_command(SMEdgeStrategy)

if __name__ == "__main__":
    main()
