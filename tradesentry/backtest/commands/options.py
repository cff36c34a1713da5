"""What the data commands share: options that mean the same everywhere, and how a series is stored and shown."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.terminal import print_table, series_row
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import BarSeries, TickSeries
from tradesentry.core.market.catalog import Catalog, default_root

CatalogOption = Annotated[
    Path | None, typer.Option("--catalog", help="Folder of the catalog (default: TRADESENTRY_CATALOG or ./catalog).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
SourceOption = Annotated[str, typer.Option("--source", help="Name of the source: one feed, one folder.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace a series that is already there.")]
FromOption = Annotated[str | None, typer.Option("--from", help="First open wanted, ISO date (UTC).")]
ToOption = Annotated[str | None, typer.Option("--to", help="Opens at or after it are left out, ISO date (UTC).")]
SymbolArgument = Annotated[str, typer.Argument(help="Symbol, as EURUSD.")]
TimeframeOption = Annotated[str, typer.Option("--timeframe", "-t", help="M1, M5, M15, H1, H4, D1, ...")]


def catalog_at(root: Path | None) -> Catalog:
    """Return the catalog under `root`, or the default one."""
    return Catalog(root or default_root())


def show(document: Any, rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print one JSON document, or a table of rows."""
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
    else:
        print_table(rows)


def store(
    series: Sequence[BarSeries | TickSeries],
    catalog: Catalog,
    *,
    replace_existing: bool,
    as_json: bool,
) -> None:
    """Write series to the catalog and show what is there now.

    Raises:
        UsageError: A series is already there and may not be replaced.
    """
    rows = []
    for item in series:
        timeframe = item.timeframe if isinstance(item, BarSeries) else "TICK"
        path = catalog.path_of(item.source, item.symbol, timeframe)
        if path.exists() and not replace_existing:
            raise UsageError(f"{path} exists. Give --replace to replace it, or another --source.")
        rows.append(series_row(item) | {"file": str(catalog.write(item))})
    show(rows, rows, as_json=as_json)
