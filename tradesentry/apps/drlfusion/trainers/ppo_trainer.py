"""Train PPO with stable-baselines3."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.ppo_agent import PPOAgent
from tradesentry.apps.drlfusion.trainers.sb3_trainer import SB3Trainer
from tradesentry.apps.drlfusion.training_config import Algorithm


class PPOTrainer(SB3Trainer):
    """PPO behind the `Trainer` port."""

    algorithm: ClassVar[Algorithm] = "ppo"
    agent = PPOAgent()

    def library_class(self) -> Any:
        """Return `stable_baselines3.PPO`."""
        from stable_baselines3 import PPO

        return PPO
