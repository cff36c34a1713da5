"""Carry out the command `train`: say what is trained, show how far it is, package, compare, print.

Separate from the command line, which must not load a learning library to print its help.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from tradesentry.apps.drlfusion.model_package import CHECKSUMS, ModelSet, load_model_set, models_folder
from tradesentry.apps.drlfusion.trainers.base_trainer import Progress, TrainingProgress
from tradesentry.apps.drlfusion.trainers.packaging import package, train_bars, validation_bars
from tradesentry.apps.drlfusion.trainers.prepare import data_set_of, load_preset, preset_data
from tradesentry.apps.drlfusion.trainers.registry import agent_of
from tradesentry.apps.drlfusion.trainers.training_run import Study, Trained, require_all, train
from tradesentry.apps.drlfusion.training_config import TrainingConfig
from tradesentry.backtest.cli import free_folder, new_run_id, runs_folder
from tradesentry.backtest.commands.study_options import print_document
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.source_code import code_digest
from tradesentry.backtest.studies.study import STORE_FOLDER
from tradesentry.backtest.walk_forward import FITS


@dataclass(frozen=True, slots=True)
class Request:
    """What the options of `train` ask for."""

    preset: str | None
    processes: int
    is_fresh: bool
    resume_cells: bool
    tensorboard: bool
    package: bool
    is_quiet: bool
    is_check: bool
    validation_bars: int | None
    out: Path | None
    stamp: datetime


def run_training(
    request: Request,
    run: ResolvedRun | None,
    training: TrainingConfig | None,
    *,
    as_json: bool,
    scratch: Path | None = None,
) -> list[str]:
    """Train, package and print; return how the set differs from the one of the preset, when that is asked.

    Args:
        request: The options.
        run: Bars to train on; those of the preset when None.
        training: How; the preset's when None.
        as_json: Print one document instead of tables.
        scratch: Folder for a set that is only compared.
    """
    root = runs_folder(request.out)
    folder = free_folder(root, new_run_id("drl-train", request.stamp))
    work = (scratch or folder) if request.is_fresh else root / STORE_FOLDER / FITS
    if run is None or training is None:
        preset = load_preset(str(request.preset))
        training = preset.training
        run, data = preset_data(preset, work / "features")
    else:
        data = data_set_of(run, training, validation_bars=request.validation_bars, folder=work / "features")
    if request.package:
        require_all(training)
    study = Study(
        data,
        training,
        work,
        _code(request) or code_digest(run.strategy),
        tensorboard=folder / "tensorboard" if request.tensorboard else None,
        resume_cells=request.resume_cells,
    )
    announce(study)
    with shown(quiet=request.is_quiet) as progress:
        trained = train(study, processes=request.processes, progress=progress)
    found = _packaged(request, trained, folder, scratch)
    differences = [] if scratch is None or found is None else compare(found.folder, models_folder(str(request.preset)))
    show(trained, found, differences, as_json=as_json)
    return differences


def _code(request: Request) -> str | None:
    """Return the code that the set to be compared says it was made by, else every edit would make a difference."""
    if not request.is_check:
        return None
    models = load_model_set(str(request.preset)).models
    return str(models[0].meta.get("code", ""))


def _packaged(request: Request, trained: Trained, folder: Path, scratch: Path | None) -> ModelSet | None:
    if not request.package:
        return None
    target = scratch / "models" if scratch is not None else folder / "models"
    if request.preset is not None and scratch is None:
        target = models_folder(request.preset)
    return package(trained, target)


def announce(study: Study) -> None:
    """Say on stderr what is going to be trained, and what is slow about it."""
    facts, config = study.data.facts, study.config
    what = "SYNTHETIC data" if facts["is_synthetic"] else f"source {facts['source']}"
    say(
        f"drlfusion: {', '.join(config.agents)} x {config.seeds} seeds on {', '.join(facts['symbols'])} "
        f"{study.data.config.timeframe}, {what}"
    )
    say(
        f"{train_bars(study.data):,} bars to learn from, {' to '.join(facts['train'])} UTC; "
        f"{validation_bars(study.data):,} to judge, {' to '.join(facts['validation'])} UTC"
    )
    steps = ", ".join(f"{name} {config.steps_of(name):,}" for name in config.agents)
    say(f"steps a run: {steps}; reward {config.reward}, discount {config.gamma:g}; work in {study.folder}")
    for name in config.agents:
        own = agent_of(name).defaults(config)
        for warning in config.warnings(own.n_envs, own.minibatch):
            say(f"warning: {name}: {warning}")


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """Yield a progress: one bar per running cell on a terminal, JSON lines in a pipe, nothing when quiet."""
    if quiet:
        yield lambda _progress: None
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"),
        TextColumn("{task.fields[score]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[tuple[str, int], Any] = {}

        def tell(progress: TrainingProgress) -> None:
            key = (progress.algorithm, progress.seed)
            if key not in tasks:
                tasks[key] = bars.add_task(f"{key[0]} seed {key[1]}", total=progress.n_steps, score="")
            score = "" if progress.best != progress.best else f"best {progress.best:.4f}"
            bars.update(tasks[key], completed=progress.step, score=score)

        yield tell


def _lines() -> Callable[[TrainingProgress], None]:
    told: dict[tuple[str, int], int] = {}

    def tell(progress: TrainingProgress) -> None:
        key, tenth = (progress.algorithm, progress.seed), 10 * progress.step // progress.n_steps
        if tenth > told.get(key, -1):
            told[key] = tenth
            best = None if progress.best != progress.best else round(progress.best, 6)
            line = {"agent": key[0], "seed": key[1], "step": progress.step, "steps": progress.n_steps, "best": best}
            say(json.dumps(line))

    return tell


def show(trained: Trained, found: ModelSet | None, differences: list[str], *, as_json: bool) -> None:
    """Print every run, and where the set is."""
    rows = trained.rows()
    if as_json:
        print_document(
            {
                "runs": rows,
                "data": dict(trained.study.data.facts) | {"hash": trained.study.data.hash},
                "figures": {name: trained.figures(name) for name in trained.policies},
                "folder": None if found is None else str(found.folder),
                "digest": None if found is None else found.digest,
                "differences": differences,
            }
        )
        return
    floats = ("net per bar (ATR)", "score", "turnover")
    print_table([{key: f"{row[key]:.4f}" if key in floats else row[key] for key in row} for row in rows])
    if found is not None:
        for model in found.models:
            if model.meta["notice"]:
                say(f"notice: {model.meta['notice']}")
                break
        say(f"models:  {found.folder}")


def compare(ours: Path, theirs: Path) -> list[str]:
    """Return how two sets differ: one line per file whose checksum is another.

    Args:
        ours: Folder of the set just trained.
        theirs: Folder of the set that is there.
    """
    sums = [_sums(folder) for folder in (ours, theirs)]
    names = sorted(set(sums[0]) | set(sums[1]))
    return [f"{name} differs" for name in names if sums[0].get(name) != sums[1].get(name)]


def _sums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS
    if not path.is_file():
        return {}
    return {line.split()[1]: line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
