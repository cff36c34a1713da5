"""The commands `tradesentry drl …`: train, and what belongs to it. This module holds the group and `train`.

A training says what it will do, shows one bar per cell, and ends with a row per run: every seed, not only the one that
was packaged. Finished cells are kept by content, so the same command after a kill goes on where it was.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tradesentry.apps.drlfusion.cli_audit import audit
from tradesentry.apps.drlfusion.cli_models import inspect, verify
from tradesentry.apps.drlfusion.cli_options import (
    AgentsOption,
    ConfigOption,
    ProcessesOption,
    TrainingSetOption,
    run_of,
    training_of,
)
from tradesentry.apps.drlfusion.cli_sanity import sanity
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
from tradesentry.core.domain.errors import CheckFailed, UsageError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train the agents of drlfusion, and look at what was trained.",
)


@app.callback()
def group() -> None:
    """Train the agents of drlfusion, and look at what was trained."""


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


for _command in (sanity, audit, verify, inspect):
    app.command()(_command)
