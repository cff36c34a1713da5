"""Name the layers of stable-baselines3's policies, which the four agents read in the same few ways."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import Float32Array, Tensors, network


def policy_kwargs(hidden: Sequence[int]) -> dict[str, Any]:
    """Return the shape of a policy: hidden layers with ReLU, policy and value networks apart.

    Args:
        hidden: Units per hidden layer.
    """
    from torch import nn

    return {"net_arch": list(hidden), "activation_fn": nn.ReLU}


def actor_critic_network(policy: Any) -> Tensors:
    """Return the policy network of an actor-critic: five logits, or mean and log deviation.

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


def stacked(*heads: Any) -> tuple[Float32Array, Float32Array]:
    """Return weight and bias of several heads on the same hidden layer as one, in the order given."""
    return np.concatenate([_plain(h.weight) for h in heads]), np.concatenate([_plain(h.bias) for h in heads])


def _plain(values: Any) -> Float32Array:
    return np.asarray(values.detach().cpu().numpy(), np.float32)
