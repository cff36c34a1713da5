"""The nouns of a walk-forward: its plan, what a fit is given, what was chosen, what each fold and the whole came to.

Separate from the walk itself, so that files, reports and commands read them without it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.studies.evidence import Evidence
from tradesentry.backtest.studies.folds import Fold, FoldPlan
from tradesentry.backtest.studies.portfolio import WindowPlay
from tradesentry.backtest.studies.selection import Score
from tradesentry.backtest.studies.stage import Window
from tradesentry.backtest.studies.variants import Variant
from tradesentry.backtest.sweep import SweepPlan

if TYPE_CHECKING:
    from tradesentry.backtest.studies.seed_scores import SeedScores
    from tradesentry.backtest.studies.target_baselines import BaselineScores


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
    baselines: bool = Field(True, description="Compare a fitted strategy with what is no learning by reward.")


FitHook = Callable[["FitWindow", "FitWindow | None", int], "Fitted | Mapping[str, Any]"]
"""`fit(train, validation, seed)` of an app's `walk_forward` module: learn from `train.pieces`, choose checkpoint, seed,
rule and temperature on `validation` (None when the folds have no such slice), and return configuration values. It must
hang on its arguments alone: equal slices, settings and `seed` (the root of all its random numbers) give equal results.
What takes long it keeps in `train.folder` under names made of content, so that a killed walk goes on with what was
finished; processes that it starts end with their parent."""
FitReport = Callable[[str, int, int], None]
"""Told what is being fitted, how many of its steps are done, and how many there are."""


def say_nothing(_name: str, _done: int, _total: int) -> None:
    """Take the progress of a fit and be quiet."""


@dataclass(frozen=True, slots=True)
class FitWindow:
    """One slice of a fold as `fit` is given it: bars up to the slice's end, and nothing after it."""

    run: ResolvedRun
    """Bars of all markets up to the slice's end, those to warm up on included; its configuration is the base, settings
    of training (seeds, budget) included."""
    n_before: tuple[int, ...]
    """Bars per market before the slice: they may be read, never learned from."""
    fold: Fold
    window: Window
    """The slice."""
    pieces: tuple[Window, ...]
    """What may be learned from: the slice without what follows an earlier test window too closely."""
    folder: Path = Path("runs/.work/fits")
    """Where a fit keeps what it has finished, named by content."""
    workers: int = 1
    """How many processes it may use (`--processes`)."""
    report: FitReport = say_nothing


@dataclass(frozen=True, slots=True)
class SeedFit:
    """What one seed of a fit came to: each is traded on the test window and reported, not only the one that is kept."""

    seed: int
    values: Mapping[str, Any]
    """Configuration values with what this seed alone has learned."""
    score: float = math.nan
    """On the validation slice, higher is better; nan where unknown."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What `fit(train, validation, seed)` returns; bare configuration values are a fit of one seed."""

    values: Mapping[str, Any]
    """Configuration values of what validation chose, such as the folder of a model set."""
    trials: Mapping[str, float | None] = field(default_factory=dict)
    """Sharpe ratio per day on validation by name of everything that was tried to find it (agent, seed, rule), None
    where unknown; each counts as an attempt in the ledger. Equal names in two folds are one attempt."""
    seeds: tuple[SeedFit, ...] = ()
    """Every seed; with one or none the values stand for it."""


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
    """Plays, bars and seconds of this process."""
    seeds: "SeedScores | None" = None
    """Every seed of a fitted strategy on every test window; None where parameters were searched."""
    baselines: "tuple[BaselineScores, ...]" = ()
    """What a fitted strategy is set beside on the same windows; empty when it was not asked for."""
    n_others: int = 0
    """Other studies that have reported on one of these test windows."""

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
