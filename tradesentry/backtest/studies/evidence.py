"""Say how much of a result luck explains: the honesty figures of one return series, and one sentence about them.

The figures are those of `metrics.honesty` and `metrics.resampling`; here they are applied to a result together with
what the study ledger knows of all attempts. The sentence claims an edge only where the deflated Sharpe ratio does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.metrics import honesty
from tradesentry.backtest.metrics.resampling import (
    DrawdownBand,
    Interval,
    block_drawdowns,
    shuffled_drawdowns,
    stationary_interval,
)
from tradesentry.backtest.metrics.returns import DAYS_PER_YEAR
from tradesentry.backtest.studies.trials import TrialLedger, Tried

if TYPE_CHECKING:
    from tradesentry.backtest.resolve import ResolvedRun
    from tradesentry.backtest.result import BacktestResult

FloatArray = npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
MOST_CLUSTERED: Final = 2_000
"""Variants of a study that are told apart by clustering; the correlations of more would fill the memory."""
LUCKY_CHOICE: Final = 0.5
"""A probability of overfitting at or above it: the choice among the variants was no better than a coin."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a result, and what it must be read against."""

    n_trials: int
    """Variants ever tried on these markets."""
    effective_trials: int | None
    """Of them, how many are different: those of this study by clusters, the others one by one; None where unknown."""
    n_days: int
    sharpe: float
    """Annualized."""
    skew: float
    kurtosis: float
    probabilistic_sharpe: float
    """Probability that the true Sharpe ratio is above zero, were this the only attempt."""
    deflated_sharpe: float
    """The same against the best that all attempts show by luck."""
    luck_sharpe: float
    """Annualized Sharpe ratio that the best of all attempts is expected to show without skill."""
    unskilled_sharpe: float
    """The same over the length of this result if every attempt were a fair coin of its own: what N and days explain."""
    sharpe_interval: Interval | None
    """95 % of the annualized ratio, blocks of days redrawn."""
    min_track_days: float
    """Days after which this Sharpe ratio would be significant; infinite for one that is not positive."""
    overfitting: honesty.Overfitting | None
    shuffled: DrawdownBand | None
    blocks: DrawdownBand | None

    @property
    def is_edge(self) -> bool:
        """Return whether the attempts do not explain the result."""
        return self.deflated_sharpe >= CONFIDENCE

    @property
    def is_choice_lucky(self) -> bool:
        """Return whether choosing among the variants was no better than a coin."""
        return self.overfitting is not None and self.overfitting.probability >= LUCKY_CHOICE

    def document(self) -> dict[str, Any]:
        """Return the figures in JSON types; None where undefined."""
        found = self.overfitting
        return {
            "n_trials": self.n_trials,
            "effective_trials": self.effective_trials,
            "n_days": self.n_days,
            "sharpe": _plain(self.sharpe),
            "skew": _plain(self.skew),
            "kurtosis": _plain(self.kurtosis),
            "probabilistic_sharpe": _plain(self.probabilistic_sharpe),
            "deflated_sharpe": _plain(self.deflated_sharpe),
            "luck_sharpe": _plain(self.luck_sharpe),
            "unskilled_sharpe": _plain(self.unskilled_sharpe),
            "sharpe_interval": None if self.sharpe_interval is None else list(self.sharpe_interval),
            "min_track_days": _plain(self.min_track_days),
            "overfitting_probability": None if found is None else found.probability,
            "overfitting_splits": None if found is None else found.n_splits,
            "overfitting_slope": None if found is None else _plain(found.slope),
            "overfitting_loss": None if found is None else found.probability_of_loss,
            "drawdown_shuffled": None if self.shuffled is None else list(self.shuffled),
            "drawdown_blocks": None if self.blocks is None else list(self.blocks),
            "is_edge": self.is_edge,
        }


def evidence_of(
    returns: FloatArray,
    *,
    gains: FloatArray,
    capital: float,
    tried: Tried,
    variants: FloatArray | None = None,
) -> Evidence:
    """Return the evidence for one series of daily returns.

    Args:
        returns: Of the chosen variant or of the stitched test periods, fraction, shape (n_days,).
        gains: Net result of its trades in order of exit, account currency.
        capital: Balance before the first.
        tried: What was ever tried on these markets.
        variants: Daily returns of all variants of the study over the same days, shape (n_days, n_variants).
    """
    shape = honesty.moments(returns)
    year = math.sqrt(DAYS_PER_YEAR)
    variance = luck_variance(tried, shape.n)
    return Evidence(
        n_trials=tried.n_trials,
        effective_trials=_effective(tried, variants),
        n_days=len(returns),
        sharpe=shape.sharpe * year,
        skew=shape.skew,
        kurtosis=shape.kurtosis,
        probabilistic_sharpe=honesty.probabilistic_sharpe(shape),
        deflated_sharpe=honesty.deflated_sharpe(shape, variance=variance, n_trials=tried.n_trials),
        luck_sharpe=honesty.expected_best_sharpe(variance, tried.n_trials) * year,
        unskilled_sharpe=honesty.unskilled_sharpe(shape.n, tried.n_trials, periods_per_year=DAYS_PER_YEAR),
        sharpe_interval=stationary_interval(returns, periods_per_year=DAYS_PER_YEAR),
        min_track_days=honesty.min_track_record(shape),
        overfitting=None if variants is None else honesty.backtest_overfitting(variants),
        shuffled=shuffled_drawdowns(gains, capital),
        blocks=block_drawdowns(returns),
    )


