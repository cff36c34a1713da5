"""Put two finished runs side by side and say whether they differ by more than noise.

Metrics alone mislead: two runs over the same days share most of their luck. Where the periods overlap, the days are
paired, and the difference of their returns is judged by resampling weeks. What the runs differ in (configuration,
data, costs) is listed, because a difference of results means nothing without it.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.evaluation import daily_curve
from tradesentry.backtest.metrics.returns import DAYS_PER_YEAR
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.result_files import flat_config

FloatArray = npt.NDArray[np.float64]

KEYS: Final = (
    "n_trades", "win_rate", "profit_factor", "mean_r", "mean_r_low", "mean_r_high", "total_return", "cagr",
    "max_drawdown", "sharpe", "sortino", "exposure", "cost_total", "reject_share",
)  # fmt: skip
DRAWS: Final = 2_000
BLOCK_DAYS: Final = 5
SEED: Final = 20_240_101
MIN_DAYS: Final = 20
BAR_NS: Final = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs on the days they share."""

    n_days: int
    difference: float
    """Mean daily return of the second less the first, annualized, fraction."""
    low: float
    high: float
    """Its 95 % interval."""
    correlation: float
    """Of daily returns."""
    common_trades: float
    """Share of the smaller set of trades that the other has too: same market, side and minute of entry."""

    @property
    def is_different(self) -> bool:
        """Return whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs have and have not in common."""

    metrics: list[dict[str, Any]]
    """Key, label, unit, both values and their difference."""
    settings: list[dict[str, Any]]
    """Settings that differ."""
    data: list[str]
    """What differs in the data."""
    paired: Paired | None
    """None when they share too few days."""

    @property
    def verdict(self) -> str:
        """Return one sentence."""
        if self.paired is None:
            return "The runs share too few days to be compared beyond their figures."
        p = self.paired
        interval = f"95 %: {100 * p.low:+.1f} to {100 * p.high:+.1f}"
        span = f"{100 * p.difference:+.1f} % a year ({interval}) over {p.n_days:,} days"
        if p.difference == 0.0 and p.correlation > 1 - 1e-9:
            return f"No difference: the same returns on all {p.n_days:,} shared days."
        if not p.is_different:
            return f"No difference beyond noise: the second run made {span}."
        return f"The second run was {'better' if p.difference > 0 else 'worse'} by more than noise: {span}."


def compare(first: BacktestResult, second: BacktestResult) -> Comparison:
    """Return what two runs have and have not in common.

    Args:
        first: The run to compare with.
        second: The run in question.
    """
    return Comparison(_metrics(first, second), _settings(first, second), _data(first, second), _paired(first, second))


def _metrics(first: BacktestResult, second: BacktestResult) -> list[dict[str, Any]]:
    from tradesentry.backtest.evaluation import BY_KEY

    rows = []
    for key in KEYS:
        metric = BY_KEY[key]
        a, b = first.summary[key], second.summary[key]
        difference = None if a is None or b is None else b - a
        rows.append(
            {"key": key, "label": metric.label, "unit": metric.unit, "first": a, "second": b, "difference": difference}
        )
    return rows


def _settings(first: BacktestResult, second: BacktestResult) -> list[dict[str, Any]]:
    a, b = dict(flat_config(first.config)), dict(flat_config(second.config))
    a, b = {"app": first.app} | a, {"app": second.app} | b
    keys = [*a, *(key for key in b if key not in a)]
    return [{"setting": k, "first": a.get(k), "second": b.get(k)} for k in keys if a.get(k) != b.get(k)]


def _data(first: BacktestResult, second: BacktestResult) -> list[str]:
    a = {(row["symbol"], row["timeframe"]): row for row in first.provenance}
    b = {(row["symbol"], row["timeframe"]): row for row in second.provenance}
    lines = []
    for key in sorted(set(a) | set(b)):
        name = " ".join(key)
        if key not in a or key not in b:
            lines.append(f"{name} is only in the {'second' if key not in a else 'first'} run")
        elif a[key].get("checksum") != b[key].get("checksum"):
            lines.append(f"{name} has other bars: {a[key].get('bars'):,} and {b[key].get('bars'):,}")
    return lines


def _paired(first: BacktestResult, second: BacktestResult) -> Paired | None:
    a, b = daily_curve(first), daily_curve(second)
    _, rows_a, rows_b = np.intersect1d(a.dates, b.dates, return_indices=True)
    x, y = a.returns[rows_a], b.returns[rows_b]
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < MIN_DAYS:
        return None
    difference = y - x
    low, high = _interval(difference)
    spread = float(np.std(x) * np.std(y))
    correlation = float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else math.nan
    mean = float(np.mean(difference)) * DAYS_PER_YEAR
    return Paired(len(x), mean, low, high, correlation, _common_trades(first, second))


def _interval(difference: FloatArray) -> tuple[float, float]:
    """Return the 95 % interval of the annualized mean, blocks of a week drawn with replacement."""
    n = len(difference)
    generator = np.random.default_rng(SEED)
    starts = generator.integers(0, n, size=(DRAWS, math.ceil(n / BLOCK_DAYS)))
    rows = (starts[:, :, None] + np.arange(BLOCK_DAYS)).reshape(DRAWS, -1)[:, :n] % n
    low, high = np.quantile(difference[rows].mean(axis=1), (0.025, 0.975)) * DAYS_PER_YEAR
    return float(low), float(high)


def _common_trades(first: BacktestResult, second: BacktestResult) -> float:
    def names(result: BacktestResult) -> set[tuple[str, int, int]]:
        frame = result.trades
        entries = frame["entry_ns"].to_numpy() // BAR_NS
        return set(zip(frame["symbol"].to_list(), frame["side"].to_list(), entries.tolist(), strict=True))

    a, b = names(first), names(second)
    return len(a & b) / min(len(a), len(b)) if a and b else 0.0
