"""Train A2C with stable-baselines3."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.a2c_agent import A2CAgent
from tradesentry.apps.drlfusion.trainers.sb3_trainer import SB3Trainer
from tradesentry.apps.drlfusion.training_config import Algorithm


class A2CTrainer(SB3Trainer):
    """A2C behind the `Trainer` port."""

    algorithm: ClassVar[Algorithm] = "a2c"
    agent = A2CAgent()

    def library_class(self) -> Any:
        """Return `stable_baselines3.A2C`."""
        from stable_baselines3 import A2C

        return A2C
