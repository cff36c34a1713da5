"""The walk-forward command: choose on the past, trade what follows, and report only what followed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.cli import announce, cost_levels, free_folder, new_run_id, runs_folder
from tradesentry.backtest.commands.request import AccountRequest, JsonOption, MarketRequest, RunsOption, takes_requests
from tradesentry.backtest.commands.study_options import (
    ExecutorOption,
    GridOption,
    Method,
    OptunaOption,
    RandomOption,
    ReportOption,
    ResumeOption,
    SearchOption,
    SeedOption,
    WorkersOption,
    print_document,
    runner_of,
    search_method,
    study_config,
    study_market,
    study_progress,
    study_settings,
)
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.studies.experiment import fit_of, folds_of
from tradesentry.core.domain.errors import UsageError


@takes_requests
def walk_forward(
    name: Annotated[str, typer.Argument(help="Strategy; see `tradesentry apps list`.")],
    market: MarketRequest,
    account: AccountRequest,
    train: Annotated[
        str | None, typer.Option(help="Length of a train window: 12m, 52w, 365d or 25000b (bars) (default: 12m).")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Length of a test window (default: 3m).")] = None,
    validation: Annotated[
        str | None, typer.Option(help="Slice between train and test on which a fit is judged; for apps that fit.")
    ] = None,
    step: Annotated[str | None, typer.Option(help="From one test to the next (default: the test length).")] = None,
    anchored: Annotated[bool, typer.Option("--anchored", help="Train windows all begin with the data.")] = False,
    embargo: Annotated[
        str | None, typer.Option(help="Gap between train and test: the longest holding time (default: 5d).")
    ] = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Only that many folds, the latest ones.")] = None,
    top: Annotated[int, typer.Option(min=1, max=20, help="Most variants traded per market.")] = 3,
    min_trades: Annotated[int, typer.Option(min=1, help="Train trades, over all markets, to be eligible.")] = 200,
    min_bound: Annotated[float | None, typer.Option(help="Least lower bound of mean R to be traded.")] = None,
    max_overlap: Annotated[float, typer.Option(min=0.01, max=1, help="Common trades that make two one bet.")] = 0.6,
    weights: Annotated[str, typer.Option(help="equal or inverse_volatility.")] = "equal",
    grid: GridOption = None,
    search: SearchOption = None,
    n_random: RandomOption = None,
    n_optuna: OptunaOption = None,
    seed: SeedOption = 0,
    n_seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=100, help="Seeds that a fit trains (default: the app's).")
    ] = None,
    costs: Annotated[
        str | None, typer.Option(help="Cost levels, multiples of the profile (default: 1; 0,1,2 for apps that fit).")
    ] = None,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes of a fit (default: as many as --workers).")
    ] = None,
    resume: ResumeOption = None,
    out: RunsOption = None,
    report: ReportOption = True,
    as_json: JsonOption = False,
) -> None:
    """Choose parameters on rolling train windows and trade them on the windows that follow."""
    from tradesentry.backtest.studies.folds import make_folds
    from tradesentry.backtest.studies.study_files import read_plan, save_walk_forward, write_plan
    from tradesentry.backtest.walk_forward import WalkForwardPlan, run_walk_forward

    root = runs_folder(out)
    if resume is not None:
        folder = root / resume if (root / resume).is_dir() else Path(resume)
        plan: Any = read_plan(folder, "walk-forward")
        if plan.app != name:
            raise UsageError(f"{folder.name} walks {plan.app} forward, not {name}. Write the name it was made with.")
    else:
        if n_seeds is not None:
            # Training settings are part of the configuration; this one has an option of its own.
            market = replace(market, set_=[*(market.set_ or []), f"training.seeds={n_seeds}"])
        wide, declared = study_market(name, market)
        config = study_config(name, wide)
        method: Method = "fit"
        space: dict[str, Any] = {}
        n_trials = 0
        if grid or n_random or n_optuna or fit_of(name) is None:
            method, space, n_trials = search_method(
                config, declared, grid=grid, searched=search, n_random=n_random, n_optuna=n_optuna
            )
        levels = cost_levels(costs or ("0,1,2" if method == "fit" else "1"))
        scale = 1.0 if 1.0 in levels else levels[0]
        values = {
            "app": name, "config": config.model_dump(mode="json"), "method": method, "space": space,
            "settings": study_settings(wide.settings(cost_scale=scale, **account.values())),
            "n_trials": n_trials, "seed": seed, "top": top, "min_trades": min_trades, "min_bound": min_bound,
            "max_overlap": max_overlap, "weights": weights, "cost_levels": levels,
            "folds": fold_values(
                name, method, train=train, test=test, step=step, embargo=embargo, validation=validation,
                is_anchored=anchored or None, latest=folds,
            ),
        }  # fmt: skip
        plan = _checked(WalkForwardPlan, values)
        folder = free_folder(root, new_run_id(f"{name}-walk-forward", datetime.now(UTC)))
    run = resolve_run(plan.app, config=plan.config, settings=checked_settings(plan.settings))
    made = make_folds(plan.folds, [s.bars for s in run.data.series[: run.data.n_traded]])
    announce(run, plan.cost_levels)
    if resume is None:
        write_plan(folder, "walk-forward", plan)
    say(f"walk-forward {folder.name}: {_plan_words(plan, len(made))}; {executor}")
    try:
        with runner_of(executor, workers) as runner, study_progress("walk-forward", quiet=as_json) as told:
            result = run_walk_forward(
                plan, runner=runner, runs=root, study_id=folder.name, report=told,
                fit_report=_fit_lines(quiet=as_json), processes=processes,
            )  # fmt: skip
    except KeyboardInterrupt:
        say(f"What is finished is kept. Go on with: tradesentry walk-forward {name} --resume {folder.name}")
        raise
    save_walk_forward(result, folder, with_report=report)
    _show(result, folder, as_json=as_json)


def fold_values(name: str, method: Method, **given: Any) -> dict[str, Any]:
    """Return how the period is cut: as given, else for a fit as its app declares, else by default.

    Args:
        name: Strategy.
        method: How parameters are found.
        **given: Fields of `FoldPlan`, None where nothing was said.
    """
    declared = folds_of(name) if method == "fit" else None
    base: dict[str, Any] = {} if declared is None else declared.model_dump(mode="json", exclude_unset=True)
    return base | {key: value for key, value in given.items() if value is not None}


def _plan_words(plan: Any, n_folds: int) -> str:
    cut = plan.folds
    kind = "anchored" if cut.is_anchored else "rolling"
    judged = f"validation {cut.validation}, " if cut.validation else ""
    how = "fit" if plan.method == "fit" else f"{plan.method}; top {plan.top} per market"
    return f"{n_folds} {kind} folds, train {cut.train}, {judged}test {cut.test}, embargo {cut.embargo}; {how}"


def _fit_lines(*, quiet: bool) -> Callable[[str, int, int], None]:
    """Return a report that says a line on stderr whenever another tenth of a fit is done."""
    said: dict[str, int] = {}

    def report(what: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if not quiet and said.get(what, -1) < tenth:
            said[what] = tenth
            say(f"fit {what}: {done:,} of {total:,}")

    return report


def _checked(model: Any, values: dict[str, Any]) -> Any:
    from tradesentry.core.utils.config_loader import load_config

    return load_config(model, file_values=values).value


def _show(result: Any, folder: Path, *, as_json: bool) -> None:
    from tradesentry.backtest.reporting.studies import walk_forward_study

    document = walk_forward_study(result)
    if as_json:
        mean, error = result.rank_correlation
        print_document(
            {
                "app": result.plan.app,
                "headline": document["headline"],
                "details": document["details"],
                "evidence": document["evidence"],
                "efficiency": result.efficiency,
                "rank_correlation": mean,
                "rank_correlation_error": error,
                "folds": document["charts"]["folds"],
                "choices": document["charts"]["choices"],
                "skill": document["charts"].get("skill"),
                "seeds": document["charts"].get("seeds"),
                "summary": result.result.summary,
                "cost_runs": result.result.cost_runs,
                "study": result.study,
                "folder": str(folder),
            }
        )
        return
    columns = document["charts"]["folds"]
    print_table(
        [
            {
                "fold": fold,
                "test": f"{columns['test_from'][i]} to {columns['test_to'][i]}",
                "eligible": columns["eligible"][i],
                "chosen": columns["chosen"][i],
                "train mean R": _number(columns["train_mean_r"][i]),
                "test mean R": _number(columns["test_mean_r"][i]),
                "all mean R": _number(columns["all_test_mean_r"][i]),
                "rank corr.": _number(columns["rank_correlation"][i]),
                "trades": columns["trades"][i],
                "net": _number(columns["net"][i]),
            }
            for i, fold in enumerate(columns["fold"])
        ]
    )
    typer.echo(f"\n{document['headline']}")
    for line in document["details"]:
        say(line)
    study = result.study
    say(f"{study['plays']:,} plays, {study['reused']:,} of them found finished, in {study['seconds']:.1f} s")
    typer.echo(f"results: {folder}")
    if (folder / "report.html").is_file():
        typer.echo(f"report:  {folder / 'report.html'}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
