"""Correct a result for luck: how likely a Sharpe ratio is skill, given its noise and the number of attempts.

Pure functions; nan where a figure is undefined. Sharpe ratios here are per period (daily), not annualized, because
skewness, kurtosis and length are those of the period. The best of many variants always looks good: under no skill at
all its expected Sharpe ratio grows with the number tried, which is what the deflated ratio takes off.
"""

import math
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329
MAX_BLOCKS = 16
MIN_BLOCK_DAYS = 5
COMBINATIONS_AT_ONCE = 512
SAME = 0.5
"""Correlation of daily returns from which two trials are one bet."""
_NORMAL = NormalDist()


class Moments(NamedTuple):
    """What the distribution of a Sharpe ratio depends on."""

    sharpe: float
    """Mean over sample deviation per period."""
    skew: float
    kurtosis: float
    """3 for a normal distribution."""
    n: int
    """Periods."""


class Overfitting(NamedTuple):
    """What combinatorially symmetric cross-validation found."""

    probability: float
    """Share of splits in which the best of one half was below the median of the other: 0.5 is pure luck."""
    n_splits: int
    n_blocks: int
    slope: float
    """Of the out-of-sample on the in-sample Sharpe ratio of the chosen variants; negative: choosing hurts."""
    probability_of_loss: float
    """Share of splits in which the chosen variant lost out of sample."""
    logits: FloatArray
    """Log odds of the chosen variant's out-of-sample rank, shape (n_splits,)."""


def moments(returns: FloatArray) -> Moments:
    """Return Sharpe ratio, skewness and kurtosis of returns per period.

    Args:
        returns: Simple returns, fraction, shape (n,).

    Returns:
        nan ratios when the returns do not vary or are not finite. Skewness and kurtosis are the population moments
        g1 and b2, as in the sources below.
    """
    n = len(returns)
    if n < 3 or not np.all(np.isfinite(returns)) or float(np.std(returns, ddof=1)) <= 1e-15:
        return Moments(math.nan, math.nan, math.nan, n)
    centered = returns - np.mean(returns)
    variance = float(np.mean(centered**2))
    return Moments(
        float(np.mean(returns) / np.std(returns, ddof=1)),
        float(np.mean(centered**3) / variance**1.5),
        float(np.mean(centered**4) / variance**2),
        n,
    )


