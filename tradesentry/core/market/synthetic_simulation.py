"""Run the synthetic market: minutes, values of currencies, prices of symbols, block by block.

Separate from `core.market.synthetic`, which is what users call. Work is done in blocks of some FX days, so memory does
not grow with the length of a series. Every stream of random numbers serves one purpose of one currency or symbol and is
drawn in time order: that is why a symbol does not depend on its company, nor a series on its length.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.market.bars import DAY_NS, BarArray, empty_bars
from tradesentry.core.market.holidays import holidays_of_year
from tradesentry.core.market.sessions import fx_days
from tradesentry.core.market.synthetic_kernels import (
    PATH,
    fill_bars,
    fill_path,
    log_volatility,
    price_path,
    value_path,
    walk_path,
)
from tradesentry.core.market.synthetic_model import (
    FAST_VOLATILITY,
    MINUTE_NS,
    MINUTES_PER_YEAR,
    OWN_VOLATILITY,
    PATTERNS,
    ROLLOVER_MINUTES,
    ROLLOVER_SPREAD,
    SLOW_VOLATILITY,
    STEPS,
    WEEKEND_VARIANCE,
    FloatArray,
    Variant,
    activity,
    asset,
    is_asian,
    start_level,
)
from tradesentry.core.market.tick_grid import tick_fraction
from tradesentry.core.market.zones import IntArray
from tradesentry.core.utils.kernel import new_records

_BLOCK_DAYS: Final = 10
_MINUTES_PER_WEEK: Final = 7_200
_VOLUME_PER_MINUTE: Final = 60.0
_SINGLE_GAPS: Final = 0.34
"""Brings the share of missing minutes, single ones and stretches, to the one that was asked for."""
_LEVEL_TOO_LOW: Final = 100
"""Ticks; below it the grid would be too coarse for a walk."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for, checked."""

    variant: Variant
    seed: int
    gaps: float
    jumps: float
    spread: float
    tick: float | None
    with_path: bool


@dataclass(slots=True)
class _Block:
    """The minutes of some FX days and what all symbols share in them."""

    open_ns: IntArray
    closed: FloatArray
    rollover: FloatArray
    volatility: FloatArray
    shared: FloatArray
    by_home: dict[bool, FloatArray] = field(default_factory=dict)

    def activity(self, code: str) -> FloatArray:
        home = is_asian(code)
        if home not in self.by_home:
            self.by_home[home] = activity(self.open_ns, asian=home)
        return self.by_home[home]


def _stream(seed: int, *names: str) -> np.random.Generator:
    keys = [seed, *(zlib.crc32(name.encode()) for name in names)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(keys)))


def open_days(from_ns: int, to_ns: int, *, is_always_open: bool) -> NDArray[np.void]:
    """Return the FX days with a market: all but Christmas and New Year."""
    rows = fx_days(from_ns, to_ns, is_always_open=is_always_open)
    if is_always_open:
        return rows
    names = rows["end_ns"] // DAY_NS
    years = names.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    fixed = [day for year in np.unique(years) for day in holidays_of_year("EUR", int(year)) if _is_fixed(day)]
    return rows[~np.isin(names, fixed)]


def _is_fixed(day: int) -> bool:
    month_day = str(np.datetime64(day, "D"))[5:]
    return month_day in ("01-01", "12-25")


