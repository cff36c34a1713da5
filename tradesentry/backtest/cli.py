"""The back-test command: options, what is said on the way, and the table of results.

Every app's own entry point (`python -m tradesentry.apps.breakout.backtest_runner …`) is this same command with the name
filled in.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest import engine
from tradesentry.backtest.baselines import with_baselines
from tradesentry.backtest.commands.request import AccountRequest, JsonOption, MarketRequest, RunsOption, takes_requests
from tradesentry.backtest.commands.shell import run_command
from tradesentry.backtest.commands.terminal import print_table, progress_bar, say
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.run_log import RunLog, run_log
from tradesentry.backtest.runner import play, with_decisions, with_events
from tradesentry.backtest.studies.evidence import with_evidence
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import utc_text
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.utils.kernel import is_cached

HEADLINES = (
    "n_trades", "win_rate", "profit_factor", "mean_r", "mean_r_low", "mean_r_high", "total_return",
    "cagr", "max_drawdown", "sharpe", "sortino", "exposure", "cost_total",
)  # fmt: skip
"""Metrics of the table on the terminal; the report has all."""
BOUNDS = ("mean_r_low", "mean_r_high")
"""Shown as the wider of two intervals, as in the verdict below the table."""

CostsOption = Annotated[str, typer.Option(help="Cost levels to play, multiples of the profile, as 0,1,2.")]


def cost_levels(text: str) -> list[float]:
    """Return the cost levels of `0,1,2`.

    Raises:
        UsageError: Something is no number, or negative.
    """
    try:
        levels = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError as error:
        raise UsageError(f"--costs {text!r} is no list of numbers. Write --costs 0,1,2.") from error
    if not levels or levels[0] < 0 or levels[-1] > 10:
        raise UsageError(f"--costs {text!r}: levels lie between 0 and 10. Write --costs 0,1,2.")
    return levels


def announce(run: ResolvedRun, levels: Sequence[float]) -> None:
    """Say on stderr what the run is going to do."""
    data = run.data
    traded = data.series[: data.n_traded]
    first = utc_text(min(int(s.bars["open_ns"][0]) for s in traded))
    last = utc_text(max(int(s.bars["close_ns"][-1]) for s in traded))
    bars = sum(len(s.bars) for s in traded)
    what = "SYNTHETIC data" if any(s.is_synthetic for s in traded) else f"source {traded[0].source}"
    say(f"{run.strategy.name}: {', '.join(s.symbol for s in traded)} {run.config.timeframe}, {first} to {last} UTC")
    say(
        f"{bars:,} bars, {what}, intrabar {run.config.intrabar}; costs {run.settings.costs!r} at "
        f"{', '.join(f'{level:g}x' for level in levels)}; limits {run.settings.limits!r}; "
        f"capital {run.settings.capital:,.0f} {run.settings.account_currency}"
    )
    if data.n_traded < len(data.series):
        say(f"converting with {', '.join(s.symbol for s in data.series[data.n_traded :])}")


def play_levels(run: ResolvedRun, levels: Sequence[float], *, log: RunLog, quiet: bool) -> BacktestResult:
    """Play the run at every cost level with one progress bar; the result is that of the settings' level."""
    total = sum(len(s.bars) for s in run.data.series)
    main = run.settings.cost_scale
    others = [level for level in levels if level != main]
    done_levels = 0

    def play_one(level: float, report: Callable[[int, int], None]) -> BacktestResult:
        base = done_levels * total
        result = play(run, cost_scale=level, progress=lambda n: report(base + n, total * (len(others) + 1)))
        log.played(result, cost_scale=level)
        return result

    if not is_cached(engine.run):
        say("compiling the kernels, once per version; this takes about half a minute")
    with nullcontext(_say_nothing) if quiet else progress_bar("back-test") as report:
        result = play_one(main, report)
        runs = {}
        for level in others:
            done_levels += 1
            runs[f"{level:g}x"] = play_one(level, report)
    return result.with_cost_runs(runs) if runs else result


def _say_nothing(_done: int, _total: int) -> None:
    """Take progress and be quiet."""


def new_run_id(name: str, now: datetime) -> str:
    """Return the folder name of a run: when and what."""
    return f"{now:%Y%m%dT%H%M%S}-{name}"


def runs_folder(given: Path | None) -> Path:
    """Return the folder of results: given, from the environment, or ./runs."""
    if given is not None:
        return given
    from tradesentry.settings import load_settings

    return load_settings().runs


def free_folder(root: Path, run_id: str) -> Path:
    """Return a folder under `root` that does not exist yet."""
    folder, n = root / run_id, 2
    while folder.exists():
        folder, n = root / f"{run_id}-{n}", n + 1
    return folder


