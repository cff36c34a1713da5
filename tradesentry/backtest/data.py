"""Find the bars of a run: from the catalog, from the caller, or from the seeded synthetic market.

Also finds what the run needs besides: a market that converts profit into account currency, and finer bars or ticks when
the path inside a bar is to be resolved.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import BAR
from tradesentry.core.execution.setup import conversion_symbols
from tradesentry.core.market.bars import BarSeries, to_ns
from tradesentry.core.market.catalog import Catalog, default_root, load_bars
from tradesentry.core.market.instruments import canonical_symbol, instrument

SYNTHETIC: Final = "synthetic"
SYNTHETIC_START: Final = "2022-01-03"
SYNTHETIC_END: Final = "2024-01-01"
"""Two years, unless the run says otherwise."""

Bars = Sequence[BarSeries] | Mapping[str, BarSeries]


@dataclass(frozen=True, slots=True)
class MarketData:
    """Everything a run reads, in the canonical order of symbols."""

    series: tuple[BarSeries, ...]
    """Markets that are traded, then those that only convert."""
    n_traded: int
    fine: tuple[np.ndarray[Any, Any], ...]
    """Finer BAR arrays per series, empty where there are none."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What a run asks for."""

    symbols: tuple[str, ...]
    timeframe: str
    source: str
    account_currency: str
    rates: Mapping[str, float]
    intrabar: str
    from_: str | int | None = None
    to: str | int | None = None
    catalog: Path | None = None


def is_synthetic(source: str) -> bool:
    """Say whether a source name means the built-in generator: `synthetic`, `synthetic:random_walk`, `…:3` for a seed."""
    return source.split(":")[0] == SYNTHETIC


def _synthetic_series(symbols: Sequence[str], request: DataRequest, timeframe: str) -> dict[str, BarSeries]:
    from tradesentry.core.market.synthetic import synthetic_bars

    parts = request.source.split(":")
    seed = parts[2] if len(parts) > 2 else "0"
    if len(parts) > 3 or not seed.isdigit():
        raise ConfigError(f"Source {request.source!r} is no synthetic market. Write synthetic:VARIANT:SEED.")
    variant = parts[1] if len(parts) > 1 and parts[1] else "plain"
    return synthetic_bars(
        symbols,
        timeframe=timeframe,
        start=request.from_ or SYNTHETIC_START,
        end=request.to or SYNTHETIC_END,
        seed=int(seed),
        variant=variant,
    )


def _load(symbols: Sequence[str], request: DataRequest, timeframe: str) -> list[BarSeries]:
    if not is_synthetic(request.source):
        source = request.source or None
        return load_bars(symbols, timeframe, source, request.catalog, request.from_, request.to)
    made = _synthetic_series(symbols, request, timeframe)
    return [made[symbol] for symbol in symbols]


def _exists(symbol: str, request: DataRequest, timeframe: str) -> bool:
    if is_synthetic(request.source):
        return True
    catalog = Catalog(request.catalog if request.catalog is not None else default_root())
    return any(
        source == request.source and canonical_symbol(name) == symbol and length != "TICK"
        for source, name, length in catalog.entries()
    )


def _converters(items: Iterable[Instrument], request: DataRequest, present: set[str]) -> list[str]:
    """Return the symbols to load besides, so that every quote currency finds its way to the account's."""
    wanted: list[str] = []
    for item in items:
        choices = conversion_symbols(item, request.account_currency)
        if not choices or item.quote in request.rates or present.intersection(choices):
            continue
        for choice in choices:
            try:
                known = canonical_symbol(choice)
                instrument(known)
            except ConfigError:
                continue
            if _exists(known, request, request.timeframe):
                wanted.append(known)
                break
    return sorted(set(wanted) - present)


