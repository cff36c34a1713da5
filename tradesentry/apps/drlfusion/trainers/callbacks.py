"""Watch a training run: look at validation ten times, keep the best network, tell people how far it is.

Imports the learning library, so it is itself imported only where training runs.
"""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from tradesentry.apps.drlfusion.agents.base_agent import Tensors
from tradesentry.apps.drlfusion.trainers.base_trainer import Look, Progress, TrainingProgress
from tradesentry.apps.drlfusion.trainers.checkpoint import Checkpoint, write_checkpoint
from tradesentry.apps.drlfusion.trainers.evaluation import decisions_of, evaluate
from tradesentry.apps.drlfusion.trainers.temperature import COLDEST
from tradesentry.apps.drlfusion.training_config import TrainingConfig

TELL_SECONDS = 0.2
"""Least time between two words on progress."""


class Watch(BaseCallback):
    """The best-checkpoint rule and the progress of one run.

    Args:
        trainer: The back-end, for its agent.
        model: The algorithm being trained.
        validation: `SimulationEnv` that the looks are taken on.
        config: Budget and number of looks.
        seed: Root seed, for progress.
        progress: Told how far the run is.
    """

    def __init__(
        self, trainer: Any, model: Any, validation: Any, *, config: TrainingConfig, seed: int, progress: Progress
    ) -> None:
        super().__init__()
        self._agent, self._algorithm, self._model = trainer.agent, trainer.algorithm, model
        self._validation, self._config, self._seed, self._progress = validation, config, seed, progress
        self._n_steps = config.steps_of(trainer.algorithm)
        self.checkpoint: Path | None = None
        self.looks: list[Look] = []
        self.best = 0
        self.tensors: Tensors = {}
        self._told = -math.inf
        self._rollout_seconds = self._look_seconds = 0.0
        self._rollout_began = self._began = time.perf_counter()

    def resume(self, found: Checkpoint) -> None:
        """Go on after the looks that a checkpoint had."""
        self.looks, self.best, self.tensors = list(found.looks), found.best, found.tensors

    def look_at_end(self) -> None:
        """Take the last look, on the network as training leaves it."""
        if not self.looks or self.looks[-1].step < self._model.num_timesteps:
            self._look()
        self._tell(is_last=True)

    def _on_rollout_start(self) -> None:
        # Networks change between rollouts only, so this is where a look sees what has just been learned.
        due = self._n_steps * (len(self.looks) + 1) // self._config.evaluations
        if len(self.looks) < self._config.evaluations - 1 and self.num_timesteps >= due:
            self._look()
        self._tell()
        self._rollout_began = time.perf_counter()

    def _on_rollout_end(self) -> None:
        self._rollout_seconds += time.perf_counter() - self._rollout_began
        if self._config_writes_events():
            self._record()

    def _on_step(self) -> bool:
        return True

    def _look(self) -> None:
        started = time.perf_counter()
        tensors = self._agent.export(self._model.policy)
        # Action values have no temperature before PPO is trained too, so here the best one decides.
        decide = decisions_of(tensors, self._agent.head(self._config), temperature=COLDEST)
        look = evaluate(self._validation, decide, step=self._model.num_timesteps)
        self.looks.append(look)
        if not self.tensors or look.score > self.looks[self.best].score:
            self.best, self.tensors = len(self.looks) - 1, tensors
        self._look_seconds += time.perf_counter() - started
        logger = self._model.logger
        for name, value in (("score", look.score), ("net", look.mean), ("turnover", look.turnover)):
            logger.record(f"validation/{name}", value)
        logger.record("validation/abs_held", look.exposure)
        if self.checkpoint is not None:
            parameters = self._model.get_parameters()
            kept = Checkpoint(self._model.num_timesteps, parameters, tuple(self.looks), self.best, self.tensors)
            write_checkpoint(self.checkpoint, kept)

    def _tell(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if is_last or now - self._told >= TELL_SECONDS:
            self._told = now
            best = self.looks[self.best].score if self.looks else math.nan
            step = min(self._model.num_timesteps, self._n_steps)
            self._progress(TrainingProgress(self._algorithm, self._seed, step, self._n_steps, best))

    def _config_writes_events(self) -> bool:
        return bool(self._model.logger.output_formats)

    def _record(self) -> None:
        """Write what the last rollout came to, and where the time goes, into the event file."""
        logger, environment = self._model.logger, self._model.env
        rewards, actions = self.locals.get("rewards"), self.locals.get("clipped_actions", self.locals.get("actions"))
        if rewards is not None:
            logger.record_mean("rollout/reward", float(np.mean(rewards)))
        if actions is not None:
            levels = np.asarray(actions, np.float64).reshape(len(actions), -1)[:, 0]
            asked = levels / 2.0 - 1.0 if hasattr(self._model.action_space, "n") else levels
            logger.record_mean("rollout/abs_asked", float(np.mean(np.abs(asked))))
        seconds = max(time.perf_counter() - self._began - self._look_seconds, 1e-9)
        updating = max(seconds - self._rollout_seconds, 1e-9)
        logger.record("time/steps_per_second_rollout", self.num_timesteps / max(self._rollout_seconds, 1e-9))
        logger.record("time/steps_per_second_update", self.num_timesteps / updating)
        logger.record("time/environment_share", environment.seconds / seconds)
