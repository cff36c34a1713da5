"""SAC: soft actor-critic with a squashed Gaussian (Haarnoja et al. 2018, arXiv:1812.05905), cut into five levels."""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.base_agent import Defaults, Tensors, network
from tradesentry.apps.drlfusion.agents.policy_layers import ReplayAgent, stacked
from tradesentry.apps.drlfusion.layout import Head
from tradesentry.apps.drlfusion.training_config import Action, Algorithm, TrainingConfig


class SACAgent(ReplayAgent):
    """SAC on the exposure itself, any number in [-1, 1]."""

    algorithm: ClassVar[Algorithm] = "sac"
    SMALL = Defaults(n_envs=64, minibatch=256, learning_rate=1e-3, buffer=100_000, updates=2)
    LARGE = Defaults(n_envs=64, minibatch=256, learning_rate=1e-3, buffer=100_000, updates=4)

    def action(self, config: TrainingConfig) -> Action:  # noqa: ARG002
        """Return `continuous`: a squashed Gaussian has no levels."""
        return "continuous"

    def head(self, config: TrainingConfig) -> Head:  # noqa: ARG002
        """Return what the outputs mean."""
        return Head.SQUASHED

    def hyper_parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the arguments of stable-baselines3's `SAC`."""
        return {**self.replay_parameters(config), "ent_coef": "auto_0.1", "target_entropy": -2.0}

    def export(self, policy: Any) -> Tensors:
        """Return the actor: mean and log deviation before the squash."""
        actor = policy.actor
        weight, bias = stacked(actor.mu, actor.log_std)
        return network(actor.latent_pi[0], actor.latent_pi[2], weight, bias)
