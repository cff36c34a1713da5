"""Trade drlfusion live, on paper or in a replay from a shell: `python -m tradesentry.apps.drlfusion.cli_live`."""

from tradesentry.apps.drlfusion.strategy import DrlFusionStrategy
from tradesentry.bootstrap.entry import live_command

main = live_command(DrlFusionStrategy)

if __name__ == "__main__":
    main()
