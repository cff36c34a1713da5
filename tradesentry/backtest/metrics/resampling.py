"""Ask how much luck is in a result: resample weeks of trades, shuffle trades, draw blocks of days.

Pure functions over arrays with a fixed seed, so that the same result always gets the same figures, on every machine:
sums run in a fixed order and no linear-algebra library is asked.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SEED = 20_240_101
ERROR_DRAWS = 500
MIN_WEEKS = 8
"""Fewer weeks with a trade do not carry a bootstrap."""
BAND_DRAWS = 1_000
BLOCK_DAYS = 5
"""Days drawn together: a trading week keeps most of the clustering of volatility."""
CELLS_AT_ONCE = 1_000_000
LEVELS = (0.05, 0.5, 0.95)
MIN_PERIODS = 20


class DrawdownBand(NamedTuple):
    """What the deepest drawdown could have been, had luck dealt the same cards otherwise. Fractions of the peak."""

    low: float
    """One draw in twenty was shallower."""
    median: float
    high: float
    """One draw in twenty was deeper: what an account must be able to bear."""
    share_deeper: float
    """Share of draws deeper than the drawdown that was seen; about a half when the order was ordinary."""


@lru_cache(maxsize=512)
def _picks(n_blocks: int, draws: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, n_blocks, size=(draws, n_blocks))


def bootstrap_error(r_multiples: FloatArray, weeks: IntArray, *, draws: int = ERROR_DRAWS, seed: int = SEED) -> float:
    """Return the standard error of the mean R when whole FX weeks are drawn with replacement.

    Args:
        r_multiples: Per trade, shape (n,).
        weeks: Block of each trade, any numbering, shape (n,).
        draws: Resamples.
        seed: Of the generator.

    Returns:
        nan for fewer than `MIN_WEEKS` weeks with a trade.

    Source: Künsch (1989), Annals of Statistics 17(3), with calendar weeks as blocks; sample deviation of the draws.
    """
    _, block = np.unique(weeks, return_inverse=True)
    n_blocks = int(block.max()) + 1 if len(block) else 0
    if n_blocks < MIN_WEEKS:
        return math.nan
    sums = np.bincount(block, weights=r_multiples)
    counts = np.bincount(block).astype(np.float64)
    picks = _picks(n_blocks, draws, seed)
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    return float(np.std(means, ddof=1))


def shuffled_drawdowns(
    gains: FloatArray, capital: float, *, draws: int = BAND_DRAWS, seed: int = SEED
) -> DrawdownBand | None:
    """Return the band of the deepest drawdown over random orders of the same trades.

    The end is the same for every order, so the band shows what the path alone could have cost. Trades are taken one
    after the other and at the sizes they had; what was lost inside a trade is not in it.

    Args:
        gains: Net result of each trade, account currency, in order of exit.
        capital: Balance before the first.
        draws: Orders to try.
        seed: Of the generator.

    Returns:
        None for fewer than two trades.
    """
    if len(gains) < 2:
        return None
    generator = np.random.default_rng(seed)
    depths = []
    for n in _parts(draws, len(gains)):
        orders = np.stack([generator.permutation(gains) for _ in range(n)])
        depths.append(_curve_depths(capital + np.cumsum(orders, axis=1), capital))
    own = _curve_depths((capital + np.cumsum(gains))[None, :], capital)
    return _band(np.concatenate(depths), float(own[0]))


def block_drawdowns(
    returns: FloatArray, *, block: int = BLOCK_DAYS, draws: int = BAND_DRAWS, seed: int = SEED
) -> DrawdownBand | None:
    """Return the band of the deepest drawdown when blocks of days are drawn with replacement.

    Unlike a shuffle this also varies how good the days are: it answers how deep another period of the same kind could
    have gone.

    Args:
        returns: Simple daily returns, fraction, shape (n_days,).
        block: Consecutive days drawn together; the series is a circle.
        draws: Periods to draw, each as long as the series.
        seed: Of the generator.

    Returns:
        None for fewer than two blocks, or returns that are not finite.

    Source: Politis & Romano (1992), "A circular block-resampling procedure", in LePage & Billard (eds.).
    """
    n = len(returns)
    if n < 2 * block or not np.all(np.isfinite(returns)):
        return None
    generator = np.random.default_rng(seed)
    depths = []
    for part in _parts(draws, n):
        starts = generator.integers(0, n, size=(part, math.ceil(n / block)))
        rows = (starts[:, :, None] + np.arange(block)).reshape(part, -1)[:, :n] % n
        depths.append(_curve_depths(np.cumprod(1.0 + returns[rows], axis=1), 1.0))
    own = _curve_depths(np.cumprod(1.0 + returns)[None, :], 1.0)
    return _band(np.concatenate(depths), float(own[0]))


class Interval(NamedTuple):
    """Middle 95 % of the draws."""

    low: float
    high: float


def stationary_interval(
    returns: FloatArray, *, periods_per_year: float, draws: int = BAND_DRAWS, seed: int = SEED
) -> Interval | None:
    """Return the interval of the annual Sharpe ratio when blocks of random length are drawn with replacement.

    Args:
        returns: Simple returns per period, fraction, shape (n,).
        periods_per_year: 252 for daily returns.
        draws: Series to draw, each as long as the given one.
        seed: Of the generator.

    Returns:
        None for fewer than 20 periods, returns that are not finite, or do not vary.

    Source: Politis & Romano (1994), "The Stationary Bootstrap", J. of the American Statistical Association 89(428);
    geometric block lengths with mean sqrt(n), the series is a circle.
    """
    n = len(returns)
    if n < MIN_PERIODS or not np.all(np.isfinite(returns)) or float(np.std(returns)) <= 1e-15:
        return None
    generator = np.random.default_rng(seed)
    found = []
    for part in _parts(draws, n):
        starts = generator.integers(0, n, size=(part, n))
        is_new = generator.random((part, n)) < 1.0 / math.sqrt(n)
        is_new[:, 0] = True
        columns = np.arange(n)
        begun = np.maximum.accumulate(np.where(is_new, columns, 0), axis=1)
        rows = (np.take_along_axis(starts, begun, axis=1) + columns - begun) % n
        drawn = returns[rows]
        deviation = np.std(drawn, axis=1, ddof=1)
        found.append(np.where(deviation > 1e-15, drawn.mean(axis=1) / np.maximum(deviation, 1e-15), 0.0))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975)) * math.sqrt(periods_per_year)
    return Interval(float(low), float(high))


def _parts(draws: int, length: int) -> list[int]:
    """Return `draws` in parts that keep a matrix of `length` columns small."""
    most = max(1, CELLS_AT_ONCE // length)
    return [most] * (draws // most) + ([draws % most] if draws % most else [])


def _curve_depths(curves: npt.NDArray[Any], start: float) -> FloatArray:
    """Return the deepest drawdown of each row, fraction of the peak; the start counts as a peak."""
    peaks = np.maximum(np.maximum.accumulate(curves, axis=1), start)
    depths: FloatArray = np.maximum(np.max(1.0 - curves / peaks, axis=1), 0.0)
    return depths


def _band(depths: FloatArray, own: float) -> DrawdownBand:
    low, median, high = (float(value) for value in np.quantile(depths, LEVELS))
    return DrawdownBand(low, median, high, float(np.mean(depths > own)))
