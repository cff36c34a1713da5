"""Sum up results that differ by luck of the draw: several seeds, folds and markets, never the best of them.

The interquartile mean is the mean of the middle half: an outlier moves it little, and with few runs it is steadier than
the median. Its interval resamples within each stratum, so that a fold with more runs does not count more.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DRAWS: Final = 2_000
CONFIDENCE: Final = 0.95


class Interval(NamedTuple):
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float


def interquartile_mean(values: npt.ArrayLike) -> float:
    """Return the mean of the middle half; with a part of a value at each edge counted in part.

    Args:
        values: Any shape; at least one.

    Returns:
        Unit of the values; nan without a value.

    Source: Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 34.
    """
    ordered = np.sort(np.asarray(values, np.float64).reshape(-1))
    n = len(ordered)
    if n == 0:
        return float("nan")
    return float(np.average(ordered, weights=_middle_weights(n)))


def _middle_weights(n: int) -> FloatArray:
    """Return how much of each of n sorted values lies in the middle half."""
    edges = np.arange(n + 1) / n
    inside: FloatArray = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0.0, None)
    return inside


def iqm_interval(strata: Sequence[npt.ArrayLike], *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """Return the interquartile mean over all runs with its 95 % stratified bootstrap interval.

    Args:
        strata: Runs per stratum (fold, market), each of at least one run.
        seed: Of the resampling; the same seed gives the same interval.
        draws: Resamples.

    Source: Agarwal et al. (2021), section 4: runs are drawn with replacement within each stratum.
    """
    groups = [np.asarray(values, np.float64).reshape(-1) for values in strata]
    value = interquartile_mean(np.concatenate(groups))
    generator = np.random.default_rng(seed)
    drawn = [group[generator.integers(0, len(group), (draws, len(group)))] for group in groups]
    ordered = np.sort(np.concatenate(drawn, axis=1), axis=1)
    means = np.average(ordered, axis=1, weights=_middle_weights(ordered.shape[1]))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return Interval(value, float(low), float(high))


def probability_of_improvement(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> float:
    """Return the chance that a run of ours beats one of theirs, ties counted half.

    Args:
        ours: Runs, any number.
        theirs: Runs, any number.

    Source: Agarwal et al. (2021), section 4.2; Mann & Whitney (1947).
    """
    a, b = np.asarray(ours, np.float64).reshape(-1, 1), np.asarray(theirs, np.float64).reshape(1, -1)
    return float(np.mean((a > b) + 0.5 * (a == b)))
