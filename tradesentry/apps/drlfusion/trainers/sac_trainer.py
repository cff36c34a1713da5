"""Train SAC with stable-baselines3."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.sac_agent import SACAgent
from tradesentry.apps.drlfusion.trainers.sb3_trainer import SB3Trainer
from tradesentry.apps.drlfusion.training_config import Algorithm


class SACTrainer(SB3Trainer):
    """SAC behind the `Trainer` port."""

    algorithm: ClassVar[Algorithm] = "sac"
    agent = SACAgent()

    def library_class(self) -> Any:
        """Return `stable_baselines3.SAC`."""
        from stable_baselines3 import SAC

        return SAC
