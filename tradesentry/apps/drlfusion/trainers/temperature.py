"""Fit the temperature of DQN: action values have no scale of their own, so they borrow the certainty of PPO.

Done once, on validation, after training; the number is stored in the model and nothing at run time fits anything.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

COLDEST: Final = 1e-3
HOTTEST: Final = 10.0
HALVINGS: Final = 60


def mean_entropy(pi: npt.NDArray[np.floating]) -> float:
    """Return the mean entropy of distributions, nats.

    Args:
        pi: Shares of the levels, shape (n, 5).
    """
    shares = np.asarray(pi, np.float64)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return float(-(shares * logs).sum(axis=1).mean())


def fit_temperature(entropy_at: Callable[[float], float], wanted: float) -> float:
    """Return the temperature at which the mean entropy is `wanted`, within [1e-3, 10].

    Entropy grows with temperature, so the interval is halved in its logarithm.

    Args:
        entropy_at: Mean entropy on validation at a temperature.
        wanted: Mean entropy of PPO on the same observations, nats.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    if entropy_at(COLDEST) >= wanted:
        return COLDEST
    if entropy_at(HOTTEST) <= wanted:
        return HOTTEST
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if entropy_at(math.exp(middle)) < wanted:
            low = middle
        else:
            high = middle
    return math.exp(0.5 * (low + high))
