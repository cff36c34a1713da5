"""Small factories of market data for tests: FX weeks, bars, and files in vendors' words."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from tradesentry.core.market.bars import BarArray, BarSeries, checksum_of, empty_bars, timeframe_ns, to_ns

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str) -> int:
    """Return an ISO time (UTC) in ns."""
    moment = to_ns(text)
    assert moment is not None
    return moment


def local_ns(text: str, zone: str) -> int:
    """Return the instant at which a wall clock shows an ISO time, by the slow and obvious way."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def is_fx_open(at_ns: int) -> bool:
    """Return whether the FX week is open, read off a New York calendar."""
    local = datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone(NEW_YORK)
    if local.weekday() == 4:
        return local.hour < 17
    if local.weekday() == 6:
        return local.hour >= 17
    return local.weekday() < 4


def fx_opens(start: str, end: str, timeframe: str = "H1") -> np.ndarray:
    """Return the opens of an FX feed without holes."""
    step = timeframe_ns(timeframe)
    hours = [at for at in range(ns(start), ns(end), HOUR) if is_fx_open(at)]
    inside = np.arange(0, HOUR, step, dtype=np.int64)
    return (np.array(hours, np.int64)[:, None] + inside).ravel()


def bars_at(
    opens: np.ndarray, timeframe: str = "H1", *, seed: int = 1, price: float = 1.1, tick: float = 1e-5
) -> BarArray:
    """Return sound bars of a random walk at the given opens."""
    rng = np.random.default_rng(seed)
    bars = empty_bars(opens.size)
    bars.open_ns = opens
    bars.close_ns = opens + timeframe_ns(timeframe)
    close = np.round((price + np.cumsum(rng.integers(-9, 10, opens.size)) * tick) / tick) * tick
    bars.close = np.round(close, 8)
    bars.open = np.round(np.concatenate([[price], close[:-1]]), 8)
    bars.high = np.round(np.maximum(bars.open, bars.close) + rng.integers(0, 5, opens.size) * tick, 8)
    bars.low = np.round(np.minimum(bars.open, bars.close) - rng.integers(0, 5, opens.size) * tick, 8)
    bars.volume = rng.integers(1, 500, opens.size).astype(float)
    bars.spread = np.round(rng.integers(1, 20, opens.size) * tick, 8)
    return bars


def series_of(bars: BarArray, timeframe: str = "H1", *, symbol: str = "EURUSD", source: str = "test") -> BarSeries:
    """Return a bid series with the provenance of an import."""
    provenance = {"vendor": "test", "clock": "UTC", "tick": 1e-5, "is_synthetic": False}
    return BarSeries(bars, symbol, source, timeframe, "bid", provenance, checksum_of(bars))


def same_bars(a: BarArray, b: BarArray) -> bool:
    """Return whether two arrays of bars hold the same bits."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
