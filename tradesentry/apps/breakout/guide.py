"""Write the parameter table of the breakout guide; the work is `core.strategy.guide`'s.

`python -m tradesentry.apps.breakout.guide docs/strategy_guides/breakout.md` renews the table between the heading
`## Parameters` and the next heading.
"""

import sys
from pathlib import Path

from tradesentry.apps.breakout.config import BreakoutConfig
from tradesentry.core.strategy import guide


def parameter_table() -> str:
    """Return the parameters of breakout as a Markdown table."""
    return guide.parameter_table(BreakoutConfig)


def with_table(page: str) -> str:
    """Return a guide with its parameter table renewed.

    Raises:
        ValueError: The page has no table under `## Parameters`.
    """
    return guide.with_table(page, BreakoutConfig)


def main() -> None:
    """Renew the table of the page given on the command line."""
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
