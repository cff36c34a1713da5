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
from tradesentry.backtest.commands.shell import run_command
from tradesentry.backtest.commands.terminal import print_table, progress_bar, say
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, checked_settings, resolve_run
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.runner import play, with_events
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import utc_text
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.utils.kernel import is_cached

HEADLINES = (
    "n_trades", "win_rate", "profit_factor", "mean_r", "mean_r_low", "mean_r_high", "total_return",
    "cagr", "max_drawdown", "sharpe", "sortino", "exposure", "cost_total",
)  # fmt: skip
"""Metrics of the table on the terminal; the report has all."""

SymbolsOption = Annotated[str | None, typer.Option(help="Symbols, comma-separated, as EURUSD,GBPUSD.")]
TimeframeOption = Annotated[str | None, typer.Option("--timeframe", "-t", help="Length of an execution bar.")]
SourceOption = Annotated[str, typer.Option(help="Source in the catalog, or synthetic[:variant[:seed]].")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value of the strategy; repeatable.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with what differs from the defaults.")]
FromOption = Annotated[str | None, typer.Option("--from", help="First open wanted, ISO date (UTC).")]
ToOption = Annotated[str | None, typer.Option("--to", help="Opens at or after it are left out, ISO date (UTC).")]
CostsOption = Annotated[str, typer.Option(help="Cost levels to play, multiples of the profile, as 0,1,2.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
RunsOption = Annotated[
    Path | None, typer.Option("--out", help="Folder of results (default: TRADESENTRY_RUNS or ./runs).")
]


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


def fixed_rates(texts: Sequence[str]) -> dict[str, float]:
    """Return fixed conversion rates of `JPY=0.0067` texts.

    Raises:
        UsageError: A text that is no CUR=NUMBER.
    """
    rates = {}
    for text in texts:
        currency, _, number = text.partition("=")
        try:
            rates[currency.strip().upper()] = float(number)
        except ValueError as error:
            raise UsageError(f"--rate {text!r} is no rate. Write --rate JPY=0.0067.") from error
    return rates


def overrides_of(
    given: Sequence[str] | None, *, symbols: str | None, timeframe: str | None, intrabar: str | None
) -> list[str]:
    """Return the `key=value` texts of the options that are settings of every strategy."""
    texts = []
    if symbols is not None:
        texts.append(f"symbols=[{','.join(part.strip() for part in symbols.split(',') if part.strip())}]")
    if timeframe is not None:
        texts.append(f"timeframe={timeframe.upper()}")
    if intrabar is not None:
        texts.append(f"intrabar={intrabar}")
    return texts + list(given or [])


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


def play_levels(run: ResolvedRun, levels: Sequence[float], *, quiet: bool) -> BacktestResult:
    """Play the run at every cost level with one progress bar; the result is that of the settings' level."""
    total = sum(len(s.bars) for s in run.data.series)
    main = run.settings.cost_scale
    others = [level for level in levels if level != main]
    done_levels = 0

    def play_one(level: float, report: Callable[[int, int], None]) -> BacktestResult:
        base = done_levels * total
        return play(run, cost_scale=level, progress=lambda n: report(base + n, total * (len(others) + 1)))

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

    columns = result.cost_runs or {"1x": result.summary}
    known = {metric.key: metric for metric in METRICS}
    rows = []
    for key in HEADLINES:
        if key not in known:
            continue
        metric = known[key]
        row: dict[str, Any] = {"metric": metric.label}
        for level, values in columns.items():
            row[f"costs {level}"] = format_metric(values.get(key), metric.unit)
        unit = {"fraction": "%", "money": result.account_currency}.get(metric.unit, metric.unit)
        rows.append(row | {"unit": unit})
    return rows


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
    sys.stdout.write(f"\n{verdict(result, evaluation)['headline']}\n")
    for warning in warnings(result, evaluation):
        say(f"{warning['title'].lower()}: {warning['text']}")
    rate = result.timing["bars_per_second"]
    say(f"{result.timing['bars']:,} bars in {1e3 * result.timing['seconds']:.0f} ms ({rate / 1e6:.1f} M bars/s)")
    sys.stdout.write(f"results: {folder}\n")
    if (folder / "report.html").is_file():
        sys.stdout.write(f"report:  {folder / 'report.html'}\n")


def backtest_app(
    name: Annotated[str, typer.Argument(help="Strategy; see `tradesentry apps list`.")],
    symbols: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    source: SourceOption = "synthetic",
    from_: FromOption = None,
    to: ToOption = None,
    set_: SetOption = None,
    config: ConfigOption = None,
    costs: CostsOption = "1",
    cost_profile: Annotated[str, typer.Option(help="raw, standard, retail or free.")] = "standard",
    capital: Annotated[float, typer.Option(help="Start balance, account currency.")] = 10_000.0,
    currency: Annotated[str, typer.Option(help="Account currency.")] = "USD",
    limits: Annotated[str, typer.Option(help="Account limits: default, prop or off.")] = "default",
    rate: Annotated[list[str] | None, typer.Option(help="Fixed rate, as JPY=0.0067; repeatable.")] = None,
    intrabar: Annotated[str | None, typer.Option(help="pessimistic, m1 or tick.")] = None,
    news: Annotated[Path | None, typer.Option(help="News calendar (CSV, JSON, Parquet).")] = None,
    catalog: Annotated[Path | None, typer.Option(help="Catalog folder.")] = None,
    out: RunsOption = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Back-test a strategy and write its results and report."""
    levels = cost_levels(costs)
    values = {
        "source": source, "from_": from_, "to": to, "capital": capital, "account_currency": currency.upper(),
        "costs": cost_profile, "limits": limits, "rates": fixed_rates(rate or []), "news": news, "catalog": catalog,
        "cost_scale": 1.0 if 1.0 in levels else levels[0],
    }  # fmt: skip
    settings: RunSettings = checked_settings({k: v for k, v in values.items() if v is not None})
    overrides = overrides_of(set_, symbols=symbols, timeframe=timeframe, intrabar=intrabar)
    run = resolve_run(name, path=config, overrides=overrides, settings=settings)
    announce(run, levels)
    result = play_levels(run, levels, quiet=as_json)
    if report:
        result = with_events(run, result)
    folder = free_folder(runs_folder(out), new_run_id(name, datetime.now(UTC)))
    result.save(folder, with_report=report)
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
