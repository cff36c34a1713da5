"""The walk-forward of drlfusion, as data, and its fit: four agents trained on a fold's past, the best seed of each.

A fold has twenty-four months to learn from and three that choose checkpoint, seed and temperature, with gaps as long as
a position may be held; the test window is touched once, by the shared walk-forward. Finished cells are filed by
content, so a walk-forward that is killed goes on at the first unfinished one. Every seed of every agent is a trial, and
every seed is traded on the test window beside the chosen ones.
"""

import hashlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tradesentry.backtest.studies.folds import FoldPlan
from tradesentry.backtest.studies.walks import Fitted, FitWindow, SeedFit
from tradesentry.core.domain.errors import ConfigError

if TYPE_CHECKING:
    from tradesentry.apps.drlfusion.trainers.training_run import Selection, Trained

SEARCH: Final[Mapping[str, tuple[Any, ...]]] = {
    "hysteresis": (0.0, 0.5),
    "vote_threshold": (0.0, 0.6),
    "rule": ("quorum", "mean", "softmax", "hedge", "gate"),
    "quorum_n": (2, 4),
}
"""What a sweep may move around a finished set: choices, or (low, high) of a number."""
TRAINING_SEARCH: Final[Mapping[str, tuple[Any, ...]]] = {
    "learning_rate": (1e-4, 3e-3),
    "rollout_steps": (8, 16, 32, 64),
    "minibatch": (256, 512, 1_024),
    "epochs": (4, 10),
    "gamma": (0.9, 0.99),
    "gae_lambda": (0.8, 0.99),
    "reward": ("net", "mean_variance", "differential_sharpe"),
    "reward_lambda": (0.01, 0.2),
}
"""What `tradesentry drl tune` may move."""
FOLDS: Final = FoldPlan(train="24m", validation="3m", test="3m", embargo="14d", skip="24d")
"""The embargo is the longest holding, 240 bars of an hour; 400 bars after an earlier test are not learned from."""
MODELS: Final = "models"


def fit(train: FitWindow, validation: FitWindow | None, seed: int) -> Fitted:
    """Train on the past of a fold and return the folder of its models as configuration.

    Args:
        train: What may be learned from.
        validation: What chooses checkpoint, seed and temperature.
        seed: Root of all random numbers.

    Raises:
        ConfigError: The folds have no validation slice, or an agent is left out.
        UsageError: The learning library is not installed.
        DataError: The window is too short, or a training diverged.
    """
    from tradesentry.apps.drlfusion.trainers.base_trainer import TrainingProgress, require_extra
    from tradesentry.apps.drlfusion.trainers.prepare import data_set_of_windows
    from tradesentry.apps.drlfusion.trainers.training_run import Study, require_all
    from tradesentry.apps.drlfusion.trainers.training_run import train as train_study
    from tradesentry.backtest.source_code import code_digest

    if validation is None:
        raise ConfigError(
            "drlfusion chooses checkpoints on a validation slice and these folds have none. Add --validation 3m."
        )
    require_extra()
    config: Any = train.run.config
    training = config.training.model_copy(update={"first_seed": config.training.first_seed + seed})
    require_all(training)
    data = data_set_of_windows(train, validation)
    study = Study(data, training, train.folder, code_digest(train.run.strategy), fold=train.fold.index)

    def tell(progress: TrainingProgress) -> None:
        name = f"fold {train.fold.index + 1}, {progress.algorithm} seed {progress.seed}"
        train.report(name, progress.step, progress.n_steps)

    return _fitted(train_study(study, processes=train.workers, progress=tell))


def _fitted(trained: "Trained") -> Fitted:
    """Return what was chosen, what was tried, and every seed by itself."""
    config = trained.study.config
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    recipe = config.digest[:8]
    return Fitted(
        {MODELS: _packaged(trained, trained.best())},
        {f"{recipe}-{name}-seed-{seed}": None for name in config.agents for seed in seeds},
        tuple(_seed_fit(trained, index, seed) for index, seed in enumerate(seeds)),
    )


def _seed_fit(trained: "Trained", index: int, seed: int) -> SeedFit:
    found = trained.of_seed(index)
    return SeedFit(seed, {MODELS: _packaged(trained, found)}, found.look().score)


def _packaged(trained: "Trained", selected: "Selection") -> str:
    """Return the folder of a model set, named by the networks and the study that they come from."""
    from tradesentry.apps.drlfusion.model_package import load_model_set
    from tradesentry.apps.drlfusion.trainers.packaging import package
    from tradesentry.core.domain.errors import TradeSentryError

    study = trained.study
    parts = [study.data.hash, study.config.digest, study.code, str(study.fold)]
    parts += [run.digest for run in selected.policies.values()]
    folder = study.folder / MODELS / hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]
    try:
        load_model_set(str(folder))
    except TradeSentryError:
        package(trained, folder, selected=selected)
    return str(folder)


def main() -> None:
    """Walk forward over the declared windows."""
    import typer

    from tradesentry.backtest.commands.shell import run_command
    from tradesentry.backtest.commands.walk_forward import walk_forward

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name="walk-forward")(walk_forward)
    sys.exit(run_command(app, ["drlfusion", *sys.argv[1:]], name="drlfusion walk-forward"))


if __name__ == "__main__":
    main()
