"""Score every seed of a fitted strategy on every test window, market and cost level: what a headline is made of.

Separate from the walk, which trades only what validation chose. A score is the annual net Sharpe ratio of one seed's
account on one market in one test window; an account that stood still earned nothing and scores 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.executor import Job, new_job
from tradesentry.backtest.metrics.returns import annualized_sharpe
from tradesentry.backtest.metrics.seeds import Estimate, Spread, iqm_interval, spread
from tradesentry.backtest.studies.fits import FoldFit, SeedVariant
from tradesentry.backtest.studies.folds import Fold
from tradesentry.backtest.studies.outcome import Outcome
from tradesentry.backtest.studies.study import Study

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Task:
    """What a score is of, besides the seed."""

    fold: int
    symbol: str


@dataclass(frozen=True, slots=True, eq=False)
class SeedScores:
    """Annual net Sharpe ratios of all seeds."""

    seeds: tuple[int, ...]
    validation: FloatArray
    """Score on validation, shape (n_seeds, n_folds); nan where unknown."""
    tasks: tuple[Task, ...]
    tables: Mapping[float, FloatArray]
    """By multiple of the costs, shape (n_seeds, n_tasks)."""

    def estimate(self, level: float) -> Estimate:
        """Return the interquartile mean at a cost level with its interval."""
        return iqm_interval(list(self.tables[level].T))

    def spread(self, level: float) -> Spread:
        """Return how the seeds differ at a cost level."""
        return spread(self.tables[level])

    def of_folds(self, level: float) -> FloatArray:
        """Return the mean over markets, shape (n_seeds, n_folds)."""
        folds = np.array([task.fold for task in self.tasks])
        return np.stack([self.tables[level][:, folds == fold].mean(axis=1) for fold in np.unique(folds)], axis=1)


def sharpe_of(outcome: Outcome) -> float:
    """Return the annual Sharpe ratio of a play, 0 where its account stood still."""
    returns = outcome.returns
    found = annualized_sharpe(returns) if len(returns) > 1 else math.nan
    return found if math.isfinite(found) else 0.0


def score_seeds(
    study: Study,
    folds: Sequence[Fold],
    fits: Callable[[Fold], FoldFit],
    symbols: Sequence[str],
    levels: Sequence[float],
    *,
    main: float,
) -> SeedScores:
    """Play every seed on every test window, market and cost level; what was played before is found.

    Args:
        study: Where plays run.
        folds: All folds.
        fits: What the fit of a fold came to.
        symbols: Traded markets.
        levels: Multiples of the costs.
        main: The settings' own multiple.
    """
    by_fold = [{one.seed: one for one in _seeds(fits(fold))} for fold in folds]
    seeds = sorted(set.intersection(*(set(found) for found in by_fold)))
    tasks = tuple(Task(fold.index, symbol) for fold in folds for symbol in symbols)
    tables = {}
    for level in sorted({*levels, main}):
        jobs = {
            (seed, task): _job(study, found[seed], fold, task.symbol, None if level == main else level)
            for fold, found in zip(folds, by_fold, strict=True)
            for task in tasks
            if task.fold == fold.index
            for seed in seeds
        }
        scores = {job.digest: sharpe_of(outcome) for job, outcome in study.outcomes(list(jobs.values()))}
        tables[level] = np.array([[scores[jobs[seed, task].digest] for task in tasks] for seed in seeds])
    validation = np.array([[found[seed].score for found in by_fold] for seed in seeds])
    return SeedScores(tuple(seeds), validation, tasks, tables)


def _seeds(fit: FoldFit) -> tuple[SeedVariant, ...]:
    return fit.seeds or (SeedVariant(0, fit.chosen, math.nan),)


def _job(study: Study, one: SeedVariant, fold: Fold, symbol: str, cost_scale: float | None) -> Job:
    key, stage = study.stages.of(one.variant.config, [symbol])
    return new_job(key, stage, one.variant, fold.test, cost_scale=cost_scale)
