"""Small data sets and policies for tests of training: generated prices with a pattern, networks of random weights."""

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import SHAPES
from tradesentry.apps.drlfusion.envs.sanity_series import sanity_series
from tradesentry.apps.drlfusion.envs.sanity_tasks import TASKS, task_config, task_data
from tradesentry.apps.drlfusion.layout import BARS_NEEDED, Head
from tradesentry.apps.drlfusion.trainers.base_trainer import Look, TrainedPolicy
from tradesentry.apps.drlfusion.trainers.cells import Cell
from tradesentry.apps.drlfusion.trainers.data_set import new_data_set
from tradesentry.apps.drlfusion.training_config import StepBudget, TrainingConfig

FACTS = {
    "source": "generated",
    "is_synthetic": True,
    "symbols": ["SANITY"],
    "train": ["a", "b"],
    "validation": ["c", "d"],
}
TINY = TrainingConfig(
    seeds=1,
    steps=StepBudget(ppo=4_096, a2c=4_096, dqn=4_096, sac=3_072),
    gamma=0.9,
    episode_bars=64,
    evaluations=4,
    validation_starts=16,
)
"""Seconds of training, enough to change the weights."""


def part(*, seed=0, n_bars=800, name="mean_reverting"):
    """One path of a sanity task and its mirror."""
    return task_data(TASKS[name], sanity_series(name, BARS_NEEDED + n_bars, seed))


def tiny_data(*, seed=0, n_bars=800):
    """A data set of two paths, one to learn from and one that judges."""
    parts = part(seed=seed, n_bars=n_bars), part(seed=seed + 1_000, n_bars=n_bars)
    return new_data_set(*parts, config=task_config(), facts=FACTS, limits="off")


def random_tensors(seed=0, size=0.2):
    """A network of random weights."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.0, size, shape).astype(np.float32) for name, shape in SHAPES.items()}


def random_policy(algorithm="ppo", *, seed=0, head=Head.LOGITS, score=0.1):
    """A policy that nobody trained."""
    looks = (Look(100, score, 0.01, 0.2, 0.5), Look(200, score / 2, 0.01, 0.2, 0.5))
    return TrainedPolicy(algorithm, head, random_tensors(seed), looks, 0, {"seed": seed, "steps": 200})


def cell(folder, data, *, algorithm="ppo", seed=0, fold=0, config=TINY, code="code"):
    """A cell on a data set that was saved under `folder`."""
    return Cell(algorithm, seed, fold, data.save(folder / "data"), data.hash, config, code)