def with_evidence(run: "ResolvedRun", result: "BacktestResult", *, runs: Path, study: str) -> "BacktestResult":
    """Return a plain back-test with its evidence, and count it as one attempt on its markets.

    Args:
        run: What was played.
        result: Its result.
        runs: Folder of results with the ledger.
        study: Id of the run.
    """
    from dataclasses import replace

    from tradesentry.backtest.evaluation import daily_curve
    from tradesentry.backtest.reporting.studies import single_study
    from tradesentry.backtest.studies.variants import variant_key

    returns = daily_curve(result).returns
    returns = np.where(np.isfinite(returns), returns, 0.0)
    ratio = honesty.moments(returns).sharpe
    ledger = TrialLedger(runs)
    ledger.record(run, study, {variant_key(result.app, run.config): _plain(ratio)})
    gains = result.trades.sort("exit_ns", "entry_ns", maintain_order=True)["net"].to_numpy().astype(np.float64)
    found = evidence_of(returns, gains=gains, capital=result.capital, tried=ledger.tried(run))
    return replace(result, study=single_study(found))


def _effective(tried: Tried, variants: FloatArray | None) -> int | None:
    """Return the number of different attempts: clusters of this study's variants, and every other attempt by itself."""
    if variants is None or not 1 < variants.shape[1] <= MOST_CLUSTERED:
        return None
    others = int(max(tried.n_trials - variants.shape[1], 0))
    return honesty.effective_trials(variants) + others


def luck_variance(tried: Tried, n_days: int) -> float:
    """Return the variance of Sharpe ratios per day that luck alone gives the trials.

    The variance across trials, as Bailey & López de Prado (2014) take it, but never more than the sampling variance of
    a single ratio of no skill, 1 / (n - 1): trials that differ because some of them lose heavily to costs make nobody
    luckier. Below it lies the variance of trials that resemble one another.

    Args:
        tried: What the ledger knows.
        n_days: Days of the result that is judged.
    """
    single = 1.0 / max(n_days - 1, 1)
    return min(tried.sharpe_variance, single) if tried.sharpe_variance > 0 else single


def sentence(found: Evidence, *, what: str) -> tuple[str, str]:
    """Return the headline of a study and its tone (good, bad, neutral).

    Args:
        found: Its evidence.
        what: What is judged, as "The best of 486 variants".
    """
    if not math.isfinite(found.deflated_sharpe):
        return f"No evidence of an edge: {_lower(what)} traded too little or too evenly to be judged.", "neutral"
    ratio = f"Sharpe ratio {found.sharpe:.2f}, deflated probability {100 * found.deflated_sharpe:.0f} %"
    tried = f"{found.n_trials:,} variant{'s' * (found.n_trials != 1)} tried on these markets"
    if found.sharpe < 0:
        lost = f"{_lower(what)} has a Sharpe ratio of {found.sharpe:.2f} after costs"
        if found.probabilistic_sharpe < 1.0 - CONFIDENCE:
            return f"It loses money: {lost}.", "bad"
        return f"No evidence of an edge: {lost}, a loss within noise.", "neutral"
    if not found.is_edge:
        luck = (
            f"luck alone is expected to show {found.luck_sharpe:.2f}" if found.n_trials > 1 else "that is within noise"
        )
        return f"No evidence of an edge: {_lower(what)} has a {ratio}; {luck} with {tried}.", "neutral"
    if found.is_choice_lucky:
        share = f"{100 * found.overfitting.probability:.0f} %" if found.overfitting else ""
        text = (
            f"{what} earned more than {tried} explain ({ratio}), but which variant is best is luck: in {share} of the "
            "splits the chosen one was below the median afterwards."
        )
        return text, "good"
    return f"{what} earned more than luck explains: {ratio}, with {tried}.", "good"


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's correlation of two rankings, ties given their mean rank.

    Returns:
        In [-1, 1]; nan for fewer than three pairs or a ranking of ties alone.

    Source: Spearman (1904), American J. of Psychology 15(1), as the correlation of mean ranks.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    if int(known.sum()) < 3:
        return math.nan
    a, b = _mean_ranks(x[known]), _mean_ranks(y[known])
    a, b = a - a.mean(), b - b.mean()
    power = math.sqrt(float(np.sum(a * a)) * float(np.sum(b * b)))
    return float(np.sum(a * b)) / power if power > 0 else math.nan


def _mean_ranks(values: FloatArray) -> FloatArray:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: FloatArray = (ends - (counts - 1) / 2.0)[group]
    return ranks


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
