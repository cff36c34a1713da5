"""A2C: synchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783), with Adam instead of RMSprop."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.base_agent import HIDDEN, Defaults
from tradesentry.apps.drlfusion.agents.policy_layers import ActorCriticAgent, policy_kwargs
from tradesentry.apps.drlfusion.training_config import Algorithm, TrainingConfig


class A2CAgent(ActorCriticAgent):
    """A2C: one gradient step per short rollout, so its minibatch is the rollout."""

    algorithm: ClassVar[Algorithm] = "a2c"
    SMALL = Defaults(n_envs=64, minibatch=64 * 8, learning_rate=2e-3, rollout_steps=8, gae_lambda=0.9)
    LARGE = Defaults(n_envs=512, minibatch=512 * 8, learning_rate=2e-3, rollout_steps=8, gae_lambda=0.9)

    def hyper_parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the arguments of stable-baselines3's `A2C`."""
        own = self.defaults(config)
        return {
            "n_steps": own.rollout_steps,
            "learning_rate": own.learning_rate,
            "gamma": config.gamma,
            "gae_lambda": own.gae_lambda,
            "ent_coef": 0.0,
            "use_rms_prop": False,
            "normalize_advantage": True,
            "policy_kwargs": policy_kwargs(HIDDEN),
        }
