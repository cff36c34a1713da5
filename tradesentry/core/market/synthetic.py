"""Make a market: seeded bars with the shape of FX, for tests, demonstrations and proofs. Always labelled synthetic.

What is there: the FX week with its sessions, busy openings and closings, volatility that clusters, fat tails, spreads
that widen at the rollover, currencies that move together, crosses that agree with their legs, tick volume that follows
activity, and on request missing minutes and jumps. What is not: an edge, except the patterns named in
`synthetic_model.PATTERNS`. The simulated price is the bid; the ask is the bid plus the spread.

Prices are simulated several times a minute and bars are taken from that path, so highs and lows are real and
`with_path` can resolve what happened inside a bar. `random_walk` is an exact martingale on the tick grid, every symbol
on its own; in the other variants symbols are ratios of currency values.

The same seed gives the same bits. Each currency has its own random numbers, so a symbol does not depend on which others
are asked for, and a longer series begins with the shorter one (both from the same start).
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.market.bars import (
    DAY_NS,
    WEEK_NS,
    BarArray,
    BarSeries,
    checksum_of,
    normalize_timeframe,
    timeframe_ns,
    to_ns,
)
from tradesentry.core.market.instruments import instrument
from tradesentry.core.market.mirror import on_grid
from tradesentry.core.market.resample import resample_bars
from tradesentry.core.market.synthetic_model import MINUTE_NS, PATTERNS, checked_variant
from tradesentry.core.market.synthetic_simulation import Settings, open_days, simulate

DEFAULT_START: Final = "2022-01-03"
_TRADING_DAYS: Final = 5
_HOLIDAYS_PER_YEAR: Final = 2
_MAX_GAPS: Final = 0.5
_MAX_JUMPS: Final = 1_000.0

Moment: TypeAlias = datetime | date | str | int


def _check(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ConfigError(f"Synthetic market: {name} is {value}; it must lie between {low:g} and {high:g}.")
    return value


def _period_end_ns(start_ns: int, n_bars: int, timeframe: str, *, gaps: float, is_always_open: bool) -> int:
    """Return an end, ns UTC, far enough for `n_bars` bars, counting weekends, holidays and missing minutes."""
    bar_ns = timeframe_ns(timeframe)
    open_days_a_week = 7 if is_always_open else _TRADING_DAYS
    n_days = n_bars * (open_days_a_week if bar_ns == WEEK_NS else bar_ns / DAY_NS)
    n_days = n_days * (1 + (2 * gaps if bar_ns < DAY_NS else 0)) / (1 - gaps)
    weeks = n_days / open_days_a_week
    return start_ns + int(((weeks + 2) * 7 + _HOLIDAYS_PER_YEAR * (weeks / 52 + 2) * 1.5) * DAY_NS)


def _finished(m1: BarArray, item: Instrument, timeframe: str, tick: float) -> BarArray:
    if timeframe == "M1":
        return m1
    return on_grid(resample_bars(m1, timeframe, is_always_open=item.is_always_open), tick)


def _cut(bars: BarArray, start_ns: int, end_ns: int, n_bars: int | None) -> BarArray:
    first = int(np.searchsorted(bars.open_ns, start_ns))
    last = int(np.searchsorted(bars.close_ns, end_ns, side="right"))
    last = last if n_bars is None else min(last, first + n_bars)
    return bars[first:last].copy().view(np.recarray)


def _series(bars: BarArray, item: Instrument, timeframe: str, settings: Settings) -> BarSeries:
    variant = settings.variant
    provenance: dict[str, Any] = {
        "vendor": "TradeSentry synthetic market",
        "is_synthetic": True,
        "notice": "SYNTHETIC: generated prices, not a real market.",
        "variant": variant,
        "pattern": {name: getattr(PATTERNS[variant], name) for name in PATTERNS[variant].__slots__},
        "seed": settings.seed,
        "gaps": settings.gaps,
        "jumps": settings.jumps,
        "spread": settings.spread,
        "tick": settings.tick or item.tick,
        "clock": "UTC",
    }
    source = "synthetic" if variant == "plain" else f"synthetic:{variant}"
    return BarSeries(bars, item.symbol, source, timeframe, "bid", provenance, checksum_of(bars))


@overload
def synthetic_bars(
    symbols: Sequence[str | Instrument],
    *,
    timeframe: str = ...,
    start: Moment = ...,
    end: Moment | None = ...,
    n_bars: int | None = ...,
    seed: int = ...,
    variant: str = ...,
    gaps: float = ...,
    jumps: float = ...,
    spread: float = ...,
    tick: float | None = ...,
    with_path: Literal[False] = ...,
) -> dict[str, BarSeries]: ...
@overload
def synthetic_bars(
    symbols: Sequence[str | Instrument], *, timeframe: str = ..., start: Moment = ..., end: Moment | None = ...,
    n_bars: int | None = ..., seed: int = ..., variant: str = ..., gaps: float = ..., jumps: float = ...,
    spread: float = ..., tick: float | None = ..., with_path: Literal[True],
) -> tuple[dict[str, BarSeries], dict[str, BarSeries]]: ...  # fmt: skip
def synthetic_bars(
    symbols: Sequence[str | Instrument],
    *,
    timeframe: str = "M1",
    start: Moment = DEFAULT_START,
    end: Moment | None = None,
    n_bars: int | None = None,
    seed: int = 0,
    variant: str = "plain",
    gaps: float = 0.0,
    jumps: float = 0.0,
    spread: float = 1.0,
    tick: float | None = None,
    with_path: bool = False,
) -> dict[str, BarSeries] | tuple[dict[str, BarSeries], dict[str, BarSeries]]:
    """Return seeded bars by symbol.

    Args:
        symbols: Names of `core.market.instruments`, or instruments.
        timeframe: M1 or longer; longer ones are built from M1.
        start: First moment; bars open at or after it. Random numbers count from the FX day that holds it.
        end: Last moment, exclusive: bars close at or before it. This or `n_bars`.
        n_bars: How many bars of each symbol.
        seed: 0 or more; the same seed gives the same bits.
        variant: plain, random_walk, trend, mean_revert or teaching.
        gaps: About the fraction of minutes without data, 0 to 0.5; more in quiet hours, and now and then a stretch.
        jumps: Expected jumps per week and currency, each 4 to 12 minute deviations, 0 to 1000.
        spread: Spread as a multiple of the typical one, 0 to 100; 0 makes all spreads zero.
        tick: Price step instead of the instruments'; a power of two makes sums of prices exact.
        with_path: Return the simulated prices too.

    Returns:
        Series by symbol; with `with_path` also series of timeframe TICK, whose bars have no length and hold one price
        each, `STEPS` to a minute, covering the same time.

    Raises:
        ConfigError: An unknown symbol, variant or timeframe, or a number out of bounds.
        DataError: A random walk that reached zero.
    """
    settings = Settings(
        variant=checked_variant(variant),
        seed=int(_check("seed", seed, 0, 2**63)),
        gaps=_check("gaps", gaps, 0, _MAX_GAPS),
        jumps=_check("jumps", jumps, 0, _MAX_JUMPS),
        spread=_check("spread", spread, 0, 100),
        tick=tick,
        with_path=with_path,
    )
    name = normalize_timeframe(timeframe)
    if timeframe_ns(name) < MINUTE_NS:
        raise ConfigError(f"The synthetic market has no {name} bars. Use M1 or longer, or `with_path`.")
    if (n_bars is None) == (end is None):
        raise ConfigError("Give the length of the synthetic series once: either `n_bars` or `end`.")
    _check("n_bars", 1 if n_bars is None else n_bars, 1, 10**9)
    start_ns, until_ns = to_ns(start) or 0, to_ns(end)
    items = list(dict.fromkeys(s if isinstance(s, Instrument) else instrument(s) for s in symbols))
    bars: dict[str, BarSeries] = {}
    paths: dict[str, BarSeries] = {}
    for is_always_open in (False, True):
        group = [item for item in items if item.is_always_open == is_always_open]
        if not group:
            continue
        end_ns = until_ns
        if end_ns is None:
            end_ns = _period_end_ns(start_ns, n_bars or 0, name, gaps=gaps, is_always_open=is_always_open)
        days = open_days(start_ns, max(end_ns, start_ns), is_always_open=is_always_open)
        for symbol, (m1, path) in simulate(group, days, settings).items():
            item = next(item for item in group if item.symbol == symbol)
            cut = _cut(_finished(m1, item, name, tick or item.tick), start_ns, end_ns, n_bars)
            bars[symbol] = _series(cut, item, name, settings)
            if with_path:
                first, last = (int(cut.open_ns[0]), int(cut.close_ns[-1])) if cut.size else (0, 0)
                inside = slice(np.searchsorted(path.open_ns, first), np.searchsorted(path.open_ns, last))
                paths[symbol] = _series(path[inside].copy().view(np.recarray), item, "TICK", settings)
    ordered = {item.symbol: bars[item.symbol] for item in items}
    return (ordered, {item.symbol: paths[item.symbol] for item in items}) if with_path else ordered
