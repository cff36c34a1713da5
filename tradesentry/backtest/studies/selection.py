"""Choose what to trade next from what a train window showed: eligibility, rank, overlap, hysteresis, weights.

Pure functions over scores. Variants are ranked by the lower bound of their mean R, not by profit factor or Sharpe
ratio, so that few lucky trades do not win; near twins are one bet and only one of them is taken; an incumbent stays
until a challenger's lower bound beats its mean, which keeps turnover from chasing noise.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.studies.outcome import Days, Outcome, mean_and_error
from tradesentry.core.domain.orders import ExitReason

Weighting = Literal["equal", "inverse_volatility"]
Trades = npt.NDArray[np.void]
END_OF_DATA = int(ExitReason.END_OF_DATA)


@dataclass(frozen=True, slots=True)
class Score:
    """What a window showed of one variant on one market."""

    key: str
    """Variant."""
    n_trades: int
    mean_r: float
    error: float
    """Standard error of the mean, block bootstrap by week; nan with too few weeks."""
    volatility: float
    """Of daily returns, fraction."""
    net: float

    @property
    def bound(self) -> float:
        """Return the mean less one standard error."""
        return self.mean_r - self.error


def score_of(key: str, outcome: Outcome, days: Days, *, is_purged: bool) -> Score:
    """Return the score of an outcome.

    Args:
        key: Variant.
        outcome: Of one window.
        days: FX days of the window.
        is_purged: Leave out trades that the window's end cut off: their result was not known inside it.
    """
    trades = purged(outcome.trades) if is_purged else outcome.trades
    mean, error = mean_and_error(trades, days)
    returns = outcome.returns
    volatility = float(np.std(returns, ddof=1)) if len(returns) > 1 else math.nan
    return Score(key, len(trades), mean, error, volatility, float(np.sum(trades["net"])))


def purged(trades: Trades) -> Trades:
    """Return the trades that ended inside their window."""
    kept: Trades = trades[trades["reason"] != END_OF_DATA]
    return kept


def ranked(scores: Sequence[Score], *, min_trades: int, min_bound: float | None = None) -> list[Score]:
    """Return the eligible scores, best lower bound first, ties by key.

    Args:
        scores: Of one market.
        min_trades: Fewer trades make a variant ineligible.
        min_bound: Least lower bound; any when None.
    """
    eligible = [
        score
        for score in scores
        if score.n_trades >= min_trades
        and math.isfinite(score.bound)
        and (min_bound is None or score.bound > min_bound)
    ]
    return sorted(eligible, key=lambda score: (-score.bound, score.key))


def overlap(first: Trades, second: Trades) -> float:
    """Return the share of trades that two variants have in common, fraction of the smaller set.

    Trades are common when they are on the same side and open at the same time.

    Args:
        first: ROUND_TRIP array of one market.
        second: ROUND_TRIP array of the same market.
    """
    if len(first) > len(second):
        first, second = second, first
    if not len(first):
        return 0.0
    common = 0
    for side in (1, -1):
        own, other = first[first["side"] == side], second[second["side"] == side]
        other = other[np.argsort(other["entry_ns"], kind="stable")]
        latest = np.concatenate(([np.iinfo(np.int64).min], np.maximum.accumulate(other["exit_ns"])))
        n_begun = np.searchsorted(other["entry_ns"], own["exit_ns"], side="left")
        common += int(np.sum(latest[n_begun] > own["entry_ns"]))
    return common / len(first)


def select(
    order: Sequence[Score],
    *,
    top: int,
    max_overlap: float,
    trades_of: Callable[[str], Trades],
    incumbents: Sequence[str] = (),
) -> list[Score]:
    """Return what to trade next, best first.

    Args:
        order: Eligible scores, best first.
        top: Most variants.
        max_overlap: Variants with at least this share of common trades are one bet.
        trades_of: Train trades of a variant.
        incumbents: Variants traded until now, best first; one that is no longer eligible is dropped.
    """
    by_key = {score.key: score for score in order}
    kept: list[Score] = []
    for key in incumbents:
        score = by_key.get(key)
        if score is not None and len(kept) < top and not _clashes(score, kept, max_overlap, trades_of):
            kept.append(score)
    safe = {score.key for score in kept}
    for challenger in order:
        if len(kept) == top and not any(s.key in safe and s.mean_r < challenger.bound for s in kept):
            # Nobody further down the order can beat an incumbent either.
            break
        if challenger.key in safe:
            continue
        rivals = _clashes(challenger, kept, max_overlap, trades_of)
        if not rivals and len(kept) < top:
            kept.append(challenger)
        elif len(rivals) <= 1:
            _replace(challenger, rivals, kept, safe)
    return sorted(kept, key=lambda score: (-score.bound, score.key))


def _clashes(
    score: Score, kept: Sequence[Score], max_overlap: float, trades_of: Callable[[str], Trades]
) -> list[Score]:
    own = trades_of(score.key) if kept else None
    return [other for other in kept if own is not None and overlap(own, trades_of(other.key)) >= max_overlap]


def _replace(challenger: Score, rivals: Sequence[Score], kept: list[Score], incumbents: set[str]) -> None:
    """Put a challenger in the place of the incumbent it clashes with, or of the weakest, if it beats its mean."""
    weakest = min((s for s in (rivals or kept) if s.key in incumbents), key=lambda s: (s.mean_r, s.key), default=None)
    if weakest is not None and challenger.bound > weakest.mean_r:
        kept[kept.index(weakest)] = challenger
        incumbents.discard(weakest.key)


def weights_of(chosen: Sequence[Score], weighting: Weighting) -> dict[str, float]:
    """Return the share of a market's risk budget for every chosen variant; the shares sum to 1.

    Args:
        chosen: What to trade.
        weighting: Equal shares, or shares inverse to the volatility that the train window showed.
    """
    if not chosen:
        return {}
    raw = {score.key: 1.0 for score in chosen}
    known = [score.volatility for score in chosen if score.volatility > 0]
    if weighting == "inverse_volatility" and len(known) == len(chosen):
        raw = {score.key: 1.0 / score.volatility for score in chosen}
    total = math.fsum(raw.values())
    return {key: value / total for key, value in raw.items()}
