"""Hand-made agents and model sets: policies whose decisions can be told by looking at one number.

A hand-made network adds up some features with given weights to a score u and gives the levels the logits
`strength * u * level - flatness * level^2`: the larger the score, the more it buys; near zero it stays flat. It has
the shape of a real one (28 -> 64 -> 64 -> 5), so everything around it is the real thing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tradesentry.apps.drlfusion.drift import reference_of
from tradesentry.apps.drlfusion.layout import AGENTS, LEVELS, N_FEATURES, N_HIDDEN, N_OUT, Head
from tradesentry.apps.drlfusion.model_checks import agent_shares
from tradesentry.apps.drlfusion.model_package import Model, ModelSet, new_model, write_model_set
from tradesentry.apps.drlfusion.observation import OBSERVATION

Arrays = dict[str, np.ndarray[Any, Any]]
FADE: Mapping[str, float] = {"band_z": -1.0}
"""Sell what stands above its average, buy what stands below."""
FOLLOW: Mapping[str, float] = {"move_24": 1.0}
DATA = {"source": "hand-made", "is_synthetic": True, "symbols": ["EURUSD"], "hash": "none"}


def hand_made(weights: Mapping[str, float], *, strength: float = 4.0, flatness: float = 2.0) -> Arrays:
    """Return a network whose score is the weighted sum of some features."""
    w1 = np.zeros((N_FEATURES, N_HIDDEN), np.float32)
    for name, weight in weights.items():
        row = OBSERVATION.names.index(name)
        w1[row, 0], w1[row, 1] = weight, -weight
    w2 = np.zeros((N_HIDDEN, N_HIDDEN), np.float32)
    w2[0, 0] = w2[1, 1] = 1.0
    w3 = np.zeros((N_HIDDEN, N_OUT), np.float32)
    levels = np.array(LEVELS, np.float32)
    w3[0], w3[1] = strength * levels, -strength * levels
    return {
        "w1": w1, "b1": np.zeros(N_HIDDEN, np.float32),
        "w2": w2, "b2": np.zeros(N_HIDDEN, np.float32),
        "w3": w3, "b3": (-flatness * levels**2).astype(np.float32),
    }  # fmt: skip


def random_network(seed: int, size: float = 0.3) -> Arrays:
    """Return a network of random weights."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (N_FEATURES, N_HIDDEN), "w2": (N_HIDDEN, N_HIDDEN), "w3": (N_HIDDEN, N_OUT)}
    weights = {name: rng.normal(0.0, size, shape).astype(np.float32) for name, shape in shapes.items()}
    biases = {f"b{name[1]}": rng.normal(0.0, size, shape[1]).astype(np.float32) for name, shape in shapes.items()}
    return weights | biases


def observations(n: int = 64, seed: int = 1) -> np.ndarray[Any, Any]:
    """Return random normalized observations, shape (n, 28)."""
    return np.random.default_rng(seed).normal(0.0, 1.0, (n, N_FEATURES)).astype(np.float32)


def model_of(algorithm: str, network: Arrays, **changes: Any) -> Model:
    """Return a packaged model of a network; `changes` replace arguments of `new_model`."""
    head = changes.pop("head", Head.LOGITS)
    temperature = changes.pop("temperature", 1.0)
    seen = observations()
    arguments: dict[str, Any] = {
        "normalizer": {"obs_mean": np.zeros(N_FEATURES), "obs_scale": np.ones(N_FEATURES)},
        "gate": {"turbulence_q90": 6.0, "turbulence_q99": 15.0},
        "golden_obs": seen,
        "drift": reference_of(seen, agent_shares(network, head, temperature, seen)),
        "timeframe": "H1",
        "data": DATA,
    }
    return new_model(algorithm, network, head=head, temperature=temperature, **(arguments | changes))


def models_of(networks: Mapping[str, Arrays], **changes: Any) -> list[Model]:
    """Return four models of the networks of four agents."""
    return [model_of(name, networks[name], **changes) for name in AGENTS]


def fading_set(folder: Path, **changes: Any) -> ModelSet:
    """Write a set of four agents that fade, each with other weights and another strength."""
    networks = {
        name: hand_made({"band_z": -1.0, "rsi_14": -0.2 * i, "move_12": -0.1 * i}, strength=3.0 + i)
        for i, name in enumerate(AGENTS)
    }
    return write_model_set(folder, models_of(networks, **changes))