def _ticks_as_bars(request: DataRequest, symbol: str, span: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return stored ticks as bars of zero length."""
    catalog = Catalog(request.catalog if request.catalog is not None else default_root())
    source = "ticks" if ("ticks", symbol, "TICK") in catalog.entries() else request.source
    ticks = catalog.read_ticks(source, symbol, *span)
    bars = np.zeros(len(ticks.ts_ns), BAR)
    bars["open_ns"] = bars["close_ns"] = ticks.ts_ns
    for name in ("open", "high", "low", "close"):
        bars[name] = ticks.bid
    bars["spread"] = np.maximum(ticks.ask - ticks.bid, 0.0)
    return bars


def _fine_bars(request: DataRequest, series: Sequence[BarSeries]) -> tuple[np.ndarray[Any, Any], ...]:
    none = np.zeros(0, BAR)
    if request.intrabar == "pessimistic":
        return (none,) * len(series)
    if request.intrabar == "tick":
        if is_synthetic(request.source):
            return _synthetic_path(request, series)
        return tuple(_ticks_as_bars(request, s.symbol, (_first(s), _last(s))) for s in series)
    fine = _load([s.symbol for s in series], request, "M1")
    return tuple(s.bars for s in fine)


def _synthetic_path(request: DataRequest, series: Sequence[BarSeries]) -> tuple[np.ndarray[Any, Any], ...]:
    from tradesentry.core.market.synthetic import synthetic_bars

    parts = request.source.split(":")
    _, path = synthetic_bars(
        [s.symbol for s in series],
        timeframe=request.timeframe,
        start=request.from_ or SYNTHETIC_START,
        end=request.to or SYNTHETIC_END,
        seed=int(parts[2]) if len(parts) > 2 else 0,
        variant=parts[1] if len(parts) > 1 and parts[1] else "plain",
        with_path=True,
    )
    return tuple(path[s.symbol].bars for s in series)


def _first(series: BarSeries) -> int:
    return int(series.bars["open_ns"][0])


def _last(series: BarSeries) -> int:
    return int(series.bars["close_ns"][-1])


def _given(bars: Bars, request: DataRequest) -> tuple[list[BarSeries], list[BarSeries]]:
    """Split the caller's series into those traded and those that only convert."""
    given = list(bars.values()) if isinstance(bars, Mapping) else list(bars)
    wanted = set(request.symbols)
    traded = [s for s in given if canonical_symbol(s.symbol) in wanted]
    return traded, [s for s in given if canonical_symbol(s.symbol) not in wanted]


def _cut(series: BarSeries, request: DataRequest) -> BarSeries:
    first, last = to_ns(request.from_), to_ns(request.to)
    if first is None and last is None:
        return series
    opens = series.bars["open_ns"]
    low = 0 if first is None else int(np.searchsorted(opens, first))
    high = len(opens) if last is None else int(np.searchsorted(opens, last))
    return replace(series, bars=series.bars[low:high])


def load_market_data(request: DataRequest, bars: Bars | None = None) -> MarketData:
    """Return the bars of a run in the canonical order of symbols.

    Args:
        request: What the run asks for.
        bars: Series of the caller; the catalog or the generator are asked when None.

    Raises:
        DataError: A series that does not exist, or one without a bar in the period.
        ConfigError: An unknown symbol or synthetic variant.
    """
    symbols = sorted({canonical_symbol(symbol) for symbol in request.symbols})
    if bars is None:
        traded = _load(symbols, request, request.timeframe)
        extra = _converters([instrument(s) for s in symbols], request, set(symbols))
        converting = _load(extra, request, request.timeframe) if extra else []
        if extra and is_synthetic(request.source):
            made = {s.symbol: s for s in _load(sorted([*symbols, *extra]), request, request.timeframe)}
            traded, converting = [made[s] for s in symbols], [made[s] for s in extra]
    else:
        traded, converting = _given(bars, request)
        traded = [_cut(s, request) for s in sorted(traded, key=lambda s: s.symbol)]
        converting = [_cut(s, request) for s in sorted(converting, key=lambda s: s.symbol)]
    for series in traded:
        if len(series.bars) == 0:
            raise DataError(
                f"{series.source} {series.symbol} {series.timeframe} has no bar between {request.from_ or 'its start'} "
                f"and {request.to or 'its end'}. Choose another period with --from and --to.",
                code="empty_period",
            )
    if not traded:
        raise DataError("No series to trade was given. Name --symbols that the given bars hold.", code="no_series")
    every = (*traded, *converting)
    return MarketData(every, len(traded), _fine_bars(request, every))
