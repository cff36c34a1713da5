"""Train a set: every agent with every seed, the best seed of each on validation, packaged together.

One study, in this order: the data set; a cell per agent and seed, finished ones reused; per agent the run with the
highest validation score; the temperature of DQN, matched to PPO's certainty; the folder of four models. Every seed is
reported with its score, not only the packaged one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import Float32Array
from tradesentry.apps.drlfusion.agents.proposals import Network, Quartet
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.market_data import MarketData
from tradesentry.apps.drlfusion.layout import AGENTS, Head
from tradesentry.apps.drlfusion.trainers.base_trainer import Look, Progress, TrainedPolicy
from tradesentry.apps.drlfusion.trainers.cells import Cell, CellStore, train_cells
from tradesentry.apps.drlfusion.trainers.data_set import VALIDATION_SEED, DataSet
from tradesentry.apps.drlfusion.trainers.evaluation import FloatArray, evaluate, snapped
from tradesentry.apps.drlfusion.trainers.temperature import fit_temperature, mean_entropy
from tradesentry.apps.drlfusion.training_config import Algorithm, TrainingConfig
from tradesentry.backtest.metrics.seeds import iqm_interval
from tradesentry.core.domain.errors import ConfigError

DATA_FOLDER: Final = "data"
CELL_FOLDER: Final = "cells"
LOOK_STARTS: Final = 64
LOOK_BARS: Final = 256
SAMPLE_SEED: Final = 20_231_117
"""Of the starts that observations are collected from."""
SAMPLE_STEPS: Final = 64
"""Bars per episode that observations are collected on: 64 starts of 64 bars are 4,096."""


@dataclass(frozen=True, slots=True)
class Study:
    """What to train on what."""

    data: DataSet
    config: TrainingConfig
    folder: Path
    """Where the data set and finished cells are kept."""
    code: str
    """Digest of the sources that decide and train."""
    fold: int = 0
    tensorboard: Path | None = None
    resume_cells: bool = False

    def cells(self) -> list[Cell]:
        """Return one cell per agent and seed, in order."""
        data = self.data.save(self.folder / DATA_FOLDER)
        seeds = range(self.config.first_seed, self.config.first_seed + self.config.seeds)
        return [
            Cell(
                algorithm, seed, self.fold, data, self.data.hash, self.config, self.code,
                tensorboard=self.tensorboard, resume=self.resume_cells,
            )
            for algorithm in self.config.agents
            for seed in seeds
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """One run of each agent, to be asked, judged or packaged together."""

    data: DataSet
    policies: Mapping[Algorithm, TrainedPolicy]
    temperature: float
    """Of DQN's action values, at which it is as certain as PPO; 1 without one of them."""

    def networks(self) -> dict[str, Network]:
        """Return the networks by agent, ready to be asked."""
        return {
            name: Network(run.tensors, run.head, temperature=self.temperature if run.head is Head.VALUES else 1.0)
            for name, run in self.policies.items()
        }

    def look(self, config: DrlFusionConfig | None = None) -> Look:
        """Return what the vote of all four comes to on validation.

        Args:
            config: Rule and thresholds; those of the data set when None.
        """
        vote = Quartet(self.networks(), config or self.data.config)
        environment = self.data.environment(
            self.data.validation, n_envs=LOOK_STARTS, episode_bars=LOOK_BARS, seed=VALIDATION_SEED
        )
        return evaluate(environment, lambda observations: snapped(vote.wish(observations)))