def _blocks(days: NDArray[np.void], seed: int, label: str) -> Iterator[_Block]:
    """Yield the market's blocks in order; their random numbers are one stream, whatever the period's end."""
    volatility, factors = _stream(seed, label, "volatility"), _stream(seed, label, "factors")
    state = np.zeros(2)
    keep = np.array([0.5 ** (1 / half_life) for half_life, _ in (SLOW_VOLATILITY, FAST_VOLATILITY)])
    deviation = np.array([SLOW_VOLATILITY[1], FAST_VOLATILITY[1]])
    previous_ns = int(days["start_ns"][0]) - MINUTE_NS
    for first in range(0, len(days), _BLOCK_DAYS):
        rows = days[first : first + _BLOCK_DAYS]
        per_day = [np.arange(row["start_ns"], row["end_ns"], MINUTE_NS, dtype=np.int64) for row in rows]
        open_ns = np.concatenate(per_day)
        day = np.repeat(np.arange(len(rows)), [len(minutes) for minutes in per_day])
        away = np.minimum(open_ns - rows["start_ns"][day], rows["end_ns"][day] - MINUTE_NS - open_ns) / MINUTE_NS
        closed_minutes = np.diff(open_ns, prepend=previous_ns) / MINUTE_NS - 1
        out = np.empty(len(open_ns))
        log_volatility(state, volatility.standard_normal((len(open_ns), 2)), keep, deviation, out)
        yield _Block(
            open_ns=open_ns,
            closed=np.sqrt(closed_minutes * WEEKEND_VARIANCE),
            rollover=np.maximum(0.0, 1.0 - away / ROLLOVER_MINUTES),
            volatility=out,
            shared=factors.standard_normal((len(open_ns), 3)),
        )
        previous_ns = int(open_ns[-1])


class _Currency:
    """The path of one currency's value in dollars."""

    def __init__(self, code: str, settings: Settings, label: str) -> None:
        self.code = code
        self._normal = _stream(settings.seed, label, code, "minutes")
        self._fine = _stream(settings.seed, label, code, "steps")
        self._uniform = _stream(settings.seed, label, code, "events")
        numbers, pattern = asset(code), PATTERNS[settings.variant]
        self._path = new_records(1, PATH)
        path = self._path[0]
        path.sigma = numbers.annual_volatility / math.sqrt(MINUTES_PER_YEAR)
        path.dollar, path.risk, path.europe, path.own = numbers.dollar, numbers.risk, numbers.europe, numbers.own
        path.own_volatility = OWN_VOLATILITY
        path.permanent, path.transitory = pattern.permanent, pattern.transitory
        path.keep = 0.5 ** (1 / (pattern.half_life_minutes * STEPS))
        path.drift, path.flip = pattern.drift, 1 / pattern.run_minutes if pattern.drift else 0.0
        path.jump, path.trend = settings.jumps / _MINUTES_PER_WEEK, 1.0

    def advance(self, block: _Block) -> FloatArray:
        """Return the log values of the block's steps, shape (n, steps)."""
        n = len(block.open_ns)
        out = np.zeros((n, STEPS))
        if self.code == "USD":
            return out
        scale = block.activity(self.code) * block.volatility
        own, fine = self._normal.standard_normal((n, 2)), self._fine.standard_normal((n, STEPS))
        uniform = self._uniform.random((n, 2))
        value_path(self._path[0], scale, block.closed, block.shared, own, fine, uniform, out)
        return out


