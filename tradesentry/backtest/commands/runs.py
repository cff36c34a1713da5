"""The commands over finished runs: list them, write a report again."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.cli import runs_folder
from tradesentry.backtest.commands.options import show
from tradesentry.backtest.commands.request import JsonOption, RunsOption
from tradesentry.backtest.result import load_result
from tradesentry.backtest.studies.trials import TrialLedger
from tradesentry.core.domain.errors import DataError, nearest
from tradesentry.core.market.bars import utc_text

app = typer.Typer(no_args_is_help=True, help="Look at finished runs.", rich_markup_mode=None)


def run_path(root: Path, run_id: str) -> Path:
    """Return the folder of a run, by its id under `root` or by its path.

    Raises:
        DataError: There is no such run.
    """
    for path in (root / run_id, Path(run_id)):
        if (path / "summary.json").is_file():
            return path
    known = [path.parent.name for path in root.glob("*/summary.json")] if root.is_dir() else []
    raise DataError(f"There is no run {run_id!r} in {root}. {nearest(run_id, known)}", code="no_run")


def unfinished(root: Path) -> list[tuple[str, str, str]]:
    """Return (command, id, strategy) of every study under `root` that was killed and can be resumed."""
    found = []
    for kind in ("sweep", "walk-forward"):
        for path in sorted(root.glob(f"*/{kind}.json")):
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.get("state") == "started":
                found.append((kind, path.parent.name, document["plan"]["app"]))
    return found


@app.command("list")
def list_(out: RunsOption = None, as_json: JsonOption = False) -> None:
    """List finished runs, newest first."""
    root = runs_folder(out)
    rows: list[dict[str, Any]] = []
    for path in sorted(root.glob("*/summary.json"), reverse=True) if root.is_dir() else []:
        result = load_result(path.parent)
        summary = result.summary
        rows.append(
            {
                "run": path.parent.name,
                "app": result.app,
                "symbols": ",".join(result.symbols),
                "timeframe": result.timeframe,
                "from (UTC)": utc_text(result.period[0]),
                "to (UTC)": utc_text(result.period[1]),
                "trades": summary["n_trades"],
                "mean R": None if summary["mean_r"] is None else round(summary["mean_r"], 3),
                "data": "SYNTHETIC" if result.is_synthetic else "real",
            }
        )
    show(rows, rows, as_json=as_json)
    if not as_json:
        for kind, name, app_name in unfinished(root):
            typer.echo(f"unfinished: tradesentry {kind} {app_name} --resume {name}", err=True)
    if not rows and not as_json:
        typer.echo(f"No runs in {root}. Make one with: tradesentry backtest breakout", err=True)


def report(
    run: Annotated[str, typer.Argument(help="Run id or folder.")],
    out: RunsOption = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Write the report of a finished run again and print where it is; that of a study needs its ledger beside it."""
    folder = run_path(runs_folder(out), run)
    result = load_result(folder)
    if result.study.get("kind") in ("sweep", "walk-forward"):
        TrialLedger(folder.parent).require_symbols(result.symbols, folder.name)
    path = result.report(folder / "report.html")
    typer.echo(str(path))
    if open_:
        typer.launch(str(path))
