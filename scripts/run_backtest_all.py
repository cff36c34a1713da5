"""Back-test every strategy and put the results into one table and one page of links.

    python scripts/run_backtest_all.py --source synthetic --costs 0,1,2
    python scripts/run_backtest_all.py breakout --symbols EURUSD,GBPUSD --source histdata --catalog DATA

Each strategy runs as it ships, on its own markets unless --symbols says otherwise, in the same folder of runs as the
command line uses; the index lists them with their verdicts, losing ones included. A strategy that fails does not stop
the others: its error is in the table and the exit code is 1.
"""

import json
import sys
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.cli import CostsOption, cost_levels, free_folder, new_run_id, play_levels, runs_folder
from tradesentry.backtest.commands.request import AccountRequest, JsonOption, MarketRequest, RunsOption, takes_requests
from tradesentry.backtest.commands.shell import run_command
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.backtest.evaluation import evaluate
from tradesentry.backtest.reporting.verdict import verdict
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.run_log import run_log
from tradesentry.backtest.runner import with_events
from tradesentry.backtest.studies.evidence import with_evidence
from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.strategy.strategy_registry import strategy_names

STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.4rem .7rem;border-bottom:1px solid #8884;text-align:left}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.warn{color:#b3261e}div{overflow-x:auto}"
)
COLUMNS = (
    ("trades", "n_trades", "count"),
    ("mean R", "mean_r", "R"),
    ("return", "total_return", "fraction"),
    ("max. drawdown", "max_drawdown", "fraction"),
    ("Sharpe", "sharpe", "ratio"),
)


def run_one(
    name: str, market: MarketRequest, account: AccountRequest, *, levels: list[float], root: Path, quiet: bool
) -> tuple[BacktestResult, Path]:
    """Back-test one strategy and return its result and folder."""
    run_id = new_run_id(name, datetime.now(UTC))
    with run_log(run_id, name) as log:
        run = market.resolve(name, cost_scale=1.0 if 1.0 in levels else levels[0], **account.values())
        log.resolved(run)
        result = play_levels(run, levels, log=log, quiet=quiet)
        result = with_evidence(run, with_events(run, result), runs=root, study=run_id)
        log.finished(result)
        folder = result.save(free_folder(root, run_id))
    log.write(folder)
    return result, folder


def row_of(name: str, result: BacktestResult, folder: Path) -> dict[str, Any]:
    """Return what the index says of one strategy."""
    evaluation = evaluate(result)
    return {
        "strategy": name,
        "markets": ", ".join(result.symbols),
        "timeframe": result.timeframe,
        "data": "SYNTHETIC" if result.is_synthetic else result.source,
        **{title: shown(evaluation.values[key], unit) for title, key, unit in COLUMNS},
        "verdict": verdict(result, evaluation)["headline"],
        "folder": folder.name,
    }


def shown(value: Any, unit: str) -> str:
    """Return a figure as text."""
    if value is None:
        return "-"
    if unit == "count":
        return f"{value:,}"
    return f"{100 * value:.1f} %" if unit == "fraction" else f"{value:.2f}"


def write_index(rows: list[dict[str, Any]], root: Path) -> Path:
    """Write the page that links the reports and return where it is."""
    names = [key for key in rows[0] if key != "folder"]
    numeric = {title for title, _, _ in COLUMNS}
    head = "".join(f"<th{' class=n' if n in numeric else ''}>{escape(n[:1].upper() + n[1:])}</th>" for n in names)
    lines = []
    for row in rows:
        cells = [f"<td{' class=n' if n in numeric else ''}>{escape(str(row[n]))}</td>" for n in names[1:]]
        title = escape(str(row["strategy"]))
        link = f'<a href="{escape(row["folder"])}/report.html">{title}</a>' if row["folder"] else title
        lines.append(f"<tr><td>{link}</td>{''.join(cells)}</tr>")
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>TradeSentry: all strategies</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>All strategies</h1>"
        "<p>Each as it ships, losing ones included. Past and simulated results do not predict future ones.</p>"
        f"<div><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></body></html>\n"
    )
    path = root / "index.html"
    partial = root / ".index.html.partial"
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


@takes_requests
def run_all(
    market: MarketRequest,
    account: AccountRequest,
    names: Annotated[list[str] | None, typer.Argument(help="Strategies; all of them when none is named.")] = None,
    costs: CostsOption = "0,1,2",
    out: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back-test every strategy; one table, one page of links."""
    root = runs_folder(out)
    root.mkdir(parents=True, exist_ok=True)
    levels = cost_levels(costs)
    rows, failed = [], 0
    for name in names or strategy_names():
        say(f"{name} ...")
        try:
            result, folder = run_one(name, market, account, levels=levels, root=root, quiet=True)
        except TradeSentryError as error:
            failed += 1
            empty = dict.fromkeys(("markets", "timeframe", "data", *(title for title, _, _ in COLUMNS)), "-")
            rows.append({"strategy": name, **empty, "verdict": f"FAILED: {error}", "folder": ""})
            continue
        rows.append(row_of(name, result, folder))
    index = write_index(rows, root)
    if as_json:
        sys.stdout.write(json.dumps({"rows": rows, "index": str(index)}, indent=2) + "\n")
    else:
        print_table(rows)
        typer.echo(f"index: {index}")
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(run_all)
    sys.exit(run_command(app, name="run_backtest_all"))
