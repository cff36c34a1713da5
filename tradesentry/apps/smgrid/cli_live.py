"""Trade smgrid live, on paper or in a replay from a shell: `python -m tradesentry.apps.smgrid.cli_live`."""

from tradesentry.apps.smgrid.strategy import SMGridStrategy
from tradesentry.bootstrap.entry import live_command

main = live_command(SMGridStrategy)

if __name__ == "__main__":
    main()
