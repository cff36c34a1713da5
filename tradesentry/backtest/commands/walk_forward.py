"""The walk-forward command: choose on the past, trade what follows, and report only what followed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.cli import CostsOption, announce, cost_levels, free_folder, new_run_id, runs_folder
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
from tradesentry.backtest.studies.experiment import fit_of
from tradesentry.core.domain.errors import UsageError


@takes_requests
def walk_forward(
    name: Annotated[str, typer.Argument(help="Strategy; see `tradesentry apps list`.")],
    market: MarketRequest,
    account: AccountRequest,
    train: Annotated[str, typer.Option(help="Length of a train window: 12m, 52w, 365d or 25000b (bars).")] = "12m",
    test: Annotated[str, typer.Option(help="Length of a test window.")] = "3m",
    step: Annotated[str | None, typer.Option(help="From one test to the next (default: the test length).")] = None,
    anchored: Annotated[bool, typer.Option("--anchored", help="Train windows all begin with the data.")] = False,
    embargo: Annotated[str, typer.Option(help="Gap between train and test: the longest holding time.")] = "5d",
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
    costs: CostsOption = "1",
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
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
        wide, declared = study_market(name, market)
        config = study_config(name, wide)
        method: Method = "fit"
        space: dict[str, Any] = {}
        n_trials = 0
        if grid or n_random or n_optuna or fit_of(name) is None:
            method, space, n_trials = search_method(
                config, declared, grid=grid, searched=search, n_random=n_random, n_optuna=n_optuna
            )
        levels = cost_levels(costs)
        scale = 1.0 if 1.0 in levels else levels[0]
        values = {
            "app": name, "config": config.model_dump(mode="json"), "method": method, "space": space,
            "settings": study_settings(wide.settings(cost_scale=scale, **account.values())),
            "n_trials": n_trials, "seed": seed, "top": top, "min_trades": min_trades, "min_bound": min_bound,
            "max_overlap": max_overlap, "weights": weights, "cost_levels": levels,
            "folds": {"train": train, "test": test, "step": step, "is_anchored": anchored, "embargo": embargo},
        }  # fmt: skip
        plan = _checked(WalkForwardPlan, values)
        folder = free_folder(root, new_run_id(f"{name}-walk-forward", datetime.now(UTC)))
    run = resolve_run(plan.app, config=plan.config, settings=checked_settings(plan.settings))
    folds = make_folds(plan.folds, [s.bars for s in run.data.series[: run.data.n_traded]])
    announce(run, plan.cost_levels)
    if resume is None:
        write_plan(folder, "walk-forward", plan)
    kind = "anchored" if plan.folds.is_anchored else "rolling"
    say(
        f"walk-forward {folder.name}: {len(folds)} {kind} folds, train {plan.folds.train}, test {plan.folds.test}, "
        f"embargo {plan.folds.embargo}; {plan.method}; top {plan.top} per market; {executor}"
    )
    try:
        with runner_of(executor, workers) as runner, study_progress("walk-forward", quiet=as_json) as told:
            result = run_walk_forward(plan, runner=runner, runs=root, study_id=folder.name, report=told)
    except KeyboardInterrupt:
        say(f"What is finished is kept. Go on with: tradesentry walk-forward {name} --resume {folder.name}")
        raise
    save_walk_forward(result, folder, with_report=report)
    _show(result, folder, as_json=as_json)


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
