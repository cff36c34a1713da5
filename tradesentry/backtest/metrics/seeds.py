"""Judge something that learns by all of its seeds: a robust mean with its interval, and how often it is the better one.

A learned policy is a draw: another seed gives another one. Figures here take scores of several runs on several tasks (a
market in a fold) and answer with the interquartile mean, which neither a lucky nor a broken run moves much. Intervals
redraw the runs of every task (stratified bootstrap): they say how much the choice of seeds matters, not what another
period or market would have shown. Pure functions with a fixed seed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tradesentry.core.domain.errors import DataError

FloatArray = npt.NDArray[np.float64]

DRAWS = 2_000
SEED = 20_260_101
TAILS = (0.025, 0.975)
TRIMMED = 0.25
"""Share of scores that is left out at either end."""
CELLS_AT_ONCE = 2_000_000


class Estimate(NamedTuple):
    """A figure with its 95 % interval; nan bounds where there is nothing to redraw."""

    value: float
    low: float
    high: float


class Spread(NamedTuple):
    """How the seeds of one table differ, each taken as its mean over the tasks."""

    lowest: float
    median: float
    highest: float
    deviation: float
    """Sample deviation over seeds; nan for one seed."""
    n_seeds: int


def interquartile_mean(scores: npt.ArrayLike) -> float:
    """Return the mean of the middle half of all scores; one that lies half inside it counts half.

    Args:
        scores: Any shape.

    Returns:
        nan for no scores.

    Source: Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 34;
    their code leaves out whole scores, which for few runs is less than a half.
    """
    ordered = np.sort(np.asarray(scores, np.float64), axis=None)
    return float(np.average(ordered, weights=_middle(len(ordered)))) if len(ordered) else math.nan


def iqm_interval(tasks: Sequence[npt.ArrayLike], *, draws: int = DRAWS, seed: int = SEED) -> Estimate:
    """Return the interquartile mean over all runs of all tasks with its interval by stratified bootstrap.

    Args:
        tasks: Scores of the runs (seeds) on each task, finite; tasks may differ in their number of runs.
        draws: Resamples; each redraws the runs of every task by itself.
        seed: Of the generator.

    Returns:
        nan bounds where no task has two runs.

    Raises:
        DataError: There is no task, one has no run, or a score is no number.

    Source: Agarwal et al. (2021), section 4.
    """
    groups = [np.asarray(scores, np.float64).reshape(-1) for scores in tasks]
    if not groups or not all(len(group) and np.all(np.isfinite(group)) for group in groups):
        raise DataError(
            f"Scores of {len(groups)} tasks cannot be summed up: some task has no run, or some score is no number. "
            "Give one finite score for every run."
        )
    value = interquartile_mean(np.concatenate(groups))
    if max(len(group) for group in groups) < 2:
        return Estimate(value, math.nan, math.nan)
    generator = np.random.default_rng(seed)
    n_scores = sum(len(group) for group in groups)
    weights = _middle(n_scores)
    found = []
    for n in _parts(draws, n_scores):
        drawn = [group[generator.integers(0, len(group), (n, len(group)))] for group in groups]
        found.append(np.average(np.sort(np.concatenate(drawn, axis=1), axis=1), axis=1, weights=weights))
    low, high = np.quantile(np.concatenate(found), TAILS)
    return Estimate(value, float(low), float(high))


def _middle(n: int) -> FloatArray:
    """Return how much of each of `n` sorted scores lies in the middle half."""
    edges = np.arange(n + 1) / n
    inside: FloatArray = np.clip(np.minimum(edges[1:], 1.0 - TRIMMED) - np.maximum(edges[:-1], TRIMMED), 0.0, None)
    return inside


def probability_of_improvement(
    first: FloatArray, second: FloatArray, *, draws: int = DRAWS, seed: int = SEED
) -> Estimate:
    """Return P(X > Y) + P(X = Y) / 2: how often a seed of one does better than a seed of the other on the same task.

    Args:
        first: Scores of X, shape (n_seeds, n_tasks), finite.
        second: Scores of Y on the same tasks; its number of seeds may differ, 1 for what does not learn.
        draws: Resamples of the seeds of both, task by task.
        seed: Of the generator.

    Returns:
        In [0, 1], the mean over tasks; 0.5 is a coin. nan bounds where neither has two seeds.

    Raises:
        DataError: A table is empty, holds what is no number, or the tasks differ in number.

    Source: Agarwal et al. (2021), section 4.3, after Mann & Whitney (1947).
    """
    x, y = _table(first), _table(second)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"Scores on {x.shape[1]} tasks cannot be compared with scores on {y.shape[1]}. Give both on the same tasks."
        )
    value = float(np.mean(_wins(x[None], y[None])))
    if len(x) < 2 and len(y) < 2:
        return Estimate(value, math.nan, math.nan)
    generator = np.random.default_rng(seed)
    parts = _parts(draws, len(x) * y.size)
    found = [_wins(_redrawn(x, generator, n), _redrawn(y, generator, n)) for n in parts]
    low, high = np.quantile(np.concatenate(found), TAILS)
    return Estimate(value, float(low), float(high))


def spread(scores: FloatArray) -> Spread:
    """Return how the seeds differ, each by its mean over the tasks.

    Args:
        scores: Shape (n_seeds, n_tasks), finite.

    Raises:
        DataError: The table is empty or holds what is no number.
    """
    means = _table(scores).mean(axis=1)
    deviation = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
    return Spread(float(means.min()), float(np.median(means)), float(means.max()), deviation, len(means))


def _table(scores: FloatArray) -> FloatArray:
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or not table.size or not np.all(np.isfinite(table)):
        raise DataError(
            f"Scores of shape {table.shape} are no table of seeds by tasks, or some are no numbers. Give one finite "
            "score for every seed and task."
        )
    return table


def _redrawn(table: FloatArray, generator: np.random.Generator, n: int) -> FloatArray:
    """Return `n` tables with the seeds of each task drawn with replacement, shape (n, n_seeds, n_tasks)."""
    picks = generator.integers(0, len(table), size=(n, *table.shape))
    drawn: FloatArray = table[picks, np.arange(table.shape[1])]
    return drawn


def _wins(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the share of pairs that the first wins, ties for half, mean over tasks; shape (n,)."""
    x, y = first[:, :, None, :], second[:, None, :, :]
    shares: FloatArray = ((x > y) + 0.5 * (x == y)).mean(axis=(1, 2, 3))
    return shares


def _parts(draws: int, cells: int) -> list[int]:
    """Return `draws` in parts that keep the redrawn tables small."""
    most = max(1, CELLS_AT_ONCE // cells)
    return [most] * (draws // most) + ([draws % most] if draws % most else [])
