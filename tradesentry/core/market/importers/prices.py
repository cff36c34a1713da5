"""Bring a file's price columns to one form: bid prices on their grid, volume, spread in price units.

A bar's ask is bid + spread, so bars of the ask or the middle become bid bars only with a spread that the user gives,
or keep their side and are refused by back-tests.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import FloatArray
from tradesentry.core.market.importers.base import PriceColumns, RawBars, ReadHints

SIDES: Final = ("bid", "ask", "mid", "trade")
MAX_DIGITS: Final = 8
ON_GRID_FRACTION: Final = 0.98


class PriceOptions(Protocol):
    """The part of the import options that shapes prices."""

    @property
    def spread(self) -> float | None:
        """Price units."""

    @property
    def price_scale(self) -> float:
        """Factor of all prices."""

    @property
    def hints(self) -> ReadHints:
        """Holds the tick."""


@dataclass(frozen=True, slots=True, eq=False)
class BarColumns:
    """Columns ready for bars."""

    prices: PriceColumns
    volume: FloatArray
    spread: FloatArray
    side: str
    notes: tuple[str, ...]


def digits_of(prices: FloatArray) -> int | None:
    """Return how many decimals prices have, looking past float noise; None when they are on no decimal grid.

    Args:
        prices: Finite values, shape (n,), n >= 1. `1.2910599999999999` has five decimals.
    """
    values = prices[np.isfinite(prices)]
    if values.size == 0:
        return None
    for digits in range(MAX_DIGITS + 1):
        scaled = values * 10.0**digits
        near = np.abs(scaled - np.round(scaled)) <= 1e-6 * np.maximum(np.abs(scaled) * 1e-3, 1.0)
        if float(np.mean(near)) >= ON_GRID_FRACTION and (scaled >= 0.5).any():
            return digits
    return None


def tick_size(prices: FloatArray, said: float | None) -> float:
    """Return the smallest price step: what was said, else the last decimal that prices use, else 0."""
    if said is not None:
        return said
    digits = digits_of(prices)
    return 0.0 if digits is None else float(10.0**-digits)


def columns_of(raw: RawBars, side: str | None, *, options: PriceOptions, symbol: str) -> BarColumns:
    """Return bid columns where the file or the options allow it, else the file's own side.

    Args:
        raw: Columns as written.
        side: What the user says the prices are; None believes the format.
        options: Scale, spread and tick.
        symbol: For messages.

    Raises:
        UsageError: An unknown side, or a spread in points without a tick.
    """
    side = side or raw.price_side
    if side not in SIDES:
        raise UsageError(f"Unknown price side {side!r}. Known: {', '.join(SIDES)}.")
    raw_prices = raw.prices
    digits = digits_of(np.concatenate([price * options.price_scale for price in raw_prices]))
    prices = _on_grid(raw_prices, options.price_scale, digits)
    notes: list[str] = []
    if any(np.any(np.abs(a - b * options.price_scale) > 0) for a, b in zip(prices, raw_prices, strict=True)):
        notes.append(f"prices rounded to {digits} decimals (float noise in the file)")
    spread = _spread(raw, prices, options, digits=digits, symbol=symbol)
    if options.spread is not None and side in ("ask", "mid"):
        share = 1.0 if side == "ask" else 0.5
        prices = _on_grid(
            tuple(price - share * options.spread for price in prices), 1.0, None if digits is None else digits + 1
        )
        notes.append(f"{side} prices turned into bid prices with a spread of {options.spread:g}")
        side, spread = "bid", np.full(raw.times_ns.size, options.spread)
    elif options.spread is not None and not spread.any():
        spread = np.full(raw.times_ns.size, options.spread)
        notes.append(f"spread of {options.spread:g} filled in, as the file has none")
    volume = raw.volume if raw.volume is not None else np.zeros(raw.times_ns.size)
    return BarColumns(prices, np.asarray(volume, np.float64), spread, side, tuple(notes))


def _on_grid(prices: tuple[FloatArray, ...], scale: float, digits: int | None) -> PriceColumns:
    scaled = [price * scale if scale != 1.0 else price for price in prices]
    if digits is not None:
        scaled = [np.round(price, digits) for price in scaled]
    return scaled[0], scaled[1], scaled[2], scaled[3]


def _spread(raw: RawBars, bid: PriceColumns, options: PriceOptions, *, digits: int | None, symbol: str) -> FloatArray:
    if raw.ask is not None:
        return np.round(raw.ask[3] * options.price_scale - bid[3], MAX_DIGITS + 2)
    if raw.spread is not None:
        return np.round(raw.spread * options.price_scale, MAX_DIGITS + 2)
    if raw.spread_points is None:
        return np.zeros(raw.times_ns.size)
    point = options.hints.tick or (None if digits is None else 10.0**-digits)
    if point is None:
        raise UsageError(
            f"{symbol}: the file's spread is in points and its prices do not tell a point. Say it with --tick."
        )
    return np.round(raw.spread_points * point, MAX_DIGITS + 2)
