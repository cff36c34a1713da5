"""The sweep command: try many variants, rank them by what they would bear to lose, and say what the best is worth."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.cli import announce, free_folder, new_run_id, runs_folder, show_result
from tradesentry.backtest.commands.request import AccountRequest, JsonOption, MarketRequest, RunsOption, takes_requests
from tradesentry.backtest.commands.study_options import (
    ExecutorOption,
    GridOption,
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
from tradesentry.core.domain.errors import UsageError

SHOWN_ROWS = 10


@takes_requests
def sweep(
    name: Annotated[str, typer.Argument(help="Strategy; see `tradesentry apps list`.")],
    market: MarketRequest,
    account: AccountRequest,
    grid: GridOption = None,
    search: SearchOption = None,
    n_random: RandomOption = None,
    n_optuna: OptunaOption = None,
    seed: SeedOption = 0,
    parts: Annotated[int, typer.Option(min=1, max=32, help="Parts between which --optuna gives trials up.")] = 4,
    screen: Annotated[
        bool | None,
        typer.Option(
            "--screen/--no-screen",
            help="Screen on a few markets before costs, as the app declares it; on by default for its declared study.",
        ),
    ] = None,
    portfolio: Annotated[bool, typer.Option("--portfolio", help="All variants share one account.")] = False,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    resume: ResumeOption = None,
    out: RunsOption = None,
    report: ReportOption = True,
    as_json: JsonOption = False,
) -> None:
    """Try many variants of a strategy on the same bars; without --grid, --random or --optuna, its declared study."""
    from tradesentry.backtest.studies.study_files import read_plan, save_sweep, write_plan
    from tradesentry.backtest.sweep import SweepPlan, run_sweep

    root = runs_folder(out)
    if resume is not None:
        folder = _study_folder(root, resume)
        plan = read_plan(folder, "sweep")
        if plan.app != name:
            raise UsageError(f"{folder.name} is a sweep of {plan.app}, not of {name}. Write the name it was made with.")
    else:
        wide, declared = study_market(name, market)
        config = study_config(name, wide)
        method, space, n_trials = search_method(
            config, declared, grid=grid, searched=search, n_random=n_random, n_optuna=n_optuna
        )
        if screen is None:
            screen = not (grid or n_random or n_optuna)
        plan = SweepPlan(
            app=name,
            config=config.model_dump(mode="json"),
            settings=study_settings(wide.settings(**account.values())),
            method=method,
            space=space,
            n_trials=n_trials,
            seed=seed,
            n_parts=parts,
            screen_symbols=declared.screen_symbols if declared is not None and screen else (),
        )
        folder = free_folder(root, new_run_id(f"{name}-sweep", datetime.now(UTC)))
    announce(resolve_run(plan.app, config=plan.config, settings=checked_settings(plan.settings)), [1.0])
    if portfolio:
        _share_account(plan, folder, report=report, as_json=as_json)
        return
    if resume is None:
        write_plan(folder, "sweep", plan)
    say(f"sweep {folder.name} by {plan.method} over {', '.join(plan.space)}; {executor}")
    try:
        with runner_of(executor, workers) as runner, study_progress("sweep", quiet=as_json) as told:
            result = run_sweep(plan, runner=runner, runs=root, study_id=folder.name, report=told)
    except KeyboardInterrupt:
        say(f"What is finished is kept. Go on with: tradesentry sweep {name} --resume {folder.name}")
        raise
    save_sweep(result, folder, with_report=report)
    _show(result, folder, as_json=as_json)


def _study_folder(root: Path, study: str) -> Path:
    return root / study if (root / study).is_dir() else Path(study)


def _show(result: Any, folder: Path, *, as_json: bool) -> None:
    from tradesentry.backtest.reporting.studies import sweep_headline

    rows = [
        {
            "rank": i + 1,
            "variant": row.variant.label,
            "trades": int(row.outcome["n_trades"]),
            "mean R": f"{row.outcome['mean_r']:.3f}",
            "lower bound R": f"{row.objective:.3f}",
            "return %": f"{100 * row.outcome['total_return']:.1f}",
            "max drawdown %": f"{100 * row.outcome['max_drawdown']:.1f}",
            "Sharpe": f"{row.outcome['sharpe']:.2f}",
        }
        for i, row in enumerate(result.rows[:SHOWN_ROWS])
        if row.outcome is not None
    ]
    headline, _ = sweep_headline(result)
    if as_json:
        print_document(
            {
                "app": result.plan.app,
                "headline": headline,
                "n_variants": len(result.rows),
                "evidence": None if result.evidence is None else result.evidence.document(),
                "best": [
                    {"key": row.variant.key, "values": row.variant.values, "figures": row.outcome.row()}
                    for row in result.rows[:SHOWN_ROWS]
                    if row.outcome is not None
                ],
                "study": result.study,
                "folder": str(folder),
            }
        )
        return
    print_table(rows)
    typer.echo(f"\n{headline}")
    for reason in list(result.refused.values())[:1]:
        say(f"note: {len(result.refused):,} combinations contradict themselves and were left out, as: {reason}")
    study = result.study
    say(f"{study['plays']:,} plays, {study['reused']:,} of them found finished, in {study['seconds']:.1f} s")
    typer.echo(f"results: {folder}")
    if (folder / "report.html").is_file():
        typer.echo(f"report:  {folder / 'report.html'}")


def _share_account(plan: Any, folder: Path, *, report: bool, as_json: bool) -> None:
    """Play all variants side by side on one account, each with an equal part of every market's risk budget."""
    from tradesentry.backtest.studies.portfolio import play_portfolio
    from tradesentry.backtest.studies.variants import Span, grid_variants, random_variants

    run = resolve_run(plan.app, config=plan.config, settings=checked_settings(plan.settings))
    space = plan.search_space()
    if plan.method == "optuna":
        raise UsageError("--portfolio plays variants that are known beforehand. Use --grid or --random.")
    if plan.method == "random":
        variants, _ = random_variants(plan.app, run.config, space, n=plan.n_trials, seed=plan.seed)
    else:
        listed = {key: entry for key, entry in space.items() if not isinstance(entry, Span)}
        variants, _ = grid_variants(plan.app, run.config, listed)
    say(f"{len(variants):,} variants share one account")
    result = play_portfolio(run, variants)
    result.save(folder, with_report=report)
    show_result(result, folder, as_json=as_json)
