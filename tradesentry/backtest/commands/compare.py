"""The compare command: two finished runs side by side, and whether they differ by more than noise."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tradesentry.backtest.cli import format_metric, runs_folder
from tradesentry.backtest.commands.request import JsonOption, RunsOption
from tradesentry.backtest.commands.runs import run_path
from tradesentry.backtest.commands.study_options import print_document
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.backtest.result import load_result

MOST_SETTINGS = 20


def compare(
    first: Annotated[str, typer.Argument(help="Run id or folder to compare with.")],
    second: Annotated[str, typer.Argument(help="Run id or folder in question.")],
    out: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two finished runs: figures, settings, data, and the days they share."""
    from tradesentry.backtest.studies.comparison import compare as compare_results

    root = runs_folder(out)
    a, b = load_result(run_path(root, first)), load_result(run_path(root, second))
    found = compare_results(a, b)
    if as_json:
        paired = None if found.paired is None else asdict(found.paired)
        print_document(
            {
                "first": first,
                "second": second,
                "verdict": found.verdict,
                "metrics": found.metrics,
                "settings": found.settings,
                "data": found.data,
                "paired": paired,
            }
        )
        return
    print_table([_metric_row(row, a.account_currency) for row in found.metrics])
    if found.settings:
        typer.echo("")
        print_table([{k: _plain(v) for k, v in row.items()} for row in found.settings[:MOST_SETTINGS]])
    if len(found.settings) > MOST_SETTINGS:
        say(f"and {len(found.settings) - MOST_SETTINGS:,} more settings; --json lists all")
    for line in found.data:
        say(f"data: {line}")
    if found.paired is not None:
        say(
            f"shared days: correlation {found.paired.correlation:.2f}; "
            f"{100 * found.paired.common_trades:.0f} % of the trades are the same"
        )
    typer.echo(f"\n{found.verdict}")


def _metric_row(row: dict[str, Any], currency: str) -> dict[str, Any]:
    unit = {"fraction": "%", "money": currency}.get(row["unit"], row["unit"])
    values = {name: format_metric(row[name], row["unit"]) for name in ("first", "second", "difference")}
    return {"metric": row["label"], **values, "unit": unit}


def _plain(value: Any) -> str:
    return "off" if value is None else str(value)
