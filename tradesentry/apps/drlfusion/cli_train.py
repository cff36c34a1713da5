"""The commands `tradesentry drl …`: train, and what belongs to it. This module holds the group and `train`.

A training says what it will do, shows one bar per cell, and ends with a row per run: every seed, not only the one that
was packaged. Finished cells are kept by content, so the same command after a kill goes on where it was.
"""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.apps.drlfusion.training_config import ALGORITHMS, TrainingConfig
from tradesentry.backtest.commands.request import (
    FromOption,
    JsonOption,
    RunsOption,
    SourceOption,
    SymbolsOption,
    TimeframeOption,
    ToOption,
    overrides_of,
)
from tradesentry.core.domain.errors import CheckFailed, UsageError, nearest

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train the agents of drlfusion, and look at what was trained.",
)
AgentsOption = Annotated[str | None, typer.Option(help="Agents, comma-separated: ppo,dqn,sac,a2c.")]
ProcessesOption = Annotated[int, typer.Option(min=1, help="Cells that train at a time, one thread each.")]
TrainingSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value of the strategy, or training.key=value; repeatable."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with sections strategy and training.")]
STUDY_FOLDER = "fits"


@app.callback()
def group() -> None:
    """Train the agents of drlfusion, and look at what was trained."""


def agents_of(text: str | None) -> tuple[Any, ...]:
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


@app.command()
def train(
    agents: AgentsOption = None,
    symbols: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    source: SourceOption = "synthetic:teaching",
    from_: FromOption = None,
    to: ToOption = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs per agent; every one is reported.")] = None,
    validation_bars: Annotated[int | None, typer.Option(min=100, help="Bars at the end that judge.")] = None,
    preset: Annotated[str | None, typer.Option(help="Fixed data and sizes: shipped.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Train the preset again and compare with what is there.")
    ] = False,
    processes: ProcessesOption = 1,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Use finished cells, or train all anew.")] = True,
    resume_cell: Annotated[
        bool, typer.Option("--resume-cell", help="Go on inside a killed cell; not exact, and the model says so.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard.")] = False,
    package: Annotated[bool, typer.Option("--package/--no-package", help="Write a model set.")] = True,
    set_: TrainingSetOption = None,
    config: ConfigOption = None,
    out: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train agents on bars and package the best seed of each by validation."""
    from tradesentry.apps.drlfusion.trainers.base_trainer import require_extra
    from tradesentry.apps.drlfusion.trainers.commands import Request, run_training

    require_extra()
    if check and preset is None:
        raise UsageError("--check compares a preset with what is there. Add --preset shipped.")
    overrides = overrides_of(set_, symbols=symbols, timeframe=timeframe, intrabar=None)
    if preset is not None and (overrides or agents or seeds or config):
        raise UsageError(f"The preset {preset} fixes data and sizes. Leave out --symbols, --agents, --seeds and --set.")
    request = Request(
        preset=preset,
        processes=processes,
        is_fresh=check or not resume,
        resume_cells=resume_cell,
        tensorboard=tensorboard,
        package=package,
        is_quiet=as_json,
        is_check=check,
        validation_bars=validation_bars,
        out=out,
        stamp=datetime.now(UTC),
    )
    if preset is None:
        training = training_of(overrides, config=config, agents=agents, seeds=seeds)
        run = run_of(overrides, config=config, source=source, from_=from_, to=to)
        run_training(request, run, training, as_json=as_json)
        return
    if not check:
        run_training(request, None, None, as_json=as_json)
        return
    with tempfile.TemporaryDirectory(prefix="drl-check-") as folder:
        differences = run_training(request, None, None, as_json=as_json, scratch=Path(folder))
    if differences:
        raise CheckFailed(
            f"The set of preset {preset} cannot be repeated here: {'; '.join(differences)}. Versions or the type of "
            f"machine differ, or the code changed; train it anew with `tradesentry drl train --preset {preset}`."
        )
