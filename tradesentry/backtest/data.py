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
    """Say whether a source names the built-in generator: `synthetic[:VARIANT[:SEED]]`."""
    return source.partition(":")[0] == SYNTHETIC


def _generator(request: DataRequest) -> dict[str, Any]:
    """Return the arguments of the generator that a source name stands for."""
    _, variant, seed, *rest = [*request.source.split(":"), "", ""][: max(3, request.source.count(":") + 1)]
    if rest or not (seed or "0").isdigit():
        raise ConfigError(f"Source {request.source!r} is no synthetic market. Write synthetic:VARIANT:SEED.")
    return {
        "timeframe": request.timeframe,
        "start": request.from_ or SYNTHETIC_START,
        "end": request.to or SYNTHETIC_END,
        "variant": variant or "plain",
        "seed": int(seed or 0),
    }


def _load(symbols: Sequence[str], request: DataRequest, timeframe: str) -> list[BarSeries]:
    if not is_synthetic(request.source):
        source = request.source or None
        return load_bars(symbols, timeframe, source, request.catalog, request.from_, request.to)
    from tradesentry.core.market.synthetic import synthetic_bars

    made = synthetic_bars(symbols, **(_generator(request) | {"timeframe": timeframe}))
    return [made[symbol] for symbol in symbols]


def _exists(symbol: str, request: DataRequest) -> bool:
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
            if _exists(known, request):
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

    _, path = synthetic_bars([s.symbol for s in series], **_generator(request), with_path=True)
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
    return replace(series, bars=series.bars[low:high].view(np.recarray))


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
