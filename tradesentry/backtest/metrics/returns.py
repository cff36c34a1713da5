"""Metrics of an account curve: return, risk, ratios. Pure functions; nan where a figure is undefined, never an error.

Unless noted, input is the equity at the end of each FX day (17:00 New York, Monday to Friday), the first value being
the capital, and returns are simple returns between them. Annual figures take 252 days, the convention for daily
returns (an FX year has up to 261, so volatility and ratios are understated by up to 1.8 %).
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.metrics.fx_time import DAY_NS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAYS_PER_YEAR = 252.0
YEAR_NS = 365.25 * DAY_NS
CALMAR_YEARS = 3.0


class Drawdown(NamedTuple):
    """The deepest fall of an account curve below its highest value before."""

    depth: float
    """Fraction of the peak, in [0, 1], above 1 when equity went negative; nan for an empty curve."""
    length_days: float
    """Calendar days from the peak to its recovery, or to the end of the curve."""
    recovery_days: float
    """Calendar days from the trough to a new peak; nan while not recovered."""
    peak: int
    trough: int
    recovery: int
    """Positions in the curve; -1 for no drawdown or no recovery."""


def simple_returns(equity: FloatArray) -> FloatArray:
    """Return `equity[i] / equity[i-1] - 1`, nan from the first value on that is not positive.

    Args:
        equity: Account currency, shape (n + 1,).

    Returns:
        Fractions, shape (n,).
    """
    if len(equity) < 2:
        return np.zeros(0)
    is_alive = np.minimum.accumulate(equity[:-1]) > 0
    base = np.where(is_alive, equity[:-1], 1.0)
    return np.where(is_alive, equity[1:] / base - 1.0, np.nan)


def total_return(equity: FloatArray) -> float:
    """Return last over first equity minus 1, fraction. Defined for a negative end, not for a start of zero."""
    return float(equity[-1] / equity[0] - 1.0) if len(equity) and equity[0] > 0 else math.nan


def cagr(equity: FloatArray, years: float) -> float:
    """Return the compound annual growth rate, fraction per year.

    Args:
        equity: Account currency; only the ends count.
        years: Calendar time between them, in years of 365.25 days.

    Returns:
        nan for less than 30 days or a start or end that is not positive.

    Source: GIPS (2020), annualized return; under 30 days the exponent would be noise.
    """
    if len(equity) < 2 or years < 30 / 365.25 or min(equity[0], equity[-1]) <= 0:
        return math.nan
    return float((equity[-1] / equity[0]) ** (1.0 / years) - 1.0)


def annualized_volatility(returns: FloatArray) -> float:
    """Return the sample deviation (ddof=1) of daily returns times sqrt(252), fraction per year."""
    return float(np.std(returns, ddof=1) * math.sqrt(DAYS_PER_YEAR)) if len(returns) > 1 else math.nan


def max_drawdown(equity: FloatArray, lows: FloatArray | None = None, ts_ns: IntArray | None = None) -> Drawdown:
    """Return the deepest drawdown of a curve with its length and recovery.

    Args:
        equity: Account currency, shape (n,), any sampling.
        lows: Equity at the adverse extreme since the point before; the curve itself when omitted.
        ts_ns: Times of the points; one day apart when omitted.

    Source: Magdon-Ismail & Atiya (2004), "Maximum Drawdown", Risk 17(10). The depth is a positive fraction of the peak.
    """
    if not len(equity) or equity[0] <= 0:
        return Drawdown(math.nan, math.nan, math.nan, -1, -1, -1)
    times = ts_ns if ts_ns is not None else np.arange(len(equity), dtype=np.int64) * DAY_NS
    peaks = np.maximum.accumulate(equity)
    depths = 1.0 - (equity if lows is None else np.fmin(equity, lows)) / peaks
    trough = int(np.argmax(depths))
    if not depths[trough] > 0:
        return Drawdown(0.0, 0.0, 0.0, -1, -1, -1)
    peak = int(np.flatnonzero(equity[: trough + 1] >= peaks[trough])[-1])
    later = np.flatnonzero(equity[trough:] >= peaks[trough])
    later = later[later + trough > peak]
    recovery = int(later[0]) + trough if len(later) else -1
    until = times[recovery] if recovery >= 0 else times[-1]
    length = float(until - times[peak]) / DAY_NS
    healing = float(until - times[trough]) / DAY_NS if recovery >= 0 else math.nan
    return Drawdown(float(depths[trough]), length, healing, peak, trough, recovery)


def drawdowns(equity: FloatArray) -> FloatArray:
    """Return the fraction below the highest value so far, at every point, in [0, …)."""
    peaks = np.maximum.accumulate(equity) if len(equity) else equity
    return np.where(peaks > 0, 1.0 - equity / np.where(peaks > 0, peaks, 1.0), np.nan)


def ulcer_index(equity: FloatArray) -> float:
    """Return the root mean square of daily drawdowns, fraction.

    Source: Martin & McCann (1989), "The Investor's Guide to Fidelity Funds". As a fraction, theirs in percent.
    """
    return float(np.sqrt(np.mean(drawdowns(equity) ** 2))) if len(equity) > 1 else math.nan


def value_at_risk(returns: FloatArray, level: float) -> float:
    """Return the historical daily value at risk as a return (a loss is negative), fraction.

    Args:
        returns: Daily returns.
        level: Confidence, such as 0.95: one day in twenty is worse.

    Source: Jorion (2006), "Value at Risk", 3rd ed., ch. 10: empirical quantile, linear interpolation.
    """
    return float(np.quantile(returns, 1.0 - level)) if len(returns) > 1 else math.nan


def conditional_value_at_risk(returns: FloatArray, level: float) -> float:
    """Return the mean of the worst `1 - level` of daily returns (a loss is negative), fraction.

    The tail holds the ceil of its share of days, at least one.

    Source: Rockafellar & Uryasev (2000), "Optimization of Conditional Value-at-Risk", J. of Risk 2(3).
    """
    if len(returns) < 2:
        return math.nan
    n_tail = max(1, math.ceil((1.0 - level) * len(returns) - 1e-9))
    return float(np.mean(np.sort(returns)[:n_tail]))


def downside_deviation(returns: FloatArray, *, target: float = 0.0) -> float:
    """Return the root mean square of daily returns below `target` over all days, times sqrt(252), fraction per year.

    Source: Sortino & van der Meer (1991), "Downside Risk", J. of Portfolio Management 17(4).
    """
    if len(returns) < 2:
        return math.nan
    return float(np.sqrt(np.mean(np.minimum(returns - target, 0.0) ** 2)) * math.sqrt(DAYS_PER_YEAR))


def tail_ratio(returns: FloatArray) -> float:
    """Return the 95th over the absolute 5th percentile of daily returns, dimensionless; below 1 the losses are fatter.

    Source: pyfolio / empyrical `tail_ratio`.
    """
    if len(returns) < 2:
        return math.nan
    low = abs(float(np.quantile(returns, 0.05)))
    return abs(float(np.quantile(returns, 0.95))) / low if low > 0 else math.nan


def annualized_sharpe(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR, *, risk_free: float = 0.0) -> float:
    """Return the annualized Sharpe ratio.

    Args:
        returns: Simple returns per period, fraction.
        periods_per_year: 252 for daily returns; 1 leaves the ratio per period.
        risk_free: Risk-free return per period.

    Returns:
        Dimensionless; nan for fewer than two returns or returns that do not vary.

    Source: Sharpe (1994), "The Sharpe Ratio", J. of Portfolio Management 21(1). Sample deviation (ddof=1).
    """
    if not does_vary(returns):
        return math.nan
    return float(np.mean(returns - risk_free) / np.std(returns, ddof=1) * math.sqrt(periods_per_year))


def sharpe_standard_error(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Return the standard error of the annualized Sharpe ratio for independent returns.

    `sqrt((1 + SR²/2) / T)` per period, times the square root of the periods per year.

    Source: Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), eq. 9.
    """
    per_period = annualized_sharpe(returns, 1.0)
    return math.sqrt((1.0 + per_period**2 / 2.0) / len(returns) * periods_per_year) if len(returns) > 1 else math.nan


