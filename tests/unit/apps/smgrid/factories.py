"""A quiet market with one demand zone, and runs of smgrid over it.

A quiet bar of 15 minutes opens and closes at 1.1000 and reaches 5 pips to both sides, so the true range of an hour is
10 pips. On Wednesday 12 June 2024 one hour falls 20 pips, one pauses and one leaves with 25 pips, all times UTC:

=====  ======  ======  ======  ======  ==========
hour   open    high    low     close   true range
=====  ======  ======  ======  ======  ==========
07:00  1.1000  1.1001  1.0979  1.0980  22 pips
08:00  1.0980  1.0983  1.0972  1.0980  11 pips
09:00  1.0980  1.1006  1.0980  1.1005  26 pips
=====  ======  ======  ======  ======  ==========

At 10:00 the zone 1.0980 to 1.0972 is known and the ATR is 10 + 12/14 = 10.857, + 0.143/14 = 10.867, + 15.133/14 =
11.948 pips. So five levels lie 2 pips apart, the stop 0.25 ATR beyond at 1.09690 and the target 0.4 ATR = 4.779 pips
beyond the average. To the stop the levels have 11, 9, 7, 5 and 3 pips, 35 in all: 0.75 % of 100,000 lose 750 there with
214,285 units a level, rounded down to 214,000.
"""

from typing import Any

import numpy as np

from tests.support.markets import utc
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.bars import BarSeries, checksum_of

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
PIP = 1e-4
ATR = (10 + 12 / 14) * PIP
ATR += (11 * PIP - ATR) / 14
ATR += (26 * PIP - ATR) / 14
LEVELS = (1.0980, 1.0978, 1.0976, 1.0974, 1.0972)
STOP = 1.0969
UNITS = 214_000
BARE: dict[str, Any] = {
    "regime_er": None, "zone_kind": "base", "slip_pips": 0.0, "leverage": None, "timeframe": "M15",
}  # fmt: skip
"""What needs weeks of history or gets in the way of a hand-made case is off; the warm-up is 33 hours."""


