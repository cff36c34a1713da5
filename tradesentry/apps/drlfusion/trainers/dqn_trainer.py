"""Train DQN with stable-baselines3."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.dqn_agent import DQNAgent
from tradesentry.apps.drlfusion.trainers.sb3_trainer import SB3Trainer
from tradesentry.apps.drlfusion.training_config import Algorithm


class DQNTrainer(SB3Trainer):
    """DQN behind the `Trainer` port."""

    algorithm: ClassVar[Algorithm] = "dqn"
    agent = DQNAgent()

    def library_class(self) -> Any:
        """Return `stable_baselines3.DQN`."""
        from stable_baselines3 import DQN

        return DQN