def probabilistic_sharpe(of: Moments, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark, given length, skewness and fat tails.

    Args:
        of: Moments of the returns.
        benchmark: Sharpe ratio per period to beat.

    Returns:
        In [0, 1]; 0.95 is the customary bar.

    Source: Bailey & López de Prado (2012), "The Sharpe Ratio Efficient Frontier", J. of Risk 15(2), eq. 11.
    """
    spread = 1.0 - of.skew * of.sharpe + (of.kurtosis - 1.0) / 4.0 * of.sharpe**2
    if of.n < 3 or not math.isfinite(spread) or spread <= 0:
        return math.nan
    return _NORMAL.cdf((of.sharpe - benchmark) * math.sqrt(of.n - 1) / math.sqrt(spread))


def expected_best_sharpe(variance: float, n_trials: int) -> float:
    """Return the Sharpe ratio per period that the best of `n_trials` variants is expected to show without any skill.

    Args:
        variance: Of the Sharpe ratios per period across the trials.
        n_trials: Independent trials; counting dependent ones too errs on the strict side.

    Source: Bailey & López de Prado (2014), "The Deflated Sharpe Ratio", J. of Portfolio Management 40(5), eq. 1.
    """
    if n_trials < 2 or not variance > 0:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / n_trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (n_trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def unskilled_sharpe(n_periods: int, n_trials: int, *, periods_per_year: float) -> float:
    """Return the annual Sharpe ratio that the best of `n_trials` without any skill is expected to show over a length.

    A ratio of no skill has a standard error of 1 / sqrt(n - 1) per period: the shorter the period, the better its best.

    Args:
        n_periods: Length of the result, such as 63 days.
        n_trials: Independent trials.
        periods_per_year: 252 for daily returns.

    Source: Bailey & López de Prado (2014), eq. 1, with the sampling variance of a single ratio of no skill.
    """
    return expected_best_sharpe(1.0 / max(n_periods - 1, 1), n_trials) * math.sqrt(periods_per_year)


def effective_trials(returns: FloatArray, *, correlation: float = SAME) -> int:
    """Return how many different things the trials of a study are: clusters of those that move together.

    Trials are joined by average linkage; two clusters stay apart when their members correlate less than `correlation`
    on average. Those that never move are one cluster.

    Args:
        returns: Of all trials over the same periods, shape (n_periods, n_trials).
        correlation: From which trials are one.

    Source: López de Prado & Lewis (2019), "Detection of False Investment Strategies Using Unsupervised Learning
    Methods", Quantitative Finance 19(9), with average linkage for their k-means.
    """
    if returns.ndim != 2 or returns.shape[1] == 0:
        return 0
    moving = returns[:, np.std(returns, axis=0) > 1e-15]
    n_still = int(moving.shape[1] < returns.shape[1])
    if moving.shape[1] < 2:
        return int(moving.shape[1]) + n_still
    centered = moving - moving.mean(axis=0)
    scaled = centered / np.sqrt(np.sum(centered**2, axis=0))
    return _clusters(1.0 - scaled.T @ scaled, 1.0 - correlation) + n_still


def _clusters(distance: FloatArray, most: float) -> int:
    """Return the number of clusters by average linkage that are farther apart than `most`; nearest-neighbor chain."""
    distance = distance.copy()
    np.fill_diagonal(distance, np.inf)
    sizes = np.ones(len(distance))
    alive = np.ones(len(distance), bool)
    n_clusters = len(distance)
    chain: list[int] = []
    while int(alive.sum()) > 1:
        if not chain:
            chain.append(int(np.argmax(alive)))
        last = chain[-1]
        near = int(np.argmin(np.where(alive, distance[last], np.inf)))
        # Of equally near ones the one before in the chain, or the chain would run in a circle.
        if len(chain) > 1 and distance[last, chain[-2]] <= distance[last, near]:
            near = chain[-2]
            chain = chain[:-2]
            n_clusters -= int(distance[last, near] <= most)
            merged = (sizes[last] * distance[last] + sizes[near] * distance[near]) / (sizes[last] + sizes[near])
            distance[near], distance[:, near] = merged, merged
            distance[near, near] = np.inf
            sizes[near] += sizes[last]
            alive[last] = False
            distance[:, last] = np.inf
        else:
            chain.append(near)
    return n_clusters


def deflated_sharpe(of: Moments, *, variance: float, n_trials: int) -> float:
    """Return the probability that the true Sharpe ratio is above what the best of all trials shows by luck.

    Args:
        of: Moments of the chosen variant's returns.
        variance: Of the Sharpe ratios per period across the trials.
        n_trials: Variants ever tried on the data, of every study.

    Returns:
        In [0, 1]; below 0.95 the number of attempts explains the result.

    Source: Bailey & López de Prado (2014), eq. 2.
    """
    return probabilistic_sharpe(of, expected_best_sharpe(variance, n_trials))


def min_track_record(of: Moments, benchmark: float = 0.0, *, confidence: float = 0.95) -> float:
    """Return the periods needed before this Sharpe ratio would be significant.

    Args:
        of: Moments of the returns.
        benchmark: Sharpe ratio per period to beat.
        confidence: Wanted probability.

    Returns:
        Periods; infinite while the ratio is not above the benchmark.

    Source: Bailey & López de Prado (2012), eq. 13.
    """
    if not math.isfinite(of.sharpe):
        return math.nan
    if of.sharpe <= benchmark:
        return math.inf
    spread = 1.0 - of.skew * of.sharpe + (of.kurtosis - 1.0) / 4.0 * of.sharpe**2
    return 1.0 + spread * (_NORMAL.inv_cdf(confidence) / (of.sharpe - benchmark)) ** 2


def backtest_overfitting(returns: FloatArray, *, n_blocks: int = MAX_BLOCKS) -> Overfitting | None:
    """Return the probability of back-test overfitting of a study by combinatorially symmetric cross-validation.

    The days are cut into blocks; every half of the blocks once chooses the variant with the best Sharpe ratio, and the
    other half judges it.

    Args:
        returns: Daily returns of all variants over the same days, shape (n_days, n_variants).
        n_blocks: Even number of blocks; fewer are used when the days do not fill them.

    Returns:
        None for fewer than two variants that vary, or too few days.

    Source: Bailey, Borwein, López de Prado & Zhu (2017), "The Probability of Backtest Overfitting", J. of Computational
    Finance 20(4), algorithm 2.3.
    """
    usable = returns[:, np.std(returns, axis=0) > 1e-15] if returns.size else returns
    n_blocks = min(n_blocks, len(returns) // MIN_BLOCK_DAYS) // 2 * 2
    if n_blocks < 4 or usable.shape[1] < 2:
        return None
    days = len(usable) // n_blocks
    cut = usable[len(usable) - days * n_blocks :].reshape(n_blocks, days, -1)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    halves = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    ranks, inside, outside = [], [], []
    for begin in range(0, len(halves), COMBINATIONS_AT_ONCE):
        chosen = halves[begin : begin + COMBINATIONS_AT_ONCE]
        rank, own, other = _judge_splits(chosen, sums, squares, days)
        ranks.append(rank)
        inside.append(own)
        outside.append(other)
    rank, own, other = np.concatenate(ranks), np.concatenate(inside), np.concatenate(outside)
    logits = np.log(rank / (1.0 - rank))
    spread = float(np.var(own))
    slope = float(np.mean((own - own.mean()) * (other - other.mean())) / spread) if spread > 0 else math.nan
    return Overfitting(float(np.mean(logits <= 0)), len(halves), n_blocks, slope, float(np.mean(other < 0)), logits)


def _judge_splits(
    chosen: npt.NDArray[np.int64], sums: FloatArray, squares: FloatArray, days: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return, per split, the relative rank out of sample of the best in sample and both its Sharpe ratios."""
    n_days = days * len(sums) // 2
    own_sum, own_square = sums[chosen].sum(axis=1), squares[chosen].sum(axis=1)
    inside = _sharpes(own_sum, own_square, n_days)
    outside = _sharpes(sums.sum(axis=0) - own_sum, squares.sum(axis=0) - own_square, n_days)
    rows = np.arange(len(chosen))
    best = np.argmax(inside, axis=1)
    judged = outside[rows, best]
    below = (outside < judged[:, None]).sum(axis=1) + 0.5 * ((outside == judged[:, None]).sum(axis=1) - 1)
    return (below + 1.0) / (outside.shape[1] + 1.0), inside[rows, best], judged


def _sharpes(sums: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    mean = sums / n
    variance = np.maximum(squares / n - mean**2, 0.0)
    return np.where(variance > 1e-20, mean / np.sqrt(np.where(variance > 1e-20, variance, 1.0)), 0.0)
