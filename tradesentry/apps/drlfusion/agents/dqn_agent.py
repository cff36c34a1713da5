"""DQN: action values from a replay buffer and a target network (Mnih et al. 2015, Nature 518).

A value has no scale of its own, so its softmax needs a temperature. It is fitted once, on validation, so that the mean
entropy equals that of PPO (`trainers/temperature.py`), and is stored in the model.
"""

from typing import Any, ClassVar

from tradesentry.apps.drlfusion.agents.base_agent import Defaults, Tensors, network
from tradesentry.apps.drlfusion.agents.policy_layers import ReplayAgent
from tradesentry.apps.drlfusion.layout import Head
from tradesentry.apps.drlfusion.training_config import Action, Algorithm, TrainingConfig

TARGET_STEPS = 3_200
"""Environment steps between two copies to the target network."""


class DQNAgent(ReplayAgent):
    """DQN over the five levels."""

    algorithm: ClassVar[Algorithm] = "dqn"
    SMALL = Defaults(n_envs=64, minibatch=512, learning_rate=3e-4, buffer=100_000, updates=2)
    LARGE = Defaults(n_envs=64, minibatch=512, learning_rate=3e-4, buffer=1_000_000, updates=4)

    def action(self, config: TrainingConfig) -> Action:  # noqa: ARG002
        """Return `discrete`: values of actions need a list of them."""
        return "discrete"

    def head(self, config: TrainingConfig) -> Head:  # noqa: ARG002
        """Return what the outputs mean."""
        return Head.VALUES

    def hyper_parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the arguments of stable-baselines3's `DQN`."""
        return {
            **self.replay_parameters(config),
            "target_update_interval": TARGET_STEPS,
            "exploration_fraction": 0.3,
            "exploration_initial_eps": 1.0,
            "exploration_final_eps": 0.05,
        }

    def export(self, policy: Any) -> Tensors:
        """Return the network of action values."""
        layers = policy.q_net.q_net
        return network(layers[0], layers[2], layers[4].weight, layers[4].bias)
