"""What is measured: the work every engine does on the same bars, and the seeded function that makes those bars.

Plain NumPy and nothing of TradeSentry, because each peer runs this file in its own environment. The rules of the work,
which each adapter follows as closely as its engine allows:

1. two simple averages of the close, 20 and 50 bars; when they cross on a closed bar, close what is open and enter at
   the market in the direction of the cross, 10,000 units;
2. orders fill at the open of the next bar; the stop lies 20 pips and the target 40 pips from the deciding close;
3. inside a bar the stop comes before the target;
4. 30 account currency per million of notional and side, no spread, so that every engine can express the cost.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

Bars = np.ndarray[Any, Any]
"""Structured array of BAR_FIELDS, one row per bar."""

FAST_BARS: Final = 20
SLOW_BARS: Final = 50
STOP_PIPS: Final = 20.0
TARGET_PIPS: Final = 40.0
UNITS: Final = 10_000.0
CAPITAL: Final = 1_000_000.0
COMMISSION_FRACTION: Final = 30e-6
"""Of notional, per side."""
TICK: Final = 1e-5
PIP: Final = 1e-4
TICKS_PER_UNIT: Final = 100_000
"""Prices are whole ticks divided by this, which gives the same float64 as reading the decimal text."""
MINUTE_NS: Final = 60_000_000_000
SEED: Final = 20_240_101

BAR_FIELDS: Final = np.dtype(
    [("open_ns", "i8"), ("open", "f8"), ("high", "f8"), ("low", "f8"), ("close", "f8"), ("volume", "f8")]
)
TRADE_FIELDS: Final = np.dtype(
    [
        ("signal_bar", "i8"),  # bar on whose close the entry was decided
        ("exit_bar", "i8"),
        ("side", "i8"),  # 1 long, -1 short
        ("is_open", "b1"),  # still open at the end of the data
        ("entry_price", "f8"),
        ("exit_price", "f8"),
        ("net", "f8"),  # account currency, after commission; NaN when the engine does not say
    ]
)
"""A closed round trip, as each adapter writes it for the comparison."""

BASE_CURRENCIES: Final = (
    *("EUR", "GBP", "AUD", "NZD", "CAD", "CHF", "JPY", "SEK", "NOK", "DKK"),
    *("PLN", "HUF", "CZK", "SGD", "HKD", "MXN", "ZAR", "TRY", "CNH", "THB"),
)
"""The 20 symbols of W3 are these against USD: made-up prices near 1.1, so that no engine converts currencies."""


VARIANTS: Final = tuple((fast, slow) for fast in range(10, 35) for slow in range(40, 120, 2))
"""Lengths of the averages in W2, bars."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One measured task.

    Args:
        name: As on the command line.
        title: As in the tables.
        n_symbols: Series that share one account.
        n_bars: Bars per series.
        n_variants: Back-tests of different averages on the same bars.
    """

    name: str
    title: str
    n_symbols: int
    n_bars: int
    n_variants: int = 1


WORKLOADS: Final = {
    "w1": Workload("w1", "W1 one back-test", 1, 1_000_000),
    "w2": Workload("w2", "W2 1,000 variants", 1, 100_000, 1_000),
    "w3": Workload("w3", "W3 20 symbols, one account", 20, 250_000),
    "cold": Workload("cold", "cold: new process, imports included", 1, 100_000),
}


def symbols(n_symbols: int) -> list[str]:
    """Return the names of the first `n_symbols` series."""
    return [f"{base}USD" for base in BASE_CURRENCIES[:n_symbols]]


def eurusd_m1(n_bars: int, seed: int = SEED) -> Bars:
    """Return a synthetic EURUSD M1 series; the first n bars do not depend on how many are asked for.

    Random walk in ticks with a daily rhythm, slow volatility clusters and fat tails, drawn back to 1.10; small gaps
    between bars and larger ones at week starts. The two averages never tie: on a bar where they would be equal, the
    close is one tick higher, because how a tie breaks is a matter of taste that would hide real differences.

    Args:
        n_bars: Bars wanted, at least 1.
        seed: Of NumPy's PCG64.
    """
    children = np.random.SeedSequence(seed).spawn(5)
    move, cluster, noise, gap, week = (np.random.Generator(np.random.PCG64(child)) for child in children)
    open_ns = _fx_minutes(n_bars)
    minute_of_day = open_ns // MINUTE_NS % 1_440
    rhythm = 0.6 + 0.8 * np.exp(-(((minute_of_day - 840) / 260.0) ** 2))
    scale_ticks = 9.0 * rhythm * _slow_volatility(cluster, n_bars)
    steps = scale_ticks * move.standard_t(5, n_bars)
    level = _mean_reverting(steps)
    closes = _without_ties(np.rint(level).astype(np.int64) + 110_000)

    opens = np.empty(n_bars, np.int64)
    opens[0] = 110_000
    opens[1:] = closes[:-1] + gap.integers(-1, 2, n_bars - 1)
    is_week_start = np.flatnonzero(np.diff(open_ns, prepend=open_ns[0]) > MINUTE_NS)
    opens[is_week_start] += week.integers(-120, 121, len(is_week_start))
    upper, lower = np.abs(noise.standard_normal((n_bars, 2))).T * scale_ticks * 0.6
    highs = np.maximum(opens, closes) + np.rint(upper).astype(np.int64)
    lows = np.minimum(opens, closes) - np.rint(lower).astype(np.int64)
    return _to_bars(open_ns, opens, highs, lows, closes)


def _fx_minutes(n_bars: int) -> np.ndarray[Any, Any]:
    """Return bar opens from Sunday 22:00 to Friday 21:00 UTC, open weeks in both daylight-saving regimes."""
    per_week = 119 * 60
    first_sunday_ns = int(np.datetime64("2021-01-03T22:00", "ns").astype(np.int64))
    weeks, minutes = np.divmod(np.arange(n_bars, dtype=np.int64), per_week)
    return first_sunday_ns + (weeks * 7 * 1_440 + minutes) * MINUTE_NS


def _slow_volatility(generator: np.random.Generator, n_bars: int) -> np.ndarray[Any, Any]:
    """Return a factor near 1 that wanders over days."""
    knots = np.empty(n_bars // 720 + 2)
    level = 0.0
    for i in range(len(knots)):
        level = 0.98 * level + 0.08 * generator.standard_normal()
        knots[i] = level
    return np.exp(np.interp(np.arange(n_bars) / 720.0, np.arange(len(knots)), knots))


def _mean_reverting(steps: np.ndarray[Any, Any], pull: float = 5e-6) -> np.ndarray[Any, Any]:
    """Return the sum of `steps` with a weak pull to 0, in blocks small enough that the weights stay exact."""
    level = np.empty_like(steps)
    start, block = 0.0, 4_096
    decay = (1.0 - pull) ** np.arange(1, block + 1)
    for first in range(0, len(steps), block):
        part = steps[first : first + block]
        weights = decay[: len(part)]
        level[first : first + block] = weights * (start + np.cumsum(part / weights))
        start = level[min(first + block, len(steps)) - 1]
    return level


def average_gap(closes_ticks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return fast minus slow average in exact integers, scaled by 100: from bar SLOW_BARS - 1 on.

    Args:
        closes_ticks: Closes in whole ticks, int64.
    """
    sums = np.concatenate(([0], np.cumsum(closes_ticks)))
    fast = (sums[FAST_BARS:] - sums[:-FAST_BARS])[SLOW_BARS - FAST_BARS :]
    slow = sums[SLOW_BARS:] - sums[:-SLOW_BARS]
    gap: np.ndarray[Any, Any] = SLOW_BARS * fast - FAST_BARS * slow
    return gap


