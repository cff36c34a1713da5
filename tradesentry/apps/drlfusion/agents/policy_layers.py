"""What agents have in common by the family of their algorithm: heads, arguments, and the names of a policy's layers.

PPO and A2C learn an actor beside a critic, DQN and SAC learn from a buffer of the past.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import HIDDEN, Agent, Float32Array, Tensors, network
from tradesentry.apps.drlfusion.layout import Head
from tradesentry.apps.drlfusion.training_config import TrainingConfig

LEARNING_STARTS: Final = 2_000
"""Environment steps in the buffer before the first update."""


def policy_kwargs(hidden: Sequence[int]) -> dict[str, Any]:
    """Return the shape of a policy: hidden layers with ReLU, policy and value networks apart.

    Args:
        hidden: Units per hidden layer.
    """
    from torch import nn

    return {"net_arch": list(hidden), "activation_fn": nn.ReLU}


class ActorCriticAgent(Agent):
    """An agent that learns an actor beside a critic; only the actor decides."""

    def head(self, config: TrainingConfig) -> Head:
        """Return what the outputs mean."""
        return Head.LOGITS if config.action == "discrete" else Head.GAUSSIAN

    def export(self, policy: Any) -> Tensors:
        """Return the actor: five logits, or mean and log deviation.

        The log deviation of a Gaussian does not depend on the observation, so it becomes a bias without weights.

        Args:
            policy: `ActorCriticPolicy` of stable-baselines3.
        """
        layers, head = policy.mlp_extractor.policy_net, policy.action_net
        weight, bias = _plain(head.weight), _plain(head.bias)
        if hasattr(policy, "log_std"):
            weight = np.concatenate([weight, np.zeros_like(weight)])
            bias = np.concatenate([bias, _plain(policy.log_std)])
        return network(layers[0], layers[2], weight, bias)


class ReplayAgent(Agent):
    """An agent that learns from a buffer of the past."""

    def replay_parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the arguments that every algorithm with a buffer takes."""
        own = self.defaults(config)
        return {
            "buffer_size": own.buffer,
            "learning_starts": LEARNING_STARTS,
            "batch_size": own.minibatch,
            "learning_rate": own.learning_rate,
            "gamma": config.gamma,
            "train_freq": 1,
            "gradient_steps": own.updates,
            "policy_kwargs": policy_kwargs(HIDDEN),
        }


def stacked(*heads: Any) -> tuple[Float32Array, Float32Array]:
    """Return weight and bias of several heads on the same hidden layer as one, in the order given."""
    return np.concatenate([_plain(h.weight) for h in heads]), np.concatenate([_plain(h.bias) for h in heads])


def _plain(values: Any) -> Float32Array:
    return np.asarray(values.detach().cpu().numpy(), np.float32)
