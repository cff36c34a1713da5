"""A story in hours with a demand zone in discount, cut into quarters of an hour, and runs of smclassic over it.

All prices are pips from 1.1000. Quiet hours (0, 5, -5, 0) from Monday 00:00 UTC, summer 2024, to Tuesday 12:00; then
price falls, pauses at -40, leaves with force, climbs to 45 and comes back. With three bars to each side of a swing the
low of 15:00 and the high of 21:00 are swings; the second is known at 01:00 on Wednesday, and the dealing range is -40
to 45, equilibrium 2.5. The base of 15:00 and 16:00 is a demand zone from -32 (its highest body) to -40 (its low), and
13.3 pips are the ATR: the stop of a purchase lies 0.15 of it below the zone, at -42.0.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from tests.unit.apps.breakout.factories import MINUTE, is_open, ns, series_of
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.records import BAR

PIP = 0.0001
BASE = 1.1
START = "2024-06-10T00:00"
Prices = tuple[float, float, float, float]
QUIET: Prices = (0, 5, -5, 0)
N_QUIET = 36
FALL: list[Prices] = [(0, 1, -15, -14), (-14, -13, -28, -27), (-27, -26, -36, -33)]
PAUSE: list[Prices] = [(-33, -30, -40, -32), (-32, -30, -38, -33)]
DEPARTURE: list[Prices] = [(-33, -10, -34, -12)]
CLIMB: list[Prices] = [(-12, 6, -13, 5), (5, 22, 4, 21), (21, 40, 20, 38), (38, 45, 33, 36)]
RETURN: list[Prices] = [(36, 40, 25, 27), (27, 30, 15, 17), (17, 20, 5, 8)]
STORY = [QUIET] * N_QUIET + FALL + PAUSE + DEPARTURE + CLIMB + RETURN
"""Ends on Wednesday at 01:00 UTC; the limit at the zone already rests."""
NEAR, FAR, EQ, LOW, HIGH = -32.0, -40.0, 2.5, -40.0, 45.0
KNOWN = "2024-06-12T01:00"
BARE: dict[str, Any] = {"swing_left": 3, "regime": "off"}


def quarters(hour: Prices) -> list[Prices]:
    """Return four bars that make an hour: to the far extreme, to the middle, to the near extreme, to the close."""
    open_, high, low, close = hour
    first, last = (low, high) if close >= open_ else (high, low)
    middle = (high + low) / 2
    ends = [(open_, first), (first, middle), (middle, last), (last, close)]
    return [(a, max(a, b), min(a, b), b) for a, b in ends]


def hold(price: float, n: int, *, reach: float = 1.0) -> list[Prices]:
    """Return n quarters that stand still."""
    return [(price, price + reach, price - reach, price)] * n


def story(*after: Prices, hours: list[Prices] | None = None) -> Any:
    """Return M15 bars of the story without spread, then the quarters `after`."""
    rows = [row for hour in (STORY if hours is None else hours) for row in quarters(hour)] + list(after)
    opens, at = [], ns(START)
    while len(opens) < len(rows):
        if is_open(at):
            opens.append(at)
        at += 15 * MINUTE
    bars = np.zeros(len(rows), BAR).view(np.recarray)
    bars.open_ns = opens
    bars.close_ns = bars.open_ns + 15 * MINUTE
    prices = np.rint((BASE + np.array(rows) * PIP) * 1e5) / 1e5
    bars.open, bars.high, bars.low, bars.close = prices.T
    bars.volume = 100.0
    return bars


def wilder(hours: list[Prices], n: int = 14) -> float:
    """Return the ATR after the hours, pips: the mean of the first true ranges, then Wilder's recursion."""
    ranges = [max(h[1], p[3]) - min(h[2], p[3]) for p, h in pairwise(hours)]
    value = sum(ranges[:n]) / n
    for moved in ranges[n:]:
        value += (moved - value) / n
    return value


def price(pips: float) -> float:
    """Return the price of pips from 1.1000, on the tick grid."""
    return round(BASE + pips * PIP, 5)


def stop_pips(hours: list[Prices] | None = None, *, buffer: float = 0.15) -> float:
    """Return the stop of a purchase in the zone, pips, rounded to a tenth of a pip."""
    return round(FAR - buffer * wilder(STORY if hours is None else hours), 1)


def resolve(
    bars: Any, *, costs: str = "free", limits: str = "off", capital: float = 100_000, **config: Any
) -> ResolvedRun:
    """Return a run of smclassic over EURUSD bars."""
    values = {**BARE, "timeframe": "M15", "symbols": ["EURUSD"], **config}
    settings = RunSettings(costs=costs, limits=limits, capital=capital)
    return resolve_run("smclassic", bars=[series_of(bars)], config=values, settings=settings)


def play(bars: Any, **options: Any) -> Any:
    """Play the bars to their end and return the arena."""
    arena = new_arena(resolve(bars, **options))
    arena.run()
    return arena


def watch(bars: Any, until: str, **options: Any) -> Any:
    """Play the bars that close at or before a time and leave everything open; return the arena."""
    arena = new_arena(resolve(bars, **options))
    for _ in range(int((bars.close_ns <= ns(until)).sum())):
        arena.play(1)
    return arena


def state(arena: Any) -> Any:
    """Return the strategy's state."""
    return arena.lanes[0].state[0]


def orders(arena: Any) -> list[tuple[int, float, float, float]]:
    """Return side, price, stop and target of all resting orders, pips."""
    seen = arena.books[0].seen
    return [
        (int(o.side), *(to_pips(x) for x in (o.price, o.stop_loss, o.take_profit)))
        for o in seen.orders[: seen.n_orders]
    ]


def positions(arena: Any) -> Any:
    """Return the open positions."""
    seen = arena.books[0].seen
    return seen.positions[: seen.n_positions]


def to_pips(value: float) -> float:
    """Return a price as pips from 1.1000, to a tenth."""
    return round((float(value) - BASE) / PIP, 1)