@dataclass(frozen=True, slots=True)
class Trained:
    """What a study came to."""

    study: Study
    policies: Mapping[Algorithm, Sequence[TrainedPolicy]]
    """Every run by agent, in the order of seeds."""

    @property
    def chosen(self) -> dict[Algorithm, TrainedPolicy]:
        """Return the run of each agent with the highest validation score; the first of equals."""
        return {name: max(runs, key=lambda run: run.score) for name, runs in self.policies.items()}

    def best(self) -> Selection:
        """Return the best run of each agent."""
        return selection(self.study.data, self.chosen)

    def of_seed(self, index: int) -> Selection:
        """Return the runs of one seed, by its place among the seeds."""
        return selection(self.study.data, {name: runs[index] for name, runs in self.policies.items()})

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run for tables: agent, seed, score, whether it was kept."""
        chosen = self.chosen
        return [
            {
                "agent": name,
                "seed": int(run.metadata["seed"]),
                "steps": int(run.metadata["steps"]),
                "net per bar (ATR)": run.looks[run.best].mean,
                "score": run.score,
                "turnover": run.looks[run.best].turnover,
                "best look": run.best + 1,
                "kept": run is chosen[name],
            }
            for name, runs in self.policies.items()
            for run in runs
        ]

    def figures(self, name: Algorithm) -> dict[str, Any]:
        """Return the validation figures of an agent over its seeds, in JSON types."""
        runs = self.policies[name]
        found = iqm_interval([[run.looks[run.best].mean for run in runs]])
        return {
            "validation_net_per_bar_iqm": found.value,
            "validation_net_per_bar_interval": [found.low, found.high] if math.isfinite(found.low) else None,
            "validation_scores": [run.score for run in runs],
            "validation_turnover": self.chosen[name].looks[self.chosen[name].best].turnover,
            "n_trials": len(runs),
        }


def train(study: Study, *, processes: int = 1, progress: Progress) -> Trained:
    """Train what is not finished and return every run.

    Args:
        study: What to train on what.
        processes: How many cells run at a time.
        progress: Told how far each running cell is.

    Raises:
        TradeSentryError: A training failed.
    """
    cells = study.cells()
    results = train_cells(cells, CellStore(study.folder / CELL_FOLDER), processes=processes, progress=progress)
    policies: dict[Algorithm, list[TrainedPolicy]] = {}
    for cell in cells:
        policies.setdefault(cell.algorithm, []).append(results[cell.key])
    return Trained(study, policies)


def require_all(config: TrainingConfig) -> None:
    """Refuse a study that does not train all four agents, where a set is wanted.

    Raises:
        ConfigError: An agent is missing.
    """
    missing = [name for name in AGENTS if name not in config.agents]
    if missing:
        raise ConfigError(
            f"A set has all four agents; {', '.join(missing)} would not be trained. Leave --agents out, or train "
            "single agents with --no-package."
        )


def sample(data: DataSet, part: MarketData, decide: Callable[[Float32Array], FloatArray], *, seed: int) -> Float32Array:
    """Return observations met when deciding so, shape (n, 28).

    Args:
        data: The data set.
        part: Its training or validation.
        decide: Targets for observations.
        seed: Of the starts.
    """
    environment = data.environment(part, n_envs=64, episode_bars=SAMPLE_STEPS, seed=seed)
    seen = [environment.reset(seed=seed).copy()]
    for _ in range(SAMPLE_STEPS - 1):
        seen.append(environment.step(decide(seen[-1]))[0].copy())
    return np.concatenate(seen)


def deciding(network: Network) -> Callable[[Float32Array], FloatArray]:
    """Return the deterministic decisions of a network: its proposal, snapped."""
    return lambda observations: snapped(network.propose(observations).p)


def selection(data: DataSet, policies: Mapping[Algorithm, TrainedPolicy]) -> Selection:
    """Return runs that belong together, DQN with the temperature at which it is as certain as PPO on validation.

    Args:
        data: What they were trained on.
        policies: One run per agent.
    """
    if "dqn" not in policies or "ppo" not in policies:
        return Selection(data, policies, 1.0)
    ppo = Network(policies["ppo"].tensors, policies["ppo"].head)
    dqn = Network(policies["dqn"].tensors, policies["dqn"].head)
    observations = sample(data, data.validation, deciding(ppo), seed=VALIDATION_SEED)

    def entropy_at(temperature: float) -> float:
        dqn.temperature = temperature
        return mean_entropy(dqn.propose(observations).pi)

    found = fit_temperature(entropy_at, mean_entropy(ppo.propose(observations).pi))
    # Rounded, so that the last digit does not depend on the order in which a machine sums.
    return Selection(data, policies, float(f"{found:.6g}"))
