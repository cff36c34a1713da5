"""What the commands `tradesentry drl …` share: options, and how they become configurations and runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.apps.drlfusion.training_config import ALGORITHMS, Algorithm, TrainingConfig
from tradesentry.core.domain.errors import UsageError, nearest

AgentsOption = Annotated[str | None, typer.Option(help="Agents, comma-separated: ppo,dqn,sac,a2c.")]
ProcessesOption = Annotated[int, typer.Option(min=1, help="Cells that train at a time, one thread each.")]
TrainingSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value of the strategy, or training.key=value; repeatable."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with sections strategy and training.")]


def agents_of(text: str | None) -> tuple[Algorithm, ...]:
    """Return the agents of a comma-separated list.

    Raises:
        UsageError: An unknown one.
    """
    if text is None:
        return ALGORITHMS
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in ALGORITHMS:
            raise UsageError(f"There is no agent {name!r}. {nearest(name, ALGORITHMS)}")
    return tuple(name for name in ALGORITHMS if name in names)


def training_of(
    overrides: Sequence[str], *, config: Path | None, agents: str | None = None, seeds: int | None = None
) -> TrainingConfig:
    """Return how agents are trained, from file and options.

    Args:
        overrides: `key=value` texts; those that begin with `training.` are meant here.
        config: File with a section `training`.
        agents: Agents, comma-separated.
        seeds: Runs per agent.
    """
    from tradesentry.apps.drlfusion.trainers.prepare import load_training

    own = [text.strip().removeprefix("training.") for text in overrides if text.strip().startswith("training.")]
    if agents is not None:
        own.append(f"agents=[{','.join(agents_of(agents))}]")
    if seeds is not None:
        own.append(f"seeds={seeds}")
    return load_training(own, path=config)


def run_of(
    overrides: Sequence[str],
    *,
    config: Path | None,
    source: str,
    from_: str | None,
    to: str | None,
) -> Any:
    """Return the resolved run whose bars are trained on; `Any` because importing its class takes long.

    Args:
        overrides: `key=value` texts of the strategy; those that begin with `training.` are left out.
        config: File with a section `strategy`.
        source: Source of the bars.
        from_: First open.
        to: Opens at or after it are left out.
    """
    from tradesentry.apps.drlfusion.trainers.prepare import APP, CONFIG_FILE
    from tradesentry.backtest.resolve import RunSettings, resolve_run
    from tradesentry.core.strategy.strategy_registry import strategy
    from tradesentry.core.utils.config_loader import load_config

    own = [text for text in overrides if not text.strip().startswith("training.")]
    chosen = load_config(strategy(APP).Config, path=config or CONFIG_FILE, section="strategy", overrides=own).value
    settings = RunSettings(source=source, from_=from_, to=to)
    return resolve_run(APP, config=chosen.model_dump(), settings=settings)
