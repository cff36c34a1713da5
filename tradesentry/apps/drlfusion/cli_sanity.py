"""The command `tradesentry drl sanity`: can the agents learn what is there, and do they leave noise alone?"""

from typing import Annotated, Any

import typer

from tradesentry.apps.drlfusion.cli_options import AgentsOption, agents_of
from tradesentry.backtest.commands.request import JsonOption
from tradesentry.backtest.commands.study_options import print_document
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.core.domain.errors import CheckFailed, UsageError, nearest


def sanity(
    task: Annotated[str | None, typer.Option(help="Tasks, comma-separated; all when left out.")] = None,
    agent: AgentsOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per task and agent; medians are judged.")] = 1,
    budget: Annotated[float, typer.Option(min=0.01, max=100, help="Multiple of the steps.")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Train on generated prices whose best use is known, and compare."""
    from tradesentry.apps.drlfusion.trainers.base_trainer import require_extra

    require_extra()
    from tradesentry.apps.drlfusion.envs.sanity_tasks import TASKS
    from tradesentry.apps.drlfusion.trainers.commands import shown
    from tradesentry.apps.drlfusion.trainers.sanity import run_task

    known = {str(name): one.name for name, one in TASKS.items()}
    names = list(known) if task is None else [part.strip() for part in task.split(",") if part.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"There is no sanity task {name!r}. {nearest(name, known)}")
    agents = agents_of(agent)
    say(f"sanity: {', '.join(names)}; {', '.join(agents)}; {seeds} seeds, budget {budget:g}")
    found: list[Any] = []
    for name in names:
        with shown(quiet=as_json) as progress:
            verdicts = run_task(known[name], seeds=range(seeds), agents=agents, budget=budget, progress=progress)
            found += list(verdicts)
    failed = [one for one in found if not one.passed]
    if as_json:
        print_document({"verdicts": [_document(one) for one in found], "passed": not failed})
    else:
        print_table([_row(one) for one in found])
    if failed:
        worst = "; ".join(f"{one.agent} on {one.task}: {one.figure} {one.value:.3f}" for one in failed)
        raise CheckFailed(f"{len(failed)} of {len(found)} figures were missed: {worst}. See docs on sanity tasks.")


def _row(one: Any) -> dict[str, Any]:
    return {
        "task": one.task,
        "agent": one.agent,
        "figure": one.figure,
        "value": f"{one.value:.3f}",
        "bound": f"{one.bound:.2f}",
        "seeds": len(one.scores),
        "turnover": f"{max(score.turnover for score in one.scores):.4f}",
        "verdict": "met" if one.passed else "MISSED",
    }


def _document(one: Any) -> dict[str, Any]:
    scores = [[score.net, score.error, score.optimum, score.turnover, score.exposure] for score in one.scores]
    return {
        "task": one.task, "agent": one.agent, "figure": one.figure, "value": one.value, "bound": one.bound,
        "passed": one.passed, "scores": scores,
    }  # fmt: skip