class _Symbol:
    """The bars of one symbol, written block by block."""

    def __init__(self, item: Instrument, settings: Settings, label: str, n_minutes: int) -> None:
        self.item = item
        self.tick = settings.tick or item.tick
        self._settings = settings
        self._numerator, self._denominator = tick_fraction(self.tick)
        self._level = start_level(item) / self.tick
        self._last = float(round(self._level))
        self._noise = _stream(settings.seed, label, item.symbol, "volume")
        self._missing = _stream(settings.seed, label, item.symbol, "gaps")
        self._walk = [_stream(settings.seed, label, item.symbol, name) for name in ("minutes", "steps", "events")]
        self._bars = empty_bars(n_minutes)
        self._path = empty_bars(n_minutes * STEPS if settings.with_path else 0)
        self._n_bars = 0
        self._n_path = 0
        if self._level < _LEVEL_TOO_LOW:
            raise ConfigError(f"{item.symbol} would start at {self._level:.0f} ticks of {self.tick}. Use a finer tick.")

    def advance(self, block: _Block, paths: dict[str, FloatArray]) -> None:
        """Append the block's bars."""
        active = block.activity(self.item.base if is_asian(self.item.base) else self.item.quote)
        ticks = self._walk_ticks(block, active) if self._settings.variant == "random_walk" else self._ticks(paths)
        keep = self._kept(active)
        spread = self._spread(block, active)
        size = np.exp(0.25 * self._noise.standard_normal(len(active)) - 0.03)
        volume = np.maximum(1.0, np.rint(_VOLUME_PER_MINUTE * active * block.volatility * size))
        grid = (float(self._numerator), float(self._denominator))
        bars = self._bars[self._n_bars :]
        self._n_bars += int(fill_bars(block.open_ns, ticks, spread, volume, keep, *grid, bars))
        if self._settings.with_path:
            path = self._path[self._n_path :]
            self._n_path += int(fill_path(block.open_ns, ticks, spread, keep, *grid, path))

    def _ticks(self, paths: dict[str, FloatArray]) -> FloatArray:
        base = paths[self.item.base]
        out = np.empty_like(base)
        price_path(self._level, base, paths[self.item.quote] if self.item.kind == "fx" else np.zeros_like(base), out)
        return out

    def _walk_ticks(self, block: _Block, active: FloatArray) -> FloatArray:
        n = len(block.open_ns)
        numbers = asset(self.item.quote if self.item.base == "USD" else self.item.base)
        sigma = self._level * numbers.annual_volatility / math.sqrt(MINUTES_PER_YEAR)
        own, fine = self._walk[0].standard_normal((n, 2)), self._walk[1].standard_normal((n, STEPS))
        uniform, out = self._walk[2].random((n, 2)), np.empty((n, STEPS))
        jump = self._settings.jumps / _MINUTES_PER_WEEK
        self._last = walk_path(self._last, sigma, jump, active * block.volatility, own, fine, uniform, out)
        if out.min() < 1:
            raise DataError(
                f"The random walk of {self.item.symbol} with seed {self._settings.seed} reached zero. "
                "A driftless walk does so in the end; use a shorter period or another seed."
            )
        return out

    def _kept(self, active: FloatArray) -> BoolArray:
        """Return which minutes have data: quiet ones go missing first, and now and then a longer stretch does."""
        uniform = self._missing.random(len(active))
        gaps = self._settings.gaps
        keep = uniform >= np.minimum(0.9, _SINGLE_GAPS * gaps / np.maximum(active, 0.2) ** 2)
        for start in np.flatnonzero(uniform > 1 - gaps / 500):
            keep[start : start + 15 + int(uniform[start] * 1e9) % 120] = False
        return np.asarray(keep, dtype=np.bool_)

    def _spread(self, block: _Block, active: FloatArray) -> FloatArray:
        """Return the spread of each minute in ticks: wider when quiet or wild, widest at the rollover."""
        typical = self._settings.spread * self.item.typical_spread_pips * self.item.pip / self.tick
        if typical == 0:
            return np.zeros(len(active))
        shape = (0.70 + 0.35 / (0.4 + active)) * (0.6 + 0.4 * block.volatility)
        return np.maximum(1.0, np.rint(typical * shape * (1 + (ROLLOVER_SPREAD - 1) * block.rollover)))

    def result(self) -> tuple[BarArray, BarArray]:
        """Return the bars and the path written so far."""
        bars, path = self._bars[: self._n_bars], self._path[: self._n_path]
        return bars.view(np.recarray), path.view(np.recarray)


def simulate(
    items: Sequence[Instrument], days: NDArray[np.void], settings: Settings
) -> dict[str, tuple[BarArray, BarArray]]:
    """Return M1 bars and path by symbol over the given FX days; all symbols keep the same week."""
    label = "always" if items[0].is_always_open else "week"
    n_minutes = int(((days["end_ns"] - days["start_ns"]) // MINUTE_NS).sum())
    symbols = [_Symbol(item, settings, label, n_minutes) for item in items]
    codes = {code for item in items for code in ((item.base, item.quote) if item.kind == "fx" else (item.base,))}
    is_walk = settings.variant == "random_walk"
    currencies = [_Currency(code, settings, label) for code in sorted(codes) if not is_walk]
    for block in _blocks(days, settings.seed, label):
        paths = {currency.code: currency.advance(block) for currency in currencies}
        for symbol in symbols:
            symbol.advance(block, paths)
    return {symbol.item.symbol: symbol.result() for symbol in symbols}
