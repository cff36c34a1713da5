"""Count prices in whole ticks and back, without rounding errors that differ from a printed price.

A price is `n * numerator / denominator` with whole numbers, divided once: the double nearest to the decimal a vendor
prints. Multiplying by 0.00001 gives other bits, and equal prices would not be equal.
"""

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradesentry.core.domain.errors import ConfigError, DataError

_LARGEST_DENOMINATOR: Final = 10**9
_TOLERANCE: Final = 1e-4
"""How far from a whole tick a stored price may lie, ticks."""
_DECIMALS: Final = tuple(10.0**-n for n in range(9))
_DYADICS: Final = tuple(2.0**-n for n in range(27))


def tick_fraction(tick: float) -> tuple[int, int]:
    """Return numerator and denominator of a tick: 0.00001 is 1/100000, 0.25 is 1/4, 5.0 is 5/1.

    Raises:
        ConfigError: The tick is not above 0, or no fraction with a denominator up to a billion.
    """
    fraction = Fraction(tick).limit_denominator(_LARGEST_DENOMINATOR) if np.isfinite(tick) and tick > 0 else Fraction(0)
    if fraction <= 0 or abs(float(fraction) / tick - 1) > 1e-9:
        raise ConfigError(f"Tick {tick} cannot be used. Give the smallest price step, such as 0.00001.")
    return fraction.numerator, fraction.denominator


def from_ticks(n: ArrayLike, tick: float) -> NDArray[np.float64]:
    """Return the prices of whole numbers of ticks."""
    numerator, denominator = tick_fraction(tick)
    return np.asarray(n, dtype=np.int64) * numerator / denominator


def to_ticks(prices: ArrayLike, tick: float) -> NDArray[np.int64]:
    """Return prices as whole numbers of ticks, rounded to the nearest."""
    numerator, denominator = tick_fraction(tick)
    return np.rint(np.asarray(prices, dtype=np.float64) * denominator / numerator).astype(np.int64)


def is_on_grid(prices: ArrayLike, tick: float) -> bool:
    """Return whether every price is a whole number of ticks, up to the precision of stored prices."""
    numerator, denominator = tick_fraction(tick)
    ticks = np.asarray(prices, dtype=np.float64) * denominator / numerator
    return bool(np.all(np.abs(ticks - np.rint(ticks)) < _TOLERANCE))


def infer_tick(prices: NDArray[np.float64]) -> float:
    """Return the largest tick, a power of 1/10 or else of 1/2, on which all prices lie.

    Raises:
        DataError: No such tick: the prices are averages or adjusted.
    """
    for tick in (*_DECIMALS, *_DYADICS):
        if np.all(np.abs(from_ticks(to_ticks(prices, tick), tick) - prices) <= 4 * np.spacing(np.abs(prices))):
            return tick
    raise DataError(
        "The prices lie on no tick grid, neither decimal nor binary: they are averages or were adjusted. Round them to "
        "the instrument's tick first."
    )