def adjusted_sharpe(returns: FloatArray, periods_per_year: int = int(DAYS_PER_YEAR)) -> float:
    """Return the annualized Sharpe ratio corrected for serial correlation.

    `SR · q / sqrt(q + 2 Σ (q - k) r_k)` with q periods a year. The sum stops at the lag `4 (T/100)^(2/9)`, because
    higher sample autocorrelations are noise.

    Source: Lo (2002), eq. 20; lag by Newey & West (1994), Review of Economic Studies 61(4).
    """
    if not does_vary(returns):
        return math.nan
    n_lags = min(int(4.0 * (len(returns) / 100.0) ** (2.0 / 9.0)), len(returns) - 1, periods_per_year - 1)
    centered = returns - np.mean(returns)
    power = float(np.dot(centered, centered))
    weighted = [
        (periods_per_year - k) * float(np.dot(centered[k:], centered[:-k])) / power for k in range(1, n_lags + 1)
    ]
    scale = periods_per_year + 2.0 * math.fsum(weighted)
    return annualized_sharpe(returns, 1.0) * periods_per_year / math.sqrt(scale) if scale > 0 else math.nan


def sortino_ratio(returns: FloatArray) -> float:
    """Return the mean daily return times 252 over the downside deviation; nan without a losing day.

    Source: Sortino & Price (1994), "Performance Measurement in a Downside Risk Framework", J. of Investing 3(3).
    """
    deviation = downside_deviation(returns)
    return float(np.mean(returns) * DAYS_PER_YEAR / deviation) if deviation > 0 else math.nan


