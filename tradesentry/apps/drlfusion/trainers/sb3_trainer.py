"""Run an algorithm of stable-baselines3: one thread, three random streams, the best network on validation.

The four `*_trainer.py` name the algorithm; everything else is here once. The learning library is imported inside the
functions, so that the package can be read without it, and its own files (.zip, pickles) are neither written nor read.
"""

import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.base_agent import Agent
from tradesentry.apps.drlfusion.trainers.base_trainer import Progress, RunSeeds, TrainedPolicy, require_extra
from tradesentry.apps.drlfusion.trainers.checkpoint import read_checkpoint
from tradesentry.apps.drlfusion.training_config import Algorithm, TrainingConfig
from tradesentry.core.domain.errors import DataError


class SB3Trainer:
    """A `Trainer` over one algorithm of stable-baselines3.

    Args:
        tensorboard: Folder for TensorBoard events; none are written without it.
        checkpoint: File in which the run keeps what it could go on with.
        resume: Go on from `checkpoint` if it is there; the result is then not that of an uninterrupted run.
    """

    algorithm: ClassVar[Algorithm]
    agent: ClassVar[Agent]

    def __init__(
        self, *, tensorboard: Path | None = None, checkpoint: Path | None = None, resume: bool = False
    ) -> None:
        self._tensorboard, self._checkpoint, self._resume = tensorboard, checkpoint, resume

    @abstractmethod
    def library_class(self) -> Any:
        """Return the algorithm's class."""

    def fit(
        self, train: Any, validation: Any, *, config: TrainingConfig, seed: int, progress: Progress
    ) -> TrainedPolicy:
        """Train on `train` and return the network that was best on `validation`. See `Trainer.fit`."""
        versions = require_extra()
        from tradesentry.apps.drlfusion.trainers.callbacks import Watch

        seeds = RunSeeds.of(seed)
        with _one_thread(seeds.network):
            model = self._new_model(train, config, seeds)
            watch = Watch(self, model, validation, config=config, seed=seed, progress=progress)
            watch.checkpoint = self._checkpoint
            n_before = self._continue(model, watch)
            left = config.steps_of(self.algorithm) - n_before
            if left > 0:
                _learn(model, left, watch, is_first=n_before == 0, algorithm=self.algorithm)
            watch.look_at_end()
            model.logger.close()
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)
        metadata = {
            "backend": "stable-baselines3",
            "versions": versions,
            "seed": seed,
            "seeds": [seeds.environment, seeds.network, seeds.sampler],
            "steps": model.num_timesteps,
            "n_envs": train.n_envs,
            "action": self.agent.action(config),
            "hyper_parameters": _plain(self.agent.hyper_parameters(config)),
            "gamma": config.gamma,
            "reward": config.reward,
        }
        if n_before:
            metadata["inexact_resume"] = True
        return TrainedPolicy(
            self.algorithm, self.agent.head(config), watch.tensors, tuple(watch.looks), watch.best, metadata
        )

    def _new_model(self, train: Any, config: TrainingConfig, seeds: RunSeeds) -> Any:
        """Return the algorithm over the environment; networks are drawn here, everything later is the sampler's."""
        from stable_baselines3.common.logger import configure
        from stable_baselines3.common.utils import set_random_seed

        from tradesentry.apps.drlfusion.envs.simulation_env import sb3_vec_env
        from tradesentry.apps.drlfusion.trainers.timed_env import TimedVecEnv

        set_random_seed(seeds.network)
        environment = TimedVecEnv(sb3_vec_env(train, action=self.agent.action(config)))
        model = self.library_class()("MlpPolicy", environment, device="cpu", **self.agent.hyper_parameters(config))
        set_random_seed(seeds.sampler)
        model.action_space.seed(seeds.sampler)
        environment.seed(seeds.environment)
        folder = self._tensorboard
        model.set_logger(configure(None if folder is None else str(folder), [] if folder is None else ["tensorboard"]))
        return model

    def _continue(self, model: Any, watch: Any) -> int:
        """Load what an interrupted run left and return the steps it had made; 0 without it."""
        if not self._resume or self._checkpoint is None or not self._checkpoint.is_file():
            return 0
        found = read_checkpoint(self._checkpoint)
        model.set_parameters(found.parameters, exact_match=True)
        model.num_timesteps = found.step
        watch.resume(found)
        return found.step


def _learn(model: Any, steps: int, watch: Any, *, is_first: bool, algorithm: str) -> None:
    try:
        model.learn(total_timesteps=steps, callback=watch, log_interval=10, reset_num_timesteps=is_first)
    except ValueError as error:
        # The library's distributions refuse parameters that are not finite.
        if "nan" not in str(error).lower():
            raise
        raise DataError(
            f"The training of {algorithm} diverged after {model.num_timesteps:,} steps: its network holds values that "
            "are not finite. Lower training.learning_rate.",
            code="training_diverged",
        ) from error


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """Compute on one thread with algorithms that repeat themselves, and leave the process as it was."""
    import torch

    n_threads, was_exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        torch.use_deterministic_algorithms(was_exact)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters in JSON types."""
    kept = {name: value for name, value in values.items() if name != "policy_kwargs"}
    return kept | {"net_arch": list(values["policy_kwargs"]["net_arch"]), "activation": "relu"}
