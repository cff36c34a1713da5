"""Turn a market upside down, for the proof that a strategy treats both sides alike.

In the mirrored market falling prices rise: every price p becomes pivot - p, high and low swap, and so do bid and ask.
The new bid is pivot - ask, so a sale there pays what a purchase paid here, spread included. All arithmetic is on
whole ticks, so mirroring twice gives the identical bytes. On a binary tick (a power of two, see `synthetic_bars`) sums
and differences of prices are exact too, and a symmetric strategy must decide exactly the mirror image.
"""

from dataclasses import replace
from typing import overload

import numpy as np

from tradesentry.core.domain.errors import DataError
from tradesentry.core.market.bars import BarArray, BarSeries, checksum_of
from tradesentry.core.market.tick_grid import from_ticks, infer_tick, is_on_grid, to_ticks

_PRICES = ("open", "high", "low", "close")


def on_grid(bars: BarArray, tick: float) -> BarArray:
    """Return a copy of bars with prices and spreads rounded to the tick: averaged spreads lie between ticks."""
    out = bars.copy()
    for name in (*_PRICES, "spread"):
        out[name] = from_ticks(to_ticks(bars[name], tick), tick)
    return out


def _mirror_bars(bars: BarArray, pivot: float | None, tick: float | None) -> BarArray:
    if bars.size == 0:
        return bars.copy()
    step = infer_tick(np.concatenate([bars[name] for name in (*_PRICES, "spread")])) if tick is None else tick
    for name in (*_PRICES, "spread"):
        if not is_on_grid(bars[name], step):
            raise DataError(
                f"The bars cannot be mirrored exactly: some {name} is no multiple of the tick {step}. "
                "Round them first with `on_grid(bars, tick)` and compare with those."
            )
    low, high, spread = to_ticks(bars["low"], step), to_ticks(bars["high"], step), to_ticks(bars["spread"], step)
    total = int(low.min() + (high + spread).max()) if pivot is None else int(to_ticks(pivot, step))
    if total <= int((high + spread).max()):
        raise DataError(f"The pivot {pivot} gives prices at or below zero. Choose one above the highest ask.")
    out = bars.copy()
    for name, source in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
        out[name] = from_ticks(total - to_ticks(bars[source], step) - spread, step)
    return out


@overload
def mirror(bars: BarSeries, pivot: float | None = None, *, tick: float | None = None) -> BarSeries: ...
@overload
def mirror(bars: BarArray, pivot: float | None = None, *, tick: float | None = None) -> BarArray: ...
def mirror(
    bars: BarSeries | BarArray, pivot: float | None = None, *, tick: float | None = None
) -> BarSeries | BarArray:
    """Return the mirrored market.

    Args:
        bars: Bid bars with spreads, on the tick grid.
        pivot: Sum of a bid and its mirrored ask, price units; None keeps the range of prices.
        tick: The price step; None finds it from the prices.

    Returns:
        Bars of the same shape: times, volumes and spreads as they were, prices pivot - ask.

    Raises:
        DataError: A price or spread off the grid, or a pivot that makes prices negative.
    """
    if not isinstance(bars, BarSeries):
        return _mirror_bars(bars, pivot, tick)
    mirrored = _mirror_bars(bars.bars, pivot, tick)
    provenance = {**bars.provenance, "is_mirrored": not bars.provenance.get("is_mirrored", False)}
    return replace(bars, bars=mirrored, provenance=provenance, checksum=checksum_of(mirrored))