def result_rows(result: BacktestResult) -> list[dict[str, Any]]:
    """Return the headline metrics as rows of label, value and unit, one value column per cost level."""
    from tradesentry.backtest.evaluation import METRICS
    from tradesentry.backtest.reporting.verdict import mean_r_bounds

    columns = result.cost_runs or {"1x": result.summary}
    known = {metric.key: metric for metric in METRICS}
    rows = []
    for key in HEADLINES:
        if key not in known:
            continue
        metric = known[key]
        row: dict[str, Any] = {"metric": metric.label}
        for level, values in columns.items():
            value = values.get(key)
            if key in BOUNDS and (bounds := mean_r_bounds(values)) is not None:
                value = bounds[BOUNDS.index(key)]
            row[f"costs {level}"] = format_metric(value, metric.unit)
        unit = {"fraction": "%", "money": result.account_currency}.get(metric.unit, metric.unit)
        rows.append(row | {"unit": unit})
    return rows


def baseline_rows(result: BacktestResult) -> list[dict[str, Any]]:
    """Return the strategy and its baselines as rows for the terminal."""
    summary = result.summary
    own = {"label": result.app, **{key: summary[key] for key in ("n_trades", "mean_r", "total_return")}}
    return [
        {
            "entries": row["label"],
            "trades": row["n_trades"],
            "mean R": format_metric(row["mean_r"], "R"),
            "p-value": "-" if row.get("p_value") is None else f"{row['p_value']:.3f}",
            "return (%)": format_metric(row["total_return"], "fraction"),
        }
        for row in (own, *result.baselines)
    ]


def format_metric(value: Any, unit: str) -> str:
    """Return a metric as text: fractions as percent, counts whole, the rest with two decimals."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{100 * value:.1f}" if unit == "fraction" else f"{value:,.2f}"


def show_result(result: BacktestResult, folder: Path, *, as_json: bool) -> None:
    """Print the outcome: one JSON document, or the verdict, a table and where the files are."""
    if as_json:
        document = {
            "app": result.app,
            "symbols": result.symbols,
            "is_synthetic": result.is_synthetic,
            "summary": result.summary,
            "cost_runs": result.cost_runs,
            "baselines": result.baselines,
            "warnings": result.warnings,
            "status": result.status,
            "timing": result.timing,
            "folder": str(folder),
        }
        sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
        return
    from tradesentry.backtest.evaluation import evaluate
    from tradesentry.backtest.reporting.verdict import verdict, warnings

    evaluation = evaluate(result)
    print_table(result_rows(result))
    if result.baselines:
        sys.stdout.write("\n")
        print_table(baseline_rows(result))
    sys.stdout.write(f"\n{verdict(result, evaluation)['headline']}\n")
    for warning in warnings(result, evaluation):
        say(f"{warning['title'].lower()}: {warning['text']}")
    rate = result.timing["bars_per_second"]
    say(f"{result.timing['bars']:,} bars in {1e3 * result.timing['seconds']:.0f} ms ({rate / 1e6:.1f} M bars/s)")
    sys.stdout.write(f"results: {folder}\n")
    if (folder / "report.html").is_file():
        sys.stdout.write(f"report:  {folder / 'report.html'}\n")


@takes_requests
def backtest_app(
    name: Annotated[str, typer.Argument(help="Strategy; see `tradesentry apps list`.")],
    market: MarketRequest,
    account: AccountRequest,
    costs: CostsOption = "1",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Compare with chance: 1,000 draws of each baseline; takes seconds.")
    ] = False,
    out: RunsOption = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    events: Annotated[
        bool | None, typer.Option("--events/--no-events", help="Write what the strategy saw and decided.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Back-test a strategy and write its results and report."""
    levels = cost_levels(costs)
    root, run_id = runs_folder(out), new_run_id(name, datetime.now(UTC))
    with run_log(run_id, name) as log:
        run = market.resolve(name, cost_scale=1.0 if 1.0 in levels else levels[0], **account.values())
        log.resolved(run)
        announce(run, levels)
        result = play_levels(run, levels, log=log, quiet=as_json)
        if baselines:
            say("playing the baselines ...")
            result = with_baselines(run, result)
            log.step("baselines_played", baselines=[row["name"] for row in result.baselines])
        if report if events is None else events:
            result = with_decisions(run, with_events(run, result))
            log.step("events_found", events=0 if result.events is None else result.events.height)
        result = with_evidence(run, result, runs=root, study=run_id)
        log.finished(result)
        folder = result.save(free_folder(root, run_id), with_report=report)
        log.step("run_saved", folder=folder.name, files=sorted(path.name for path in folder.iterdir()))
    log.write(folder)
    show_result(result, folder, as_json=as_json)
    if open_ and report:
        typer.launch(str(folder / "report.html"))


def backtest_command(strategy: type[BaseStrategy]) -> Callable[[], None]:
    """Return the back-test command of one strategy, for an app's own entry point.

    Args:
        strategy: The strategy whose name is filled in.
    """

    def main() -> None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name="backtest")(backtest_app)
        sys.exit(run_command(app, [strategy.name, *sys.argv[1:]], name=f"{strategy.name} backtest"))

    return main
