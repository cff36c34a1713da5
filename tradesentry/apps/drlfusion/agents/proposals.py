"""Ask one network what it proposes, for many observations at once, by the kernels that trade.

Training judges its checkpoints with this, packaging fits the temperature with it, so a network that looks good here
decides the same way in a back-test: no second formula of a forward pass or a head exists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.agents.base_agent import SHAPES, Float32Array, Tensors, refuse_odd
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.ensemble import ask_agent, combine
from tradesentry.apps.drlfusion.ensemble import propose as propose_level
from tradesentry.apps.drlfusion.layout import (
    AGENTS,
    N_AGENTS,
    N_FEATURES,
    N_LEVELS,
    N_MARKET,
    STATE,
    Head,
    blank_params,
)
from tradesentry.core.utils.kernel import kernel, new_records

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one agent proposes on n observations."""

    p: FloatArray
    """Mean level, shape (n,)."""
    s: FloatArray
    """Deviation of the level, shape (n,)."""
    pi: FloatArray
    """Shares of the five levels, shape (n, 5)."""


@kernel
def _propose_all(params: Any, states: Any, observations: Any, p: Any, s: Any, pi: Any) -> None:
    """Write the proposals of agent 0 on every observation; `params` and `states` have shape (1,)."""
    state = states[0]
    agent = state.ensemble.agents[0]
    for row in range(observations.shape[0]):
        for i in range(N_FEATURES):
            state.obs[i] = observations[row, i]
        ask_agent(params[0], state, 0)
        propose_level(agent)
        p[row] = agent.p
        s[row] = agent.s
        for k in range(N_LEVELS):
            pi[row, k] = agent.pi[k]


class Network:
    """One trained network, ready to be asked.

    Args:
        tensors: Its arrays.
        head: What its outputs mean.
        temperature: Of the softmax of action values; not read for other heads.
        mirror: Whether it is asked about the mirrored market too, and the answers averaged.

    Raises:
        DataError: An array of another shape, or a value that is not finite.
    """

    def __init__(self, tensors: Tensors, head: Head, *, temperature: float = 1.0, mirror: bool = True) -> None:
        refuse_odd(tensors)
        self._params = blank_params(DrlFusionConfig(mirror=mirror))
        self._states = new_records(1, STATE)
        for name in SHAPES:
            self._params[name][0, 0] = tensors[name]
        self._params["head"][0, 0] = int(head)
        self.temperature = temperature

    @property
    def temperature(self) -> float:
        """Return the temperature of the softmax of action values."""
        return float(self._params["temperature"][0, 0])

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._params["temperature"][0, 0] = value

    def copy_to(self, params: Any, agent: int) -> None:
        """Write the network into a parameter record, shape (1,), as that of agent number `agent`."""
        for name in (*SHAPES, "head", "temperature"):
            params[name][0, agent] = self._params[name][0, 0]

    def propose(self, observations: Float32Array) -> Proposal:
        """Return what the network proposes.

        Args:
            observations: Normalized, shape (n, 28).
        """
        rows = np.ascontiguousarray(observations, np.float32)
        p, s, pi = np.empty(len(rows)), np.empty(len(rows)), np.empty((len(rows), N_LEVELS))
        _propose_all(self._params, self._states, rows, p, s, pi)
        return Proposal(p, s, pi)


@kernel
def _vote_all(params: Any, states: Any, observations: Any, wishes: Any) -> None:
    """Write the wish of the four agents on every observation; `params` and `states` have shape (1,)."""
    state = states[0]
    ensemble = state.ensemble
    for row in range(observations.shape[0]):
        for i in range(N_FEATURES):
            state.obs[i] = observations[row, i]
        for agent in range(N_AGENTS):
            ask_agent(params[0], state, agent)
            propose_level(ensemble.agents[agent])
        # The held fraction is shown as it is, so the observation says what rule gate falls back to.
        wishes[row] = combine(params[0], ensemble, observations[row, N_MARKET])


class Quartet:
    """The four networks and the rule that makes one wish of them, without shadow accounts: weights stay even.

    Args:
        networks: One of each agent, by name.
        config: Rule, quorum, threshold and mirror are read.
    """

    def __init__(self, networks: Mapping[str, Network], config: DrlFusionConfig | None = None) -> None:
        self._params = blank_params(config or DrlFusionConfig())
        self._states = new_records(1, STATE)
        self._states["ensemble"]["agents"]["weight"] = 1.0 / N_AGENTS
        for agent, name in enumerate(AGENTS):
            networks[name].copy_to(self._params, agent)

    def wish(self, observations: Float32Array) -> FloatArray:
        """Return the wished exposure on each observation, shape (n,).

        Args:
            observations: Normalized, shape (n, 28).
        """
        rows = np.ascontiguousarray(observations, np.float32)
        wishes = np.empty(len(rows))
        _vote_all(self._params, self._states, rows, wishes)
        return wishes
