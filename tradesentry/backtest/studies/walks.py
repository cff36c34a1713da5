"""The nouns of a walk-forward: its plan, what a fit is given, what was chosen, what each fold and the whole came to.

Separate from the walk itself, so that files, reports and commands read them without it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.studies.evidence import Evidence
from tradesentry.backtest.studies.folds import Fold, FoldPlan
from tradesentry.backtest.studies.portfolio import WindowPlay
from tradesentry.backtest.studies.selection import Score
from tradesentry.backtest.studies.variants import Variant
from tradesentry.backtest.sweep import SweepPlan


class WalkForwardPlan(SweepPlan):
    """Everything a walk-forward is made of: the same plan gives the same results, to the last bit."""

    method: Literal["grid", "random", "optuna", "fit"] = Field("grid", description="How parameters are found.")  # type: ignore[assignment]
    folds: FoldPlan = Field(FoldPlan(), description="How the period is cut.")
    top: int = Field(3, ge=1, le=20, description="Most variants per market.")
    min_trades: int = Field(200, ge=1, description="Train trades that make a variant eligible, over all markets.")
    min_bound: float | None = Field(None, description="Least lower bound of the mean R; any when absent.")
    max_overlap: float = Field(0.6, gt=0, le=1, description="Share of common trades from which two are one bet.")
    weights: Literal["equal", "inverse_volatility"] = Field("equal", description="Shares of a market's risk budget.")
    cost_levels: tuple[float, ...] = Field((1.0,), description="Multiples of the costs to trade the choice at.")


FitReport = Callable[[str, int, int], None]
"""Told what is being fitted, how many of its steps are done, and how many there are."""


def say_nothing(_name: str, _done: int, _total: int) -> None:
    """Take the progress of a fit and be quiet."""


@dataclass(frozen=True, slots=True)
class TrainWindow:
    """What `fit` is given: the past of one fold, and nothing after it."""

    run: ResolvedRun
    """Bars of all markets up to the train window's end, those to warm up on included."""
    n_before: tuple[int, ...]
    """Bars per market before the train window."""
    fold: Fold
    seed: int
    folder: Path = Path("runs/.work/fits")
    """Where a fit keeps what it has finished, named by content."""
    workers: int = 1
    """How many processes it may use."""
    report: FitReport = say_nothing


@dataclass(frozen=True, slots=True)
class Fitted:
    """What `fit` may return instead of bare configuration values: those, and all that was tried to find them."""

    values: Mapping[str, Any]
    trials: Mapping[str, float | None]
    """Sharpe ratio per day by name of the trial, None where unknown; each counts in the ledger."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One variant chosen on one market of one fold."""

    fold: int
    symbol: str
    variant: Variant
    weight: float
    train: Score
    test: Score
    """The variant on an account of its own."""


@dataclass(frozen=True, slots=True)
class FoldRow:
    """What one fold came to."""

    fold: Fold
    n_variants: int
    n_eligible: int
    """Of variants times markets."""
    rank_correlation: float
    """Of train and test across variants, mean over markets; nan with fewer than three."""
    all_test_mean_r: float
    """Mean R of every variant in the test window: what choosing at random would have shown."""
    play: WindowPlay | None
    """None when nothing was chosen."""


@dataclass(frozen=True)
class WalkForwardResult:
    """A finished walk-forward."""

    plan: WalkForwardPlan
    folds: tuple[FoldRow, ...]
    choices: tuple[Choice, ...]
    result: BacktestResult
    """Test windows only, joined."""
    evidence: Evidence
    run: ResolvedRun
    study: dict[str, Any] = field(default_factory=dict)

    @property
    def efficiency(self) -> float:
        """Return the walk-forward efficiency: test over train mean R of what was chosen; nan for a train mean <= 0.

        Source: Pardo (2008), "The Evaluation and Optimization of Trading Strategies", ch. 11, with R for profit.
        """
        train = pooled([c.train for c in self.choices])
        test = pooled([c.test for c in self.choices])
        return test / train if train > 0 else math.nan

    @property
    def rank_correlation(self) -> tuple[float, float]:
        """Return the mean rank correlation of train and test over folds and its standard error."""
        found = np.array([row.rank_correlation for row in self.folds if math.isfinite(row.rank_correlation)])
        if len(found) < 2:
            return (float(found[0]) if len(found) else math.nan), math.nan
        return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(len(found)))


def pooled(scores: Sequence[Score]) -> float:
    """Return the mean R over the trades of all scores."""
    n = sum(score.n_trades for score in scores if math.isfinite(score.mean_r))
    total = math.fsum(score.mean_r * score.n_trades for score in scores if math.isfinite(score.mean_r))
    return total / n if n else math.nan
