"""What sweep and walk-forward share on the command line: how variants are found, where they run, how far they are."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tradesentry.backtest.commands.request import MarketRequest
from tradesentry.backtest.commands.terminal import say
from tradesentry.backtest.executor import Runner, new_runner
from tradesentry.backtest.resolve import RunSettings, resolve_config
from tradesentry.backtest.result_files import dumps
from tradesentry.backtest.studies.experiment import Experiment, experiment_of
from tradesentry.backtest.studies.study import Progress, Report
from tradesentry.backtest.studies.variants import declared_space, parse_grid, parse_space
from tradesentry.backtest.sweep import space_document
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.strategy.base_strategy import StrategyConfig

GridOption = Annotated[list[str] | None, typer.Option("--grid", help="key=a,b,c: one axis of the product; repeatable.")]
SearchOption = Annotated[
    list[str] | None,
    typer.Option("--search", help="key=low..high, key=a,b,c or key (its own bounds): what a search may move."),
]
RandomOption = Annotated[int | None, typer.Option("--random", min=1, help="Draw that many variants at random.")]
OptunaOption = Annotated[int | None, typer.Option("--optuna", min=1, help="Search with that many trials (TPE).")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the draw or the search.")]
ExecutorOption = Annotated[
    str, typer.Option(help="local (threads), processes, ray, or ray://HOST:10001. Results are the same.")
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Threads or processes (default: all processors).")]
ResumeOption = Annotated[str | None, typer.Option("--resume", help="Id or folder of a study to go on with.")]
ReportOption = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")]

Method = Literal["grid", "random", "optuna", "fit"]


def study_market(name: str, market: MarketRequest) -> tuple[MarketRequest, Experiment | None]:
    """Return the request with the declared study's markets and timeframe where none are given."""
    declared = experiment_of(name)
    if declared is None:
        return market, None
    return replace(
        market,
        symbols=market.symbols if market.symbols is not None else ",".join(declared.symbols),
        timeframe=market.timeframe if market.timeframe is not None else declared.timeframe,
    ), declared


def study_config(name: str, market: MarketRequest) -> StrategyConfig:
    """Return the base configuration of a study."""
    config: StrategyConfig = resolve_config(name, path=market.config, overrides=market.overrides()).value
    return config


def study_settings(settings: RunSettings) -> dict[str, Any]:
    """Return settings as a plan stores them; files and folders as absolute paths."""
    plain = settings.model_dump(mode="json")
    for key in ("news", "catalog"):
        if plain[key] is not None:
            plain[key] = str(Path(plain[key]).resolve())
    return plain


def search_method(
    config: StrategyConfig,
    declared: Experiment | None,
    *,
    grid: Sequence[str] | None,
    searched: Sequence[str] | None,
    n_random: int | None,
    n_optuna: int | None,
) -> tuple[Method, dict[str, Any], int]:
    """Return method, space and number of trials that the options ask for.

    Raises:
        UsageError: Options that exclude each other, or nothing to vary.
    """
    if sum(option is not None for option in (grid or None, n_random, n_optuna)) > 1:
        raise UsageError("--grid, --random and --optuna exclude each other. Choose one.")
    if n_random is None and n_optuna is None:
        if searched:
            raise UsageError("--search says what a search may move. Add --random N or --optuna N, or use --grid.")
        if grid:
            return "grid", space_document(parse_grid(grid, type(config))), 0
        if declared is None:
            raise UsageError("Nothing to vary. Give --grid key=a,b,c, or --optuna 200 --search key=low..high.")
        return "grid", space_document(dict(declared.grid)), 0
    space = parse_space(searched or (), type(config))
    if not space:
        space = declared_space(declared.search) if declared is not None else {}
    if not space:
        raise UsageError("Nothing to search. Give --search key=low..high.")
    if n_random is not None:
        return "random", space_document(space), n_random
    return "optuna", space_document(space), n_optuna or 0


def runner_of(executor: str, workers: int | None) -> Runner:
    """Return the executor of the options; plain `ray` means the cluster of the settings."""
    from tradesentry.settings import load_settings

    address = load_settings().ray_address if executor == "ray" else None
    return new_runner(executor, workers=workers, ray_address=address)


@contextmanager
def study_progress(title: str, *, quiet: bool) -> Iterator[Report]:
    """Yield a report: a bar with rates and the time left on a terminal, a line per tenth elsewhere."""
    if quiet:
        yield lambda _progress: None
        return
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    columns = (
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rates]}"), TimeRemainingColumn()
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, rates="")
        yield lambda p: bar.update(task, completed=p.done, total=max(p.total, 1), rates=rates_text(p))


def rates_text(progress: Progress) -> str:
    """Return how fast a study is, as text."""
    seconds = max(progress.seconds, 1e-9)
    played = (progress.done - progress.reused) / seconds
    reused = f", {progress.reused:,} found finished" if progress.reused else ""
    return f"{played:,.0f} plays/s, {progress.bars / seconds / 1e6:,.1f} M bars/s{reused}"


def _lines(title: str) -> Callable[[Progress], None]:
    last = [0]

    def report(progress: Progress) -> None:
        tenth = 10 * progress.done // max(progress.total, 1)
        if tenth > last[0]:
            last[0] = tenth
            say(f"{title}: {progress.done:,} of {progress.total:,} plays, {rates_text(progress)}")

    return report


def print_document(document: Any) -> None:
    """Print one JSON document, null for what is not a number."""
    sys.stdout.write(dumps(document))
