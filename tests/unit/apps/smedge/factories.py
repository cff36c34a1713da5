"""Quiet bars with a few that matter, and runs of smedge over them.

Stories are told in pips from 1.1000. Before them every bar is (0, 5, -5, 0): the ATR is 10 pips, the last swing high
is 5 and the last swing low is -5, and each edge is a pool. Stories begin on Wednesday 08:00 UTC, 09:00 in London.
"""

from typing import Any

import numpy as np

from tests.unit.apps.breakout.factories import (
    MINUTE,
    codes,
    hold,
    ns,
    quiet_bars,
    row_at,
    series_of,
    upside_down,
    when,
    without,
)
from tradesentry.apps.smedge.strategy import SMEdgeStrategy
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena

__all__ = [
    "BARE", "CHOCH", "MINUTE", "START", "SWEPT", "codes", "hold", "intents_of", "leg", "ns", "only", "order", "pips",
    "play", "quiet_bars", "resolve", "row_at", "series_of", "state_of", "story", "upside_down", "watch", "when",
    "without",
]  # fmt: skip

PIP = 0.0001
START = "2024-06-12T08:00"
BARE: dict[str, Any] = {"trend_mode": "off", "left_bars": 3, "zone": "ob"}
"""No H4 trend, so the warm-up is short; small swings; the block alone."""

SWEPT = ((0, 1, -9, -7), (-7, 2, -8, -4))
"""A close below the last low (trend state -1, body under 8 pips), and a close back above it: a sweep down to -9."""
CHOCH = (-4, 14, -6, 12)
"""Closes above the last high against the trend state: body 16 pips, ATR after it 10 + (20 - 10) / 14 = 10.714."""


def story(
    *rows: tuple[float, float, float, float],
    then: float | None = None,
    start: str = START,
    quiet_from: str = "2024-06-10T00:00",
    end: str = "2024-06-14T21:00",
) -> Any:
    """Return quiet bars, then `rows` in pips, then bars that stand still at `then` (the last close).

    Args:
        rows: (open, high, low, close).
        then: Pips.
        start: ISO time of the first row.
        quiet_from: ISO time of the first quiet bar.
        end: ISO time of the end of the series.
    """
    bars = quiet_bars(quiet_from, end)
    first = row_at(bars, start)
    for i, (open_, high, low, close) in enumerate(rows):
        bars.open[first + i], bars.high[first + i] = 1.1 + open_ * PIP, 1.1 + high * PIP
        bars.low[first + i], bars.close[first + i] = 1.1 + low * PIP, 1.1 + close * PIP
    rest = slice(first + len(rows), None)
    still = 1.1 + (rows[-1][3] if then is None else then) * PIP
    bars.open[rest] = bars.close[rest] = still
    bars.high[rest], bars.low[rest] = still + 2 * PIP, still - 2 * PIP
    return bars


def pips(price: float) -> float:
    """Return a price in pips from 1.1000, to a tenth."""
    return round((float(price) - 1.1) / PIP, 1)


def resolve(bars: Any, *, costs: str = "free", limits: str = "off", **config: Any) -> ResolvedRun:
    """Return a run of smedge over EURUSD bars on 100,000 dollars, with the settings of `BARE` unless said otherwise."""
    minutes = int(bars.close_ns[0] - bars.open_ns[0]) // MINUTE
    values = {**BARE, "timeframe": f"M{minutes}", "symbols": ["EURUSD"], **config}
    settings = RunSettings(costs=costs, limits=limits, capital=100_000)
    return resolve_run("smedge", bars=[series_of(bars)], config=values, settings=settings)


def play(bars: Any, **options: Any) -> Any:
    """Play the bars to their end and return the arena."""
    arena = new_arena(resolve(bars, **options))
    arena.run()
    return arena


def watch(bars: Any, n_bars: int, *, start: str = START, **options: Any) -> Any:
    """Play up to `n_bars` bars of the story, leave everything open, and return the arena."""
    # The run is resolved on all bars, so its calendar does not depend on where we look.
    arena = new_arena(resolve(bars, **options))
    for _ in range(row_at(bars, start) + n_bars):
        arena.play(1)
    return arena


def state_of(arena: Any) -> Any:
    """Return the strategy's state."""
    return arena.lanes[0].state[0]


def leg(arena: Any) -> Any:
    """Return the leg in hand, None without one."""
    found = state_of(arena).legs[0]
    return found if found.side != 0 else None


def order(arena: Any) -> tuple[int, float, float, float] | None:
    """Return (side, price, stop, target) of the order that rests, prices in pips; None without one."""
    seen = arena.books[0].seen
    assert seen.n_orders <= 1
    if seen.n_orders == 0:
        return None
    found = seen.orders[0]
    return int(found.side), pips(found.price), pips(found.stop_loss), pips(found.take_profit)


def only(arena: Any) -> Any:
    """Return the one trade."""
    assert len(arena.trade_rows) == 1
    return arena.trade_rows[0]


def intents_of(arena: Any) -> list[int]:
    """Return the actions that wait for the next open."""
    book = arena.books[0]
    return [int(intent.action) for intent in book.queue[: book.n_queue]]


def new_state() -> Any:
    """Return an empty state of the strategy."""
    return np.zeros(1, SMEdgeStrategy.STATE).view(np.recarray)