def return_over_drawdown(growth: float, depth: float) -> float:
    """Return a growth rate over a drawdown depth: the MAR ratio since inception, the Calmar ratio over three years.

    Source: Young (1991), "Calmar Ratio: A Smoother Tool", Futures 20(1); MAR after "Managed Account Reports".
    """
    return growth / depth if depth > 0 else math.nan


def omega_ratio(returns: FloatArray, *, threshold: float = 0.0) -> float:
    """Return the sum of daily returns above over the sum below `threshold`; nan without a day below.

    Source: Keating & Shadwick (2002), "A Universal Performance Measure", J. of Performance Measurement 6(3).
    """
    excess = returns - threshold
    shortfall = -float(np.sum(np.minimum(excess, 0.0)))
    return float(np.sum(np.maximum(excess, 0.0))) / shortfall if shortfall > 0 else math.nan


def rolling_sharpe(returns: FloatArray, window: int) -> FloatArray:
    """Return the annualized Sharpe ratio of the last `window` days, nan before and where they do not vary."""
    result = np.full(len(returns), np.nan)
    if len(returns) < window or window < 2:
        return result
    frames = np.lib.stride_tricks.sliding_window_view(returns, window)
    deviation = np.std(frames, axis=1, ddof=1)
    varies = deviation > 1e-15
    ratio = np.mean(frames, axis=1) / np.where(varies, deviation, 1.0) * math.sqrt(DAYS_PER_YEAR)
    result[window - 1 :] = np.where(varies, ratio, np.nan)
    return result


def grouped_returns(equity: FloatArray, labels: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the return of every group of consecutive days: months, weeks, years.

    Args:
        equity: Daily equity, shape (n + 1,), first value the capital.
        labels: Ascending group of each day, shape (n,).

    Returns:
        Groups and fractions, same shape; a group's base is the last equity of the group before.
    """
    if not len(labels):
        return labels, np.zeros(0)
    last = np.append(np.flatnonzero(np.diff(labels)), len(labels) - 1)
    return labels[last], simple_returns(np.append(equity[0], equity[last + 1]))


def does_vary(returns: FloatArray) -> bool:
    """Return whether a ratio of mean to deviation means anything: two finite returns that differ."""
    return len(returns) > 1 and bool(np.all(np.isfinite(returns))) and float(np.std(returns, ddof=1)) > 1e-15
