"""Trade smclassic live, on paper or in a replay from a shell: `python -m tradesentry.apps.smclassic.cli_live`."""

from tradesentry.apps.smclassic.strategy import SMClassicStrategy
from tradesentry.bootstrap.entry import live_command

main = live_command(SMClassicStrategy)

if __name__ == "__main__":
    main()
