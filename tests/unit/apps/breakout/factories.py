"""Quiet bars with a few that matter, and runs of breakout over them.

A quiet bar opens and closes at 1.1000 and reaches 5 pips to both sides, so true range and ATR are 10 pips and every
opening range is 1.0995 to 1.1005. London is UTC + 1, New York UTC - 4: sessions start 07:00 and 12:00 UTC.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.bars import BarSeries, checksum_of

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
QUIET = (1.1000, 1.1005, 1.0995, 1.1000)
BARE: dict[str, Any] = {
    "w_lo": None, "w_hi": None, "spread_frac": None, "breakout_bar": False, "buf_atr": 0.0, "sessions": ["london"],
}  # fmt: skip
"""Filters that need weeks of history or get in the way of a hand-made case are off; the warm-up is one day."""


def ns(text: str) -> int:
    """Return an ISO time (UTC) in ns."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def is_open(at_ns: int) -> bool:
    """Return whether FX trades in New York summer: Sunday 21:00 to Friday 21:00 UTC."""
    hour_of_week = (at_ns // HOUR + 72) % 168
    return not 4 * 24 + 21 <= hour_of_week < 6 * 24 + 21


def quiet_bars(start: str = "2024-06-10T00:00", end: str = "2024-06-14T21:00", *, minutes: int = 15) -> Any:
    """Return quiet bars of EURUSD without spread over a period of FX hours."""
    opens = [at for at in range(ns(start), ns(end), minutes * MINUTE) if is_open(at)]
    bars = np.zeros(len(opens), BAR).view(np.recarray)
    bars.open_ns = opens
    bars.close_ns = bars.open_ns + minutes * MINUTE
    bars.open, bars.high, bars.low, bars.close = QUIET
    bars.volume = 100.0
    return bars


def row_at(bars: Any, text: str) -> int:
    """Return the row of the bar that opens at an ISO time (UTC)."""
    return int(np.searchsorted(bars.open_ns, ns(text)))


def put(bars: Any, text: str, *rows: tuple[float, float, float, float]) -> Any:
    """Write (open, high, low, close) of consecutive bars from the one that opens at an ISO time on."""
    first = row_at(bars, text)
    for i, (open_, high, low, close) in enumerate(rows):
        bars.open[first + i], bars.high[first + i] = open_, high
        bars.low[first + i], bars.close[first + i] = low, close
    return bars


def hold(bars: Any, start: str, end: str, price: float, *, reach: float = 0.0002) -> Any:
    """Let price stand still between two times, reaching a little to both sides."""
    rows = slice(row_at(bars, start), row_at(bars, end))
    bars.open[rows] = bars.close[rows] = price
    bars.high[rows], bars.low[rows] = price + reach, price - reach
    return bars


def without(bars: Any, start: str, end: str) -> Any:
    """Return the bars without those that open in [start, end)."""
    keep = (bars.open_ns < ns(start)) | (bars.open_ns >= ns(end))
    return bars[keep].view(np.recarray)


def upside_down(bars: Any, *, about: float = 1.1) -> Any:
    """Return the bars mirrored about a price: what rose falls."""
    other = bars.copy()
    other.open, other.close = 2 * about - bars.open, 2 * about - bars.close
    other.high, other.low = 2 * about - bars.low, 2 * about - bars.high
    return other


def series_of(bars: Any, symbol: str = "EURUSD") -> BarSeries:
    """Return the bars as a series."""
    minutes = int(bars.close_ns[0] - bars.open_ns[0]) // MINUTE
    return BarSeries(bars, symbol, "test", f"M{minutes}", "bid", {"clock": "UTC"}, checksum_of(bars))


def resolve(
    bars: Any, *, costs: str = "free", limits: str = "off", capital: float = 100_000, **config: Any
) -> ResolvedRun:
    """Return a run of breakout over EURUSD bars, with the filters of `BARE` unless said otherwise."""
    minutes = int(bars.close_ns[0] - bars.open_ns[0]) // MINUTE
    values = {**BARE, "modes": ["orb"], "timeframe": f"M{minutes}", "symbols": ["EURUSD"], **config}
    settings = RunSettings(costs=costs, limits=limits, capital=capital)
    return resolve_run("breakout", bars=[series_of(bars)], config=values, settings=settings)


def play(bars: Any, **options: Any) -> Any:
    """Play the bars to their end and return the arena."""
    arena = new_arena(resolve(bars, **options))
    arena.run()
    return arena


def watch(bars: Any, until: str, **options: Any) -> Any:
    """Play the bars that close at or before a time and leave everything open; return the arena."""
    known = bars[bars.close_ns <= ns(until)].view(np.recarray)
    # The run is resolved on all bars, so its calendar does not depend on where we look.
    arena = new_arena(resolve(bars, **options))
    for _ in range(len(known)):
        arena.play(1)
    return arena


def slot(arena: Any, index: int = 0) -> Any:
    """Return a slot of the strategy's state."""
    return arena.lanes[0].state[0].slots[index]


def phase(arena: Any, index: int = 0) -> str:
    """Return the phase of a slot by name, after the last bar that was played."""
    from tradesentry.apps.breakout.layout import Phase
    from tradesentry.apps.breakout.slots import phase_of

    bar = arena.bars[0].view(np.recarray)[int(arena.series[0].next_bar) - 1]
    return Phase(phase_of(arena.lanes[0].state[0], index, bar, arena.books[0].seen)).name


def when(ts_ns: int) -> str:
    """Return an instant as text, to the minute."""
    return datetime.fromtimestamp(int(ts_ns) // 10**9, UTC).strftime("%a %H:%M")


def codes(arena: Any) -> list[int]:
    """Return the reasons of all refusals."""
    return [int(code) for code in arena.reject_rows.code]