def _without_ties(closes_ticks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    closes = closes_ticks.copy()
    if len(closes) < SLOW_BARS:
        return closes
    while True:
        ties = np.flatnonzero(average_gap(closes) == 0)
        if not len(ties):
            return closes
        closes[ties + SLOW_BARS - 1] += 1


def to_ticks(prices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return prices in whole ticks, int64."""
    ticks: np.ndarray[Any, Any] = np.rint(prices * TICKS_PER_UNIT).astype(np.int64)
    return ticks


def _to_bars(open_ns: Any, opens: Any, highs: Any, lows: Any, closes: Any) -> Bars:
    bars = np.empty(len(open_ns), BAR_FIELDS)
    bars["open_ns"] = open_ns
    for name, ticks in (("open", opens), ("high", highs), ("low", lows), ("close", closes)):
        bars[name] = ticks / TICKS_PER_UNIT
    bars["volume"] = 100.0
    return bars


def write_bars(folder: Path, n_symbols: int, n_bars: int) -> list[Path]:
    """Write the series of a workload as .npy files once; all engines read these.

    Args:
        folder: Where; a file that exists is kept, its name says seed and length.
        n_symbols: Series to write.
        n_bars: Bars per series.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, symbol in enumerate(symbols(n_symbols)):
        path = folder / f"{symbol}_{n_bars}_{SEED + index}.npy"
        if not path.exists():
            np.save(path.with_suffix(".part.npy"), eurusd_m1(n_bars, SEED + index))
            path.with_suffix(".part.npy").rename(path)
        paths.append(path)
    return paths


def read_bars(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Bars]:
    """Return {symbol: bars} as `write_bars` left them."""
    names = symbols(n_symbols)
    return {name: np.load(folder / f"{name}_{n_bars}_{SEED + i}.npy") for i, name in enumerate(names)}
