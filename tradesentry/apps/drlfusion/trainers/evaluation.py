"""Judge a network on validation: the same starts at every look, deterministic decisions, net result per bar.

Separate from the back-ends, because the best-checkpoint rule must not depend on one: every trainer keeps the network
whose score (mean less one standard error over starts) was highest, never the last one. The proposal is that of the
kernels that trade, mirrored observation included, snapped to the levels.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.agents.base_agent import Float32Array, Tensors
from tradesentry.apps.drlfusion.agents.proposals import Network
from tradesentry.apps.drlfusion.layout import Head
from tradesentry.apps.drlfusion.trainers.base_trainer import Look
from tradesentry.core.domain.errors import DataError

FloatArray = npt.NDArray[np.float64]
Decide = Callable[[Float32Array], FloatArray]
"""From observations (N, 28) to targets (N,) in [-1, 1]."""


def snapped(proposals: FloatArray) -> FloatArray:
    """Return the nearest of the five levels to each proposal, ties toward zero."""
    return np.sign(proposals) * np.ceil(2.0 * np.abs(proposals) - 0.5) / 2.0


def evaluate(validation: Any, decide: Decide, *, step: int = 0) -> Look:
    """Play one episode from every start and return what it came to.

    Args:
        validation: `SimulationEnv` with the reward `net`; it is started anew, so every look sees the same starts.
        decide: Targets for observations.
        step: Environment steps of training before this look.

    Raises:
        DataError: A result is not finite.
    """
    net, turnover, exposure = episode_results(validation, decide)
    if not np.isfinite(net).all():
        raise DataError("A validation episode came to no number. Check the bars and features of the data set.")
    error = float(np.std(net, ddof=1)) / math.sqrt(len(net)) if len(net) > 1 else 0.0
    return Look(step, float(np.mean(net)), error, float(np.mean(turnover)), float(np.mean(exposure)))


def episode_results(environment: Any, decide: Decide) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the first episode of every environment: net per bar, level changes per bar, mean absolute level asked.

    Args:
        environment: `SimulationEnv` with the reward `net`.
        decide: Targets for observations.
    """
    observations = environment.reset(seed=environment.seed)
    n = environment.n_envs
    net, changes, held = np.zeros(n), np.zeros(n), np.zeros(n)
    bars, before, is_running = np.zeros(n, np.int64), np.zeros(n), np.ones(n, np.bool_)
    while is_running.any():
        targets = np.asarray(decide(observations), np.float64)
        observations, rewards, terminated, truncated, _ = environment.step(targets)
        net += np.where(is_running, rewards, 0.0)
        changes += np.where(is_running, np.abs(targets - before), 0.0)
        held += np.where(is_running, np.abs(targets), 0.0)
        bars += is_running
        before = targets
        is_running &= ~(terminated | truncated)
    return net / bars, changes / bars, held / bars


def decisions_of(tensors: Tensors, head: Head, *, temperature: float = 1.0, mirror: bool = True) -> Decide:
    """Return what a network decides: its proposal snapped to the levels.

    Args:
        tensors: Arrays of the network.
        head: What its outputs mean.
        temperature: Of the softmax of action values.
        mirror: Whether observation and mirrored observation are averaged.
    """
    asked = Network(tensors, head, temperature=temperature, mirror=mirror)
    return lambda observations: snapped(asked.propose(observations).p)
