"""Write the parameter table of a strategy guide from the configuration model, so that the page cannot go stale.

`python -m tradesentry.core.strategy.guide smgrid docs/strategy_guides/smgrid.md` renews the table between the heading
`## Parameters` and the next heading.
"""

import re
import sys
from pathlib import Path

from tradesentry.core.strategy.config import ParamsModel
from tradesentry.core.strategy.parameters import parameter_rows
from tradesentry.core.strategy.strategy_registry import strategy

_SECTION = re.compile(r"(?<=\n## Parameters\n\n)\|.*?\n(?=\n|\Z)", re.DOTALL)


def parameter_table(model: type[ParamsModel]) -> str:
    """Return the parameters of a model as a Markdown table."""
    lines = ["| Parameter | Default | Range | Unit | Meaning |", "| --- | --- | --- | --- | --- |"]
    for row in parameter_rows(model):
        lines.append(f"| `{row['parameter']}` | {row['default']} | {row['range']} | {row['unit']} | {row['meaning']} |")
    return "\n".join(lines) + "\n"


def with_table(page: str, model: type[ParamsModel]) -> str:
    """Return a guide with its parameter table renewed.

    Args:
        page: The guide, Markdown.
        model: Configuration of the strategy.

    Raises:
        ValueError: The page has no table under `## Parameters`.
    """
    if not _SECTION.search(page):
        raise ValueError("The page has no table under the heading `## Parameters`. Add one row for a start.")
    return _SECTION.sub(lambda _: parameter_table(model), page, count=1)


def main() -> None:
    """Renew the table of the strategy and the page given on the command line."""
    name, path = sys.argv[1], Path(sys.argv[2])
    path.write_text(with_table(path.read_text(encoding="utf-8"), strategy(name).Config), encoding="utf-8")


if __name__ == "__main__":
    main()
