"""Say how agents are trained: budgets, seeds, reward and hyper-parameters, as one model.

Separate from the trainers, because the configuration of the app carries it (`--set training.budget=0.1`) and a
back-test must not import a learning library to read it. What is left empty is the default of the agent
(`agents/*_agent.py`).
"""

import hashlib
import json
from typing import Any, Final, Literal, get_args

from pydantic import Field

from tradesentry.core.utils.config_model import FrozenModel

Algorithm = Literal["ppo", "dqn", "sac", "a2c"]
"""The four agents, in the order of the ensemble's arrays."""
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
Action = Literal["discrete", "continuous"]
Reward = Literal["net", "mean_variance", "differential_sharpe", "drawdown"]
LEAST_ENVS: Final = 8
LEAST_MINIBATCH: Final = 128


class StepBudget(FrozenModel):
    """Environment steps of one training run, by algorithm: what each needs to learn, not what each costs."""

    ppo: int = Field(200_000, ge=1, description="Environment steps of PPO.")
    a2c: int = Field(600_000, ge=1, description="Environment steps of A2C.")
    dqn: int = Field(150_000, ge=1, description="Environment steps of DQN.")
    sac: int = Field(60_000, ge=1, description="Environment steps of SAC.")


class TrainingConfig(FrozenModel):
    """Everything that shapes a trained policy besides its data and seed."""

    agents: tuple[Algorithm, ...] = Field(ALGORITHMS, min_length=1, description="Agents to train.")
    seeds: int = Field(5, ge=1, le=100, description="Runs per agent; each is reported, the best on validation is kept.")
    first_seed: int = Field(0, ge=0, description="Seed of the first run; the others follow.")
    budget: float = Field(1.0, gt=0, le=1_000, description="Multiple of the steps.")
    steps: StepBudget = Field(StepBudget(), description="Environment steps by algorithm.")
    size: Literal["small", "large"] = Field("small", description="Hyper-parameters for below or above 1 M bars.")
    action: Action = Field("discrete", description="Head of PPO and A2C.")
    reward: Reward = Field("net", description="What a bar pays, in ATRs of one full unit.")
    reward_lambda: float = Field(0.05, ge=0, le=1, description="Weight of the square in mean_variance.")
    gamma: float = Field(0.99, gt=0, lt=1, description="Discount per bar.")
    gae_lambda: float | None = Field(None, ge=0, le=1, description="Decay of advantages; the agent's when absent.")
    learning_rate: float | None = Field(None, gt=0, le=0.1, description="Of the optimizer; the agent's when absent.")
    minibatch: int | None = Field(None, ge=1, description="Samples per update; the agent's when absent.")
    epochs: int | None = Field(None, ge=1, le=50, description="Passes over a rollout of PPO; its own when absent.")
    rollout_steps: int | None = Field(None, ge=1, description="Steps per environment and update of PPO and A2C.")
    n_envs: int | None = Field(None, ge=1, le=4_096, description="Environments side by side; the agent's when absent.")
    episode_bars: int = Field(256, ge=8, le=10_000, description="Bars of an episode.")
    evaluations: int = Field(10, ge=1, le=100, description="Looks at validation per run; the best one is kept.")
    validation_starts: int = Field(64, ge=4, le=4_096, description="Episodes of one look at validation.")

    def steps_of(self, algorithm: Algorithm) -> int:
        """Return the environment steps of one run."""
        steps: int = getattr(self.steps, algorithm)
        return max(1, round(steps * self.budget))

    @property
    def digest(self) -> str:
        """Return the hash of what shapes a single run: agents, seeds and their number do not."""
        values: dict[str, Any] = self.model_dump(mode="json")
        for name in ("agents", "seeds", "first_seed"):
            del values[name]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def warnings(self, n_envs: int, minibatch: int) -> tuple[str, ...]:
        """Return what is slow about a run of that shape."""
        found = []
        if n_envs < LEAST_ENVS:
            found.append(
                f"{n_envs} environments side by side are slow: time goes into calls, not into learning. Use "
                f"{LEAST_ENVS} or more (training.n_envs)."
            )
        if minibatch < LEAST_MINIBATCH:
            found.append(
                f"Minibatches of {minibatch} are slow: time goes into calls, not into learning. Use "
                f"{LEAST_MINIBATCH} or more (training.minibatch)."
            )
        return tuple(found)
