"""Say in a table how much of a result luck explains: each figure of the evidence with what it means.

Any result may have it: a sweep, a walk-forward, or a plain back-test that was counted as one attempt.
"""

import math
from collections.abc import Sequence
from typing import Final

from tradesentry.backtest.reporting import text
from tradesentry.backtest.reporting.charts import Columns
from tradesentry.backtest.studies.evidence import Evidence

HONESTY: Final = {
    "n_trials": (
        "Variants tried",
        "Ever tried on these markets, in all studies of this folder. The best of many looks good by chance.",
    ),
    "effective_trials": (
        "Different variants",
        "Of these, how many do not move with another one: clusters of daily returns, correlation 0.5 and more.",
    ),
    "sharpe": ("Sharpe ratio", "Annualized, over the days of the test."),
    "sharpe_interval": ("95 % interval", "Of the Sharpe ratio, blocks of days redrawn 1,000 times."),
    "unskilled_sharpe": (
        "Best of the unskilled",
        "Sharpe ratio that the best of as many attempts without any skill is expected to show over so many days.",
    ),
    "luck_sharpe": ("Sharpe ratio of luck", "What the best of all attempts is expected to show without any skill."),
    "probabilistic_sharpe": (
        "Probabilistic Sharpe",
        "Probability that the true ratio is above zero, were this the only attempt; 95 % is the bar.",
    ),
    "deflated_sharpe": (
        "Deflated Sharpe",
        "The same against the ratio of luck: below 95 % the number of attempts explains the result.",
    ),
    "min_track_days": (
        "Days needed",
        "Least track record at which this Sharpe ratio would be significant, in trading days.",
    ),
    "overfitting_probability": (
        "Overfitting",
        "Probability that the best variant of one half of the days is below the median in the other: 50 % is a coin.",
    ),
    "overfitting_loss": (
        "Loss after choosing",
        "Share of splits in which the chosen variant lost money in the other half.",
    ),
    "drawdown_shuffled": (
        "Drawdown, trades shuffled",
        "Deepest drawdown of the same trades in any order: 90 % of 1,000 draws.",
    ),
    "drawdown_blocks": (
        "Drawdown, weeks redrawn",
        "Deepest drawdown of another period of the same kind: 90 % of 1,000 draws.",
    ),
}
"""Figures of the honesty table: label and meaning."""


def honesty_columns(found: Evidence) -> Columns:
    """Return the honesty table: each figure in words with what it means."""
    values = {
        "n_trials": f"{found.n_trials:,}",
        "effective_trials": text.number(found.effective_trials, 0),
        "sharpe": text.number(found.sharpe, 2),
        "sharpe_interval": _interval(found.sharpe_interval),
        "unskilled_sharpe": text.number(found.unskilled_sharpe, 2),
        "luck_sharpe": text.number(found.luck_sharpe, 2),
        "probabilistic_sharpe": text.percent(found.probabilistic_sharpe),
        "deflated_sharpe": text.percent(found.deflated_sharpe),
        "min_track_days": _days(found.min_track_days),
    }
    for key in ("effective_trials", "sharpe_interval"):
        if values[key] == text.UNKNOWN:
            del values[key]
    if found.overfitting is not None:
        values["overfitting_probability"] = text.percent(found.overfitting.probability)
        values["overfitting_loss"] = text.percent(found.overfitting.probability_of_loss)
    for key, band in (("drawdown_shuffled", found.shuffled), ("drawdown_blocks", found.blocks)):
        if band is not None:
            values[key] = f"{text.percent(band.low)} to {text.percent(band.high)}"
    return {
        "key": list(values),
        "label": [HONESTY[key][0] for key in values],
        "value": list(values.values()),
        "meaning": [HONESTY[key][1] for key in values],
    }


def _interval(found: Sequence[float] | None) -> str:
    if found is None:
        return text.UNKNOWN
    low, high = (text.number(value, 2, is_signed=True) for value in found)
    return f"{low} to {high}"


def _days(days: float) -> str:
    return text.number(math.ceil(days), 0) if math.isfinite(days) else "never"
