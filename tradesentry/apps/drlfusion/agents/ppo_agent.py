"""PPO: a clipped policy gradient over rollouts of many environments (Schulman et al. 2017, arXiv:1707.06347)."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.base_agent import HIDDEN, Defaults
from tradesentry.apps.drlfusion.agents.policy_layers import ActorCriticAgent, policy_kwargs
from tradesentry.apps.drlfusion.training_config import Algorithm, TrainingConfig


class PPOAgent(ActorCriticAgent):
    """PPO with small rollouts and large minibatches: the time goes into learning, not into calls."""

    algorithm: ClassVar[Algorithm] = "ppo"
    SMALL = Defaults(n_envs=64, minibatch=512, learning_rate=1e-3, rollout_steps=32, epochs=10, gae_lambda=0.9)
    LARGE = Defaults(n_envs=256, minibatch=4_096, learning_rate=3e-4, rollout_steps=64, epochs=4, gae_lambda=0.95)

    def hyper_parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the arguments of stable-baselines3's `PPO`."""
        own = self.defaults(config)
        return {
            "n_steps": own.rollout_steps,
            "batch_size": own.minibatch,
            "n_epochs": own.epochs,
            "learning_rate": own.learning_rate,
            "clip_range": 0.2,
            "gamma": config.gamma,
            "gae_lambda": own.gae_lambda,
            "ent_coef": 0.0,
            "policy_kwargs": policy_kwargs(HIDDEN),
        }