def is_open(at_ns: int) -> bool:
    """Return whether FX trades in New York summer: Sunday 21:00 to Friday 21:00 UTC."""
    hour_of_week = (at_ns // HOUR + 72) % 168
    return not 4 * 24 + 21 <= hour_of_week < 6 * 24 + 21


def quiet_bars(start: str = "2024-06-10T00:00", end: str = "2024-06-14T21:00") -> Any:
    """Return quiet bars of EURUSD without spread over a period of FX hours."""
    opens = [at for at in range(utc(start), utc(end), 15 * MINUTE) if is_open(at)]
    bars = np.zeros(len(opens), BAR).view(np.recarray)
    bars.open_ns = opens
    bars.close_ns = bars.open_ns + 15 * MINUTE
    bars.open, bars.high, bars.low, bars.close = 1.1000, 1.1005, 1.0995, 1.1000
    bars.volume = 100.0
    return bars


def row_at(bars: Any, text: str) -> int:
    """Return the row of the bar that opens at an ISO time (UTC)."""
    return int(np.searchsorted(bars.open_ns, utc(text)))


def put(bars: Any, text: str, *rows: tuple[float, float, float, float]) -> Any:
    """Write (open, high, low, close) of consecutive bars from the one that opens at an ISO time on."""
    first = row_at(bars, text)
    for i, row in enumerate(rows):
        bars.open[first + i], bars.high[first + i], bars.low[first + i], bars.close[first + i] = row
    return bars


def hold(bars: Any, start: str, end: str, price: float, *, reach: float = 0.0002) -> Any:
    """Let price stand still between two times, reaching a little to both sides."""
    rows = slice(row_at(bars, start), row_at(bars, end))
    bars.open[rows] = bars.close[rows] = price
    bars.high[rows], bars.low[rows] = price + reach, price - reach
    return bars


def hour(bars: Any, text: str, open_: float, high: float, low: float, close: float) -> Any:
    """Write four bars that make an hour of these prices: one that opens it, two in the middle, one that closes it."""
    middle = 0.5 * (open_ + close)
    up, down = max(open_, middle), min(open_, middle)
    last = max(middle, close), min(middle, close)
    return put(
        bars, text, (open_, up, down, middle), (middle, high, middle, middle), (middle, middle, low, middle),
        (middle, last[0], last[1], close),
    )  # fmt: skip


def zone_bars(**period: str) -> Any:
    """Return quiet bars with the zone of this module's docstring; price stands at 1.1005 from 10:00 on."""
    bars = quiet_bars(**period)
    hour(bars, "2024-06-12T07:00", 1.1000, 1.1001, 1.0979, 1.0980)
    hour(bars, "2024-06-12T08:00", 1.0980, 1.0983, 1.0972, 1.0980)
    hour(bars, "2024-06-12T09:00", 1.0980, 1.1006, 1.0980, 1.1005)
    return hold(bars, "2024-06-12T10:00", "2024-06-14T21:00", 1.1005)


def upside_down(bars: Any, *, about: float = 1.1) -> Any:
    """Return the bars mirrored about a price: what rose falls."""
    other = bars.copy()
    other.open, other.close = 2 * about - bars.open, 2 * about - bars.close
    other.high, other.low = 2 * about - bars.low, 2 * about - bars.high
    return other


def without(bars: Any, start: str, end: str) -> Any:
    """Return the bars without those that open in [start, end)."""
    keep = (bars.open_ns < utc(start)) | (bars.open_ns >= utc(end))
    return bars[keep].view(np.recarray)


def resolve(
    bars: Any, *, costs: str = "free", limits: str = "off", capital: float = 100_000, **config: Any
) -> ResolvedRun:
    """Return a run of smgrid over EURUSD bars, with the settings of `BARE` unless said otherwise."""
    series = BarSeries(bars, "EURUSD", "test", "M15", "bid", {"clock": "UTC"}, checksum_of(bars))
    values = {**BARE, "symbols": ["EURUSD"], **config}
    return resolve_run(
        "smgrid", bars=[series], config=values, settings=RunSettings(costs=costs, limits=limits, capital=capital)
    )


def play(bars: Any, **options: Any) -> Any:
    """Play the bars to their end and return the arena."""
    arena = new_arena(resolve(bars, **options))
    arena.run()
    return arena


def watch(bars: Any, until: str, **options: Any) -> Any:
    """Play the bars that close at or before a time and leave everything open; return the arena."""
    # The run is resolved on all bars, so its calendar does not depend on where we look.
    arena = new_arena(resolve(bars, **options))
    for _ in range(int(np.sum(bars.close_ns <= utc(until)))):
        arena.play(1)
    return arena


def basket(arena: Any, side: int = 1) -> Any:
    """Return the basket of a side in the strategy's state."""
    return arena.lanes[0].state[0].baskets[0 if side > 0 else 1]


def orders(arena: Any) -> list[tuple[int, float, float]]:
    """Return (level, price, units) of what rests, in the order of the levels."""
    seen = arena.books[0].seen
    return sorted((int(o.tag), float(o.price), float(o.units)) for o in seen.orders[: seen.n_orders])


def positions(arena: Any) -> list[Any]:
    """Return the open positions, shallowest level first."""
    seen = arena.books[0].seen
    return sorted((seen.positions[i] for i in range(seen.n_positions)), key=lambda p: int(p.tag))


def codes(arena: Any) -> list[int]:
    """Return the reasons of all refusals."""
    return [int(code) for code in arena.reject_rows.code]


TWO = (1.1005, 1.1006, 1.09775, 1.0979)
STOPPED = (1.1005, 1.1006, 1.0965, 1.0968)


def held(text="2024-06-12T10:15", price=1.0979, *rows):
    """The zone, two levels filled at `text`, then `rows`, then price stands still."""
    bars = put(zone_bars(), text, TWO, *rows)
    last = row_at(bars, text) + 1 + len(rows)
    bars.open[last:] = bars.close[last:] = price
    bars.high[last:], bars.low[last:] = price + 0.5 * PIP, price - 0.5 * PIP
    return bars
