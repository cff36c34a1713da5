"""Measure how much of a training run its environment takes, without touching what it returns.

Imports the learning library, so it is itself imported only where training runs.
"""

import time
from typing import Any

from stable_baselines3.common.vec_env import VecEnvWrapper


class TimedVecEnv(VecEnvWrapper):
    """A vector environment with a clock beside it: `seconds` adds up what `step_wait` took."""

    seconds = 0.0

    def reset(self) -> Any:
        """Start all environments."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Step all environments."""
        started = time.perf_counter()
        found = self.venv.step_wait()
        self.seconds += time.perf_counter() - started
        return found
