"""Bars, calendars and mirrors for the tests of components.

Prices are whole multiples of 2^-17, so sums of differences are exact and equal prices are common, as in FX.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.utils.kernel import new_records

TICK = 2.0**-17
MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
MIRROR_AT = 2.25
EURUSD = Instrument("EURUSD", "fx", "EUR", "USD", 1e-5, 1e-4)
REPOSITORY = Path(__file__).resolve().parents[5]


def ns(text: str) -> int:
    """Return an instant such as 2024-01-08T08:00 in ns UTC."""
    return int(np.datetime64(text, "ns").astype(np.int64))


def make_bars(
    rows: list[tuple[float, float, float, float]], *, start: str = "2024-01-08T08:00", minutes: int = 15
) -> Any:
    """Return consecutive bars from (open, high, low, close)."""
    bars = new_records(len(rows), BAR)
    for i, (open_, high, low, close) in enumerate(rows):
        opened = ns(start) + i * minutes * MINUTE_NS
        bars[i] = (opened, opened + minutes * MINUTE_NS, open_, high, low, close, 10.0 + i, 0.0)
    return bars


def without(bars: Any, *rows: int) -> Any:
    """Return the bars without some of them: a hole in the data."""
    return np.delete(bars, rows).view(np.recarray)


def trades(open_ns: Any) -> Any:
    """Return which bars open in the FX week of winter, Sunday to Friday 22:00 UTC."""
    hour_of_week = (open_ns // HOUR_NS + 2 - 72 - 24) % 168
    return hour_of_week < 120


def random_bars(
    n: int, seed: int = 0, *, start: str = "2024-01-07T22:00", minutes: int = 15, step: int = 3, missing: float = 0.03
) -> Any:
    """Return n bars of a random walk with many equal prices; some bars are missing, weekends always."""
    random = np.random.default_rng(seed)
    opens = ns(start) + np.arange(3 * n + 1_000, dtype=np.int64) * minutes * MINUTE_NS
    opens = opens[trades(opens) & (random.random(len(opens)) >= missing)][:n]
    close = 144_180 + np.cumsum(random.integers(-step, step + 1, n))
    open_ = np.roll(close, 1) + random.integers(-1, 2, n)
    open_[0] = close[0]
    high = np.maximum(open_, close) + random.integers(0, step + 1, n)
    low = np.minimum(open_, close) - random.integers(0, step + 1, n)
    bars = new_records(n, BAR)
    bars.open_ns, bars.close_ns = opens, opens + minutes * MINUTE_NS
    bars.open, bars.high, bars.low, bars.close = open_ * TICK, high * TICK, low * TICK, close * TICK
    bars.volume = random.integers(1, 50, n)
    bars.spread = random.integers(0, 4, n) * TICK
    return bars


def dirty_bars(n: int, seed: int = 0, *, start: str = "2024-01-07T22:00") -> Any:
    """Return random bars with a hole of four days, a repeated bar, a NaN, and a high below the low."""
    bars = random_bars(n, seed, start=start)
    bars.open_ns[n // 2 :] += 4 * DAY_NS
    bars.close_ns[n // 2 :] += 4 * DAY_NS
    bars[n // 4] = bars[n // 4 - 1]
    bars.close[n // 3] = np.nan
    bars.high[2 * n // 3] = bars.low[2 * n // 3] - TICK
    return bars


def changed_after(bars: Any, n: int, seed: int = 99) -> Any:
    """Return the bars with everything from bar n on replaced by another valid market."""
    other = random_bars(len(bars), seed, step=9)
    changed = bars.copy()
    for name in ("open", "high", "low", "close", "volume", "spread"):
        changed[name][n:] = other[name][n:]
    changed.open_ns[n:] += HOUR_NS
    changed.close_ns[n:] += HOUR_NS
    return changed


def mirrored(bars: Any) -> Any:
    """Return the bars on negated prices, shifted to stay positive; high and low swap."""
    result = bars.copy()
    result.open, result.close = MIRROR_AT - bars.open, MIRROR_AT - bars.close
    result.high, result.low = MIRROR_AT - bars.low, MIRROR_AT - bars.high
    return result


def scaled(bars: Any, factor: float) -> Any:
    """Return the bars with all prices multiplied."""
    result = bars.copy()
    for name in ("open", "high", "low", "close", "spread"):
        result[name] = bars[name] * factor
    return result


@cache
def calendar_of(*sessions: str, start: str = "2023-12-20", end: str = "2024-03-20") -> Any:
    """Return the calendar of EURUSD over a period that holds the bars of these tests."""
    return build_calendar(CalendarSpec(sessions=sessions), EURUSD, ns(start), ns(end))


def real_bars(name: str = "mt5_london/EURUSD_M15", n: int = 10_000) -> pl.DataFrame | None:
    """Return real bars from the shared data folder, None where it is absent."""
    folder = Path(os.environ.get("TRADESENTRY_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    path = folder / f"{name}.parquet"
    if not path.exists():
        return None
    minutes = {"M1": 1, "M15": 15, "H1": 60}[name.rsplit("_", 1)[1]]
    opened = pl.col("timestamp").dt.epoch("ns")
    return pl.read_parquet(path).head(n).select(
        opened.alias("open_ns"), (opened + minutes * MINUTE_NS).alias("close_ns"), "open", "high", "low", "close",
        pl.col("volume").fill_null(0.0), pl.col("spread").fill_null(0.0),
    )  # fmt: skip
